/* optimize: what lies together in the packs of a store. What its files share.
 *
 * DESIGN
 *   A put keeps together what one ingest brought, at a level that does not slow an installation
 *   down. So the versions of one file lie in different packs, where they cannot help to compress
 *   each other. optimize writes all blobs anew, in the order that optimize_plan.c decides, into one
 *   pack for each group. A frame that an earlier run made of just these blobs is copied as it is,
 *   so a run after a small addition costs the reading of the store and not its compression.
 *
 *   It writes the new packs while others read and add, and takes the lock exclusively for the
 *   change alone; the invariants are those of store/rewrite.h.
 */
#ifndef VENVFS_STORE_OPTIMIZE_H
#define VENVFS_STORE_OPTIMIZE_H

#include "store/rewrite.h"

/* A pack each. Imports read bytecode, native code, and of some distributions METADATA and
 * entry_points.txt; seldom anything else. */
enum optimize_group {
    GROUP_BYTECODE,
    GROUP_NATIVE,
    GROUP_METADATA, /* what lies in a dist-info folder */
    GROUP_SOURCE,
    GROUP_OTHER,
    GROUPS
};

/* Reads catalog and images. problem(): a line for each image or pack that cannot be read. */
int optimize_read(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
                  struct plan *ret, struct verror *err);
/* Orders the blobs that move and divides them into frames, of which those stay as they are that
 * were made so at `level` or higher. Replaces order and frames. */
void optimize_lay_out(struct plan *plan, int level);

#endif
