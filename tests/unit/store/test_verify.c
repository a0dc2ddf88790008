/* store_verify() finds every damage; store_stats() counts right; a fault during a put does no harm.
 */
#include "fixture.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/wait.h>

static const struct sample_file files[] = {
    {"lib/a.py", 1, 100},
    {"lib/b.py", 2, 20},
    {"lib/empty.py", 3, 0},
    {"lib/copy_of_a.py", 1, 100},
};

static const struct sample_file big[] = {
    {"lib/a.py", 1, 100},
    {"lib/big.so", 5, 2 * IMAGE_SLICE_SIZE + 17},
    {"lib/half.so", 6, 200 * 1024},
    {"lib/half2.so", 7, 200 * 1024},
};

static void show(const char *line, void *arg)
{
    strbuf_addstr(arg, line);
    strbuf_addch(arg, '\n');
}

static uint64_t verify(const char *root, bool full, struct strbuf *lines)
{
    struct verror err = VERROR_INIT;
    struct store *store;
    uint64_t problems = 0;
    assert_ok(store_open(root, 0, &store, &err), &err);
    strbuf_reset(lines);
    assert_ok(store_verify(store, full, show, lines, &problems, &err), &err);
    store_close(store);
    return problems;
}

static void assert_clean(const char *root)
{
    struct strbuf lines = STRBUF_INIT;
    if (verify(root, true, &lines))
        fail_msg("verify: %s", lines.buf);
    strbuf_release(&lines);
}

static void assert_damaged(const char *root, bool full, const char *what)
{
    struct strbuf lines = STRBUF_INIT;
    if (!verify(root, full, &lines))
        fail_msg("verify did not notice: %s", what);
    strbuf_release(&lines);
}

/* Flips each byte of a file, one at a time. */
static void flip_each_byte(const char *root, const char *path)
{
    struct strbuf content = STRBUF_INIT;
    assert_int_equal(io_read_file(path, &content, 1 << 20), 0);
    for (size_t i = 0; i < content.len; i++) {
        char what[64];
        (void)snprintf(what, sizeof(what), "byte %zu of %s", i, path_basename(path));
        content.buf[i] ^= 0x40;
        int fd = io_open(path, O_WRONLY | O_TRUNC, 0);
        assert_int_equal(io_write_all(fd, content.buf, content.len), 0);
        close(fd);
        assert_damaged(root, true, what);
        content.buf[i] ^= 0x40;
    }
    int fd = io_open(path, O_WRONLY | O_TRUNC, 0);
    assert_int_equal(io_write_all(fd, content.buf, content.len / 2), 0);
    close(fd);
    assert_damaged(root, true, "half of a file");
    assert_int_equal(io_write_file_atomic(path, content.buf, content.len, 0644, false), 0);
    assert_clean(root);
    strbuf_release(&content);
}

static void test_every_flipped_byte_is_noticed(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image image = put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    _cleanup_free_ char *image_path = store_image_path(store, &image);
    _cleanup_free_ char *pack = path_join(root, "packs/1.pack");
    _cleanup_free_ char *where = xstrdup(image_path);
    strcpy(where + strlen(where) - strlen("image"), "where");
    store_close(store);
    assert_clean(root);
    flip_each_byte(root, pack);
    flip_each_byte(root, image_path);
    flip_each_byte(root, where);
    assert_int_equal(unlink(where), 0);
    assert_clean(root); /* a cache */
    drop_folder(root);
}

static void test_missing_files_are_noticed(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image image = put_files(store, "a-1.0.whl", big, ARRAY_SIZE(big));
    _cleanup_free_ char *image_path = store_image_path(store, &image);
    store_close(store);
    assert_clean(root);
    _cleanup_free_ char *pack = path_join(root, "packs/1.pack");
    _cleanup_free_ char *aside = path_join(root, "aside");
    struct strbuf lines = STRBUF_INIT;
    assert_int_equal(rename(pack, aside), 0);
    assert_int_equal(verify(root, false, &lines), 2);
    assert_non_null(strstr(lines.buf, "pack 1 is missing"));
    assert_non_null(strstr(lines.buf, "a-1.0.whl 1.0 (image 1)"));
    assert_int_equal(rename(aside, pack), 0);
    assert_int_equal(rename(image_path, aside), 0);
    assert_int_equal(verify(root, false, &lines), 1);
    assert_int_equal(rename(aside, image_path), 0);
    assert_clean(root);
    strbuf_release(&lines);
    drop_folder(root);
}

