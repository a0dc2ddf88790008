/* Advisory locks on files: open file description locks, released by the kernel when the last
 * descriptor closes, so a killed process never leaves one behind. */
#ifndef VENVFS_BASE_LOCK_H
#define VENVFS_BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

/* Opens (creating, 0600) and locks the file. Blocks unless `wait` is false, then -EAGAIN when it is
 * held elsewhere. Returns a descriptor whose close() releases the lock, or a negative errno. The
 * file is never removed, and reopened when it was replaced between open and lock. */
int lock_file(const char *path, enum lock_mode mode, bool wait);
/* Opens (creating, 0600) the file and locks the byte at `offset` of it exclusively, whether or not
 * the file has that byte: as many independent locks as there are numbers, and nothing to clean up.
 * Otherwise as lock_file(). */
int lock_byte(const char *path, uint64_t offset, bool wait);
/* The same of a file that is open for reading and writing, without waiting: many bytes may be
 * locked by one descriptor, until it is closed or each is unlocked. -EAGAIN. */
int lock_byte_of(int fd, uint64_t offset, enum lock_mode mode);
void unlock_byte_of(int fd, uint64_t offset);
/* 1: another descriptor has the byte locked, in either mode; 0: none has. */
int lock_byte_is_held(int fd, uint64_t offset);
/* Changes the mode of a lock already held; may block or -EAGAIN as above. */
int lock_convert(int fd, enum lock_mode mode, bool wait);

#endif
