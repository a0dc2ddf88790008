/* Locks become images: with a folder of small wheels instead of an index. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/lock_internal.h"
#include "env/lockfile.h"

/* Interpreters and helpers are looked for once. */
static char *shared;

struct fixture {
    char *root, *links;
    struct home home;
    struct store *store;
    struct interp *interp;
    struct wheel_options wheel;
};

/* Wheels and a source archive whose build needs nothing but Python. */
static const char maker[] =
    "import base64, hashlib, io, os, sys, tarfile, zipfile\n"
    "folder = sys.argv[1]\n"
    "def wheel(name, version, requires=(), text=''):\n"
    "    info = '%s-%s.dist-info' % (name, version)\n"
    "    files = {name + '.py': 'VERSION = %r\\n%s' % (version, text),\n"
    "        info + '/METADATA': 'Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n%s' % (name, "
    "version,\n"
    "            ''.join('Requires-Dist: %s\\n' % r for r in requires)),\n"
    "        info + '/WHEEL': 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: "
    "py3-none-any\\n'}\n"
    "    rows = ['%s,sha256=%s,%d' % (n, base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest"
    "()).decode().rstrip('='), len(t)) for n, t in files.items()]\n"
    "    files[info + '/RECORD'] = '\\n'.join(rows + [info + '/RECORD,,', ''])\n"
    "    path = os.path.join(folder, '%s-%s-py3-none-any.whl' % (name, version))\n"
    "    with zipfile.ZipFile(path, 'w') as z:\n"
    "        for n, t in files.items(): z.writestr(zipfile.ZipInfo(n), t)\n"
    "    return path\n"
    "def sdist(name, version):\n"
    "    backend = open(sys.argv[0]).read().split('# MA' + 'IN')[0].replace('sys.argv[1]', "
    "'None')\n"
    "    backend += '\\ndef build_wheel(to, settings=None, meta=None):\\n'\n"
    "    backend += ' global folder\\n folder = to\\n return os.path.basename(wheel(%r, %r))\\n' % "
    "(name, version)\n"
    "    files = {'backend.py': backend, 'PKG-INFO': 'Metadata-Version: 2.1\\nName: %s\\nVersion: "
    "%s\\n' % (name, version),\n"
    "        'pyproject.toml': '[build-system]\\nrequires = []\\nbuild-backend = "
    "\"backend\"\\nbackend-path = [\".\"]\\n'}\n"
    "    path = os.path.join(folder, '%s-%s.tar.gz' % (name, version))\n"
    "    with tarfile.open(path, 'w:gz') as t:\n"
    "        for n, text in files.items():\n"
    "            i = tarfile.TarInfo('%s-%s/%s' % (name, version, n)); i.size = "
    "len(text.encode())\n"
    "            t.addfile(i, io.BytesIO(text.encode()))\n"
    "# MAIN\n"
    "wheel('alpha', '1.0', ['beta>=1'])\n"
    "wheel('beta', '1.0')\n"
    "wheel('beta', '2.0')\n"
    "wheel('gamma', '1.0', ['nosuch'])\n"
    "sdist('delta', '1.0')\n";

static void write_text(const char *path, const char *text)
{
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), 0644, 0), 0);
}

static char *write_lock(struct fixture *f, const char *name, const char *text)
{
    char *path = path_join(f->root, name);
    write_text(path, text);
    return path;
}

static void make_wheels(struct fixture *f)
{
    _cleanup_free_ char *script = write_lock(f, "make.py", maker);
    const char *argv[] = {f->interp->executable, "-I", script, f->links, NULL};
    int status;
    assert_int_equal(proc_run(argv, NULL, &status, NULL), 0);
    assert_int_equal(status, 0);
}

