/* pyenv's rules on made-up roots: orders and prefixes of names, version files, what selects, what
 * a name means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/pyenv.h"
#include "env/pyenv_order.h"
#include "env/uv_python.h"

struct fixture {
    char *dir, *root;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char name[] = "/tmp/venvfs-test-pyenv-XXXXXX", real[4096];
    assert_non_null(mkdtemp(name));
    assert_non_null(realpath(name, real));
    f->dir = xstrdup(real);
    f->root = path_join(f->dir, "pyenv");
    _cleanup_free_ char *uv = path_join(f->dir, "uv");
    _cleanup_free_ char *home = path_join(f->dir, "venvfs");
    _cleanup_free_ char *hub = path_join(f->dir, "hub");
    _cleanup_free_ char *bin = path_join(f->dir, "bin");
    setenv("PYENV_ROOT", f->root, 1);
    setenv("UV_PYTHON_INSTALL_DIR", uv, 1);
    setenv("VENVFS_HOME", home, 1);
    setenv("VENVFS_HUB", hub, 1);
    setenv("PATH", bin, 1);
    unsetenv("PYENV_VERSION");
    unsetenv("PYENV_DIR");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(path_remove_tree(f->dir), 0);
    free(f->dir);
    free(f->root);
    free(f);
    return 0;
}

static char *make(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
    char *path = path_join(f->dir, name);
    _cleanup_free_ char *dir = path_dirname(path);
    assert_int_equal(path_mkdirs(dir, 0755), 0);
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), mode, false), 0);
    return path;
}

static void put(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
    free(make(f, name, text, mode));
}

static void make_dir(const struct fixture *f, const char *name)
{
    _cleanup_free_ char *path = path_join(f->dir, name);
    assert_int_equal(path_mkdirs(path, 0755), 0);
}

/* ---- names ---- */

static void names_are_sorted_as_version_sort_does(void **state)
{
    (void)state;
    static const char *const sorted[] = {".hidden",  "2.7.18",     "3.4.0",       "3.10-dev",
                                         "3.10.0~x", "3.10.0",     "3.10.0rc1",   "3.10.1",
                                         "mini-9",   "mini-24.01", "mini-24.10.1"};
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
        for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
            int c = pyenv_order(sorted[i], sorted[j]);
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
}

static void a_prefix_is_its_newest_finished_version(void **state)
{
    (void)state;
    static const char *const names[] = {"2.7.18",
                                        "3.9.2",
                                        "3.9.18",
                                        "3.10-dev",
                                        "3.10.0rc2",
                                        "3.10.0b3",
                                        "3.10.0a1",
                                        "3.10-src",
                                        "pypy3.10-7.3.9",
                                        "pypy3.10-7.3.17",
                                        "miniconda3-3.9-4.12.0",
                                        "miniconda3-3.9-4.9.2",
                                        "miniconda3-latest",
                                        "3.13.0t",
                                        "3.13.1",
                                        "3.13.1t"};
    static const char *const cases[][2] = {
        {"3", "3.13.1"},
        {"3.9", "3.9.18"},
        {"3.1", NULL},
        {"3.10", NULL},
        {"3.13", "3.13.1"},
        {"3.13t", "3.13.1t"},
        {"3t", "3.13.1t"},
        {"pypy3.10", "pypy3.10-7.3.17"},
        {"miniconda3", "miniconda3-3.9-4.12.0"},
        {"", NULL},
        {"t", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *found = pyenv_newest(cases[i][0], names, ARRAY_SIZE(names));
        if (cases[i][1])
            assert_string_equal(found, cases[i][1]);
        else
            assert_null(found);
    }
}

static void uv_s_folders_are_versions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"cpython-3.12.7-linux-x86_64-gnu", "3.12.7"},
        {"cpython-3.13.0+freethreaded-linux-x86_64-gnu", "3.13.0t"},
        {"cpython-3.14.0rc1-linux-x86_64-gnu", "3.14.0rc1"},
        {"cpython-3.12-linux-x86_64-gnu", NULL},
        {"cpython-3.13.0+debug-linux-x86_64-gnu", NULL},
        {"cpython-3.13.0+freethreaded+debug-linux-x86_64-gnu", NULL},
        {"pypy-3.10.14-linux-x86_64-gnu", NULL},
        {".lock", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *found = uv_python_version(cases[i][0]);
        if (cases[i][1])
            assert_string_equal(found, cases[i][1]);
        else
            assert_null(found);
    }
}

/* ---- version files ---- */

