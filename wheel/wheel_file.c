#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/path.h"
#include "wheel/plan.h"

static int open_regular(const char *path, struct stat *st, struct verror *err)
{
    /* O_NONBLOCK: a FIFO must not hang us before it can be refused. */
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return verror_errno(err, fd, "opening %s", path);
    if (fstat(fd, st) < 0)
        return verror_errno(err, errno, "opening %s", path);
    if (!S_ISREG(st->st_mode))
        return verror_set(err, EBADMSG, "%s: not a file", path);
    return steal_fd(&fd);
}

int wheel_file_identify(const char *path, const struct sha256 *expect, struct wheel_file *ret,
                        struct verror *err)
{
    struct stat st;
    _cleanup_close_ int fd = open_regular(path, &st, err);
    if (fd < 0)
        return fd;
    struct sha256 digest;
    int r = sha256_of_fd(fd, &digest);
    if (r < 0)
        return verror_errno(err, r, "reading %s", path);
    if (expect && !sha256_equal(&digest, expect)) {
        char have[SHA256_HEX_SIZE], want[SHA256_HEX_SIZE];
        sha256_to_hex(&digest, have);
        sha256_to_hex(expect, want);
        verror_set(err, EBADMSG, "%s: its SHA-256 is %s, not %s", path_basename(path), have, want);
        verror_hint(err, "the download is damaged, or the wheel is not the one locked");
        return -EBADMSG;
    }
    *ret = (struct wheel_file){
        .path = path,
        .filename = path_basename(path),
        .digest = digest,
        .size = (uint64_t)st.st_size,
        .device = st.st_dev,
        .inode = st.st_ino,
        .mtime = st.st_mtim,
    };
    return 0;
}

int wheel_file_open(const struct wheel_file *file, struct verror *err)
{
    struct stat st;
    _cleanup_close_ int fd = open_regular(file->path, &st, err);
    if (fd < 0)
        return fd;
    bool same = st.st_dev == file->device && st.st_ino == file->inode &&
                (uint64_t)st.st_size == file->size && st.st_mtim.tv_sec == file->mtime.tv_sec &&
                st.st_mtim.tv_nsec == file->mtime.tv_nsec;
    if (!same)
        return verror_set(err, ESTALE, "%s: was changed while it was read", file->path);
    return steal_fd(&fd);
}