static int open_fixture(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char template[] = "/tmp/venvfs-lock-XXXXXX";
    assert_non_null(mkdtemp(template));
    f->root = realpath(template, NULL);
    f->links = path_join(f->root, "links");
    assert_int_equal(mkdir(f->links, 0755), 0);
    _cleanup_free_ char *home = path_join(f->root, "home");
    setenv("VENVFS_HOME", home, 1);
    setenv("VENVFS_HUB", f->links, 1);
    unsetenv("VENVFS_RUNTIME_DIR");
    /* Neither an index nor the user's settings take part. */
    unsetenv("PIP_INDEX_URL");
    unsetenv("PIP_EXTRA_INDEX_URL");
    setenv("PIP_CONFIG_FILE", "/dev/null", 1);
    setenv("PIP_NO_INDEX", "1", 1);
    setenv("PIP_FIND_LINKS", f->links, 1);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    assert_int_equal(home_locate(&f->home, &err), 0);
    free(f->home.interpreters);
    free(f->home.tools);
    f->home.interpreters = path_join(shared, "interpreters");
    f->home.tools = path_join(shared, "tools");
    assert_int_equal(home_create(&f->home, &err), 0);
    assert_int_equal(store_open(f->home.store, STORE_CREATE, &f->store, &err), 0);
    struct interp **all = NULL;
    size_t n = 0;
    assert_int_equal(interp_list(&f->home, &all, &n, &err), 0);
    for (size_t i = 0; i < n && !f->interp; i++)
        if (all[i]->pip_wheel && all[i]->minor >= 8)
            assert_int_equal(interp_load(&f->home, all[i]->executable, &f->interp, &err), 0);
    interp_list_free(all, n);
    f->wheel.compile = (struct wheel_compile){.enabled = false, .levels = 1};
    *state = f;
    if (f->interp)
        make_wheels(f);
    return 0;
}

static int open_shared(void **state)
{
    (void)state;
    char template[] = "/tmp/venvfs-lock-XXXXXX";
    assert_non_null(mkdtemp(template));
    shared = xstrdup(template);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    assert_int_equal(path_remove_tree(shared), 0);
    free(shared);
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    interp_free(f->interp);
    home_release(&f->home);
    assert_int_equal(path_remove_tree(f->root), 0);
    free(f->root);
    free(f->links);
    free(f);
    return 0;
}

static struct fixture *fixture(void **state)
{
    struct fixture *f = *state;
    if (!f->interp)
        skip(); /* no Python with a bundled pip */
    return f;
}

static int fulfil(struct fixture *f, const char *file, const char *requirement,
                  struct lock_request request, struct lock_result *ret, struct verror *err)
{
    request.files = &file;
    request.n_files = file ? 1 : 0;
    request.requirements = &requirement;
    request.n_requirements = requirement ? 1 : 0;
    request.quiet = true;
    int r = lock_fulfil(&f->home, f->store, f->interp, &request, &f->wheel, ret, err);
    _cleanup_free_ char *tmp = path_join(f->home.root, "tmp");
    assert_false(path_exists(tmp)); /* whatever happened, nothing stays behind */
    return r;
}

static void must_fulfil(struct fixture *f, const char *file, const char *requirement,
                        struct lock_request request, struct lock_result *ret)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = fulfil(f, file, requirement, request, ret, &err);
    if (r < 0)
        fail_msg("%d: %s", r, verror_message(&err));
}

static void hash_of(struct fixture *f, const char *name, char hex[SHA256_HEX_SIZE])
{
    _cleanup_free_ char *path = path_join(f->links, name);
    _cleanup_close_ int fd = io_open(path, O_RDONLY, 0);
    struct sha256 digest;
    assert_int_equal(sha256_of_fd(fd, &digest), 0);
    sha256_to_hex(&digest, hex);
}

static char *pin(struct fixture *f, const char *line, const char *file)
{
    char hex[SHA256_HEX_SIZE];
    hash_of(f, file, hex);
    return xasprintf("%s --hash=sha256:%s\n", line, hex);
}

static const struct lock_request plain = {0};
static const struct lock_request off = {.offline = true};

