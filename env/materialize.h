/* An environment as plain files, for where there is no FUSE. */
#ifndef VENVFS_ENV_MATERIALIZE_H
#define VENVFS_ENV_MATERIALIZE_H

#include "base/verror.h"
#include "env/view.h"
#include "store/store.h"

/* Writes the whole view into the folder DIR, which must not exist or be empty; compose the view for
 * the address DIR, for scripts and activation files name it. Modes and times are the view's, so its
 * bytecode stays valid. All or nothing: the tree is built beside DIR and renamed. It is not
 * fsynced: it can be made again. Blocks. -ENOTEMPTY, -ENOTDIR, -EIO (a damaged blob, named), or
 * errno of a call with the path. */
int materialize(const struct view *view, struct blob_reader *reader, const char *dir,
                struct verror *err);

/* What an environment's user changed, to be written as it is shown over the view. */
struct materialize_upper {
    const char *path; /* of the layer, which need not exist */
    /* Scripts in it that begin with the interpreter of one of these environments (NULL-terminated
     * paths) begin with `interpreter` instead. */
    const char *const *roots;
    const char *interpreter;
};
/* The same with the layer over it. A daemon may be writing to it: what vanishes meanwhile is passed
 * over. -EUCLEAN: a mark of the layer is damaged. */
int materialize_over(const struct view *view, const struct materialize_upper *upper,
                     struct blob_reader *reader, const char *dir, struct verror *err);

#endif
