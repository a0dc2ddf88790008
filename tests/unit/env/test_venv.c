/* An existing venv as found on disk: what it says of itself, and what no distribution owns. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/leftovers.h"
#include "env/venv.h"

static char folder[] = "/tmp/venvfs-test-XXXXXX";
static char *root;

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(folder);
}

static int begin(void **state)
{
    (void)state;
    static unsigned serial;
    root = xasprintf("%s/v%u", folder, serial++);
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(root);
    return 0;
}

static void put(const char *path, const char *text)
{
    _cleanup_free_ char *full = path_join(root, path);
    _cleanup_free_ char *dir = path_dirname(full);
    assert_int_equal(path_mkdirs(dir, 0755), 0);
    assert_int_equal(io_write_file_atomic(full, text, strlen(text), 0644, 0), 0);
}

static struct venv read_venv(void)
{
    struct venv v;
    struct verror err = VERROR_INIT;
    if (venv_read(root, &v, &err) < 0)
        fail_msg("%s", verror_message(&err));
    return v;
}

static bool has(char **list, const char *s)
{
    for (; list && *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

static void pyvenv_cfg_is_read(void **state)
{
    (void)state;
    put("lib/python3.11/site-packages/x", "");
    put("pyvenv.cfg", "home = /opt/py/bin\r\ninclude-system-site-packages = TRUE\n"
                      "version = 3.11.7\nexecutable = /opt/py/bin/python3.11\nprompt = 'my env'\n"
                      "command = /opt/py/bin/python3 -m venv --without-pip /old/place it\n");
    struct venv v = read_venv();
    assert_string_equal(v.root, root);
    assert_string_equal(v.python_dir, "python3.11");
    assert_string_equal(v.version, "3.11.7");
    assert_string_equal(v.prompt, "my env");
    assert_true(v.system_site_packages);
    assert_int_equal(v.major, 3);
    assert_int_equal(v.minor, 11);
    assert_string_equal(v.interpreters[0], "/opt/py/bin/python3.11");
    assert_true(has(v.interpreters, "/opt/py/bin/python3"));
    assert_string_equal(v.names[0], root);
    assert_true(has(v.names, "/old/place it"));
    venv_release(&v);
}

static void the_activation_script_names_the_old_place(void **state)
{
    (void)state;
    static const char *const lines[] = {"VIRTUAL_ENV=\"/old place/v\"\n",
                                        "    VIRTUAL_ENV='/old place/v'\nexport VIRTUAL_ENV\n",
                                        "VIRTUAL_ENV=/old place/v\n"};
    put("lib/python3.9/site-packages/x", "");
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        put("bin/activate", lines[i]);
        struct venv v = read_venv();
        assert_true(has(v.names, "/old place/v"));
        assert_null(v.interpreters);
        venv_release(&v);
    }
    put("bin/activate", "VIRTUAL_ENV=$(cygpath \"/x\")\nVIRTUAL_ENV=\"relative\"\nVIRTUAL_ENV=");
    struct venv v = read_venv();
    assert_false(has(v.names, "relative"));
    venv_release(&v);
}

static void of_several_pythons_the_configured_one_counts(void **state)
{
    (void)state;
    put("lib/python3.8/site-packages/x", "");
    put("lib/python3.12/site-packages/x", "");
    put("lib/python3.13/lib-dynload", "");
    put("lib/pythonista/site-packages/x", "");
    struct venv v = read_venv();
    assert_string_equal(v.python_dir, "python3.12");
    venv_release(&v);
    put("pyvenv.cfg", "version_info = 3.8.10.final.0\n");
    v = read_venv();
    assert_string_equal(v.python_dir, "python3.8");
    venv_release(&v);
}

static void garbage_is_no_harm(void **state)
{
    (void)state;
    put("lib/python3.11/site-packages/x", "");
    put("pyvenv.cfg", "= = =\nhome\nhome =\nprompt = \x01\nversion = x.y\n\n\xff\n");
    put("bin/activate", "VIRTUAL_ENV=\"");
    struct venv v = read_venv();
    assert_null(v.prompt);
    venv_release(&v);
}

static void other_folders_are_refused(void **state)
{
    (void)state;
    struct venv v;
    struct verror err = VERROR_INIT;
    assert_int_equal(venv_read(root, &v, &err), -ENOENT);
    put("lib/x", "");
    assert_int_equal(venv_read(root, &v, &err), -EINVAL);
    put("lib/python3.11/site-packages/x", "");
    put("conda-meta/history", "");
    assert_int_equal(venv_read(root, &v, &err), -EINVAL);
    assert_non_null(strstr(verror_message(&err), "conda"));
    verror_release(&err);
}

static bool owns(void *arg, const char *path)
{
    const char *const *owned = arg;
    for (; *owned; owned++)
        if (strcmp(*owned, path) == 0)
            return true;
    return false;
}

static void leftovers_are_what_nobody_owns(void **state)
{
    (void)state;
#define SITE "lib/python3.11/site-packages/"
    static const char *const files[] = {
        SITE "pkg/a.py",
        SITE "pkg/__pycache__/a.cpython-311.pyc",
        SITE "mine.py",
        SITE "__pycache__/mine.cpython-311.opt-1.pyc",
        SITE "__pycache__/gone.cpython-311.pyc",
        SITE "legacy.pyc",
        SITE "_venvfs.pth",
        "pyvenv.cfg",
        ".gitignore",
        "CACHEDIR.TAG",
        "bin/activate",
        "bin/activate.fish",
        "bin/python3",
        "bin/own",
        "bin/sub/python",
        "share/.wh.x",
        "notes/pyvenv.cfg",
    };
    static const char *const owned[] = {SITE "pkg/a.py", NULL};
    static const struct {
        const char *path;
        bool bytecode, problem;
    } expected[] = {
        {"bin/own", false, false},
        {"bin/sub/python", false, false},
        {SITE "__pycache__/mine.cpython-311.opt-1.pyc", true, false},
        {SITE "legacy.pyc", false, false},
        {SITE "mine.py", false, false},
        {"link", false, false},
        {"notes/pyvenv.cfg", false, false},
        {"pipe", false, true},
        {"share/.wh.x", false, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        put(files[i], "x");
    put("empty/x/y", "");
    _cleanup_free_ char *empty = path_join(root, "empty/x/y");
    _cleanup_free_ char *link = path_join(root, "link");
    _cleanup_free_ char *pipe = path_join(root, "pipe");
    _cleanup_free_ char *lib64 = path_join(root, "lib64");
    assert_int_equal(unlink(empty), 0);
    assert_int_equal(symlink("/etc", link), 0);
    assert_int_equal(symlink("lib", lib64), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    struct venv v = read_venv();
    struct leftovers left;
    assert_int_equal(leftovers_find(&v, owns, (void *)(uintptr_t)owned, &left, NULL), 0);
    for (size_t i = 0; i < left.n && i < ARRAY_SIZE(expected); i++) {
        assert_string_equal(left.list[i].path, expected[i].path);
        assert_int_equal(left.list[i].bytecode, expected[i].bytecode);
        assert_int_equal(left.list[i].problem != NULL, expected[i].problem);
    }
    assert_int_equal(left.n, ARRAY_SIZE(expected));
    leftovers_release(&left);
    venv_release(&v);
}

static void deep_folders_are_not_walked_for_ever(void **state)
{
    (void)state;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    static const char *const owned[] = {NULL};
    for (size_t i = 0; i < 120; i++)
        strbuf_addstr(&path, "d/");
    strbuf_addch(&path, 'f');
    put("lib/python3.11/site-packages/x", "");
    put(path.buf, "");
    struct venv v = read_venv();
    struct leftovers left;
    assert_int_equal(leftovers_find(&v, owns, (void *)(uintptr_t)owned, &left, NULL), 0);
    assert_int_equal(left.n, 2);
    assert_string_equal(left.list[0].problem, "is nested too deeply");
    leftovers_release(&left);
    venv_release(&v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pyvenv_cfg_is_read),
        TEST(the_activation_script_names_the_old_place),
        TEST(of_several_pythons_the_configured_one_counts),
        TEST(garbage_is_no_harm),
        TEST(other_folders_are_refused),
        TEST(leftovers_are_what_nobody_owns),
        TEST(deep_folders_are_not_walked_for_ever),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