static void a_lock_with_hashes_is_fulfilled_and_then_answered_without_python(void **state)
{
    struct fixture *f = fixture(state);
    _cleanup_free_ char *a = pin(f, "alpha==1.0", "alpha-1.0-py3-none-any.whl");
    _cleanup_free_ char *b = pin(f, "beta==1.0", "beta-1.0-py3-none-any.whl");
    _cleanup_free_ char *text = xasprintf("%s%s", b, a);
    _cleanup_free_ char *file = write_lock(f, "r.txt", text);
    struct lock_result r;
    must_fulfil(f, file, NULL, plain, &r);
    assert_int_equal(r.n_packages, 2);
    assert_string_equal(r.packages[0].name, "alpha");
    assert_string_equal(r.packages[1].version, "1.0");
    assert_true(r.packages[1].requested);
    assert_false(r.resolved);
    assert_null(r.packages[0].direct_url);
    struct store_image image = r.packages[0].image;
    lock_result_release(&r);

    /* Another file with the same pins: lock.py runs, pip does not. */
    _cleanup_free_ char *text2 = xasprintf("# other\n%s%s", a, b);
    _cleanup_free_ char *file2 = write_lock(f, "r2.txt", text2);
    must_fulfil(f, file2, NULL, off, &r);
    assert_int_equal(r.packages[0].image.number, image.number);
    lock_result_release(&r);

    /* The same file: no Python at all, so it does without the helper's folder. */
    _cleanup_free_ char *aside = path_join(f->home.root, "aside");
    assert_int_equal(rename(f->home.tools, aside), 0);
    must_fulfil(f, file, NULL, off, &r);
    assert_int_equal(r.n_packages, 2);
    assert_false(path_exists(f->home.tools));
    lock_result_release(&r);
    assert_int_equal(rename(aside, f->home.tools), 0);
}

static void store_wheel_file(struct fixture *f, const char *name)
{
    _cleanup_free_ char *path = path_join(f->links, name);
    struct wheel_source source = {.path = path};
    struct store_image image;
    assert_int_equal(
        wheel_ingest(f->store, &f->interp->target, &source, 1, &f->wheel, &image, NULL), 0);
}

static void what_a_lock_includes_is_watched(void **state)
{
    struct fixture *f = fixture(state);
    _cleanup_free_ char *one = pin(f, "beta==1.0", "beta-1.0-py3-none-any.whl");
    _cleanup_free_ char *two = pin(f, "beta==2.0", "beta-2.0-py3-none-any.whl");
    _cleanup_free_ char *file = write_lock(f, "outer.txt", "-r inner.txt\n");
    _cleanup_free_ char *inner = write_lock(f, "inner.txt", one);
    store_wheel_file(f, "beta-1.0-py3-none-any.whl");
    store_wheel_file(f, "beta-2.0-py3-none-any.whl");
    struct lock_result r;
    must_fulfil(f, file, NULL, off, &r);
    assert_string_equal(r.packages[0].version, "1.0");
    lock_result_release(&r);
    write_text(inner, two);
    must_fulfil(f, file, NULL, off, &r);
    assert_string_equal(r.packages[0].version, "2.0");
    lock_result_release(&r);
}

static void what_is_not_locked_is_resolved(void **state)
{
    struct fixture *f = fixture(state);
    struct lock_result r;
    const char *constraint = "beta<2";
    struct lock_request bound = {.constraints = &constraint, .n_constraints = 1};
    must_fulfil(f, NULL, "alpha", bound, &r);
    assert_int_equal(r.n_packages, 2);
    assert_true(r.resolved);
    assert_true(r.resolved_ns > 0);
    assert_true(r.packages[0].requested);
    assert_false(r.packages[1].requested);
    assert_string_equal(r.packages[1].version, "1.0");
    char hex[SHA256_HEX_SIZE];
    hash_of(f, "beta-1.0-py3-none-any.whl", hex);
    assert_non_null(strstr(r.lock_text, hex));
    assert_non_null(strstr(r.lock_text, "beta==1.0"));
    _cleanup_free_ char *file = write_lock(f, "resolved.txt", r.lock_text);
    lock_result_release(&r);
    must_fulfil(f, file, NULL, off, &r); /* what was resolved is a lock */
    assert_false(r.resolved);
    assert_int_equal(r.n_packages, 2);
    lock_result_release(&r);
}

