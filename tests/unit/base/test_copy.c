/* Copying bytes: whole, with holes, from a file that ended before. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/copy.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"

static char folder[] = "/tmp/venvfs-test-XXXXXX";

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

static int open_new(const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    int fd = io_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void bytes_arrive_whatever_the_offset_of_the_source(void **state)
{
    (void)state;
    _cleanup_close_ int from = open_new("from"), to = open_new("to");
    enum { SIZE = 3 * 1024 * 1024 + 17 };
    _cleanup_free_ char *data = xmalloc(SIZE), *back = xmalloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 7 + i / 251);
    assert_int_equal(io_write_all(from, data, SIZE), 0);
    assert_int_equal(copy_bytes(from, to, SIZE), 0);
    assert_int_equal(io_pread_all(to, back, SIZE, 0), SIZE);
    assert_memory_equal(data, back, SIZE);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    _cleanup_close_ int from = open_new("from"), to = open_new("to");
    const off_t size = (off_t)1 << 40;
    struct stat st;
    char byte = 0;
    assert_int_equal(ftruncate(from, size), 0);
    assert_int_equal(io_pwrite_all(from, "x", 1, (uint64_t)1 << 30), 0);
    assert_int_equal(copy_bytes(from, to, (uint64_t)size), 0);
    assert_int_equal(fstat(to, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_true(st.st_blocks < 8192);
    assert_int_equal(io_pread_all(to, &byte, 1, (uint64_t)1 << 30), 1);
    assert_int_equal(byte, 'x');
}

static void a_source_that_ended_before_is_told(void **state)
{
    (void)state;
    _cleanup_close_ int from = open_new("from"), to = open_new("to"), more = open_new("more");
    assert_int_equal(io_write_all(from, "abc", 3), 0);
    assert_int_equal(copy_bytes(from, to, 4), -ESTALE);
    assert_int_equal(copy_bytes(from, more, 3), 0);
    _cleanup_close_ int none = open_new("none"), empty = open_new("empty");
    assert_int_equal(copy_bytes(none, empty, 0), 0);
}

static void links_are_not_followed_beneath(void **state)
{
    (void)state;
    _cleanup_close_ int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root, "d", 0700), 0);
    assert_int_equal(symlinkat("d", root, "l"), 0);
    _cleanup_close_ int file = openat(root, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    static const struct {
        const char *path;
        int error;
    } cases[] = {{"d/f", 0},       {"", 0},          {"l/f", -ELOOP},     {"d/g", -ENOENT},
                 {"../x", -EXDEV}, {"/etc", -EXDEV}, {"d/f/x", -ENOTDIR}, {"d/../d/f", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_close_ int fd = io_open_beneath(root, cases[i].path, O_RDONLY);
        if (cases[i].error)
            assert_int_equal(fd, cases[i].error);
        else
            assert_true(fd >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_whatever_the_offset_of_the_source),
        cmocka_unit_test(holes_stay_holes),
        cmocka_unit_test(a_source_that_ended_before_is_told),
        cmocka_unit_test(links_are_not_followed_beneath),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
