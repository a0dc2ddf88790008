/* Interpreters here are small shell scripts in a tree of their own, which answer as facts.py makes
 * a real one answer and count how often they were started. Their versions (3.20 and up) are beyond
 * any real one that /usr/bin may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/interp.h"

struct fixture {
    char *dir;
    struct home home;
    char *path; /* PATH as it was */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char name[] = "/tmp/venvfs-test-interp-XXXXXX", real[4096];
    assert_non_null(mkdtemp(name));
    assert_non_null(realpath(name, real));
    f->dir = xstrdup(real);
    f->home.interpreters = path_join(f->dir, "interpreters");
    assert_int_equal(mkdir(f->home.interpreters, 0700), 0);
    const char *path = getenv("PATH");
    f->path = xstrdup(path ? path : "/usr/bin:/bin");
    _cleanup_free_ char *bin = path_join(f->dir, "bin");
    _cleanup_free_ char *root = path_join(f->dir, "pyenv");
    _cleanup_free_ char *uv = path_join(f->dir, "uv");
    assert_int_equal(mkdir(bin, 0700), 0);
    setenv("PATH", bin, 1);
    setenv("PYENV_ROOT", root, 1);
    setenv("UV_PYTHON_INSTALL_DIR", uv, 1);
    unsetenv("PYENV_VERSION");
    unsetenv("PYENV_DIR");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    setenv("PATH", f->path, 1);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(path_remove_tree(f->dir), 0);
    home_release(&f->home);
    free(f->path);
    free(f->dir);
    free(f);
    return 0;
}

static void write_text(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
    _cleanup_free_ char *path = path_join(f->dir, name);
    _cleanup_free_ char *dir = path_dirname(path);
    assert_int_equal(path_mkdirs(dir, 0755), 0);
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), mode, false), 0);
}

/* A program at DIR/NAME that answers with these facts. */
static void fake_answer(const struct fixture *f, const char *name, const char *facts)
{
    _cleanup_free_ char *text = xasprintf("#!/bin/sh\n"
                                          "echo x >> '%s/starts'\n"
                                          "[ \"$1\" = -V ] && { echo Python 2.7.18 >&2; exit; }\n"
                                          "printf 'noise of a .pth\\n\\n%%s\\n' '%s'\n",
                                          f->dir, facts);
    write_text(f, name, text, 0755);
}

/* A CPython of this version whose real path is DIR/NAME. */
static void fake(const struct fixture *f, const char *name, const char *version)
{
    unsigned minor = 0, micro = 0;
    assert_int_equal(sscanf(version, "3.%u.%u", &minor, &micro), 2);
    _cleanup_free_ char *facts = xasprintf(
        "{\"facts\":1,\"implementation\":\"cpython\",\"version\":\"%s\",\"version_info\":[3,%u,%u],"
        "\"base_executable\":\"%s/%s\",\"platlibdir\":\"lib\",\"is_64bit\":true,\"soabi\":\"\","
        "\"cache_tag\":\"cpython-3%u\",\"magic\":168627687,\"python_dir\":\"python3.%u\","
        "\"pip_wheel\":null,\"setuptools_wheel\":null,"
        "\"markers\":{\"os_name\":\"posix\",\"platform_machine\":\"x86_64\"},"
        "\"tags\":\"cp3%u-cp3%u-linux_x86_64 py3-none-any\"}",
        version, minor, micro, f->dir, name, minor, minor, minor, minor);
    fake_answer(f, name, facts);
}

/* ROOT/versions/VERSION with bin/python3, as pyenv lays it out. */
static void fake_pyenv(const struct fixture *f, const char *version, const char *answered)
{
    _cleanup_free_ char *name = xasprintf("pyenv/versions/%s/bin/python3", version);
    fake(f, name, answered);
}

static size_t starts(const struct fixture *f)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    _cleanup_free_ char *path = path_join(f->dir, "starts");
    return io_read_file(path, &sb, 65536) < 0 ? 0 : sb.len / 2;
}

static void expect(const struct fixture *f, const char *spec, const char *start,
                   const char *version)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *dir = start ? path_join(f->dir, start) : NULL;
    struct interp *in = NULL;
    if (interp_find(&f->home, spec, dir, &in, &err) < 0)
        fail_msg("%s: %s", spec ? spec : "(default)", verror_message(&err));
    assert_string_equal(in->version, version);
    interp_free(in);
}

