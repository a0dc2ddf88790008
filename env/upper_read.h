/* upper_read: the layout of an environment's private writable layer on disk, and reading it.
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
 * The daemon is the only writer (fs/upper.h). Paths are relative to the layer, "" for itself; they
 * are walked beneath it without following any link or crossing into another file system. Every
 * function returns 0 or a negative errno.
 */
#ifndef VENVFS_ENV_UPPER_READ_H
#define VENVFS_ENV_UPPER_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/hash.h"

#define UPPER_PREFIX ".wh." /* of names that no user may make */
#define UPPER_OPAQUE UPPER_PREFIX UPPER_PREFIX ".opq"
#define UPPER_REDIRECT UPPER_PREFIX UPPER_PREFIX ".redirect"
#define UPPER_ATTR UPPER_PREFIX UPPER_PREFIX ".attr"
#define UPPER_WORK UPPER_PREFIX UPPER_PREFIX ".work"
#define UPPER_ORPHANS UPPER_PREFIX UPPER_PREFIX ".orphans"
#define UPPER_MODE_XATTR "user.venvfs.mode"
#define UPPER_NAME_MAX 251 /* path_component_ok(): room for the prefix */

/* Is this a name of ours, which no user may make or see? */
static inline bool upper_is_own(const char *name, size_t len)
{
    return len >= sizeof(UPPER_PREFIX) - 1 &&
           __builtin_memcmp(name, UPPER_PREFIX, sizeof(UPPER_PREFIX) - 1) == 0;
}

/* Opens what lies beneath the descriptor; O_CLOEXEC is added. */
int upper_beneath(int root, const char *path, int flags);

struct upper_attr { /* of a name that has no file here; what is not set is -1 */
    int32_t mode;   /* permission bits */
    int64_t uid, gid;
    int64_t mtime_ns; /* INT64_MIN: not set */
};
#define UPPER_ATTR_NONE                                                                            \
    {                                                                                              \
        -1, -1, -1, INT64_MIN                                                                      \
    }

struct upper_reader { /* NULL: nobody asks */
    /* A file, folder or link of the user's; type: its S_IFMT bits. */
    void (*entry)(void *arg, const char *name, size_t len, mode_t type);
    void (*whiteout)(void *arg, const char *name, size_t len);
    void (*attr)(void *arg, const char *name, size_t len, const struct upper_attr *attr);
    void (*opaque)(void *arg);
    void (*redirect)(void *arg, const struct sha256 *image, const char *path);
    void *arg;
};
/* Calls for all that a folder says, in no order; of an attr log each line in its order. root: a
 * descriptor of the layer. -EUCLEAN: a mark that says nothing. */
int upper_read_folder(int root, const char *path, const struct upper_reader *reader);
/* Only the marks of a folder, given as a descriptor: opaque() and redirect(). */
int upper_read_own_marks(int dir, const struct upper_reader *reader);

/* Puts the mode that is shown into what fstat() says of a descriptor (O_PATH will do). Returns
 * whether the file has the extended attribute. */
bool upper_show_mode(int fd, struct stat *st);

#endif