static void run_sql(const char *root, const char *sql)
{
    _cleanup_free_ char *path = path_join(root, "catalog.sqlite");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_wrong_rows_are_noticed(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "UPDATE blobs SET frame = frame + 1",
        "UPDATE blobs SET start = start + 1",
        "UPDATE blobs SET size = size + 1",
        "UPDATE blobs SET pack = 2",
        "DELETE FROM blobs WHERE size = 100",
        "DELETE FROM packs",
        "DELETE FROM images",
        "DELETE FROM wheels",
        "UPDATE packs SET bytes = bytes + 1",
        "UPDATE images SET name = 'other'",
        "UPDATE images SET nodes = 1",
        "UPDATE images SET number = 2",
        "UPDATE made SET image = 2",
        "UPDATE counters SET next = 1",
        "DROP TABLE made",
    };
    char *root = temp_folder();
    struct store *store = open_store(root);
    put_files(store, "a-1.0.whl", big, ARRAY_SIZE(big));
    store_close(store);
    _cleanup_free_ char *catalog = path_join(root, "catalog.sqlite");
    struct strbuf content = STRBUF_INIT;
    assert_int_equal(io_read_file(catalog, &content, 1 << 24), 0);
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        run_sql(root, damage[i]);
        assert_damaged(root, false, damage[i]);
        assert_int_equal(io_write_file_atomic(catalog, content.buf, content.len, 0644, false), 0);
        assert_clean(root);
    }
    memset(content.buf + 4096, 0xa5, 4096);
    assert_int_equal(io_write_file_atomic(catalog, content.buf, content.len, 0644, false), 0);
    assert_damaged(root, false, "a page of the catalog");
    strbuf_release(&content);
    drop_folder(root);
}

static void test_damage_is_eio_for_the_files_it_hits_alone(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image which = put_files(store, "a-1.0.whl", big, ARRAY_SIZE(big));
    store_close(store);
    run_sql(root, "UPDATE blobs SET start = start + 1 WHERE size = 100");
    store = open_store(root);
    struct verror err = VERROR_INIT;
    struct image *image;
    struct blob_reader *reader;
    struct image_where *where;
    _cleanup_free_ char *path = store_image_path(store, &which);
    strcpy(path + strlen(path) - strlen("image"), "where");
    assert_int_equal(unlink(path), 0);
    assert_ok(store_image_open(store, &which, &image, &err), &err);
    assert_ok(blob_reader_new(store, 1 << 20, &reader, &err), &err);
    assert_ok(image_where_open(reader, &which, image, &where, &err), &err);
    size_t failed = 0;
    for (uint32_t i = 0; i < image_blobs(image); i++) {
        char buf[64];
        ssize_t n = blob_reader_read(reader, where, image, i, 0, buf, sizeof(buf), false, &err);
        if (n == -EIO)
            failed++;
        else
            assert_int_equal(n, 64);
    }
    assert_int_equal(failed, 1);
    assert_non_null(strstr(err.message, "pack 1 frame"));
    struct blob_reader_stats stats;
    blob_reader_stats(reader, &stats);
    assert_true(stats.misses > 0 && stats.cache_bytes <= stats.cache_limit);
    image_where_free(where);
    blob_reader_free(reader);
    image_unref(image);
    verror_release(&err);
    store_close(store);
    drop_folder(root);
}

static void test_stats_count_what_is_dead(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    put_files(store, "b-1.0.whl", big, ARRAY_SIZE(big));
    struct verror err = VERROR_INIT;
    struct store_stats s;
    assert_ok(store_stats(store, &s, &err), &err);
    assert_int_equal(s.images, 2);
    assert_int_equal(s.wheels, 2);
    assert_int_equal(s.packs, 2);
    assert_int_equal(s.blobs, 5);
    assert_int_equal(s.unique_bytes, 100 + 20 + big[1].size + big[2].size + big[3].size);
    assert_int_equal(s.apparent_bytes, 220 + 100 + big[1].size + big[2].size + big[3].size);
    assert_int_equal(s.dead_bytes, 0);
    assert_true(s.pack_bytes > 100 && s.image_bytes > 100 && s.catalog_bytes > 4096);
    store_close(store);
    run_sql(root, "DELETE FROM blobs WHERE size > 1000");
    store = open_store(root);
    assert_ok(store_stats(store, &s, &err), &err);
    assert_true(s.dead_bytes > 300 * 1024 && s.dead_bytes < s.pack_bytes);
    store_close(store);
    drop_folder(root);
}

static int count_entry(const struct store_listing *entry, void *arg)
{
    size_t *count = arg;
    static const char *const names[] = {"a-1.0.whl", "b-1.0.whl"};
    assert_string_equal(entry->name, names[*count]);
    assert_string_equal(entry->wheel_filename, names[*count]);
    assert_string_equal(entry->target, TARGET);
    assert_int_equal(entry->image.number, 2 - *count);
    ++*count;
    return 0;
}

