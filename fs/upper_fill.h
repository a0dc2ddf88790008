/* upper_fill: files of another tree become a new environment's own (adopt).
 *
 * The layer is nobody else's yet: names appear in any order, and one sync at the end makes all of
 * them durable. */
#ifndef VENVFS_FS_UPPER_FILL_H
#define VENVFS_FS_UPPER_FILL_H

#include "base/verror.h"
#include "fs/upper.h"

struct upper_fill {
    struct upper upper;
    int tree;         /* descriptor of the other tree's root */
    const char *root; /* its path, for messages */
    /* First lines of scripts in bin/ that name one of these environments' interpreters name
     * `interpreter` in the copy. */
    const char *const *names;
    const char *interpreter;
};

/* path: of the upper; what was there goes. The rest of *ret is set by the caller before. */
int upper_fill_begin(struct upper_fill *fill, const char *path, struct verror *err);
/* Copies a file, symlink or (empty) folder to the same path, with mode and time, and the folders
 * above it with theirs; no link above it is followed. -ESTALE: it changed meanwhile. -EOPNOTSUPP:
 * neither. */
int upper_fill_copy(struct upper_fill *fill, const char *path, struct verror *err);
/* What lies below at this path is gone. */
int upper_fill_whiteout(struct upper_fill *fill, const char *path, struct verror *err);
/* Makes all of it durable. */
int upper_fill_sync(struct upper_fill *fill, struct verror *err);
void upper_fill_end(struct upper_fill *fill); /* idempotent */

#endif
