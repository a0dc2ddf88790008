#include <fcntl.h>
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

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/manifest.h"
#include "env/materialize.h"
#include "store/store.h"

#define SITE "lib/python3.11/site-packages"
enum { BIG = IMAGE_SLICE_SIZE * 2 + 12345, CACHE = 4 << 20 };

struct fixture {
    char *dir, *target;
    struct store *store;
    struct store_image image;
    struct blob_reader *reader;
    struct view *view;
    struct manifest *manifest;
    char *big; /* BIG bytes */
};

static void must(int r, const struct verror *err)
{
    if (r < 0)
        fail_msg("%s", verror_message(err));
}

static void add_file(struct put_stream *stream, struct image_builder *b, const char *path,
                     unsigned flags, const void *data, size_t size)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct blob_ref ref = {0};
    must(put_stream_blob(stream, BLOB_TEXT, data, size, NULL, &ref, &err), &err);
    must(image_builder_file(b, path, flags, &ref.id, size, ref.checksums, &err), &err);
    blob_ref_release(&ref);
}

static void add_text(struct put_stream *stream, struct image_builder *b, const char *path,
                     unsigned flags, const char *text)
{
    add_file(stream, b, path, flags, text, strlen(text));
}

static void add_script(struct put_stream *stream, struct image_builder *b)
{
    static const char text[] = "#!python -u\nprint('tool')\n";
    const struct image_script script = {.kind = IMAGE_SCRIPT_PYTHON,
                                        .name = "tool",
                                        .skip = (uint32_t)strcspn(text, "\n") + 1,
                                        .size = sizeof(text) - 1};
    struct blob_ref ref = {0};
    assert_int_equal(put_stream_blob(stream, BLOB_TEXT, text, sizeof(text) - 1, NULL, &ref, NULL),
                     0);
    assert_int_equal(image_builder_script(b, &script, &ref.id, ref.checksums, NULL), 0);
    blob_ref_release(&ref);
}

static void fill_store(struct fixture *f)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct store_put *put = NULL;
    size_t index = 0;
    must(store_put_begin(f->store, &put, &err), &err);
    struct put_stream *stream = put_stream_new(put);
    struct image_builder *b = image_builder_new("Demo", "1.0", "demo-1.0.dist-info");
    add_text(stream, b, SITE "/demo/__init__.py", IMAGE_TIME_DERIVED, "VALUE = 1\n");
    add_file(stream, b, SITE "/demo/big.so", 0, f->big, BIG);
    add_text(stream, b, SITE "/demo/py.typed", 0, "");
    add_text(stream, b, SITE "/demo-1.0.dist-info/METADATA", 0, "Name: Demo\nVersion: 1.0\n");
    add_text(stream, b, SITE "/demo-1.0.dist-info/REQUESTED", IMAGE_IF_REQUESTED, "");
    add_text(stream, b, "bin/native", IMAGE_EXEC, "\177ELF");
    assert_int_equal(image_builder_symlink(b, "share/link", "../bin/native", NULL), 0);
    assert_int_equal(image_builder_dir(b, "share/empty", NULL), 0);
    add_script(stream, b);
    struct store_wheel wheel = {.filename = (char *)(uintptr_t) "demo-1.0-py3-none-any.whl"};
    sha256_of("wheel", 5, &wheel.id);
    must(store_put_image(put, b, &wheel, "target", &index, &err), &err);
    image_builder_free(b);
    put_stream_free(stream);
    must(store_put_commit(put, &err), &err);
    f->image = store_put_result(put, index);
    store_put_free(put);
}

static struct manifest *sample(const struct fixture *f)
{
    struct manifest *m = manifest_new();
    m->generation = 1;
    m->time_ns = 1763850000123456789;
    m->reason = xstrdup("create");
    m->address = xstrdup(f->target);
    m->executable = xstrdup("/usr/bin/python3");
    m->base_executable = xstrdup("/usr/bin/python3.11");
    m->home = xstrdup("/usr/bin");
    m->version = xstrdup("3.11.2");
    m->python_dir = xstrdup("python3.11");
    m->platlibdir = xstrdup("lib");
    m->is_64bit = true;
    m->target_key = xstrdup("target");
    struct manifest_package *p = manifest_add(m, "Demo");
    p->version = xstrdup("1.0");
    p->image = f->image;
    p->entered_ns = 1763840000987654321;
    return m;
}

static int open_image(void *arg, const struct store_image *which, struct image **ret,
                      struct verror *err)
{
    return store_image_open(arg, which, ret, err);
}

static int setup(void **state)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct fixture *f = xcalloc(1, sizeof(*f));
    char name[] = "/tmp/venvfs-test-materialize-XXXXXX";
    assert_non_null(mkdtemp(name));
    f->dir = xstrdup(name);
    f->target = path_join(f->dir, "out/env");
    f->big = xmalloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        f->big[i] = (char)(i * i >> 7);
    _cleanup_free_ char *root = path_join(f->dir, "store");
    assert_int_equal(mkdir(root, 0700), 0);
    must(store_open(root, STORE_CREATE, &f->store, &err), &err);
    fill_store(f);
    f->manifest = sample(f);
    const struct view_images images = {.open = open_image, .arg = f->store};
    must(view_compose(f->manifest, NULL, &images, &f->view, &err), &err);
    must(blob_reader_new(f->store, CACHE, &f->reader, &err), &err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    blob_reader_free(f->reader);
    view_unref(f->view);
    manifest_free(f->manifest);
    store_close(f->store);
    assert_int_equal(path_remove_tree(f->dir), 0);
    free(f->target);
    free(f->dir);
    free(f->big);
    free(f);
    return 0;
}