static void words_that_lead_out_are_refused_and_told(void **state)
{
    const struct fixture *f = *state;
    make_dir(f, "pyenv/versions/3.9.1/envs/web");
    make_dir(f, "pyenv/evil");
    _cleanup_version_file_ struct version_file file = {0};
    _cleanup_free_ char *path = make(
        f, "p/.python-version",
        "  3.9 rest\n# 3.8\n\n..\r\n../evil\n/etc\n3.9.1/envs/web\n3.9.1/envs/../..\n\t3.7", 0644);
    assert_int_equal(version_file_read(path, &file, NULL), 0);
    static const char *const words[] = {"3.9", "3.9.1/envs/web", "3.7"};
    static const char *const refused[] = {"..", "../evil", "/etc", "3.9.1/envs/../.."};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        assert_string_equal(file.words[i], words[i]);
    assert_null(file.words[ARRAY_SIZE(words)]);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_string_equal(file.refused[i], refused[i]);
    assert_null(file.refused[ARRAY_SIZE(refused)]);
}

static void writing_keeps_a_link(void **state)
{
    const struct fixture *f = *state;
    static const char *const words[] = {"3.9", "system", NULL};
    put(f, "shared", "a longer text than comes\n", 0644);
    _cleanup_free_ char *link = path_join(f->dir, ".python-version");
    assert_int_equal(symlink("shared", link), 0);
    assert_int_equal(version_file_write(link, words, NULL), 0);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    assert_int_equal(io_read_file(link, &text, 100), 0);
    assert_string_equal(text.buf, "3.9\nsystem\n");
}

/* ---- what selects ---- */

static void expect_selected(const struct fixture *f, const char *dir, const char *word,
                            const char *origin)
{
    _cleanup_version_file_ struct version_file file = {0};
    assert_int_equal(pyenv_selected(f->root, dir, &file, NULL), 0);
    if (word)
        assert_string_equal(file.words[0], word);
    else
        assert_null(file.words[0]);
    if (origin[0] == '/' || !strchr(origin, '/')) {
        assert_string_equal(pyenv_origin(&file), origin);
    } else {
        _cleanup_free_ char *path = path_join(f->dir, origin);
        assert_string_equal(pyenv_origin(&file), path);
    }
}

static void the_variable_then_the_nearest_file_then_the_global_one(void **state)
{
    const struct fixture *f = *state;
    make_dir(f, "p/deep");
    make_dir(f, "empty");
    _cleanup_free_ char *deep = path_join(f->dir, "p/deep");
    _cleanup_free_ char *empty = path_join(f->dir, "empty");
    assert_int_equal(chdir(deep), 0);
    setenv("PWD", deep, 1);
    expect_selected(f, NULL, NULL, "pyenv/version");
    put(f, "pyenv/version", "3.1\n", 0644);
    expect_selected(f, NULL, "3.1", "pyenv/version");
    put(f, "p/.python-version", "3.2\n", 0644);
    expect_selected(f, NULL, "3.2", "p/.python-version");
    expect_selected(f, empty, "3.1", "pyenv/version");
    setenv("PYENV_DIR", empty, 1);
    expect_selected(f, NULL, "3.2", "p/.python-version"); /* nothing there: the current folder */
    put(f, "empty/.python-version", "3.3\n", 0644);
    expect_selected(f, NULL, "3.3", "empty/.python-version");
    setenv("PYENV_VERSION", "3.4:3.5", 1);
    expect_selected(f, NULL, "3.4", "PYENV_VERSION environment variable");
    setenv("PYENV_VERSION", "", 1);
    expect_selected(f, NULL, "3.3", "empty/.python-version");
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct version_file file;
    make_dir(f, "pyenv/version"); /* a folder */
    assert_true(pyenv_selected(f->root, f->dir, &file, &err) < 0);
    assert_non_null(strstr(err.message, "pyenv/version"));
}

/* ---- what a name means ---- */

static void expect_version(const struct fixture *f, const char *word, const char *name,
                           enum pyenv_kind kind, const char *prefix)
{
    _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
    bool found = pyenv_version_find(f->root, word, &version);
    assert_int_equal(found, name != NULL);
    if (!name)
        return;
    _cleanup_free_ char *full = path_join(f->dir, prefix);
    assert_string_equal(version.name, name);
    assert_int_equal(version.kind, kind);
    assert_string_equal(version.prefix, full);
}

static void pyenv_s_come_before_uv_s_and_uv_s_before_environments(void **state)
{
    const struct fixture *f = *state;
    make_dir(f, "pyenv/versions/3.12.1");
    make_dir(f, "pyenv/versions/python-3.8.1");
    make_dir(f, "uv/cpython-3.12.9-linux-x86_64-gnu");
    make_dir(f, "uv/cpython-3.13.2-linux-x86_64-gnu");
    put(f, "venvfs/envs/web/current", "", 0644);
    put(f, "venvfs/envs/3.13.2/current", "", 0644);
    make_dir(f, "venvfs/envs/being-made");
    expect_version(f, "3.12", "3.12.1", PYENV_INSTALLED, "pyenv/versions/3.12.1");
    expect_version(f, "3.12.9", "3.12.9", PYENV_UV, "uv/cpython-3.12.9-linux-x86_64-gnu");
    expect_version(f, "python-3.13", "3.13.2", PYENV_UV, "uv/cpython-3.13.2-linux-x86_64-gnu");
    expect_version(f, "3.13.2", "3.13.2", PYENV_UV, "uv/cpython-3.13.2-linux-x86_64-gnu");
    expect_version(f, "python-3.8.1", "python-3.8.1", PYENV_INSTALLED,
                   "pyenv/versions/python-3.8.1");
    expect_version(f, "web", "web", PYENV_ENVIRONMENT, "hub/web");
    static const char *const nothing[] = {"being-made", "we", "3.14", "",
                                          ".",          "..", "/etc", "../web"};
    for (size_t i = 0; i < ARRAY_SIZE(nothing); i++)
        expect_version(f, nothing[i], NULL, PYENV_SYSTEM, "");
}