static void test_images_are_listed_by_name(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    put_files(store, "b-1.0.whl", files, ARRAY_SIZE(files));
    put_files(store, "a-1.0.whl", big, ARRAY_SIZE(big));
    struct verror err = VERROR_INIT;
    size_t count = 0;
    assert_ok(store_list(store, count_entry, &count, &err), &err);
    assert_int_equal(count, 2);
    store_close(store);
    drop_folder(root);
}

/* ---- faults ---- */

/* One put with its n-th such call failing (or the process killed there); returns whether the fault
 * was reached. */
static bool put_with_fault(const char *root, const char *call, unsigned n, const char *how)
{
    char spec[64];
    (void)snprintf(spec, sizeof(spec), "%s:%u:%s", call, n, how);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("VENVFS_FAULT", spec, 1);
        struct store *store;
        struct verror err = VERROR_INIT;
        if (store_open(root, STORE_CREATE, &store, &err) < 0)
            _exit(err.message ? 1 : 2);
        struct store_put *put;
        if (store_put_begin(store, &put, &err) < 0)
            _exit(err.message ? 1 : 2);
        struct put_stream *stream = put_stream_new(put);
        struct image_builder *b = image_builder_new("Sample", "1.0", "sample-1.0.dist-info");
        int r = 0;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(big); i++) {
            _cleanup_free_ uint8_t *data = sample_bytes(big[i].seed, big[i].size);
            struct blob_ref ref;
            r = put_stream_blob(stream, BLOB_TEXT, data, big[i].size, NULL, &ref, &err);
            if (r == 0)
                (void)image_builder_file(b, big[i].path, 0, &ref.id, ref.size, ref.checksums, NULL);
        }
        put_stream_free(stream);
        struct store_wheel wheel = wheel_named("sample.whl");
        size_t index;
        if (r == 0)
            r = store_put_image(put, b, &wheel, TARGET, &index, &err);
        if (r == 0)
            r = store_put_commit(put, &err);
        store_put_free(put);
        store_close(store);
        _exit(r == 0 ? 0 : err.message ? 1 : 2);
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

static size_t entries_in(const char *root, const char *folder)
{
    _cleanup_free_ char *path = path_join(root, folder);
    DIR *dir = opendir(path);
    size_t n = 0;
    assert_non_null(dir);
    for (struct dirent *de; (de = readdir(dir));)
        n += de->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void after_a_fault(const char *root, bool killed)
{
    struct store *store = open_store(root);
    store_close(store);
    assert_clean(root);
    if (!killed) {
        assert_int_equal(entries_in(root, "tmp"), 0);
        assert_int_equal(entries_in(root, "packs"), 0);
        assert_int_equal(entries_in(root, "images"), 0);
    }
    store = open_store(root);
    struct store_image image = put_files(store, "sample.whl", big, ARRAY_SIZE(big));
    check_files(store, &image, big, ARRAY_SIZE(big), 100000);
    store_close(store);
    assert_int_equal(entries_in(root, "tmp"), 0); /* what the killed one left was swept */
    assert_clean(root);
}

static void try_faults(const char *call, const char *how)
{
    bool killed = strcmp(how, "kill") == 0;
    for (unsigned n = 1;; n++) {
        char *root = temp_folder();
        bool reached = put_with_fault(root, call, n, how);
        if (reached)
            after_a_fault(root, killed);
        else
            assert_clean(root);
        drop_folder(root);
        if (!reached)
            break;
        assert_true(n < 200);
    }
}

static void test_a_failing_call_does_no_harm(void **state)
{
    (void)state;
    static const char *const calls[] = {"open", "write", "pwrite", "fsync", "rename", "mkdir"};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], i % 2 ? "ENOSPC" : "EIO");
}

static void test_being_killed_does_no_harm(void **state)
{
    (void)state;
    static const char *const calls[] = {"open", "pwrite", "fsync", "rename", "mkdir"};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], "kill");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flipped_byte_is_noticed),
        cmocka_unit_test(test_missing_files_are_noticed),
        cmocka_unit_test(test_wrong_rows_are_noticed),
        cmocka_unit_test(test_damage_is_eio_for_the_files_it_hits_alone),
        cmocka_unit_test(test_stats_count_what_is_dead),
        cmocka_unit_test(test_images_are_listed_by_name),
        cmocka_unit_test(test_a_failing_call_does_no_harm),
        cmocka_unit_test(test_being_killed_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