static void stat_in(const struct fixture *f, const char *path, struct stat *st)
{
    _cleanup_free_ char *full = path_join(f->target, path);
    if (lstat(full, st) < 0)
        fail_msg("%s is missing", path);
}

static void expect_text(const struct fixture *f, const char *path, const void *text, size_t size)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    _cleanup_free_ char *full = path_join(f->target, path);
    assert_int_equal(io_read_file(full, &sb, 1 << 24), 0);
    assert_int_equal(sb.len, size);
    assert_memory_equal(sb.buf, text, size);
}

/* Every entry of the view is there with its type, mode, size and time; *n counts them. */
struct walk {
    const struct fixture *f;
    const char *path;
    size_t *n;
};

static bool compare(void *arg, const char *name, size_t len, struct view_node node, uint64_t cookie)
{
    const struct walk *w = arg;
    struct view_attr attr;
    struct stat st;
    (void)cookie;
    _cleanup_free_ char *path = xasprintf("%s%s%.*s", w->path, *w->path ? "/" : "", (int)len, name);
    stat_in(w->f, path, &st);
    view_stat(w->f->view, node, &attr);
    (*w->n)++;
    mode_t type = attr.type == IMAGE_DIR ? S_IFDIR : attr.type == IMAGE_FILE ? S_IFREG : S_IFLNK;
    assert_int_equal(st.st_mode, type | attr.mode);
    if (attr.type != IMAGE_DIR)
        assert_int_equal(st.st_size, attr.size);
    if ((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec != attr.mtime_ns)
        fail_msg("%s has another time", path);
    struct walk below = {.f = w->f, .path = path, .n = w->n};
    if (attr.type == IMAGE_DIR)
        view_readdir(w->f->view, node, 0, compare, &below);
    return true;
}

static void the_tree_is_the_views(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    must(materialize(f->view, f->reader, f->target, &err), &err);
    size_t n = 0;
    struct walk w = {.f = f, .path = "", .n = &n};
    view_readdir(f->view, view_root(f->view), 0, compare, &w);
    assert_true(n > 20);
    expect_text(f, SITE "/demo/__init__.py", "VALUE = 1\n", 10);
    expect_text(f, SITE "/demo/big.so", f->big, BIG);
    expect_text(f, "bin/native", "\177ELF", 4);
    struct stat st;
    stat_in(f, "bin/tool", &st);
    assert_int_equal(st.st_mode & 0777, 0755);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *tool = path_join(f->target, "bin/tool");
    assert_int_equal(io_read_file(tool, &text, 65536), 0);
    assert_true(strbuf_ends_with(&text, "\nprint('tool')\n"));
    assert_non_null(strstr(text.buf, f->target));
    _cleanup_free_ char *requested = path_join(f->target, SITE "/demo-1.0.dist-info/REQUESTED");
    assert_false(path_exists(requested));
}

static void an_empty_folder_is_taken_and_a_full_one_refused(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    assert_int_equal(path_mkdirs(f->target, 0755), 0);
    must(materialize(f->view, f->reader, f->target, &err), &err);
    assert_int_equal(materialize(f->view, f->reader, f->target, &err), -ENOTEMPTY);
    assert_non_null(strstr(verror_message(&err), "is not empty"));
    _cleanup_free_ char *file = path_join(f->target, "pyvenv.cfg");
    assert_int_equal(materialize(f->view, f->reader, file, &err), -ENOTDIR);
    _cleanup_free_ char *link = path_join(f->dir, "link");
    assert_int_equal(symlink(f->dir, link), 0);
    assert_int_equal(materialize(f->view, f->reader, link, &err), -ENOTDIR);
}

static void a_failure_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    static const char *const faults[] = {"open:9:EMFILE", "write:5:ENOSPC", "mkdir:3:ENOSPC",
                                         "link:1:EIO", "rename:1:EIO"};
    _cleanup_free_ char *parent = path_dirname(f->target);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        setenv("VENVFS_FAULT", faults[i], 1);
        int r = materialize(f->view, f->reader, f->target, &err);
        unsetenv("VENVFS_FAULT");
        if (r == 0)
            fail_msg("%s did not fail", faults[i]);
        assert_non_null(strstr(verror_message(&err), f->target));
        assert_int_equal(rmdir(parent), 0); /* empty */
    }
}

static void a_damaged_pack_is_named(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *pack = path_join(f->dir, "store/packs/1.pack");
    int fd = open(pack, O_WRONLY);
    assert_true(fd >= 0);
    for (off_t at = 64; at < 4096; at += 64)
        assert_int_equal(pwrite(fd, "\xff\xff", 2, at), 2);
    close(fd);
    assert_int_equal(materialize(f->view, f->reader, f->target, &err), -EIO);
    assert_false(path_exists(f->target));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_tree_is_the_views),
        TEST(an_empty_folder_is_taken_and_a_full_one_refused),
        TEST(a_failure_leaves_nothing),
        TEST(a_damaged_pack_is_named),
    };
    return cmocka_run_group_tests_name("materialize", tests, NULL, NULL);
}
