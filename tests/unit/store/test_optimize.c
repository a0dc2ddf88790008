/* store_optimize() makes the store smaller and loses nothing: whoever reads meanwhile, whatever is
 * damaged, wherever it fails or is killed. */
#include "fixture.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/lock.h"

enum { MODULES = 40 };

/* Two versions of a package: most files resemble their other version. */
struct version {
    char *name;
    struct sample_file files[MODULES + 2];
};

static void make_version(struct version *v, const char *name, uint32_t version)
{
    v->name = xstrdup(name);
    for (uint32_t i = 0; i < MODULES; i++)
        v->files[i] = (struct sample_file){xasprintf("lib/site-packages/pkg/m%02u.py", i),
                                           SAMPLE_VERSION(i, i % 4 ? 0 : version), 3000 + 100 * i};
    v->files[MODULES] = (struct sample_file){xstrdup("lib/site-packages/pkg/big.so"),
                                             SAMPLE_VERSION(77, version), 700 * 1024};
    v->files[MODULES + 1] = (struct sample_file){xstrdup("lib/site-packages/pkg/none.py"), 1, 0};
}

static void free_version(struct version *v)
{
    for (size_t i = 0; i < ARRAY_SIZE(v->files); i++)
        free((char *)(uintptr_t)v->files[i].path);
    free(v->name);
}

struct box {
    char *root;
    struct version v[3];
    struct store_image image[3];
    size_t count;
};

static void add_version(struct box *b, const char *name)
{
    struct store *store = open_store(b->root);
    make_version(&b->v[b->count], name, (uint32_t)b->count);
    b->image[b->count] =
        put_files(store, name, b->v[b->count].files, ARRAY_SIZE(b->v[b->count].files));
    b->count++;
    store_close(store);
}

static void open_box(struct box *b)
{
    *b = (struct box){.root = temp_folder()};
    add_version(b, "pkg-1.whl");
    add_version(b, "pkg-2.whl");
}

static void close_box(struct box *b)
{
    for (size_t i = 0; i < b->count; i++)
        free_version(&b->v[i]);
    drop_folder(b->root);
}

static void note(const char *line, void *arg)
{
    strbuf_addstr(arg, line);
    strbuf_addch(arg, '\n');
}

static int optimize(const char *root, int level, bool dry_run, struct strbuf *lines,
                    struct store_optimize_result *res, struct verror *err)
{
    struct store *store = open_store(root);
    struct store_optimize_options options = {
        .level = level, .jobs = 2, .dry_run = dry_run, .problem = note, .arg = lines};
    int r = store_optimize(store, &options, res, err);
    store_close(store);
    return r;
}

static struct store_optimize_result optimized(const char *root, int level, bool dry_run)
{
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store_optimize_result res;
    assert_ok(optimize(root, level, dry_run, &lines, &res, &err), &err);
    assert_string_equal(lines.buf, "");
    return res;
}

static void assert_clean(const char *root)
{
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store *store = open_store(root);
    uint64_t problems = 0;
    assert_ok(store_verify(store, true, note, &lines, &problems, &err), &err);
    if (problems)
        fail_msg("verify: %s", lines.buf);
    store_close(store);
}

static void assert_whole(const struct box *b)
{
    struct store *store = open_store(b->root);
    for (size_t i = 0; i < b->count; i++)
        check_files(store, &b->image[i], b->v[i].files, ARRAY_SIZE(b->v[i].files), 50000);
    store_close(store);
    assert_clean(b->root);
}

static size_t count_in(const char *root, const char *folder, const char *suffix)
{
    _cleanup_free_ char *path = path_join(root, folder);
    DIR *dir = opendir(path);
    size_t n = 0, m = strlen(suffix);
    assert_non_null(dir);
    for (struct dirent *de; (de = readdir(dir));) {
        size_t len = strlen(de->d_name);
        n += de->d_name[0] != '.' && len >= m && strcmp(de->d_name + len - m, suffix) == 0;
    }
    closedir(dir);
    return n;
}