static void expect_none(const struct fixture *f, const char *spec, const char *start, int errnum,
                        const char *said)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *dir = start ? path_join(f->dir, start) : NULL;
    struct interp *in = NULL;
    assert_int_equal(interp_find(&f->home, spec, dir, &in, &err), -errnum);
    if (!strstr(verror_message(&err), said) && !(err.hint && strstr(err.hint, said)))
        fail_msg("%s / %s", verror_message(&err), err.hint ? err.hint : "");
}

/* ---- asking and remembering ---- */

static void an_interpreter_is_asked_once(void **state)
{
    const struct fixture *f = *state;
    fake(f, "opt/bin/python3.20", "3.20.4");
    _cleanup_free_ char *path = path_join(f->dir, "opt/bin/python3.20");
    struct interp *in = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(interp_load(&f->home, path, &in, NULL), 0);
        assert_string_equal(in->executable, path);
        assert_string_equal(in->base_executable, path);
        assert_int_equal(in->minor, 20);
        assert_int_equal(in->target.n_tags, 2);
        assert_string_equal(in->tags[1], "py3-none-any");
        assert_null(in->tags[2]);
        assert_string_equal(in->target.python_dir, "python3.20");
        assert_non_null(json_object_get(in->markers, "platform_release"));
        interp_free(in);
    }
    assert_int_equal(starts(f), 1);
}

static void changes_are_noticed(void **state)
{
    const struct fixture *f = *state;
    fake(f, "bin/python3.20", "3.20.4");
    expect(f, "3.20", NULL, "3.20.4");
    fake(f, "bin/python3.20", "3.20.5"); /* same name, same size */
    expect(f, "3.20", NULL, "3.20.5");
    assert_int_equal(starts(f), 2);
}

static void a_damaged_cache_is_not_believed(void **state)
{
    const struct fixture *f = *state;
    static const char *const damage[] = {"", "{", "{}\n", "[1]\n",
                                         "{\"stamp\":{},\"answer\":{}}\n"};
    fake(f, "bin/python3", "3.20.4");
    expect(f, NULL, NULL, "3.20.4");
    _cleanup_free_ char *real = path_join(f->dir, "bin/python3");
    struct sha256 key;
    char hex[SHA256_HEX_SIZE];
    sha256_of(real, strlen(real), &key);
    sha256_to_hex(&key, hex);
    _cleanup_free_ char *cache = xasprintf("interpreters/%s.json", hex);
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        write_text(f, cache, damage[i], 0600);
        expect(f, NULL, NULL, "3.20.4");
        assert_int_equal(starts(f), i + 2);
    }
}

static void refusals_name_the_version_and_the_file(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *name;
        int errnum;
        const char *said;
    } cases[] = {
        {"bin/old", ENOEXEC, "CPython 3.6 or newer is needed"},
        {"bin/old", ENOEXEC, "bin/old is 2.7.18"},
        {"bin/other", ENOEXEC, "bin/other is PyPy; venvfs supports CPython"},
        {"bin/broken", ENOEXEC, "cannot load libx"},
        {"bin/plain", ENOEXEC, "is no program"},
        {"bin/absent", ENOENT, "bin/absent"},
        {"bin", ENOENT, "bin/bin/python"},
    };
    fake_answer(f, "bin/old", "Traceback");
    fake_answer(f, "bin/other", "{\"facts\":1,\"refused\":\"is PyPy; venvfs supports CPython\"}");
    write_text(f, "bin/broken", "#!/bin/sh\necho cannot load libx >&2\nexit 127\n", 0755);
    write_text(f, "bin/plain", "text", 0644);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *path = path_join(f->dir, cases[i].name);
        expect_none(f, path, NULL, cases[i].errnum, cases[i].said);
    }
    expect_none(f, "pypy3.10", NULL, ENOEXEC, "venvfs supports CPython");
}

static void without_pip_the_package_to_install_is_named(void **state)
{
    const struct fixture *f = *state;
    _cleanup_free_ char *facts = xasprintf(
        "{\"facts\":1,\"implementation\":\"cpython\",\"version\":\"3.20.1\",\"version_info\":"
        "[3,20,1],\"base_executable\":\"%s/bin/python3\",\"platlibdir\":\"lib\",\"is_64bit\":true,"
        "\"soabi\":\"\",\"cache_tag\":\"c\",\"magic\":1,\"python_dir\":\"python3.20\","
        "\"pip_wheel\":null,\"setuptools_wheel\":null,\"markers\":{},\"tags\":\"\"}",
        f->dir);
    fake_answer(f, "bin/python3", facts);
    _cleanup_free_ char *path = path_join(f->dir, "bin/python3");
    expect_none(f, path, NULL, ENOEXEC, "python3-venv");
    fake(f, "bin/python3", "3.20.1"); /* the package came, the answer was not remembered */
    expect(f, path, NULL, "3.20.1");
}

