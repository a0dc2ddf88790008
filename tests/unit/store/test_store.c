/* The store: what was put is found and read back; what was not committed leaves no trace. */
#include "fixture.h"

#include <dirent.h>
#include <sys/wait.h>

static const struct sample_file files[] = {
    {"lib/a.py", 1, 1000},
    {"lib/b.py", 2, 20},
    {"lib/empty.py", 3, 0},
    {"lib/copy_of_a.py", 1, 1000},
    {"lib/exact.bin", 4, IMAGE_SLICE_SIZE},
    {"lib/big.so", 5, 3 * IMAGE_SLICE_SIZE + 17},
    {"lib/half.so", 6, 200 * 1024},
    {"lib/half2.so", 7, 200 * 1024},
    {"lib/last.txt", 8, 1},
};

static const struct sample_file more[] = {
    {"lib/a.py", 1, 1000},
    {"lib/new.py", 9, 5000},
    {"lib/big.so", 5, 3 * IMAGE_SLICE_SIZE + 17},
};

/* ---- a folder's whole content as one digest ---- */

static void snapshot_file(struct sha256_state *st, const char *path, mode_t mode)
{
    struct strbuf content = STRBUF_INIT;
    assert_int_equal(io_read_file(path, &content, 1 << 30), 0);
    sha256_update(st, &mode, sizeof(mode));
    sha256_update(st, content.buf, content.len);
    strbuf_release(&content);
}

static int by_text(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void snapshot_folder(struct sha256_state *sum, const char *path)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, by_text);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            _cleanup_free_ char *child = path_join(path, name);
            struct stat st;
            assert_int_equal(lstat(child, &st), 0);
            sha256_update(sum, name, strlen(name) + 1);
            if (S_ISDIR(st.st_mode))
                snapshot_folder(sum, child);
            else
                snapshot_file(sum, child, st.st_mode);
        }
        free(list[i]);
    }
    free(list);
}

static struct sha256 snapshot(const char *root)
{
    struct sha256 ret;
    struct sha256_state *sum = sha256_begin();
    snapshot_folder(sum, root);
    sha256_end(sum, &ret);
    return ret;
}

static bool holds(const char *root, const char *name)
{
    _cleanup_free_ char *path = path_join(root, name);
    return path_exists(path);
}

/* ---- tests ---- */

static void test_what_was_put_is_found_and_read(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image image = put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    assert_int_equal(image.number, 1);
    static const size_t pieces[] = {7777, 4096, 131072, 1 << 20};
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        check_files(store, &image, files, ARRAY_SIZE(files), pieces[i]);
    store_close(store);
    assert_false(holds(root, "catalog.sqlite-wal"));
    assert_false(holds(root, "catalog.sqlite-shm"));

    store = open_store(root);
    struct store_image found;
    struct store_wheel wheel = wheel_named("a-1.0.whl"), known;
    struct verror err = VERROR_INIT;
    assert_ok(store_find_image(store, &wheel.id, TARGET, &found, &err), &err);
    assert_int_equal(found.number, image.number);
    assert_true(sha256_equal(&found.id, &image.id));
    assert_int_equal(store_find_image(store, &wheel.id, "other", &found, &err), -ENOENT);
    assert_ok(store_find_wheel(store, &wheel.id, &known, &err), &err);
    assert_string_equal(known.filename, "a-1.0.whl");
    store_wheel_release(&known);
    check_files(store, &found, files, ARRAY_SIZE(files), 65536);
    store_close(store);
    drop_folder(root);
}

static void test_a_blob_is_stored_once(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image one = put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    struct store_image two = put_files(store, "b-1.0.whl", more, ARRAY_SIZE(more));
    assert_int_equal(two.number, 2);
    check_files(store, &one, files, ARRAY_SIZE(files), 100000);
    check_files(store, &two, more, ARRAY_SIZE(more), 100000);
    struct stat st;
    _cleanup_free_ char *second = path_join(root, "packs/2.pack");
    assert_int_equal(stat(second, &st), 0);
    assert_true(st.st_size < 6000);

    /* All of it is there: no pack at all; and the same wheel for the same target is the same image.
     */
    struct store_image three = put_files(store, "c-1.0.whl", more, ARRAY_SIZE(more));
    assert_int_equal(three.number, 3);
    assert_false(holds(root, "packs/3.pack"));
    struct store_image again = put_files(store, "c-1.0.whl", more, ARRAY_SIZE(more));
    assert_int_equal(again.number, 3);
    store_close(store);
    drop_folder(root);
}

