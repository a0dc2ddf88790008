/* optimize: rewriting the packs of a store. What its files share.
 *
 * DESIGN
 *   A put keeps together what one ingest brought, at a level that does not slow an installation
 *   down. So the versions of one file lie in different packs, where they cannot help to compress
 *   each other. optimize writes all blobs anew, in the order that optimize_plan.c decides, into one
 *   pack for each group. A frame that an earlier run made of just these blobs is copied as it is,
 *   so a run after a small addition costs the reading of the store and not its compression.
 *
 * INVARIANTS (their order survives a crash at any point):
 *   1. new packs are written in STORE/tmp under the shared lock, while others read and add
 *   2. every blob is compared with its SHA-256 before it is moved; a damaged one is left where it
 *      is, and so is the pack that holds it
 *   3. the lock is held exclusively from here on: nobody is between "the store has it" and the
 *      manifest that names it
 *   4. packs are complete, fsynced, renamed into packs/ and the folder fsynced before the catalog
 *      names them; one transaction moves all blobs and forgets the packs in which none is left
 *   5. only then the gathered locations, written before, get their name (a cache: stale ones lead
 * to the catalog), and after that packs that the catalog does not list are removed, unless one
 *      holds content that an image needs and the catalog lacks
 * A crash before the commit leaves garbage in tmp/ and packs that nobody lists, one after it packs
 * that nobody lists any more, by which the next run sees what is left to do. A reader that has a
 * removed pack open goes on with it; one that has not is led to the catalog (-ENOENT in
 * blob_reader_read()).
 */
#ifndef VENVFS_STORE_OPTIMIZE_H
#define VENVFS_STORE_OPTIMIZE_H

#include "base/progress.h"
#include "store/pack_writer.h"
#include "store/store_private.h"

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

struct plan_blob {
    struct sha256 id;
    uint64_t size;
    struct pack_location from, to; /* the same until plan_lay_out(); to.pack is the group then,
                                      until packs have numbers */
    char *path, *dist, *version;   /* of the first file that has it, by path; NULL: no file has */
    uint8_t group;                 /* enum optimize_group */
    bool test;                     /* of a test suite, which imports do not read */
    bool damaged;                  /* stays where it is */
};

/* A frame to be written: some whole blobs, or one slice of a big one. */
struct plan_frame {
    uint32_t first, count; /* in plan.order */
    uint32_t slice;
    uint32_t number; /* in the group's pack */
    uint32_t size;   /* raw */
    uint8_t group;
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

struct plan {
    struct store *store;
    struct plan_blob *blobs; /* in order of id */
    size_t blob_count, blob_alloc;
    uint32_t *order; /* indexes of blobs as they are to lie */
    size_t order_count;
    struct plan_frame *frames;
    size_t frame_count, frame_alloc;
    uint32_t group_frames[GROUPS];
    struct plan_pack *packs; /* in order of number */
    size_t pack_count, pack_alloc;
    struct plan_image *images;
    size_t image_count, image_alloc;
    struct store_image *gathered; /* of which optimize_gather() wrote the locations */
    size_t gathered_count, gathered_alloc;
    struct sha256 *missing; /* what images need and the catalog lacks, in order */
    size_t missing_count, missing_alloc;
};

/* Reads catalog and images. problem(): a line for each image or pack that cannot be read. */
int plan_read(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
              struct plan *ret, struct verror *err);
/* Orders the blobs that are not damaged and divides them into frames. Replaces order and frames. */
void plan_lay_out(struct plan *plan);
void plan_release(struct plan *plan);
struct plan_blob *plan_find(const struct plan *plan, const struct sha256 *id); /* NULL: none */
struct plan_pack *plan_find_pack(const struct plan *plan, uint32_t number);    /* NULL: none */
/* Does the frame exist already, made at `level` or higher of just these blobs? */
bool plan_frame_kept(const struct plan *plan, const struct plan_frame *frame, int level);

/* Marks damaged blobs, comparing each with its SHA-256. */
int optimize_check(struct plan *plan, const struct store_optimize_options *options,
                   struct store_optimize_result *result, struct verror *err);

struct written_pack {
    struct pack_writer *writer; /* NULL: the group is empty */
    char *path;                 /* in the folder of this run */
    uint64_t bytes;
    uint32_t number; /* once it is named */
};

/* Writes the frames into packs[] (of GROUPS) below dir and makes them durable. -E2BIG: the new
 * packs would be bigger than `limit`. */
int optimize_write(struct plan *plan, const struct store_optimize_options *options, const char *dir,
                   uint64_t limit, struct written_pack *packs, struct store_optimize_result *result,
                   struct verror *err);
/* What they would take, told from a sample. */
int optimize_estimate(struct plan *plan, const struct store_optimize_options *options,
                      uint64_t *bytes, struct verror *err);

/* Marks the packs there are as not worth another run at this level. */
int optimize_mark(struct plan *plan, int level, struct verror *err);

/* The following need the store's lock exclusively. */

/* Writes the locations of all images, as the catalog's open transaction has them, into one file. */
int optimize_gather(struct plan *plan, struct catalog *catalog, const char *path,
                    struct verror *err);
/* Puts that file into its place and removes the where files that it replaces. */
int optimize_put_gathered(const struct plan *plan, const char *path, struct verror *err);
/* Makes the new packs known and forgets the old ones; writes the locations into `gathered`. */
int optimize_commit(struct plan *plan, struct written_pack *packs, const char *gathered, int level,
                    struct verror *err);
/* Removes packs that the catalog does not list, or with `dry_run` only counts them. */
int optimize_sweep(const struct plan *plan, bool dry_run, uint64_t *bytes, uint64_t *count,
                   struct verror *err);

#endif
