/* upper: the private writable layer of an environment on disk.
 *
 *   UPPER/...                 ordinary files, folders and links, where the user sees them
 *   UPPER/D/.wh.NAME          an empty file: NAME of what lies below is gone (OCI's whiteout)
 *   UPPER/D/.wh..wh..opq      nothing of what lies below shows in D
 *   UPPER/D/.wh..wh..redirect what lies below D is a folder of an image: "sha256:HEX PATH\n"
 *   UPPER/D/.wh..wh..attr     attributes of names of D that have no file here: a log, last wins
 *   UPPER/.wh..wh..work/      files and folders being made; emptied when the layer is opened
 *   UPPER/.wh..wh..orphans/   removed, but still in use; emptied when the layer is opened
 *
 * So a user's edits can be read without venvfs. On disk a file has u+rw and a folder u+rwx always,
 * so that a daemon that is not root can serve it; where the mode that is shown differs, it is in
 * the extended attribute user.venvfs.mode.
 *
 * Paths are relative to UPPER, "" for itself. They are walked beneath it without following any link
 * or crossing into another file system (openat2). Every function returns 0 or a negative errno.
 * Nothing here locks: one daemon writes to a layer, and the overlay serialises.
 */
#ifndef VENVFS_FS_UPPER_H
#define VENVFS_FS_UPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/verror.h"

#define UPPER_PREFIX ".wh." /* of names that no user may make */
#define UPPER_NAME_MAX 251  /* path_component_ok(): room for the prefix */

struct upper {
    int root; /* O_PATH; -1: the layer does not exist on disk yet */
    char *path;
    int lock; /* held exclusively: one writable superblock per upper; -1: nothing to write to yet */
    uint64_t serial;
};

/* path: the folder, which need not exist; if it does, takes the lock PATH.lock (-EAGAIN: another
 * daemon writes to this layer) and empties work and orphans. */
int upper_open(const char *path, struct upper *ret, struct verror *err);
void upper_close(struct upper *upper); /* idempotent */
bool upper_exists(const struct upper *upper);
/* Makes the layer's folders, and takes its lock, when there are none. -EROFS: another daemon has
 * the lock. */
int upper_create(struct upper *upper);

/* Is this a name of ours, which no user may make or see? */
static inline bool upper_is_own(const char *name, size_t len)
{
    return len >= sizeof(UPPER_PREFIX) - 1 &&
           __builtin_memcmp(name, UPPER_PREFIX, sizeof(UPPER_PREFIX) - 1) == 0;
}

/* A folder, as O_PATH; the caller closes. */
int upper_dir(const struct upper *upper, const char *path);

/* ---- what a folder holds ---- */

struct upper_attr { /* of a name that has no file here; what is not set is -1 */
    int32_t mode;   /* permission bits */
    int64_t uid, gid;
    int64_t mtime_ns; /* INT64_MIN: not set */
};
#define UPPER_ATTR_NONE                                                                            \
    {                                                                                              \
        -1, -1, -1, INT64_MIN                                                                      \
    }

struct upper_reader {
    /* A file, folder or link of the user's; type: its S_IFMT bits. */
    void (*entry)(void *arg, const char *name, size_t len, mode_t type);
    void (*whiteout)(void *arg, const char *name, size_t len);
    void (*attr)(void *arg, const char *name, size_t len, const struct upper_attr *attr);
    void (*opaque)(void *arg);
    void (*redirect)(void *arg, const struct sha256 *image, const char *path);
    void *arg;
};
/* Calls for all that the folder says, in no order; of an attr log each line in its order. */
int upper_read_dir(const struct upper *upper, const char *path, const struct upper_reader *reader);

/* Only the folder's own marks: opaque() and redirect(). */
int upper_read_marks(const struct upper *upper, const char *path,
                     const struct upper_reader *reader);

/* ---- changes; dir: a descriptor of the folder ---- */

int upper_add_whiteout(int dir, const char *name);
int upper_drop_whiteout(int dir, const char *name); /* none: success */
int upper_set_opaque(int dir);
int upper_set_redirect(const struct upper *upper, int dir, const struct sha256 *image,
                       const char *path);
int upper_add_attr(int dir, const char *name, const struct upper_attr *attr);

/* The bits a file must have on disk to be served. */
static inline mode_t upper_disk_mode(mode_t mode)
{
    return (mode & 07777) | (S_ISDIR(mode) ? 0700 : 0600);
}
/* Sets the mode that is shown: on disk, and in the extended attribute where disk's must differ. */
int upper_set_mode(int dir, const char *name, mode_t type, mode_t mode);
/* lstat, with the mode that is shown. */
int upper_stat(int dir, const char *name, struct stat *ret);
int upper_fstat(int fd, struct stat *ret);

/* A name in work or orphans that nobody has: "PREFIX-N". */
void upper_temporary(struct upper *upper, const char *prefix, char ret[64]);
int upper_work(const struct upper *upper);    /* a descriptor; the caller closes */
int upper_orphans(const struct upper *upper); /* likewise */

#endif
