/* mount: mount points; what FUSE needs of the machine, mounting's errors, stale mounts. */
#ifndef VENVFS_FS_MOUNT_H
#define VENVFS_FS_MOUNT_H

#include <stdbool.h>

#include "base/verror.h"

/* This process's effective capabilities, a bit each (capability.h); none when nobody tells. */
unsigned long long mount_privileges(void);

/* Catches what libfuse and fusermount3 write on standard error. */
struct mount_words {
    int file, saved;
};
void mount_words_begin(struct mount_words *words);
/* Standard error is as before; what was caught goes there and is returned, malloc'ed. */
char *mount_words_end(struct mount_words *words);

/* Records why mounting at `path` failed and what to do. words: libfuse's and fusermount3's own.
 * Returns a negative errno. */
int mount_explain(const char *path, int errnum, const char *words, struct verror *err);

/* Unmounts: umount2() where permitted, else fusermount3. -EBUSY: in use (never when lazy). */
int unmount_path(const char *path, bool lazy, struct verror *err);

/* Is something of ours mounted at exactly this path in this mount namespace? */
bool mounted_at(const char *path);

enum mount_health {
    MOUNT_NONE,  /* no mount of ours */
    MOUNT_LIVE,  /* ours, and answering */
    MOUNT_STALE, /* ours, and its daemon is gone */
};
enum mount_health mount_health(const char *path);

#endif
