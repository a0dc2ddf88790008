#include "real_target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/proc.h"

static const char *const tags[] = {"py3-none-any"};

static void ask(struct wheel_target *target)
{
    static char answer[4096], cache_tag[64], python_dir[64];
    const char *name = getenv("VENVFS_TEST_PYTHON");
    const char *argv[] = {
        name ? name : "python3", "-c",
        "import sys, importlib.util as u; v = sys.version_info; sys.stdout.write('%d %d %d %s %s' "
        "% (v[0], v[1], int.from_bytes(u.MAGIC_NUMBER, 'little'), sys.implementation.cache_tag, "
        "sys.executable))",
        NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    int status = 1, at = 0;
    assert_int_equal(proc_run(argv, &(struct proc_options){.output = &out}, &status, NULL), 0);
    assert_int_equal(status, 0);
    assert_int_equal(sscanf(out.buf, "%u %u %u %63s %n", &target->major, &target->minor,
                            &target->magic, cache_tag, &at),
                     4);
    snprintf(answer, sizeof(answer), "%s", out.buf + at);
    snprintf(python_dir, sizeof(python_dir), "python%u.%u", target->major, target->minor);
    target->executable = answer;
    target->cache_tag = cache_tag;
    target->python_dir = python_dir;
}

const struct wheel_target *real_target(void)
{
    static struct wheel_target target = {.tags = tags, .n_tags = 1};
    if (!target.executable)
        ask(&target);
    return &target;
}
