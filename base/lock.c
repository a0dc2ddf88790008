#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

static int set_lock(int fd, struct flock fl, bool wait)
{
    int r;
    do
        r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &fl);
    while (r < 0 && errno == EINTR && wait);
    if (r < 0)
        return errno == EACCES ? -EAGAIN : -errno;
    return 0;
}

int lock_convert(int fd, enum lock_mode mode, bool wait)
{
    struct flock whole = {
        .l_type = mode == LOCK_SHARED ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };
    return set_lock(fd, whole, wait);
}

static struct flock one_byte(uint64_t offset, int type)
{
    return (struct flock){.l_type = (short)type,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(offset & (UINT64_MAX >> 2)),
                          .l_len = 1};
}

int lock_byte_of(int fd, uint64_t offset, enum lock_mode mode)
{
    return set_lock(fd, one_byte(offset, mode == LOCK_SHARED ? F_RDLCK : F_WRLCK), false);
}

void unlock_byte_of(int fd, uint64_t offset)
{
    (void)set_lock(fd, one_byte(offset, F_UNLCK), false);
}

int lock_byte_is_held(int fd, uint64_t offset)
{
    struct flock byte = one_byte(offset, F_WRLCK);
    if (fcntl(fd, F_OFD_GETLK, &byte) < 0)
        return -errno;
    return byte.l_type != F_UNLCK;
}

int lock_byte(const char *path, uint64_t offset, bool wait)
{
    int fd = io_open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return fd;
    int r = set_lock(fd, one_byte(offset, F_WRLCK), wait);
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

int lock_file(const char *path, enum lock_mode mode, bool wait)
{
    for (;;) {
        int fd = io_open(path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            return fd;
        int r = lock_convert(fd, mode, wait);
        struct stat held, named;
        if (r == 0 && fstat(fd, &held) == 0 && stat(path, &named) == 0 &&
            held.st_ino == named.st_ino && held.st_dev == named.st_dev)
            return fd;
        close(fd);
        if (r < 0)
            return r;
    }
}