static void a_wheel_by_path_has_its_direct_url(void **state)
{
    struct fixture *f = fixture(state);
    _cleanup_free_ char *wheel = path_join(f->links, "beta-1.0-py3-none-any.whl");
    char hex[SHA256_HEX_SIZE];
    hash_of(f, "beta-1.0-py3-none-any.whl", hex);
    for (int no_deps = 0; no_deps < 2; no_deps++) {
        struct lock_request request = {.no_deps = no_deps};
        struct lock_result r;
        must_fulfil(f, NULL, wheel, request, &r);
        assert_int_equal(r.n_packages, 1);
        assert_non_null(strstr(r.packages[0].direct_url, "file://"));
        assert_non_null(strstr(r.packages[0].direct_url, hex));
        lock_result_release(&r);
    }
}

static void a_source_archive_is_built_once(void **state)
{
    struct fixture *f = fixture(state);
    _cleanup_free_ char *line = pin(f, "delta==1.0", "delta-1.0.tar.gz");
    _cleanup_free_ char *file = write_lock(f, "sdist.txt", line);
    struct lock_result r;
    must_fulfil(f, file, NULL, plain, &r);
    assert_string_equal(r.packages[0].version, "1.0");
    lock_result_release(&r);
    _cleanup_free_ char *again = xasprintf("# again\n%s", line);
    _cleanup_free_ char *file2 = write_lock(f, "sdist2.txt", again);
    must_fulfil(f, file2, NULL, off, &r);
    assert_string_equal(r.packages[0].name, "delta");
    lock_result_release(&r);
}

/* Packs and images of the store. */
static unsigned count_files(struct fixture *f)
{
    static const char *const folders[] = {"packs", "images"};
    unsigned n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = path_join(f->home.store, folders[i]);
        DIR *dir = opendir(path);
        while (dir && readdir(dir))
            n++;
        if (dir)
            closedir(dir);
    }
    return n;
}

static void refuse(struct fixture *f, const char *file, const char *requirement,
                   struct lock_request request, int errnum, const char *part)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct lock_result r;
    unsigned before = count_files(f);
    int result = fulfil(f, file, requirement, request, &r, &err);
    if (result != -errnum || !strstr(verror_message(&err), part))
        fail_msg("%d instead of %d: %s", result, -errnum, verror_message(&err));
    assert_null(strchr(err.message, '\n'));
    assert_int_equal(count_files(f), before);
}

static void errors_say_what_and_why(void **state)
{
    struct fixture *f = fixture(state);
    refuse(f, "/nonexistent.txt", NULL, plain, ENOENT, "/nonexistent.txt");
    refuse(f, NULL, "nosuch==7", plain, ENOENT, "nosuch");
    _cleanup_free_ char *foreign = path_join(f->links, "epsilon-1.0-cp38-cp38-win32.whl");
    write_text(foreign, "");
    refuse(f, NULL, "epsilon==1.0", plain, ENOEXEC, "found cp38-cp38-win32");
    refuse(f, NULL, "beta", off, ENETUNREACH, "offline");
    _cleanup_free_ char *wrong =
        write_lock(f, "wrong.txt",
                   "beta==1.0 --hash=sha256:"
                   "0000000000000000000000000000000000000000000000000000000000000000\n");
    refuse(f, wrong, NULL, plain, EBADMSG, "the lock wants sha256 000");
    _cleanup_free_ char *bad = write_lock(f, "bad.txt", "\n!!\n");
    refuse(f, bad, NULL, plain, EINVAL, "bad.txt:2");
    _cleanup_free_ char *other =
        write_lock(f, "pylock.toml", "lock-version = '1.0'\nrequires-python = '<3'\n");
    refuse(f, other, NULL, plain, EINVAL, "another Python");
}

