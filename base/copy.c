#include "base/copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define CHUNK (1u << 20)

static int copy_through_memory(int from, int to, uint64_t at, uint64_t end)
{
    _cleanup_free_ char *buf = malloc(CHUNK);
    if (!buf)
        return -ENOMEM;
    while (at < end) {
        size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        ssize_t n = io_pread_all(from, buf, want, at);
        if (n <= 0)
            return n < 0 ? (int)n : -ESTALE;
        int r = io_pwrite_all(to, buf, (size_t)n, at);
        if (r < 0)
            return r;
        at += (uint64_t)n;
    }
    return 0;
}

static bool cannot_copy_range(int error)
{
    return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS ||
           error == EPERM || error == EBADF;
}

static int copy_range(int from, int to, uint64_t at, uint64_t end)
{
    while (at < end) {
        loff_t in = (loff_t)at, out = (loff_t)at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && !cannot_copy_range(errno))
            return -errno;
        /* 0 is also what some file systems say that cannot tell. */
        if (n <= 0)
            return copy_through_memory(from, to, at, end);
        at += (uint64_t)n;
    }
    return 0;
}

int copy_bytes(int from, int to, uint64_t size)
{
    struct stat st;
    if (fstat(from, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size == size && ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, (off_t)size) < 0)
        return -errno;
    for (uint64_t at = 0; at < size;) {
        off_t data = lseek(from, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* a hole to the end */
            return (uint64_t)lseek(from, 0, SEEK_END) < size ? -ESTALE : 0;
        if (data < 0)
            return copy_range(from, to, at, size);
        off_t hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        uint64_t end = (uint64_t)hole < size ? (uint64_t)hole : size;
        if ((uint64_t)data >= size)
            return 0;
        int r = copy_range(from, to, (uint64_t)data, end);
        if (r < 0)
            return r;
        at = end;
    }
    return 0;
}