static void aliases_are_links_to_versions_and_environments_in_them(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *name, *target;
        bool alias;
    } links[] = {
        {"3.9", "3.9.1", true}, {"web", "3.9.1/envs/web", true}, {"own", "../../own", false}};
    make_dir(f, "pyenv/versions/3.9.1/envs/web");
    make_dir(f, "own");
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        _cleanup_free_ char *path = xasprintf("%s/versions/%s", f->root, links[i].name);
        assert_int_equal(symlink(links[i].target, path), 0);
        _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
        assert_true(pyenv_version_find(f->root, links[i].name, &version));
        assert_string_equal(version.target, links[i].target);
        assert_int_equal(pyenv_version_is_alias(f->root, &version), links[i].alias);
    }
}

/* ---- which ---- */

static void shims_and_their_links_are_not_the_system(void **state)
{
    const struct fixture *f = *state;
    static const char *const folders[] = {"pyenv/shims", "linked", "bin"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *tool = path_join(folders[i], "my-tool.3");
        _cleanup_free_ char *other = path_join(folders[i], "other");
        put(f, tool, "", 0755);
        put(f, other, "", 0755);
    }
    _cleanup_free_ char *path =
        xasprintf("%s/pyenv/shims:%s/linked::%s/bin", f->dir, f->dir, f->dir);
    _cleanup_free_ char *linked = xasprintf("/nowhere:%s/linked", f->dir);
    _cleanup_free_ char *variable = pyenv_shim_variable("my-tool.3");
    assert_string_equal(variable, "_PYENV_SHIM_PATHS_MY_TOOL_3");
    setenv("PATH", path, 1);
    setenv(variable, linked, 1);
    _cleanup_free_ char *tool = pyenv_system("my-tool.3"), *other = pyenv_system("other");
    unsetenv(variable);
    _cleanup_free_ char *in_bin = path_join(f->dir, "bin/my-tool.3");
    _cleanup_free_ char *in_linked = path_join(f->dir, "linked/other");
    assert_string_equal(tool, in_bin);
    assert_string_equal(other, in_linked);
}

static void the_first_selected_version_that_has_the_program(void **state)
{
    const struct fixture *f = *state;
    const char **missing = NULL;
    put(f, "pyenv/versions/3.2.0/bin/python", "", 0755);
    put(f, "pyenv/versions/3.3.0/bin/python", "", 0755);
    put(f, "pyenv/versions/3.1.0/bin/python", "not executable", 0644);
    put(f, "bin/python", "", 0755);
    setenv("PYENV_VERSION", "3.9:3.1:3.3:3.2", 1);
    _cleanup_version_file_ struct version_file file = {0};
    assert_true(version_words_from_environment(&file));
    _cleanup_free_ char *program = pyenv_program(f->root, &file, "python", true, &missing);
    _cleanup_free_ char *of_3_3 = path_join(f->root, "versions/3.3.0/bin/python");
    assert_string_equal(program, of_3_3);
    assert_string_equal(missing[0], "3.9");
    assert_null(missing[1]);
    free(missing);
    put(f, "bin/tool", "", 0755);
    _cleanup_free_ char *none = pyenv_program(f->root, &file, "tool", false, NULL);
    _cleanup_free_ char *tool = pyenv_program(f->root, &file, "tool", true, NULL);
    _cleanup_free_ char *in_bin = path_join(f->dir, "bin/tool");
    assert_null(none);
    assert_string_equal(tool, in_bin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_sorted_as_version_sort_does),
        TEST(a_prefix_is_its_newest_finished_version),
        TEST(uv_s_folders_are_versions),
        TEST(words_that_lead_out_are_refused_and_told),
        TEST(writing_keeps_a_link),
        TEST(the_variable_then_the_nearest_file_then_the_global_one),
        TEST(a_file_that_cannot_be_read_is_an_error),
        TEST(pyenv_s_come_before_uv_s_and_uv_s_before_environments),
        TEST(aliases_are_links_to_versions_and_environments_in_them),
        TEST(shims_and_their_links_are_not_the_system),
        TEST(the_first_selected_version_that_has_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