static void an_index_that_cannot_be_reached_is_said_without_its_password(void **state)
{
    struct fixture *f = fixture(state);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct lock_result r;
    unsetenv("PIP_NO_INDEX");
    unsetenv("PIP_FIND_LINKS");
    setenv("PIP_INDEX_URL", "http://me:hush@127.0.0.1:9/simple", 1);
    setenv("PIP_RETRIES", "0", 1); /* even so pip must say it */
    int result = fulfil(f, NULL, "beta", plain, &r, &err);
    unsetenv("PIP_RETRIES");
    unsetenv("PIP_INDEX_URL");
    setenv("PIP_NO_INDEX", "1", 1);
    setenv("PIP_FIND_LINKS", f->links, 1);
    assert_int_equal(result, -ENETUNREACH);
    assert_null(strstr(err.message, "hush"));
}

/* ---- read without Python ---- */

#define HASH(c) " --hash=sha256:" c c c c c c c c
#define A "aaaaaaaa"
#define B "0123abcd"

static struct lock_job job_of(const struct fixture *f, const struct lock_request *request)
{
    return (struct lock_job){.home = &f->home,
                             .store = f->store,
                             .interp = f->interp,
                             .request = request,
                             .wheel = &f->wheel,
                             .target_key = wheel_target_key(&f->interp->target, &f->wheel.compile),
                             .cwd = xstrdup(f->root),
                             .tmp_lock = -1};
}

static void assert_same_pins(const struct lock_plan *a, const struct lock_plan *b)
{
    assert_int_equal(a->complete, b->complete);
    assert_int_equal(a->n_pins, b->n_pins);
    for (size_t i = 0; i < a->n_pins; i++) {
        const struct lock_pin *p = &a->pins[i], *q = &b->pins[i];
        assert_string_equal(p->name, q->name);
        assert_string_equal(p->version, q->version);
        assert_string_equal(p->where, q->where);
        assert_string_equal(p->by_name, q->by_name);
        assert_int_equal(p->requested, q->requested);
        assert_int_equal(p->no_binary, q->no_binary);
        assert_null(p->by_url);
        assert_null(q->by_url);
        assert_null(q->path);
        assert_null(q->direct_url);
        assert_int_equal(p->n_hashes, q->n_hashes);
        for (size_t k = 0; k < p->n_hashes; k++)
            assert_string_equal(p->hashes[k], q->hashes[k]);
    }
}

static void plain_pins_are_read_as_python_reads_them(void **state)
{
    struct fixture *f = fixture(state);
    static const char *const texts[] = {
        "alpha==1.0" HASH(A) "\n",
        "alpha==1.0" HASH(A), /* no newline at the end */
        "Al_pha.Two==1.0.post3 \\\n   " HASH(A) " \\\n   " HASH(B) "\n    # via beta\n\n"
                                                                   "  b--b==2.0rc1" HASH(B) "\n",
        "# made by a resolver\nzeta==1" HASH(A) "\nalpha==2.0.dev4" HASH(B) "\n",
        "alpha==1.0\\\n" HASH(A) "\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_free_ char *path = write_lock(f, "plain.txt", texts[i]);
        const char *files[] = {path};
        const struct lock_request request = {.files = files, .n_files = 1};
        struct lock_job job = job_of(f, &request);
        struct lock_plan here = {0}, python = {0};
        _cleanup_verror_ struct verror err = VERROR_INIT;
        assert_true(lock_plain_read(&job, &here));
        assert_int_equal(lock_read(&job, &python, &err), 0);
        assert_same_pins(&here, &python);
        lock_plan_release(&here);
        lock_plan_release(&python);
        lock_job_release(&job);
    }
}