static void test_it_is_smaller_and_whole_and_done_once(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    struct store_optimize_result would = optimized(b.root, 0, true);
    assert_int_equal(count_in(b.root, "images", ".where"), 2); /* nothing has changed */
    assert_false(would.nothing);
    struct store_optimize_result res = optimized(b.root, 0, false);
    assert_false(res.nothing);
    assert_true(res.after.pack_bytes < res.before.pack_bytes);
    assert_int_equal(would.before.pack_bytes, res.before.pack_bytes);
    uint64_t off = would.after.pack_bytes > res.after.pack_bytes
                       ? would.after.pack_bytes - res.after.pack_bytes
                       : res.after.pack_bytes - would.after.pack_bytes;
    assert_true(off < res.after.pack_bytes / 50);
    assert_int_equal(count_in(b.root, "packs", ".pack"), res.after.packs);
    assert_int_equal(count_in(b.root, "images", ".where"), 1);
    assert_int_equal(count_in(b.root, "tmp", ""), 0);
    assert_whole(&b);
    assert_true(optimized(b.root, 0, false).nothing);
    assert_true(optimized(b.root, 5, true).nothing); /* a lower level gives nothing */
    assert_false(optimized(b.root, 19, false).nothing);
    assert_whole(&b);
    close_box(&b);
}

static void test_frames_of_an_earlier_run_are_kept(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    (void)optimized(b.root, 0, false);
    add_version(&b, "pkg-3.whl");
    struct store_optimize_result res = optimized(b.root, 0, false);
    assert_true(res.frames_kept >= 6); /* the slices of two big ones at least */
    assert_true(res.frames_made >= 3);
    assert_whole(&b);
    close_box(&b);
}

/* A pack that was left, since all packs together would not have become smaller, holds frames of a
 * put: they are not kept when it is rewritten after all. */
static void test_frames_of_a_put_are_never_kept(void **state)
{
    (void)state;
    struct box b = {.root = temp_folder()};
    static const struct sample_file noise[] = {{"lib/one.so", 5, 2 * IMAGE_SLICE_SIZE}};
    struct store *store = open_store(b.root);
    put_files(store, "noise.whl", noise, 1);
    store_close(store);
    assert_true(optimized(b.root, 0, false).nothing);
    assert_true(optimized(b.root, 0, false).nothing);
    add_version(&b, "pkg-1.whl");
    add_version(&b, "pkg-2.whl");
    struct store_optimize_result res = optimized(b.root, 0, false);
    assert_false(res.nothing);
    assert_int_equal(res.frames_kept, 0);
    assert_whole(&b);
    close_box(&b);
}

/* ---- reading meanwhile ---- */

struct reading {
    struct store *store;
    struct blob_reader *reader;
    struct image *image[2];
    struct image_where *where[2];
};

static void begin_reading(struct reading *g, const struct box *b)
{
    struct verror err = VERROR_INIT;
    assert_ok(store_open(b->root, 0, &g->store, &err), &err);
    assert_ok(blob_reader_new(g->store, 1 << 16, &g->reader, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        assert_ok(store_image_open(g->store, &b->image[i], &g->image[i], &err), &err);
        assert_ok(image_where_open(g->reader, &b->image[i], g->image[i], &g->where[i], &err), &err);
    }
}

/* Reads every file of one version. */
static void go_on_reading(struct reading *g, const struct box *b, size_t version)
{
    struct verror err = VERROR_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(b->v[version].files) - 1; i++) {
        const struct sample_file *f = &b->v[version].files[i];
        uint32_t node = IMAGE_ROOT;
        for (const char *p = f->path; *p;) {
            size_t n = strcspn(p, "/");
            assert_true(image_lookup(g->image[version], node, p, n, false, &node));
            p += n + (p[n] == '/');
        }
        _cleanup_free_ uint8_t *want = sample_bytes(f->seed, f->size), *got = xmalloc(f->size);
        assert_ok(blob_reader_read(g->reader, g->where[version], g->image[version],
                                   image_node(g->image[version], node).blob, 0, got, f->size, false,
                                   &err),
                  &err);
        assert_memory_equal(got, want, f->size);
    }
}

static void end_reading(struct reading *g)
{
    for (size_t i = 0; i < 2; i++) {
        image_where_free(g->where[i]);
        image_unref(g->image[i]);
    }
    blob_reader_free(g->reader);
    store_close(g->store);
}

static void test_readers_do_not_notice(void **state)
{
    (void)state;
    struct box b;
    struct reading g;
    open_box(&b);
    begin_reading(&g, &b);
    go_on_reading(&g, &b, 0); /* has the first pack open, and not the second */
    (void)optimized(b.root, 3, false);
    go_on_reading(&g, &b, 0);
    go_on_reading(&g, &b, 1);
    (void)optimized(b.root, 4, false); /* their locations are two runs old now */
    blob_reader_forget_removed(g.reader);
    go_on_reading(&g, &b, 0);
    go_on_reading(&g, &b, 1);
    end_reading(&g);
    close_box(&b);
}

