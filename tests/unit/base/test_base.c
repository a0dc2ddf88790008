/* base/: the small things that everything else leans on. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "base/wire.h"

static char *temp_folder(void)
{
    char *path = xstrdup("/tmp/venvfs-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void drop_folder(char *path)
{
    assert_int_equal(path_remove_tree(path), 0);
    free(path);
}

static void test_strbuf_stays_terminated(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    assert_string_equal(sb.buf, "");
    strbuf_addf(&sb, "%s-%d", "a", 7);
    strbuf_addch(&sb, '!');
    strbuf_add(&sb, "\0x", 2);
    assert_int_equal(sb.len, 6);
    assert_memory_equal(sb.buf, "a-7!\0x", 7);
    assert_true(strbuf_ends_with(&sb, "x"));
    assert_false(strbuf_ends_with(&sb, "longer than it is"));
    strbuf_truncate(&sb, 3);
    assert_string_equal(sb.buf, "a-7");
    for (int i = 0; i < 10000; i++)
        strbuf_addch(&sb, 'x');
    assert_int_equal(strlen(sb.buf), 10003);
    size_t len;
    char *s = strbuf_detach(&sb, &len);
    assert_int_equal(len, 10003);
    free(s);
    assert_string_equal(sb.buf, "");
    strbuf_release(&sb);
}

static void test_digests_in_their_spellings(void **state)
{
    (void)state;
    struct sha256 h, back;
    char hex[SHA256_HEX_SIZE], b64[SHA256_BASE64_SIZE];
    sha256_of("abc", 3, &h);
    sha256_to_hex(&h, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_to_base64(&h, b64);
    assert_string_equal(b64, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    assert_true(sha256_from_hex(hex, 64, &back) && sha256_equal(&h, &back));
    assert_true(sha256_from_base64(b64, 43, &back) && sha256_equal(&h, &back));
    assert_true(sha256_from_base64("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=", 44, &back));
    assert_false(sha256_from_hex(hex, 63, &back));
    hex[5] = 'g';
    assert_false(sha256_from_hex(hex, 64, &back));
    b64[7] = '*';
    assert_false(sha256_from_base64(b64, 43, &back));
    assert_false(sha256_from_base64("", 0, &back));

    struct sha256_state *st = sha256_begin();
    sha256_update(st, "a", 1);
    sha256_update(st, "bc", 2);
    sha256_end(st, &back);
    assert_true(sha256_equal(&h, &back));
}

static void check_absolute(const char *path, const char *want)
{
    _cleanup_free_ char *got = path_absolute(path);
    assert_string_equal(got, want);
}

static void test_paths(void **state)
{
    (void)state;
    check_absolute("/a/./b//c/../d/", "/a/b/d");
    check_absolute("/../..", "/");
    check_absolute("/", "/");
    _cleanup_free_ char *joined = path_join("a/", "b"), *alone = path_join("a", "/b");
    assert_string_equal(joined, "a/b");
    assert_string_equal(alone, "/b");
    _cleanup_free_ char *dir = path_dirname("/a//b"), *top = path_dirname("/b"),
                        *none = path_dirname("b");
    assert_string_equal(dir, "/a");
    assert_string_equal(top, "/");
    assert_string_equal(none, ".");
    assert_string_equal(path_basename("/a/b"), "b");
    assert_true(path_component_ok("...", 3));
    assert_false(path_component_ok("..", 2));
    assert_false(path_component_ok(".", 1));
    assert_false(path_component_ok("", 0));
    assert_false(path_component_ok("a/b", 3));
    assert_false(path_component_ok("a\0b", 3));
    char name[253];
    memset(name, 'x', sizeof(name));
    assert_true(path_component_ok(name, 251));
    assert_false(path_component_ok(name, 252));
}

static void test_a_tree_is_removed_without_following_links(void **state)
{
    (void)state;
    char *root = temp_folder();
    _cleanup_free_ char *deep = path_join(root, "gone/a/b"), *kept = path_join(root, "kept");
    _cleanup_free_ char *gone = path_join(root, "gone"), *link = path_join(root, "gone/link");
    assert_int_equal(path_mkdirs(deep, 0755), 0);
    assert_int_equal(path_mkdirs(deep, 0755), 0);
    assert_int_equal(path_mkdirs(kept, 0755), 0);
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(chmod(deep, 0), 0);
    assert_int_equal(path_remove_tree(gone), 0);
    assert_false(path_exists(gone));
    assert_true(path_exists(kept));
    assert_int_equal(path_remove_tree(gone), 0);
    drop_folder(root);
}

static void test_locks_exclude_each_other(void **state)
{
    (void)state;
    char *root = temp_folder();
    _cleanup_free_ char *path = path_join(root, "lock");
    int a = lock_file(path, LOCK_SHARED, false), b = lock_file(path, LOCK_SHARED, false);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(lock_file(path, LOCK_EXCLUSIVE, false), -EAGAIN);
    assert_int_equal(lock_convert(a, LOCK_EXCLUSIVE, false), -EAGAIN);
    close(b);
    assert_int_equal(lock_convert(a, LOCK_EXCLUSIVE, false), 0);
    /* A file that was replaced is a new lock. */
    assert_int_equal(unlink(path), 0);
    b = lock_file(path, LOCK_EXCLUSIVE, false);
    assert_true(b >= 0);
    close(a);
    close(b);
    a = lock_byte(path, 7, false);
    assert_true(a >= 0);
    assert_int_equal(lock_byte(path, 7, false), -EAGAIN);
    b = lock_byte(path, UINT64_MAX, false);
    assert_true(b >= 0);
    close(a);
    close(b);
    drop_folder(root);
}

