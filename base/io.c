#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "venvfs-config.h"

enum io_call {
    CALL_OPEN,
    CALL_WRITE,
    CALL_PWRITE,
    CALL_READ,
    CALL_FSYNC,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_MKDIR,
    CALL_MMAP,
    CALL_LINK,
};

#if VENVFS_FAULT_SEAM
static const char *const call_names[] = {
    [CALL_OPEN] = "open",     [CALL_WRITE] = "write", [CALL_PWRITE] = "pwrite",
    [CALL_READ] = "read",     [CALL_FSYNC] = "fsync", [CALL_RENAME] = "rename",
    [CALL_UNLINK] = "unlink", [CALL_MKDIR] = "mkdir", [CALL_MMAP] = "mmap",
    [CALL_LINK] = "link",
};

static const struct {
    const char *name;
    int errnum;
} fault_errnos[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EMFILE", EMFILE},
    {"ENOMEM", ENOMEM}, {"EACCES", EACCES}, {"EROFS", EROFS},   {"kill", -1},
};

/* Returns the errno to fail with, or 0. */
static int fault(enum io_call call)
{
    static atomic_long counts[ARRAY_SIZE(call_names)];
    const char *spec = getenv("VENVFS_FAULT");
    if (!spec)
        return 0;
    size_t n = strlen(call_names[call]);
    if (strncmp(spec, call_names[call], n) != 0 || spec[n] != ':')
        return 0;
    char *end;
    long wanted = strtol(spec + n + 1, &end, 10);
    if (*end != ':' || atomic_fetch_add(&counts[call], 1) + 1 != wanted)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(fault_errnos); i++) {
        if (strcmp(end + 1, fault_errnos[i].name) != 0)
            continue;
        if (fault_errnos[i].errnum < 0)
            (void)kill(getpid(), SIGKILL);
        return fault_errnos[i].errnum;
    }
    return 0;
}
#else
static inline int fault(enum io_call call)
{
    (void)call;
    return 0;
}
#endif

int io_openat(int dirfd, const char *path, int flags, mode_t mode)
{
    int e = fault(CALL_OPEN);
    if (e)
        return -e;
    int fd;
    do
        fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int io_open_beneath(int dirfd, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int e = fault(CALL_OPEN);
    if (e)
        return -e;
    long fd;
    do /* EAGAIN: a rename somewhere made the kernel unsure of a ".." */
        fd = syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

int io_write_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size) {
        int e = fault(CALL_WRITE);
        if (e)
            return -e;
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int io_pwrite_all(int fd, const void *data, size_t size, uint64_t offset)
{
    const char *p = data;
    while (size) {
        int e = fault(CALL_PWRITE);
        if (e)
            return -e;
        ssize_t n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

ssize_t io_pread_all(int fd, void *buf, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        int e = fault(CALL_READ);
        if (e)
            return -e;
        ssize_t n = pread(fd, (char *)buf + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int io_read_to_end(int fd, struct strbuf *sb, size_t limit)
{
    size_t start = sb->len;
    for (;;) {
        int e = fault(CALL_READ);
        if (e)
            return -e;
        strbuf_grow(sb, 16 * 1024);
        ssize_t n = read(fd, sb->buf + sb->len, sb->alloc - sb->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        sb->len += (size_t)n;
        sb->buf[sb->len] = '\0';
        if (sb->len - start > limit)
            return -EFBIG;
    }
}

int io_read_fileat(int dirfd, const char *path, struct strbuf *sb, size_t limit)
{
    _cleanup_close_ int fd = io_openat(dirfd, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    strbuf_reset(sb);
    return io_read_to_end(fd, sb, limit);
}

int io_read_file(const char *path, struct strbuf *sb, size_t limit)
{
    return io_read_fileat(AT_FDCWD, path, sb, limit);
}

int io_fsync(int fd)
{
    int e = fault(CALL_FSYNC);
    if (e)
        return -e;
    return fsync(fd) < 0 ? -errno : 0;
}

int io_fsync_dir(const char *path)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? fd : io_fsync(fd);
}

bool io_orders_names(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return false;
    switch ((unsigned long)fs.f_type & 0xffffffff) {
    case EXT4_SUPER_MAGIC: /* and ext2, ext3 */
    case XFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case 0xca451a4e: /* bcachefs */
        return true;
    default:
        return false;
    }
}

int io_fsync_new_dir(const char *path)
{
    _cleanup_free_ char *above = path_dirname(path);
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0);
    int r = fd < 0 ? fd : io_fsync(fd);
    return r < 0 || io_orders_names(fd) ? r : io_fsync_dir(above);
}

int io_rename(const char *from, const char *to)
{
    return io_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int io_renameat(int fromfd, const char *from, int tofd, const char *to)
{
    int e = fault(CALL_RENAME);
    if (e)
        return -e;
    return renameat(fromfd, from, tofd, to) < 0 ? -errno : 0;
}

int io_unlinkat(int dirfd, const char *path, int flags)
{
    int e = fault(CALL_UNLINK);
    if (e)
        return -e;
    return unlinkat(dirfd, path, flags) < 0 ? -errno : 0;
}

int io_mkdirat(int dirfd, const char *path, mode_t mode)
{
    int e = fault(CALL_MKDIR);
    if (e)
        return -e;
    return mkdirat(dirfd, path, mode) < 0 ? -errno : 0;
}

int io_symlinkat(const char *target, int dirfd, const char *path)
{
    int e = fault(CALL_LINK);
    if (e)
        return -e;
    return symlinkat(target, dirfd, path) < 0 ? -errno : 0;
}

int io_mmap(int fd, size_t size, const void **ret)
{
    return io_mmap_at(fd, 0, size, ret);
}

int io_mmap_at(int fd, uint64_t offset, size_t size, const void **ret)
{
    int e = fault(CALL_MMAP);
    if (e)
        return -e;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
    if (p == MAP_FAILED)
        return -errno;
    *ret = p;
    return 0;
}

int io_pread_nowait(int fd, void *buf, size_t size, uint64_t offset)
{
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    ssize_t n;
    do
        n = preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && errno != EOPNOTSUPP && errno != ENOSYS)
        return -errno;
    return n >= 0 && (size_t)n == size ? 0 : -EAGAIN;
}

int io_write_file_atomic(const char *path, const void *data, size_t size, mode_t mode, int durable)
{
    static atomic_uint serial;
    _cleanup_free_ char *tmp =
        xasprintf("%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
    int fd = io_open(tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return fd;
    int r = io_write_all(fd, data, size);
    if (r == 0 && durable)
        r = io_fsync(fd);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0)
        r = io_rename(tmp, path);
    if (r < 0) {
        (void)unlink(tmp);
        return r;
    }
    if (durable) {
        _cleanup_free_ char *dir = path_dirname(path);
        r = io_fsync_dir(dir);
    }
    return r;
}