static void test_removed_packs_are_let_go(void **state)
{
    (void)state;
    struct box b;
    struct reading g;
    open_box(&b);
    begin_reading(&g, &b);
    go_on_reading(&g, &b, 0);
    go_on_reading(&g, &b, 1);
    (void)optimized(b.root, 0, false);
    blob_reader_forget_removed(g.reader);
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (struct dirent *de; (de = readdir(dir));) {
        char target[256];
        ssize_t n = readlinkat(dirfd(dir), de->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = 0;
        assert_null(strstr(target, ".pack (deleted)"));
    }
    closedir(dir);
    end_reading(&g);
    close_box(&b);
}

/* ---- damage ---- */

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = io_open(path, O_RDWR, 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_what_is_damaged_stays_and_is_told(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    _cleanup_free_ char *pack = path_join(b.root, "packs/2.pack");
    flip(pack, 100); /* in the first frame */
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store_optimize_result res;
    assert_ok(optimize(b.root, 0, false, &lines, &res, &err), &err);
    assert_true(res.blobs_damaged > 0 && res.blobs_moved > 0);
    if (!strstr(lines.buf, "stays in pack 2, damaged: pack 2 frame"))
        fail_msg("%s", lines.buf);
    assert_true(path_exists(pack));
    struct store *store = open_store(b.root);
    check_files(store, &b.image[0], b.v[0].files, ARRAY_SIZE(b.v[0].files), 50000);
    store_close(store);
    flip(pack, 100); /* mended: nothing of it was lost */
    assert_whole(&b);
    assert_true(optimized(b.root, 0, false).nothing);
    strbuf_release(&lines);
    close_box(&b);
}

static void run_sql(const char *root, const char *sql)
{
    _cleanup_free_ char *path = path_join(root, "catalog.sqlite");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A store that an older program made has no table of packs that were optimized. */
static void test_older_stores(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    run_sql(b.root, "DROP TABLE optimized");
    assert_false(optimized(b.root, 0, true).nothing);
    assert_false(optimized(b.root, 0, false).nothing);
    assert_true(optimized(b.root, 0, false).nothing);
    assert_whole(&b);
    close_box(&b);
}

/* A frame with another blob's bytes has a good checksum: only the SHA-256 tells. */
static void test_content_is_compared_with_its_sha256(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    run_sql(b.root, "UPDATE blobs SET start = start + 1 WHERE id = (SELECT id FROM blobs"
                    " WHERE pack = 2 AND size < 6000 AND start > 0 ORDER BY start LIMIT 1)");
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store_optimize_result res;
    assert_ok(optimize(b.root, 0, false, &lines, &res, &err), &err);
    assert_int_equal(res.blobs_damaged, 1);
    assert_non_null(strstr(lines.buf, "it is not what its SHA-256 says"));
    strbuf_release(&lines);
    close_box(&b);
}

/* What the catalog has lost is still in the old pack, from which it can be made anew. */
static void test_packs_with_what_the_catalog_lacks_stay(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    run_sql(b.root, "DELETE FROM blobs WHERE id = (SELECT min(id) FROM blobs WHERE pack = 2)");
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store_optimize_result res;
    assert_ok(optimize(b.root, 0, false, &lines, &res, &err), &err);
    _cleanup_free_ char *first = path_join(b.root, "packs/1.pack");
    _cleanup_free_ char *second = path_join(b.root, "packs/2.pack");
    assert_false(path_exists(first));
    assert_true(path_exists(second));
    strbuf_release(&lines);
    close_box(&b);
}

static void test_every_flipped_byte_of_the_gathered_locations_is_harmless(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    (void)optimized(b.root, 0, false);
    _cleanup_free_ char *path = path_join(b.root, "images/gathered.where");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        flip(path, at);
        struct reading g;
        begin_reading(&g, &b); /* with what the catalog says, where this part is damaged */
        if (at % 97 == 0)
            go_on_reading(&g, &b, (size_t)at % 2);
        end_reading(&g);
        flip(path, at);
        for (size_t i = 0; i < 2; i++) { /* what it wrote instead */
            char hex[SHA256_HEX_SIZE];
            sha256_to_hex(&b.image[i].id, hex);
            _cleanup_free_ char *own =
                xasprintf("%s/images/%u-%s.where", b.root, b.image[i].number, hex);
            (void)unlink(own);
        }
    }
    close_box(&b);
}

/* ---- others at the same time ---- */

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    _cleanup_free_ char *claims = path_join(b.root, "claims");
    int held = lock_byte(claims, UINT64_MAX >> 2, false);
    assert_true(held >= 0);
    struct verror err = VERROR_INIT;
    struct strbuf lines = STRBUF_INIT;
    struct store_optimize_result res;
    assert_int_equal(optimize(b.root, 0, false, &lines, &res, &err), -EBUSY);
    close(held);
    verror_release(&err);
    assert_ok(optimize(b.root, 0, false, &lines, &res, &err), &err);
    close_box(&b);
}

static void told(void *arg)
{
    if (write(*(const int *)arg, "w", 1) != 1)
        abort();
}

static void test_it_waits_for_who_adds(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    struct store *adding = open_store(b.root);
    struct verror err = VERROR_INIT;
    assert_ok(store_lock_shared(adding, &err), &err);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        store_close(adding); /* the lock is its parent's alone now */
        struct store *store = open_store(b.root);
        struct store_optimize_result res;
        struct store_optimize_options options = {
            .jobs = 1, .problem = note, .waiting = told, .arg = &ends[1]};
        _exit(store_optimize(store, &options, &res, &err) == 0 ? 0 : 1);
    }
    close(ends[1]);
    char byte = 0;
    assert_int_equal(read(ends[0], &byte, 1), 1); /* it says that it waits */
    assert_int_equal(byte, 'w');
    int status;
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_int_equal(count_in(b.root, "packs", ".pack"), 2); /* and has changed nothing */
    store_close(adding);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ends[0]);
    assert_whole(&b);
    close_box(&b);
}