static void a_wrapper_answers_for_what_it_starts(void **state)
{
    const struct fixture *f = *state;
    fake(f, "opt/bin/python3.21", "3.21.0");
    _cleanup_free_ char *text =
        xasprintf("#!/bin/sh\nexec '%s/opt/bin/python3.21' \"$@\"\n", f->dir);
    write_text(f, "bin/python3", text, 0755);
    _cleanup_free_ char *base = path_join(f->dir, "opt/bin/python3.21");
    struct interp *in = NULL;
    assert_int_equal(interp_find(&f->home, NULL, NULL, &in, NULL), 0);
    assert_string_equal(in->base_executable, base);
    interp_free(in);
}

static void an_environments_python_is_its_base(void **state)
{
    const struct fixture *f = *state;
    fake(f, "opt/bin/python3.21", "3.21.0");
    _cleanup_free_ char *cfg = xasprintf("version = 3.21\nHome =  %s/opt/bin \r\n", f->dir);
    write_text(f, "env/pyvenv.cfg", cfg, 0644);
    fake(f, "env/bin/python3.21", "3.21.9"); /* a copy, as venv --copies makes */
    _cleanup_free_ char *base = path_join(f->dir, "opt/bin/python3.21");
    _cleanup_free_ char *inside = path_join(f->dir, "env/bin/python3.21");
    struct interp *in = NULL;
    assert_int_equal(interp_load(&f->home, inside, &in, NULL), 0);
    assert_string_equal(in->base_executable, base);
    assert_string_equal(in->version, "3.21.0");
    interp_free(in);
    assert_int_equal(unlink(base), 0);
    expect_none(f, inside, NULL, ENOENT, "is gone from");
}

static void home_is_where_the_standard_library_is_found_from(void **state)
{
    const struct fixture *f = *state;
    fake(f, "opt/bin/python3.21", "3.21.0");
    _cleanup_free_ char *real = path_join(f->dir, "opt/bin/python3.21");
    _cleanup_free_ char *beside = path_join(f->dir, "opt/bin/python3");
    _cleanup_free_ char *away = path_join(f->dir, "bin/python3");
    _cleanup_free_ char *opt = path_join(f->dir, "opt/bin");
    write_text(f, "opt/lib/python3.21/os.py", "", 0644);
    assert_int_equal(symlink("python3.21", beside), 0);
    assert_int_equal(symlink(real, away), 0);
    const char *const found[] = {beside, away};
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        struct interp *in = NULL;
        assert_int_equal(interp_load(&f->home, found[i], &in, NULL), 0);
        assert_string_equal(in->executable, found[i]);
        assert_string_equal(in->home, opt);
        interp_free(in);
    }
    assert_int_equal(starts(f), 1);
}

/* ---- finding ---- */