static void test_an_aborted_put_leaves_no_trace(void **state)
{
    (void)state;
    char *root = temp_folder();
    store_close(open_store(root));
    struct sha256 before = snapshot(root);
    struct store *store = open_store(root);
    store_put_free(fill_put(store, "a-1.0.whl", files, ARRAY_SIZE(files)));
    struct verror err = VERROR_INIT;
    int claim = store_claim(store, &before, TARGET, true, &err);
    assert_true(claim >= 0);
    close(claim);
    store_close(store);
    struct sha256 after = snapshot(root);
    assert_true(sha256_equal(&before, &after));

    store = open_store(root);
    struct store_image image = put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    assert_int_equal(image.number, 1);
    store_close(store);
    before = snapshot(root);
    store = open_store(root);
    store_put_free(fill_put(store, "b-1.0.whl", more, ARRAY_SIZE(more)));
    struct store_image found;
    struct store_wheel wheel = wheel_named("b-1.0.whl");
    assert_int_equal(store_find_image(store, &wheel.id, TARGET, &found, &err), -ENOENT);
    store_close(store);
    after = snapshot(root);
    assert_true(sha256_equal(&before, &after));
    drop_folder(root);
}

static void test_looking_up_writes_nothing(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    struct verror err = VERROR_INIT;
    struct sha256 key = wheel_named("key").id;
    assert_ok(store_cache_put(store, &key, "value\0x", 7, &err), &err);
    store_close(store);

    struct sha256 before = snapshot(root);
    store = open_store(root);
    struct strbuf value = STRBUF_INIT;
    assert_ok(store_cache_get(store, &key, &value, &err), &err);
    assert_int_equal(value.len, 7);
    assert_memory_equal(value.buf, "value\0x", 7);
    struct sha256 other = wheel_named("other").id;
    assert_int_equal(store_cache_get(store, &other, &value, &err), -ENOENT);
    strbuf_release(&value);
    store_close(store);
    struct sha256 after = snapshot(root);
    assert_true(sha256_equal(&before, &after));
    drop_folder(root);
}

static void test_numbers_are_never_reused(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    put_files(store, "a-1.0.whl", files, 2);
    store_close(store);
    /* Garbage of a crash with high numbers, and a deleted pack. */
    _cleanup_free_ char *pack = path_join(root, "packs/7.pack");
    _cleanup_free_ char *image = path_join(root, "images/9-00.image");
    assert_int_equal(io_write_file_atomic(pack, "x", 1, 0600, false), 0);
    assert_int_equal(io_write_file_atomic(image, "x", 1, 0600, false), 0);
    store = open_store(root);
    assert_int_equal(put_files(store, "b-1.0.whl", more, ARRAY_SIZE(more)).number, 10);
    store_close(store);
    assert_true(holds(root, "packs/8.pack"));
    assert_int_equal(unlink(pack), 0);
    _cleanup_free_ char *eight = path_join(root, "packs/8.pack");
    assert_int_equal(unlink(eight), 0);
    store = open_store(root);
    put_files(store, "c-1.0.whl", files, ARRAY_SIZE(files));
    assert_true(holds(root, "packs/9.pack"));
    store_close(store);
    drop_folder(root);
}

static void test_a_lost_where_file_is_made_again(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root);
    struct store_image image = put_files(store, "a-1.0.whl", files, ARRAY_SIZE(files));
    _cleanup_free_ char *path = store_image_path(store, &image);
    strcpy(path + strlen(path) - strlen("image"), "where");
    struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
    assert_int_equal(io_read_file(path, &before, 1 << 20), 0);
    assert_int_equal(unlink(path), 0);
    check_files(store, &image, files, ARRAY_SIZE(files), 50000);
    assert_int_equal(io_read_file(path, &after, 1 << 20), 0);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.buf, after.buf, after.len);
    before.buf[60] ^= 1;
    assert_int_equal(io_write_file_atomic(path, before.buf, before.len, 0644, false), 0);
    check_files(store, &image, files, ARRAY_SIZE(files), 50000);
    strbuf_release(&before);
    strbuf_release(&after);
    store_close(store);
    drop_folder(root);
}