/* ---- faults ---- */

/* The n-th such call fails, or the process is killed there. Returns whether that was reached. */
static bool optimize_with_fault(const char *root, const char *call, unsigned n, const char *how)
{
    char spec[64];
    (void)snprintf(spec, sizeof(spec), "%s:%u:%s", call, n, how);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("VENVFS_FAULT", spec, 1);
        struct store *store;
        struct verror err = VERROR_INIT;
        struct strbuf lines = STRBUF_INIT;
        struct store_optimize_result res;
        struct store_optimize_options options = {
            .level = 3, .jobs = 1, .problem = note, .arg = &lines};
        int r = store_open(root, STORE_CREATE, &store, &err);
        if (r == 0)
            r = store_optimize(store, &options, &res, &err);
        _exit(r == 0 && !lines.len ? 0 : r == 0 || err.message ? 1 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    if (WEXITSTATUS(status) > 1)
        fail_msg("%s: failed without a message", spec);
    return WEXITSTATUS(status) == 1;
}

static void try_faults(const char *call, const char *how)
{
    enum { AT_LEAST = 4 }; /* the failure of some calls changes nothing, and is not told */
    unsigned n, hits = 0;
    bool reached = true;
    for (n = 1; reached || n <= AT_LEAST; n++) {
        struct box b;
        open_box(&b);
        reached = optimize_with_fault(b.root, call, n, how);
        hits += reached;
        assert_whole(&b);
        struct strbuf lines = STRBUF_INIT;
        struct store_optimize_result res;
        struct verror err = VERROR_INIT;
        assert_ok(optimize(b.root, 3, false, &lines, &res, &err), &err); /* finishes or says so */
        assert_int_equal(count_in(b.root, "tmp", ""), 0);
        assert_true(optimized(b.root, 3, false).nothing);
        struct store *store = open_store(b.root);
        struct store_stats stats;
        assert_ok(store_stats(store, &stats, &err), &err);
        assert_int_equal(stats.packs, count_in(b.root, "packs", ".pack")); /* no leftovers */
        store_close(store);
        assert_whole(&b);
        close_box(&b);
        assert_true(n < 500);
    }
    assert_true(hits > 0);
}

static void test_a_failing_call_does_no_harm(void **state)
{
    (void)state;
    static const char *const calls[] = {"open", "pwrite", "write", "fsync", "rename", "unlink"};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], i % 2 ? "ENOSPC" : "EIO");
}

static void test_being_killed_does_no_harm(void **state)
{
    (void)state;
    static const char *const calls[] = {"open", "pwrite", "write", "fsync", "rename", "unlink"};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], "kill");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_smaller_and_whole_and_done_once),
        cmocka_unit_test(test_frames_of_an_earlier_run_are_kept),
        cmocka_unit_test(test_frames_of_a_put_are_never_kept),
        cmocka_unit_test(test_readers_do_not_notice),
        cmocka_unit_test(test_removed_packs_are_let_go),
        cmocka_unit_test(test_what_is_damaged_stays_and_is_told),
        cmocka_unit_test(test_older_stores),
        cmocka_unit_test(test_content_is_compared_with_its_sha256),
        cmocka_unit_test(test_packs_with_what_the_catalog_lacks_stay),
        cmocka_unit_test(test_every_flipped_byte_of_the_gathered_locations_is_harmless),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_it_waits_for_who_adds),
        cmocka_unit_test(test_a_failing_call_does_no_harm),
        cmocka_unit_test(test_being_killed_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
