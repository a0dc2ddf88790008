/* edits: what an environment's user, or tools inside it, changed: the upper layer against a view.
 *
 * Bytes decide: a file that came up and holds what its image has is no edit, and times are none.
 * Nothing here writes or locks. The daemon may be writing meanwhile; what vanishes while it is
 * looked at is passed over.
 */
#ifndef VENVFS_ENV_EDITS_H
#define VENVFS_ENV_EDITS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"
#include "env/view.h"

enum edit_kind {
    EDIT_ADDED = 'A',
    EDIT_MODIFIED = 'M',
    EDIT_REMOVED = 'D',
    EDIT_RENAMED = 'R', /* a folder; what was changed in it then is told besides */
};

struct edit {
    enum edit_kind kind;
    bool folder;     /* added: an empty one; removed: with all that was in it */
    bool attributes; /* modified: mode or owner alone */
    bool lost;       /* renamed: no package of the view has its content any more */
    char *path;      /* relative to the environment's root */
    char *source;    /* renamed: the path that its content has below, else NULL */
};

struct edits {
    struct edit *v; /* sorted by path */
    size_t n, alloc;
};

/* Is there anything in the layer besides its own folders? No upper is none. */
bool edits_any(const char *upper);

/* Does a file (a descriptor that can be read, of this size) have the bytes that a file of the view
 * has? What cannot be read has not. */
bool edits_same_bytes(const struct view *view, int fd, struct view_node node, uint64_t size);

/* All edits. view: what lies below. No upper: none. Reads the files that have the size they had.
 * -EUCLEAN: a mark of the layer is damaged; else errno of a call. */
int edits_read(const char *upper, const struct view *view, struct edits *ret, struct verror *err);
void edits_release(struct edits *edits);
#define _cleanup_edits_ _cleanup_(edits_release)

#endif