static void specs_find_what_they_say(void **state)
{
    const struct fixture *f = *state;
    fake(f, "bin/python3", "3.22.5");
    fake_pyenv(f, "3.20.4", "3.20.4");
    fake_pyenv(f, "3.20.11", "3.20.11");
    fake_pyenv(f, "3.23.1", "3.23.1");
    fake_pyenv(f, "2.7.18", "3.29.0"); /* would lie if it were asked */
    fake_pyenv(f, "3.28-dev", "3.28.0");
    fake(f, "uv/cpython-3.24.2-linux-x86_64-gnu/bin/python3", "3.24.2");
    static const char *const cases[][2] = {
        {"3.20", "3.20.11"},
        {"3.20.4", "3.20.4"},
        {"python3.20", "3.20.11"},
        {"cpython3.23", "3.23.1"},
        {"cpython-3.24", "3.24.2"},
        {"3.24.2", "3.24.2"},
        {"python320", "3.20.11"},
        {"3.22", "3.22.5"},
        {"3", "3.22.5"},
        {"python3", "3.22.5"},
        {"python", "3.22.5"},
        {">=3.20", "3.22.5"},
        {">=3.20,<3.22", "3.20.11"},
        {"~=3.23.0", "3.23.1"},
        {"==3.20.*", "3.20.11"},
        {"> 3.22.5, < 3.24", "3.23.1"},
        {"===3.20.4", "3.20.4"},
        {"cpython>=3.20,<3.22", "3.20.11"},
        {"python ~=3.23.0", "3.23.1"},
        {"py3.20", "3.20.11"},
        {"py320", "3.20.11"},
        {"cpython3.23-64", "3.23.1"},
        {">=3.20,<3.22-64", "3.20.11"},
        {"3.23-x86_64", "3.23.1"},
        {"3.23-amd64", "3.23.1"},
        {"cpython-3.24.2-linux-x86_64-gnu", "3.24.2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect(f, cases[i][0], NULL, cases[i][1]);
    expect_none(f, "3.27", NULL, ENOENT, "there are 3.28, 3.24.2, 3.23.1, 3.22.5, 3.20.11, 3.20.4");
    expect_none(f, "3.20.5", NULL, ENOENT, "3.20.5");
    expect_none(f, "3.23t", NULL, ENOENT, "3.23t");
    expect_none(f, "cpython3.23-32", NULL, ENOENT, "3.23-32");
    expect_none(f, "3.23-s390x", NULL, ENOENT, "3.23-s390x");
    expect_none(f, ">=3.23t", NULL, ENOENT, ">=3.23t");
    expect_none(f, "pypy3", NULL, ENOEXEC, "CPython");
    expect_none(f, "pypy>=3.9", NULL, ENOEXEC, "CPython");
    expect_none(f, "nosuch", NULL, ENOENT, "nosuch");
    expect_none(f, ">=3.29", NULL, ENOENT, ">=3.29");
}

static void only_likely_candidates_are_started(void **state)
{
    const struct fixture *f = *state;
    fake_pyenv(f, "3.20.4", "3.20.4");
    fake_pyenv(f, "3.21.4", "3.21.4");
    fake_pyenv(f, "3.22.4", "3.22.4");
    expect(f, "3.21", NULL, "3.21.4");
    assert_int_equal(starts(f), 1);
    expect(f, ">=3.20,<3.21", NULL, "3.20.4");
    assert_int_equal(starts(f), 2);
    expect(f, "3.21", NULL, "3.21.4");
    assert_int_equal(starts(f), 2);
}

static void a_broken_candidate_is_passed_over_and_named(void **state)
{
    const struct fixture *f = *state;
    write_text(f, "pyenv/versions/3.21.9/bin/python3", "#!/bin/sh\necho no libz >&2; exit 1\n",
               0755);
    expect_none(f, "3.21", NULL, ENOENT, "no libz");
    fake_pyenv(f, "3.21.4", "3.21.4");
    expect(f, "3.21", NULL, "3.21.4");
}

static void all_are_listed_once_newest_first(void **state)
{
    const struct fixture *f = *state;
    fake_pyenv(f, "3.29.4", "3.29.4");
    fake(f, "bin/python3.28", "3.28.1");
    _cleanup_free_ char *link = path_join(f->dir, "bin/python3");
    assert_int_equal(symlink("python3.28", link), 0);
    write_text(f, "pyenv/versions/3.29.9/bin/python3", "#!/bin/sh\nexit 1\n", 0755);
    struct interp **list = NULL;
    size_t n = 0;
    assert_int_equal(interp_list(&f->home, &list, &n, NULL), 0);
    assert_true(n >= 2); /* and what the system has */
    assert_string_equal(list[0]->version, "3.29.4");
    assert_string_equal(list[1]->version, "3.28.1");
    assert_true(n < 3 || list[2]->minor < 28);
    interp_list_free(list, n);
}

/* ---- .python-version and shims ---- */

static void python_version_files_are_read_as_pyenv_does(void **state)
{
    const struct fixture *f = *state;
    fake(f, "bin/python3", "3.22.5");
    fake_pyenv(f, "3.20.4", "3.20.4");
    fake_pyenv(f, "3.20.11", "3.20.11");
    fake_pyenv(f, "3.20.12rc1", "3.20.12");
    fake_pyenv(f, "3.21.0", "3.21.0");
    static const char *const cases[][2] = {
        {"3.20.4\n", "3.20.4"},
        {"3.20", "3.20.11"},
        {"# comment\n\n  \t3.20.4 rest of line\n", "3.20.4"},
        {"3.21\r\n", "3.21.0"},
        {"3.19.9\n3.21\n", "3.21.0"},       /* the first that is there */
        {"../../../bin\n3.21\n", "3.21.0"}, /* CVE-2022-35861 */
        {"..\n3.20.4\n", "3.20.4"},
        {"system\n", "3.22.5"},
        {"", "3.22.5"},
        {"# only a comment\n", "3.22.5"},
        {"python-3.20\n", "3.20.11"},
        {"cpython-3.21\n", "3.21.0"}, /* uv's */
        {"cpython@3.20.4\n", "3.20.4"},
        {">=3.20,<3.21\n", "3.20.11"},
    };
    write_text(f, "p/sub/x", "", 0644);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_text(f, "p/.python-version", cases[i][0], 0644);
        expect(f, NULL, "p/sub", cases[i][1]);
    }
    write_text(f, "p/sub/.python-version", "3.21.0", 0644);
    expect(f, NULL, "p/sub", "3.21.0"); /* the nearest */
    expect(f, "3.20.4", "p/sub", "3.20.4");
    expect(f, NULL, NULL, "3.22.5");
    setenv("PYENV_VERSION", "3.19:3.20.4", 1);
    expect(f, NULL, "p/sub", "3.20.4");
}

static void a_version_that_is_not_there_names_its_file(void **state)
{
    const struct fixture *f = *state;
    fake_pyenv(f, "3.20.4", "3.20.4");
    write_text(f, "p/.python-version", "3.26\n", 0644);
    _cleanup_free_ char *file = path_join(f->dir, "p/.python-version");
    expect_none(f, NULL, "p", ENOENT, file);
    expect_none(f, NULL, "p", ENOENT, "there are 3.20.4");
    expect_none(f, NULL, "p", ENOENT, "3.26");
}

static void a_name_of_pyenv_virtualenv_is_its_base(void **state)
{
    const struct fixture *f = *state;
    fake_pyenv(f, "3.20.4", "3.20.4");
    _cleanup_free_ char *cfg = xasprintf("home = %s/pyenv/versions/3.20.4/bin\n", f->dir);
    write_text(f, "pyenv/versions/3.20.4/envs/web/pyvenv.cfg", cfg, 0644);
    fake(f, "pyenv/versions/3.20.4/envs/web/bin/python3", "3.21.9");
    _cleanup_free_ char *link = path_join(f->dir, "pyenv/versions/web");
    assert_int_equal(symlink("3.20.4/envs/web", link), 0);
    write_text(f, "p/.python-version", "web\n", 0644);
    expect(f, NULL, "p", "3.20.4");
    write_text(f, "p/.python-version", "3.20.4/envs/web\n", 0644);
    expect(f, NULL, "p", "3.20.4");
}

static void shims_are_seen_through(void **state)
{
    const struct fixture *f = *state;
    static const char shim[] = "#!/bin/sh\necho a shim was started >&2; exit 1\n";
    fake_pyenv(f, "3.20.4", "3.20.4");
    fake_pyenv(f, "3.21.0", "3.21.0");
    fake(f, "bin/python3", "3.22.5");
    write_text(f, "pyenv/shims/python3", shim, 0755);
    write_text(f, "pyenv/shims/python", shim, 0755);
    _cleanup_free_ char *path = xasprintf("%s/pyenv/shims:%s/bin", f->dir, f->dir);
    _cleanup_free_ char *only = xasprintf("%s/pyenv/shims", f->dir);
    _cleanup_free_ char *file = path_join(f->dir, "pyenv/shims/python3");
    setenv("PATH", path, 1);
    assert_int_equal(chdir(f->dir), 0);

    expect(f, NULL, NULL, "3.22.5"); /* nothing selected: system */
    setenv("PATH", only, 1);
    expect(f, NULL, NULL, "3.21.0"); /* no system: the newest */
    setenv("PATH", path, 1);
    write_text(f, "pyenv/version", "3.20\n", 0644);
    expect(f, NULL, NULL, "3.20.4"); /* global */
    expect(f, file, NULL, "3.20.4"); /* named by its path */
    write_text(f, "p/.python-version", "3.21.0\n", 0644);
    expect(f, ">=3.20", "p", "3.21.0"); /* local */
    setenv("PYENV_VERSION", "3.25:3.20.4", 1);
    expect(f, NULL, NULL, "3.20.4");
    setenv("PYENV_VERSION", "system", 1);
    expect(f, NULL, NULL, "3.22.5");
    unsetenv("PYENV_VERSION");
    expect(f, "system", NULL, "3.22.5");
}

static void ranges_follow_pep_440(void **state)
{
    (void)state;
    static const struct {
        const char *version, *range;
        int result;
    } cases[] = {
        {"3.11.7", ">=3.11", 1},         {"3.11.7", ">3.11", 1},
        {"3.11.0", ">3.11", 0},          {"3.11.7", "<3.11", 0},
        {"3.11.7", "<3.11.8", 1},        {"3.11.7", "<=3.11", 0},
        {"3.11.7", "==3.11", 1},         {"3.11.7", "==3.11.6", 0},
        {"3.11.7", "==3.11.*", 1},       {"3.11.7", "!=3.11.*", 0},
        {"3.11.7", "!=3.11.6", 1},       {"3.11.7", "~=3.10", 1},
        {"3.11.7", "~=3.11.8", 0},       {"3.12.0", "~=3.11.1", 0},
        {"3.9.1", ">=3.10", 0},          {"3.9", ">=3.9.0", 1},
        {"3.11.7", ">=3.8 , <4", 1},     {"3.11.7", ">=3.8,<3.11,", 0},
        {"3.11.7", "3.11", -EINVAL},     {"3.11.7", "", -EINVAL},
        {"3.11.7", ">=", -EINVAL},       {"3.11.7", ">=3.11.x", -EINVAL},
        {"x", ">=3", -EINVAL},           {"3.11.7", "~=3", -EINVAL},
        {"3.11.7", ">=3.11.*", -EINVAL}, {"3.11.7", "===3.11", 1},
        {"3.11.7", ">=3.8;<4", -EINVAL}, {"3.11.7", ">=99999999999999", -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = interp_version_matches(cases[i].version, cases[i].range);
        if (r != cases[i].result)
            fail_msg("%s %s: %d", cases[i].version, cases[i].range, r);
    }
}

/* ---- a real one ---- */

static void a_real_interpreter_tells_what_venv_would(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_strbuf_ struct strbuf said = STRBUF_INIT;
    struct interp *in = NULL;
    setenv("PATH", f->path, 1);
    int r = interp_find(&f->home, NULL, NULL, &in, &err);
    if (r == -ENOENT)
        skip();
    if (r < 0)
        fail_msg("%s", verror_message(&err));
    const char *const argv[] = {
        in->base_executable, "-I", "-c",
        "import sys,sysconfig,importlib.util as u;"
        "s='venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix';"
        "print('%d.%d.%d' % sys.version_info[:3], sys.implementation.cache_tag,"
        " int.from_bytes(u.MAGIC_NUMBER, 'little'),"
        " sysconfig.get_path('purelib', s).split('/')[-2])",
        NULL};
    int status = 1;
    const struct proc_options options = {.output = &said};
    assert_int_equal(proc_run(argv, &options, &status, NULL), 0);
    assert_int_equal(status, 0);
    _cleanup_free_ char *expected =
        xasprintf("%u.%u.%u %s %u %s\n", in->major, in->minor, in->micro, in->target.cache_tag,
                  in->target.magic, in->target.python_dir);
    assert_string_equal(said.buf, expected);
    assert_int_equal(json_object_size(in->markers), 11);
    assert_true(in->target.n_tags > 50);
    assert_string_equal(in->tags[in->target.n_tags - 1], "py30-none-any");
    assert_ptr_equal(in->target.executable, in->base_executable);
    interp_free(in);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_interpreter_is_asked_once),
        TEST(changes_are_noticed),
        TEST(a_damaged_cache_is_not_believed),
        TEST(refusals_name_the_version_and_the_file),
        TEST(without_pip_the_package_to_install_is_named),
        TEST(a_wrapper_answers_for_what_it_starts),
        TEST(an_environments_python_is_its_base),
        TEST(home_is_where_the_standard_library_is_found_from),
        TEST(specs_find_what_they_say),
        TEST(only_likely_candidates_are_started),
        TEST(a_broken_candidate_is_passed_over_and_named),
        TEST(all_are_listed_once_newest_first),
        TEST(python_version_files_are_read_as_pyenv_does),
        TEST(a_version_that_is_not_there_names_its_file),
        TEST(a_name_of_pyenv_virtualenv_is_its_base),
        TEST(shims_are_seen_through),
        TEST(ranges_follow_pep_440),
        TEST(a_real_interpreter_tells_what_venv_would),
    };
    return cmocka_run_group_tests_name("interp", tests, NULL, NULL);
}
