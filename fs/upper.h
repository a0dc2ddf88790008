/* upper: the private writable layer of an environment on disk.
 *
 * env/upper_read.h has the layout, and reads it: so can commands, which need no daemon for it.
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
#include "env/upper_read.h"

/* An installation is removed folder by folder, and each gets whiteouts before it goes itself: what
 * is made for it is used again, since making and removing folders is what costs there. */
#define UPPER_SPARES 16u

struct upper {
    int root; /* O_PATH, as the next two; -1: the layer does not exist on disk yet */
    int work, orphans;
    int whiteout;                  /* O_PATH, of one that others can be links to; -1: none yet */
    uint64_t spares[UPPER_SPARES]; /* numbers of empty folders in work, to be used again */
    size_t n_spares;
    char *path;
    int lock; /* held exclusively: one writable superblock per upper; -1: nothing to write to yet */
    uint64_t serial;
};

/* path: the folder, which need not exist; if it does, takes the lock PATH.lock (-EAGAIN: another
 * daemon writes to this layer, and goes on to for a second) and empties work and, unless they are
 * kept, orphans. */
int upper_open(const char *path, bool keep_orphans, struct upper *ret, struct verror *err);
void upper_close(struct upper *upper); /* idempotent */
/* Gives back its descriptors and its lock: as if it did not exist. */
void upper_leave(struct upper *upper);
bool upper_exists(const struct upper *upper);
/* Makes the layer's folders, and takes its lock, when there are none. -EROFS: another daemon has
 * the lock. */
int upper_create(struct upper *upper);
/* The folder has another path now. */
void upper_moved(struct upper *upper, const char *path);

/* A folder, as O_PATH; the caller closes. */
int upper_dir(const struct upper *upper, const char *path);

/* ---- what a folder holds ---- */

/* Calls for all that the folder says, in no order; of an attr log each line in its order. */
int upper_read_dir(const struct upper *upper, const char *path, const struct upper_reader *reader);

/* Only the folder's own marks: opaque() and redirect(). */
int upper_read_marks(const struct upper *upper, const char *path,
                     const struct upper_reader *reader);

/* ---- changes; dir: a descriptor of the folder ---- */

/* A hard link to one made before: a sixth of what making a file costs. */
int upper_add_whiteout(struct upper *upper, int dir, const char *name);
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
/* What is known of a file's extended attribute, so that nobody asks the disk twice: the layer has
 * no other writer. Else its value. */
#define UPPER_MODE_UNKNOWN (-2)
#define UPPER_MODE_OF_DISK (-1) /* it has none: the mode on disk is shown */

/* Sets the mode that is shown: on disk, and in the extended attribute where disk's must differ. */
int upper_set_mode(int dir, const char *name, mode_t type, mode_t mode, int32_t *shown);
/* The same of a descriptor, not O_PATH. */
int upper_fset_mode(int fd, mode_t type, mode_t mode, int32_t *shown);
/* Makes a folder. */
int upper_mkdir(struct upper *upper, int dir, const char *name, mode_t mode, int32_t *shown);
/* Removes a folder in one step, with what is in it: whiteouts and marks. marked: it has some, as
 * far as is known. What cannot be removed goes when the layer is opened. */
int upper_remove_dir(struct upper *upper, int dir, const char *name, bool marked);
/* lstat, with the mode that is shown. */
int upper_stat(int dir, const char *name, int32_t *shown, struct stat *ret);
int upper_fstat(int fd, int32_t *shown, struct stat *ret);

/* A name in work or orphans that nobody has: "PREFIX-N". */
void upper_temporary(struct upper *upper, const char *prefix, char ret[64]);

#endif