static void test_what_cannot_be_opened_says_why(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct verror err = VERROR_INIT;
    struct store *store = NULL;
    assert_int_equal(store_open(root, 0, &store, &err), -ENOENT);
    _cleanup_free_ char *format = path_join(root, "format");
    store_close(open_store(root));
    const char *newer = "venvfs store\nreader 2\nwriter 2\n";
    assert_int_equal(io_write_file_atomic(format, newer, strlen(newer), 0644, false), 0);
    assert_int_equal(store_open(root, STORE_CREATE, &store, &err), -EPROTO);
    assert_non_null(err.hint);
    const char *future_writer = "venvfs store\nreader 1\nwriter 2\n";
    assert_int_equal(
        io_write_file_atomic(format, future_writer, strlen(future_writer), 0644, false), 0);
    assert_int_equal(store_open(root, 0, &store, &err), -EPROTO);
    assert_ok(store_open(root, STORE_READ_ONLY, &store, &err), &err);
    store_close(store);
    assert_int_equal(io_write_file_atomic(format, "gibberish", 9, 0644, false), 0);
    assert_int_equal(store_open(root, STORE_CREATE, &store, &err), -EBADMSG);
    assert_int_equal(chmod(root, 0777), 0);
    assert_int_equal(store_open(root, 0, &store, &err), -EPERM);
    verror_release(&err);
    drop_folder(root);
}

static void test_a_claim_is_exclusive(void **state)
{
    (void)state;
    char *root = temp_folder();
    struct store *store = open_store(root), *other = open_store(root);
    struct verror err = VERROR_INIT;
    struct sha256 a = wheel_named("a").id, b = wheel_named("b").id;
    int held = store_claim(store, &a, TARGET, false, &err);
    assert_true(held >= 0);
    assert_int_equal(store_claim(other, &a, TARGET, false, &err), -EAGAIN);
    int elsewhere = store_claim(other, &b, TARGET, false, &err);
    assert_true(elsewhere >= 0);
    close(held);
    held = store_claim(other, &a, TARGET, true, &err);
    assert_true(held >= 0);
    close(held);
    close(elsewhere);
    store_close(store);
    store_close(other);
    drop_folder(root);
}

/* Both processes put the same wheel and one of their own. */
static void child_put(const char *root, unsigned k)
{
    struct store *store = open_store(root);
    char name[32];
    (void)snprintf(name, sizeof(name), "own-%u.whl", k);
    const struct sample_file own[] = {{"lib/own.py", 100 + k, 3000}, {"lib/a.py", 1, 1000}};
    struct store_image one = put_files(store, name, own, 2);
    struct store_image two = put_files(store, "shared.whl", files, ARRAY_SIZE(files));
    check_files(store, &one, own, 2, 4096);
    check_files(store, &two, files, ARRAY_SIZE(files), 65536);
    store_close(store);
    _exit(0);
}

static void test_processes_put_side_by_side(void **state)
{
    (void)state;
    char *root = temp_folder();
    pid_t pids[4];
    for (unsigned k = 0; k < ARRAY_SIZE(pids); k++) {
        pids[k] = fork();
        if (pids[k] == 0)
            child_put(root, k);
    }
    for (unsigned k = 0; k < ARRAY_SIZE(pids); k++) {
        int status;
        assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    struct store *store = open_store(root);
    struct verror err = VERROR_INIT;
    struct store_image image;
    struct store_wheel wheel = wheel_named("shared.whl");
    assert_ok(store_find_image(store, &wheel.id, TARGET, &image, &err), &err);
    check_files(store, &image, files, ARRAY_SIZE(files), 65536);
    store_close(store);
    drop_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_put_is_found_and_read),
        cmocka_unit_test(test_a_blob_is_stored_once),
        cmocka_unit_test(test_an_aborted_put_leaves_no_trace),
        cmocka_unit_test(test_looking_up_writes_nothing),
        cmocka_unit_test(test_numbers_are_never_reused),
        cmocka_unit_test(test_a_lost_where_file_is_made_again),
        cmocka_unit_test(test_what_cannot_be_opened_says_why),
        cmocka_unit_test(test_a_claim_is_exclusive),
        cmocka_unit_test(test_processes_put_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
