/* place: where a nodeid is, as the file system's rooms hand it to each other. */
#ifndef VENVFS_FS_PLACE_H
#define VENVFS_FS_PLACE_H

#include <stdint.h>
#include <sys/types.h>

#include "fs/tree.h"

struct overlay;
struct onode;

/* tree NULL: the hub's own node, its root or its CACHEDIR.TAG. With an overlay, its lock is held
 * until place_release(). */
struct place {
    struct tree *tree;     /* a reference */
    struct view_node node; /* what the images have there; meaningless when only the upper does */
    uint64_t nodeid;
    struct overlay *overlay; /* of a writable environment, or NULL */
    struct onode *up;        /* what the overlay knows of it, or NULL */
};

/* Whose everything is that nobody gave to another: the effective ids of this process, which never
 * change. Answers carry them for each name: asked of the kernel once. */
struct owner {
    uid_t uid;
    gid_t gid;
};
const struct owner *place_owner(void);

void place_release(struct place *place);
#define _cleanup_place_ __attribute__((cleanup(place_release)))

#endif