static void what_may_mean_something_else_is_left_to_python(void **state)
{
    struct fixture *f = fixture(state);
    static const char *const texts[] = {
        "",
        "# nothing\n",
        "alpha\n",
        "alpha==1.0\n",
        "alpha>=1.0" HASH(A) "\n",
        "alpha==1.*" HASH(A) "\n",
        "alpha==1.0+local" HASH(A) "\n",
        "alpha==1!1.0" HASH(A) "\n",
        "alpha==v1" HASH(A) "\n",
        "alpha===1.0" HASH(A) "\n",
        "alpha ==1.0" HASH(A) "\n",
        "alpha[x]==1.0" HASH(A) "\n",
        "alpha-==1.0" HASH(A) "\n",
        "alpha==1.0; python_version>'3'" HASH(A) "\n",
        "alpha==1.0 ; python_version>'3'" HASH(A) "\n",
        "alpha==1.0 --hash=sha512:" A A A A A A A A "\n",
        "alpha==1.0 --hash=sha256:" A "\n",
        "alpha==1.0 --hash sha256:" A A A A A A A A "\n",
        "alpha==1.0 --hash=sha256:AAAAAAAA" A A A A A A A "\n",
        "alpha==1.0" HASH(A) " --no-binary :all:\n",
        "alpha==1.0" HASH(A) " # why\n",
        "alpha==1.0\t--hash=sha256:" A A A A A A A A "\n",
        "alpha==1.0 \\\n# why\n" HASH(A) "\n",
        "alpha==1.0" HASH(A) " \\\n",
        "alpha==1.0" HASH(A) "\r\n",
        "alpha==1.0" HASH(A) "\fbeta==1" HASH(A) "\n",
        "alpha==1.0" HASH(A) "\n# caf\xc3\xa9\n",
        "\xef\xbb\xbf"
        "alpha==1.0" HASH(A) "\n",
        "# -*- coding: utf-16 -*-\nalpha==1.0" HASH(A) "\n",
        "alpha==1.0" HASH(A) "\n# ${HOME}\n",
        "alpha==1.0" HASH(A) "\n--index-url x\n",
        "alpha==1.0" HASH(A) "\n-r other.txt\n",
        "alpha==1.0" HASH(A) "\n./alpha.whl\n",
        "alpha==1.0" HASH(A) "\nAlpha==1.0" HASH(A) "\n",
        "alpha @ file:///x.whl" HASH(A) "\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _cleanup_free_ char *path = write_lock(f, "other.txt", texts[i]);
        const char *files[] = {path};
        const struct lock_request request = {.files = files, .n_files = 1};
        struct lock_job job = job_of(f, &request);
        struct lock_plan plan = {0};
        if (lock_plain_read(&job, &plan))
            fail_msg("taken for plain: %s", texts[i]);
        lock_job_release(&job);
    }
    _cleanup_free_ char *path = write_lock(f, "good.txt", "alpha==1.0" HASH(A) "\n");
    _cleanup_free_ char *toml = write_lock(f, "pylock.toml", "alpha==1.0" HASH(A) "\n");
    const char *files[] = {path}, *tomls[] = {toml}, *words[] = {"beta"};
    const struct lock_request requests[] = {
        {.files = tomls, .n_files = 1},
        {.files = files, .n_files = 1, .requirements = words, .n_requirements = 1},
        {.files = files, .n_files = 1, .constraints = words, .n_constraints = 1},
        {.n_files = 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct lock_job job = job_of(f, &requests[i]);
        struct lock_plan plan = {0};
        assert_false(lock_plain_read(&job, &plan));
        lock_job_release(&job);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_pins_are_read_as_python_reads_them),
        TEST(what_may_mean_something_else_is_left_to_python),
        TEST(a_lock_with_hashes_is_fulfilled_and_then_answered_without_python),
        TEST(what_a_lock_includes_is_watched),
        TEST(what_is_not_locked_is_resolved),
        TEST(a_wheel_by_path_has_its_direct_url),
        TEST(a_source_archive_is_built_once),
        TEST(errors_say_what_and_why),
        TEST(an_index_that_cannot_be_reached_is_said_without_its_password),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
