/* gc: removing what nothing has. What its files share.
 *
 * DESIGN
 *   Mark: roots (the caller names those of environments), pins and leases are images; the blobs
 * that they name live. Sweep: other images go; a pack without a living blob goes; one of which a
 *   quarter or more is dead is made anew, frames that live as they are and what is left of the
 *   others compressed together. Dead blobs in a pack that stays keep their rows in the catalog, so
 *   that an image that needs them later finds them. Nothing is compared with what was there
 *   earlier: each run looks at everything.
 *
 *   The lock is held exclusively for mark and sweep: nobody is between "the store has it" and the
 *   manifest that names it. Who shows environments holds no lock; an image that goes is refused to
 *   him by its lease, so he reads the manifest again.
 *
 *   A dry run decides and compresses in the same way and writes nothing, so its figures are those
 *   of the run.
 *
 * INVARIANTS (their order survives a crash at any point):
 *   1. all that is not marked is named by no manifest, durably, before the catalog forgets it
 *   2. new packs as in store/rewrite.h
 *   3. one transaction forgets images and dead blobs and moves living ones
 *   4. only then files are removed: images, then packs
 * A crash before 3 leaves new packs that nobody lists, one after it old files that nobody lists;
 * the next run removes either.
 */
#ifndef VENVFS_STORE_GC_H
#define VENVFS_STORE_GC_H

#include "store/rewrite.h"

struct gc_image {
    bool keep;     /* a root, a pin or leased, or unused and within the limits */
    bool unused;   /* nothing has it */
    bool complete; /* one that stays: the catalog has all that it needs */
    uint32_t blobs;
    int64_t used;
    uint64_t bytes; /* of its files */
};

enum gc_fate { GC_STAYS, GC_GOES, GC_ANEW };

struct gc_pack {
    uint8_t fate;          /* enum gc_fate */
    uint64_t bytes;        /* of the file; 0: there is none */
    uint32_t first, count; /* its blobs, in gc.by_place */
};

struct gc {
    struct store *store;
    const struct store_gc_options *options;
    struct store_gc_result *result;
    struct plan plan;
    struct gc_image *images; /* as plan.images */
    uint32_t *refs;          /* as plan.blobs: how many images that stay need it */
    struct gc_pack *packs;   /* as plan.packs */
    uint32_t *by_place;      /* indexes of plan.blobs in the order in which they lie */
    char *dir;               /* in STORE/tmp */
    int dir_lock;
    struct written_pack written[PLAN_GROUPS_MAX];
};

/* Decides which images stay and marks what they need. */
int gc_mark(struct gc *gc, struct verror *err);
/* Bytes that a blob takes in its pack: its share of frames. */
uint64_t gc_stored_bytes(const struct gc *gc, const struct plan_blob *blob);
/* Decides what becomes of each pack, and lays out what moves. */
int gc_plan_packs(struct gc *gc, const struct rewrite_options *options, struct verror *err);
/* Packs that would be made anew stay as they are. */
void gc_keep_packs(struct gc *gc);
/* Sum of the frames of the packs that stay that no image needs. */
uint64_t gc_dead_bytes(const struct gc *gc);
bool gc_keeps_number(const struct gc *gc, uint32_t image);

#endif
