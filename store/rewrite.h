/* rewrite: packs of a store made anew, for `store optimize` (store/optimize.h) and `store gc`
 * (store/gc.h). Each decides what moves and into which frames; what follows is the same.
 *
 * INVARIANTS (their order survives a crash at any point):
 *   1. new packs are written in STORE/tmp, while others read
 *   2. every blob is compared with its SHA-256 before it is moved; a damaged one is left where it
 *      is, and so is the pack that holds it
 *   3. the lock is held exclusively from here on: nobody is between "the store has it" and the
 *      manifest that names it
 *   4. packs are complete, fsynced, renamed into packs/ and the folder fsynced before the catalog
 *      names them; one transaction moves all blobs and forgets the packs in which none is left
 *   5. only then the gathered locations, written before, get their name (a cache: stale ones lead
 *      to the catalog), and after that packs that the catalog does not list are removed, unless one
 *      holds content that an image needs and the catalog lacks
 * A crash before the commit leaves garbage in tmp/ and packs that nobody lists, one after it packs
 * that nobody lists any more, by which the next run sees what is left to do. A reader that has a
 * removed pack open goes on with it; one that has not is led to the catalog (-ENOENT in
 * blob_reader_read()).
 */
#ifndef VENVFS_STORE_REWRITE_H
#define VENVFS_STORE_REWRITE_H

#include "base/progress.h"
#include "store/pack_writer.h"
#include "store/store_private.h"

struct plan_blob {
    struct sha256 id;
    uint64_t size;
    struct pack_location from, to; /* the same until the layout; to.pack is the group then, until
                                      packs have numbers */
    char *path, *dist, *version;   /* of the first file that has it, by path; NULL: nobody asked,
                                      or no file has */
    uint8_t group;                 /* the new pack it goes to */
    bool test;                     /* of a test suite, which imports do not read */
    bool damaged;                  /* stays where it is, */
    bool stays;                    /* as does what is not to be moved */
    bool live;                     /* gc: an image that stays needs it */
};
static inline bool plan_moves(const struct plan_blob *blob)
{
    return !blob->damaged && !blob->stays;
}

/* A frame to be written: some whole blobs, or one slice of a big one. */
struct plan_frame {
    uint32_t first, count; /* in plan.order */
    uint32_t slice;
    uint32_t number; /* in the group's pack */
    uint32_t size;   /* raw */
    uint8_t group;
    bool kept; /* copied as it is from where its first blob lies */
};

struct plan_pack {
    uint32_t number;
    uint64_t bytes;
    int level;         /* catalog_optimized() */
    struct pack *pack; /* NULL: it cannot be opened */
};

struct plan_image {
    struct store_image which;
    char *name, *version;
};

enum { PLAN_GROUPS_MAX = 64 };

struct plan {
    struct store *store;
    struct plan_blob *blobs; /* in order of id */
    size_t blob_count, blob_alloc;
    uint32_t *order; /* indexes of blobs as they are to lie */
    size_t order_count;
    struct plan_frame *frames;
    size_t frame_count, frame_alloc;
    uint32_t group_frames[PLAN_GROUPS_MAX]; /* each group becomes a pack */
    struct plan_pack *packs;                /* in order of number */
    size_t pack_count, pack_alloc;
    struct plan_image *images;
    size_t image_count, image_alloc;
    struct store_image *gathered; /* of which rewrite_gather() wrote the locations */
    size_t gathered_count, gathered_alloc;
    struct sha256 *missing; /* what images need and the catalog lacks, in order */
    size_t missing_count, missing_alloc;
};

/* Reads the catalog and opens the packs. problem(): a line for each pack that cannot be opened;
 * what is in it counts as damaged. */
int plan_read_catalog(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
                      struct plan *ret, struct verror *err);
void plan_release(struct plan *plan);
struct plan_blob *plan_find(const struct plan *plan, const struct sha256 *id); /* NULL: none */
struct plan_pack *plan_find_pack(const struct plan *plan, uint32_t number);    /* NULL: none */
/* Notes that an image needs what the catalog lacks; sorted when all are noted. */
void plan_miss(struct plan *plan, const struct sha256 *id);
void plan_sort_missing(struct plan *plan);
/* A new last frame of the group with one blob, order[first]. */
struct plan_frame *plan_add_frame(struct plan *plan, uint32_t first, uint8_t group);

struct rewrite_options {
    int level;   /* of zstd, for frames that are not kept */
    size_t jobs; /* threads; 0: one per CPU */
    struct progress *progress;
    void (*problem)(const char *line, void *arg); /* for each damage */
    void *arg;
};

/* Marks those damaged blobs that would move, comparing each with its SHA-256. *damaged: how many
 * are marked now. */
int rewrite_check(struct plan *plan, const struct rewrite_options *options, uint64_t *damaged,
                  struct verror *err);

struct written_pack {
    struct pack_writer *writer; /* NULL: the group is empty */
    char *path;                 /* in the folder of this run */
    uint64_t bytes;
    uint32_t number; /* once it is named */
    int level;       /* for catalog_set_optimized() */
};

struct rewrite_counts {
    uint64_t made, kept; /* frames */
};

/* Writes the frames into packs[] (of PLAN_GROUPS_MAX) below dir and makes them durable. -E2BIG: the
 * new packs would be bigger than `limit`. */
int rewrite_write(struct plan *plan, const struct rewrite_options *options, const char *dir,
                  uint64_t limit, struct written_pack *packs, struct rewrite_counts *counts,
                  struct verror *err);
/* What they would take, exactly: compresses without writing. */
int rewrite_measure(struct plan *plan, const struct rewrite_options *options, uint64_t *bytes,
                    struct verror *err);
/* The same told from a sample. */
int rewrite_estimate(struct plan *plan, const struct rewrite_options *options, uint64_t *bytes,
                     struct verror *err);
/* Closes them and frees what they have; those in place stay. */
void rewrite_release(struct written_pack *packs);

/* The following need the store's lock exclusively. */

struct change {
    struct written_pack *packs; /* of PLAN_GROUPS_MAX, those that are made known */
    const char *gathered;       /* where the locations are written to; NULL: no blob has moved */
    /* What else the transaction changes: after blobs are moved and before packs without any are
     * forgotten. */
    int (*also)(struct plan *plan, struct catalog *catalog, void *arg, struct verror *err);
    void *arg;
};
/* Makes new packs known and forgets those in which no blob is left, in one transaction. */
int rewrite_commit(struct plan *plan, const struct change *change, struct verror *err);
/* Writes the locations of all images, as the catalog's open transaction has them, into one file. */
int rewrite_gather(struct plan *plan, struct catalog *catalog, const char *path,
                   struct verror *err);
/* Puts that file into its place and removes the where files that it replaces. */
int rewrite_put_gathered(const struct plan *plan, const char *path, struct verror *err);
/* Does a pack hold what an image needs and the catalog lacks? One that cannot be opened may. */
bool rewrite_pack_is_needed(const struct plan *plan, const char *path, uint32_t number);
/* Removes packs that the catalog does not list and that are not needed, or with `dry_run` only
 * counts them. */
int rewrite_sweep(const struct plan *plan, bool dry_run, uint64_t *bytes, uint64_t *count,
                  struct verror *err);

#endif
