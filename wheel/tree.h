/* tree: reading the files of an installed tree as untrusted input: no link is followed, nothing but
 * plain files is read. */
#ifndef VENVFS_WHEEL_TREE_H
#define VENVFS_WHEEL_TREE_H

#include <sys/stat.h>

#include "base/verror.h"
#include "wheel/plan.h"
#include "wheel/zip.h"

#define TREE_MAX_FILE ZIP_MAX_MEMBER
#define TREE_MAX_TOTAL ZIP_MAX_TOTAL /* of one distribution */

enum tree_state {
    TREE_FILE,    /* a plain file */
    TREE_MISSING, /* nothing there */
    TREE_LINK,    /* a symlink, or reached through one */
    TREE_OTHER,   /* a folder, a FIFO, a device; or a file over TREE_MAX_FILE */
};

/* Opens the file at `path` from the root's descriptor: TREE_FILE and *fd to close, or why there is
 * none to read (*fd -1). A negative errno: it could not be found out. */
int tree_open_file(int root, const char *path, int *fd, struct stat *st, struct verror *err);

/* The whole file with a NUL behind it, malloc'ed; *ret NULL when the state is not TREE_FILE.
 * -EFBIG beyond limit. */
int tree_read_file(int root, const char *path, uint64_t limit, char **ret, size_t *len,
                   struct verror *err);

/* A member of a plan made from a tree, as the wheel had it: m->size bytes into buf. -ESTALE: the
 * file is another one now. */
int tree_read_member(int root, const struct plan_member *m, void *buf, struct verror *err);

/* "PATH was changed while it was being read"; returns -ESTALE. */
int tree_changed(const char *path, struct verror *err);

#endif
