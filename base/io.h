/* System calls that write or make names durable, behind one seam where tests inject faults.
 *
 * Every function returns 0 (or a size, or a descriptor) or a negative errno, restarts on EINTR, and
 * opens with O_CLOEXEC. With the build option fault_seam, VENVFS_FAULT="CALL:N:ERRNO" (for example
 * "fsync:3:ENOSPC"; CALL is open, write, pwrite, read, fsync, rename, unlink, mkdir, mmap or link)
 * makes the Nth such call of the process fail, and "CALL:N:kill" ends it with SIGKILL just before
 * that call.
 */
#ifndef VENVFS_BASE_IO_H
#define VENVFS_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

int io_openat(int dirfd, const char *path, int flags, mode_t mode);
static inline int io_open(const char *path, int flags, mode_t mode)
{
    return io_openat(-100 /* AT_FDCWD */, path, flags, mode);
}

/* Opens a path beneath a folder ("" is the folder itself) without following any link: -ELOOP where
 * one is in the way, -EXDEV where the path would lead out (openat2). */
int io_open_beneath(int dirfd, const char *path, int flags);

int io_write_all(int fd, const void *data, size_t size);
int io_pwrite_all(int fd, const void *data, size_t size, uint64_t offset);
/* Reads up to size bytes; fewer only at end of file. Returns the number read. */
ssize_t io_pread_all(int fd, void *buf, size_t size, uint64_t offset);
/* Appends the rest of fd to sb; -EFBIG when more than `limit` bytes would be read. */
int io_read_to_end(int fd, struct strbuf *sb, size_t limit);
/* Replaces sb by the content of the file; -EFBIG beyond limit. */
int io_read_file(const char *path, struct strbuf *sb, size_t limit);
int io_read_fileat(int dirfd, const char *path, struct strbuf *sb, size_t limit);

int io_fsync(int fd);
int io_fsync_dir(const char *path);
/* Does an fsync on the file system of fd make durable whatever was done to names before it, there
 * and elsewhere in it? POSIX promises nothing of the kind. ext4's journal is committed whole
 * (without one, and in ext2, ext4_sync_parent() writes the folders above a new inode), the logs of
 * XFS and bcachefs are forced up to the inode's last change in their order, F2FS writes a
 * checkpoint for a folder. Btrfs logs single inodes: false, as for all that are not known. */
bool io_orders_names(int fd);
/* Makes a folder that is new durable: its names, its own name in the folder above, and what was
 * renamed there before. That takes an fsync of each, the new one first, or where io_orders_names()
 * of the new one alone. Files in it are made durable before, each by its own fsync. */
int io_fsync_new_dir(const char *path);
int io_rename(const char *from, const char *to);
int io_renameat(int fromfd, const char *from, int tofd, const char *to);
int io_unlinkat(int dirfd, const char *path, int flags);
static inline int io_unlink(const char *path)
{
    return io_unlinkat(-100 /* AT_FDCWD */, path, 0);
}
int io_mkdirat(int dirfd, const char *path, mode_t mode);
int io_symlinkat(const char *target, int dirfd, const char *path);
/* Maps the first size bytes read-only and private. */
int io_mmap(int fd, size_t size, const void **ret);
/* As above from an offset, which must be a multiple of the page size. */
int io_mmap_at(int fd, uint64_t offset, size_t size, const void **ret);
/* Reads exactly size bytes when all of them are in the page cache, else -EAGAIN (also where the
 * file system cannot tell). */
int io_pread_nowait(int fd, void *buf, size_t size, uint64_t offset);

/* Writes a whole file durably: temporary name in the same folder, fsync, rename, fsync of the
 * folder. `durable` false leaves out both fsyncs (caches that may be lost). */
int io_write_file_atomic(const char *path, const void *data, size_t size, mode_t mode, int durable);

#endif