static void test_files_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    char *root = temp_folder();
    _cleanup_free_ char *path = path_join(root, "file");
    struct strbuf sb = STRBUF_INIT;
    assert_int_equal(io_write_file_atomic(path, "one", 3, 0644, true), 0);
    static const char *const faults[] = {"write:1:ENOSPC", "fsync:1:EIO", "rename:1:EIO"};
    static const int errnos[] = {ENOSPC, EIO, EIO};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        /* A process of its own: the seam counts the calls of a process. */
        pid_t pid = fork();
        if (pid == 0) {
            setenv("VENVFS_FAULT", faults[i], 1);
            _exit(io_write_file_atomic(path, "two", 3, 0644, true) == -errnos[i] ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(io_read_file(path, &sb, 100), 0);
        assert_string_equal(sb.buf, "one");
    }
    assert_int_equal(io_read_file(path, &sb, 2), -EFBIG);
    assert_int_equal(io_write_file_atomic(path, "two", 3, 0644, true), 0);
    assert_int_equal(io_read_file(path, &sb, 100), 0);
    assert_string_equal(sb.buf, "two");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(root), 0); /* no temporary file is left */
    strbuf_release(&sb);
    free(root);
}

static void test_programs_are_run(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT, diagnostics = STRBUF_INIT;
    int status;
    struct verror err = VERROR_INIT;
    /* More than a pipe holds, both ways at once. */
    size_t size = 1 << 20;
    char *input = xmalloc(size);
    memset(input, 'x', size);
    const char *const cat[] = {"cat", NULL};
    struct proc_options copy = {.input = input, .input_size = size, .output = &out};
    assert_int_equal(proc_run(cat, &copy, &status, &err), 0);
    assert_int_equal(status, 0);
    assert_int_equal(out.len, size);
    free(input);

    const char *const sh[] = {"sh", "-c", "echo \"$A-$B\"; echo bad >&2; exit 7", NULL};
    const char *const set[] = {"A=1", NULL}, *const unset[] = {"B*", NULL};
    setenv("B", "2", 1);
    struct proc_options options = {
        .set = set, .unset = unset, .output = &out, .diagnostics = &diagnostics};
    strbuf_reset(&out);
    assert_int_equal(proc_run(sh, &options, &status, &err), 0);
    assert_int_equal(status, 7);
    assert_string_equal(out.buf, "1-\n");
    assert_string_equal(diagnostics.buf, "bad\n");

    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    assert_int_equal(proc_run(killed, &options, &status, &err), 0);
    assert_int_equal(status, 128 + 9);
    const char *const none[] = {"no-such-program-here", NULL};
    assert_int_equal(proc_run(none, &options, &status, &err), -ENOENT);
    assert_non_null(err.message);
    verror_release(&err);
    strbuf_release(&out);
    strbuf_release(&diagnostics);
}

static void add_one(void *arg, size_t worker)
{
    (void)worker;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void test_a_pool_runs_every_job(void **state)
{
    (void)state;
    atomic_uint count = 0;
    struct pool *pool = pool_new(4);
    assert_int_equal(pool_threads(pool), 4);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 1000; i++)
            pool_submit(pool, add_one, &count);
        pool_wait(pool);
        assert_int_equal(count, round * 1000);
    }
    pool_submit(pool, add_one, &count);
    pool_free(pool);
    assert_int_equal(count, 3001);
}

static void test_ranges_do_not_overflow(void **state)
{
    (void)state;
    assert_true(wire_range_ok(10, 2, 5, 20));
    assert_false(wire_range_ok(11, 2, 5, 20));
    assert_false(wire_range_ok(0, UINT64_MAX, 2, UINT64_MAX));
    assert_false(wire_range_ok(UINT64_MAX, 1, 1, UINT64_MAX - 1));
    assert_true(wire_range_ok(20, 0, 5, 20));
}

/* What log_once() writes of each subject, in turn. */
static char *logged(struct log_memory *memory, const char *const *subjects, const int *errnums,
                    size_t n)
{
    int pair[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(pair), 0);
    dup2(pair[1], STDERR_FILENO);
    for (size_t i = 0; i < n; i++)
        log_once(memory, subjects[i], errnums[i], "%s", subjects[i]);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pair[1]);
    struct strbuf sb = STRBUF_INIT, words = STRBUF_INIT;
    assert_int_equal(io_read_to_end(pair[0], &sb, 65536), 0);
    close(pair[0]);
    for (char *save = NULL, *line = strtok_r(sb.buf, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        strbuf_addf(&words, "%s ", strrchr(line, ' ') + 1);
    strbuf_release(&sb);
    return strbuf_detach(&words, NULL);
}

static void test_a_subject_is_logged_once(void **state)
{
    (void)state;
    static const char *const subjects[] = {"numpy", "numpy", "scipy", "numpy", "scipy"};
    static const int errnums[] = {-EIO, -EIO, -EIO, -ENOMEM, -EIO};
    struct log_memory *memory = log_memory_new();
    char *words = logged(memory, subjects, errnums, 5);
    assert_string_equal(words, "numpy scipy numpy ");
    free(words);
    words = logged(memory, subjects, errnums, 5);
    assert_string_equal(words, "");
    free(words);
    words = logged(NULL, subjects, errnums, 2);
    assert_string_equal(words, "numpy numpy ");
    free(words);
    log_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strbuf_stays_terminated),
        cmocka_unit_test(test_digests_in_their_spellings),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_a_tree_is_removed_without_following_links),
        cmocka_unit_test(test_locks_exclude_each_other),
        cmocka_unit_test(test_files_are_written_whole_or_not_at_all),
        cmocka_unit_test(test_programs_are_run),
        cmocka_unit_test(test_a_pool_runs_every_job),
        cmocka_unit_test(test_ranges_do_not_overflow),
        cmocka_unit_test(test_a_subject_is_logged_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
