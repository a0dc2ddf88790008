/* Bytecode workers: what they answer, and that a file that hangs or kills one costs that file only.
 * Runs the interpreter VENVFS_TEST_PYTHON, or python3. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "wheel/bytecode.h"

static struct wheel_target target;

struct result {
    struct bytecode_request request; /* first */
    size_t size;
    uint8_t head[16];
    bool answered, made;
};

struct seen {
    pthread_mutex_t lock;
    size_t done, warnings;
};

static void done(void *arg, size_t worker, struct bytecode_request *request, const void *pyc,
                 size_t size)
{
    (void)worker;
    struct seen *seen = arg;
    struct result *r = (struct result *)request;
    pthread_mutex_lock(&seen->lock);
    r->answered = true;
    r->made = pyc != NULL;
    r->size = size;
    if (size >= sizeof(r->head))
        memcpy(r->head, pyc, sizeof(r->head));
    seen->done++;
    pthread_mutex_unlock(&seen->lock);
}

static void warn(void *arg, const char *line)
{
    struct seen *seen = arg;
    pthread_mutex_lock(&seen->lock);
    seen->warnings += strncmp(line, "warning: ", 9) == 0;
    pthread_mutex_unlock(&seen->lock);
}

static struct result of(const char *source)
{
    return (struct result){
        .request = {
            .path = "pkg/mod.py", .source = source, .size = strlen(source), .mtime = 1234567890}};
}

static int find_python(void **state)
{
    (void)state;
    static char executable[4096];
    const char *name = getenv("VENVFS_TEST_PYTHON");
    const char *argv[] = {name ? name : "python3", "-c",
                          "import sys, importlib.util as u; sys.stdout.write('%d %s' % "
                          "(int.from_bytes(u.MAGIC_NUMBER, 'little'), sys.executable))",
                          NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    int status = 1;
    assert_int_equal(proc_run(argv, &(struct proc_options){.output = &out}, &status, NULL), 0);
    assert_int_equal(status, 0);
    char *end;
    target.magic = (uint32_t)strtoul(out.buf, &end, 10);
    snprintf(executable, sizeof(executable), "%s", end + 1);
    target.executable = executable;
    return 0;
}

static void sources_become_timestamp_pycs(void **state)
{
    (void)state;
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bytecode_options o = {.workers = 2, .done = done, .warn = warn, .arg = &seen};
    struct bytecode *b;
    enum { N = 300 };
    static struct result results[N];
    for (size_t i = 0; i < N; i++) {
        results[i] = of(i % 10 == 3 ? "def broken(:\n" : i % 10 == 4 ? "" : "x = {'a', 'b'}\n");
        if (i % 10 == 5)
            results[i].request.level = 2;
    }
    assert_int_equal(bytecode_new(&target, &o, &b, NULL), 0);
    for (size_t i = 0; i < N; i++)
        bytecode_submit(b, &results[i].request);
    assert_int_equal(bytecode_finish(b, NULL), 0);
    bytecode_free(b);
    assert_int_equal(seen.done, N);
    assert_int_equal(seen.warnings, 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(results[i].answered);
        assert_int_equal(results[i].made, i % 10 != 3);
        if (!results[i].made)
            continue;
        assert_int_equal(wire_load32(results[i].head), target.magic);
        /* Before 3.7 (PEP 552) there were no flags in front of the time. */
        size_t at = (target.magic & 0xffff) < 3390 ? 4 : 8;
        if (at == 8)
            assert_int_equal(wire_load32(results[i].head + 4), 0);
        assert_int_equal(wire_load32(results[i].head + at), 1234567890);
        assert_int_equal(wire_load32(results[i].head + at + 4), results[i].request.size);
    }
}

/* An "interpreter" that greets properly, then misbehaves on sources that ask for it. */
static char *write_impostor(const char *dir)
{
    char *path = xasprintf("%s/python", dir);
    _cleanup_free_ char *text = xasprintf(
        "#!%s\n"
        "import os, sys, time\n"
        "stdin = sys.stdin.buffer\n"
        "stdin.read(int(sys.argv[-1]))\n"
        "os.write(1, (%u).to_bytes(4, 'little'))\n"
        "while True:\n"
        "    head = stdin.read(16)\n"
        "    if not head: break\n"
        "    n = [int.from_bytes(head[i:i+4], 'little') for i in (0, 4, 8, 12)]\n"
        "    stdin.read(n[2]); source = stdin.read(n[3])\n"
        "    if source == b'hang': time.sleep(600)\n"
        "    if source == b'crash': os.abort()\n"
        "    os.write(1, (0).to_bytes(4, 'little') + len(source).to_bytes(4, 'little') + source)\n",
        target.executable, (unsigned)target.magic);
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), 0755, 0), 0);
    return path;
}

static void a_bad_file_costs_itself_only(void **state)
{
    (void)state;
    char dir[] = "/tmp/venvfs-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    _cleanup_free_ char *impostor = write_impostor(dir);
    struct wheel_target t = target;
    t.executable = impostor;
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bytecode_options o = {
        .workers = 2, .timeout_ms = 1000, .done = done, .warn = warn, .arg = &seen};
    struct bytecode *b;
    enum { N = 40 };
    struct result results[N];
    for (size_t i = 0; i < N; i++)
        results[i] = of(i == 7 || i == 8 ? "crash" : i == 20 ? "hang" : "a file of some length");
    assert_int_equal(bytecode_new(&t, &o, &b, NULL), 0);
    for (size_t i = 0; i < N; i++)
        bytecode_submit(b, &results[i].request);
    assert_int_equal(bytecode_finish(b, NULL), 0);
    bytecode_free(b);
    assert_int_equal(seen.warnings, 3);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(results[i].made, i != 7 && i != 8 && i != 20);
    unlink(impostor);
    rmdir(dir);
}

static void an_interpreter_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct bytecode_options o = {.workers = 1, .done = done, .warn = warn, .arg = &seen};
    struct wheel_target other = target, gone = target;
    other.magic ^= 1;
    gone.executable = "/bin/false";
    const struct wheel_target *targets[] = {&other, &gone};
    for (size_t i = 0; i < 2; i++) {
        struct result r[3] = {of("x"), of("y"), of("z")};
        struct bytecode *b;
        struct verror err = VERROR_INIT;
        assert_int_equal(bytecode_new(targets[i], &o, &b, NULL), 0);
        for (size_t k = 0; k < 3; k++)
            bytecode_submit(b, &r[k].request);
        assert_true(bytecode_finish(b, &err) < 0);
        assert_non_null(strstr(verror_message(&err), i ? "does not start" : "magic number"));
        bytecode_free(b);
        verror_release(&err);
        for (size_t k = 0; k < 3; k++)
            assert_true(r[k].answered && !r[k].made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_become_timestamp_pycs),
        cmocka_unit_test(a_bad_file_costs_itself_only),
        cmocka_unit_test(an_interpreter_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, find_python, NULL);
}
