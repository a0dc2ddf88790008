/* catalog: the SQLite index of a store. One connection, one thread at a time.
 *
 * Nothing else may open the file: closing any descriptor of it drops the POSIX locks that SQLite
 * relies on. Sizes are taken with stat(2).
 */
#ifndef VENVFS_STORE_CATALOG_H
#define VENVFS_STORE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/verror.h"
#include "store/pack.h"
#include "store/store.h"

struct catalog;

/* Makes the file and its tables where they are missing. The caller holds the store's lock
 * exclusively. */
int catalog_create(const char *path, struct verror *err);
int catalog_open(const char *path, bool read_only, struct catalog **ret, struct verror *err);
void catalog_close(struct catalog *c); /* NULL is accepted */

/* A write transaction; waits for another process's. */
int catalog_begin(struct catalog *c, struct verror *err);
/* After a failure nobody can know whether the transaction will be seen: what it names must stay. */
int catalog_commit(struct catalog *c, struct verror *err);
void catalog_rollback(struct catalog *c);
/* A transaction of look-ups, which see one state and take no lock each. Ends with
 * catalog_rollback(); no change may come before that. */
int catalog_begin_reading(struct catalog *c, struct verror *err);
/* Moves the write-ahead log into the database, so that it does not stay big. Best effort. */
void catalog_checkpoint(struct catalog *c);

/* ---- look-ups: 0, -ENOENT or an error ---- */
int catalog_find_image(struct catalog *c, const struct sha256 *wheel, const char *target,
                       struct store_image *ret, struct verror *err);
int catalog_find_made(struct catalog *c, const struct sha256 *wheel, const char *target,
                      struct store_made *ret, struct verror *err);
/* -E2BIG: there are more than `most`. */
int catalog_wheel_ids(struct catalog *c, size_t most, struct sha256 **ret, size_t *n,
                      struct verror *err);
int catalog_find_image_by_id(struct catalog *c, const struct sha256 *id, uint32_t *number,
                             struct verror *err);
int catalog_find_wheel(struct catalog *c, const struct sha256 *id, char **filename,
                       struct verror *err);
int catalog_find_blob(struct catalog *c, const struct sha256 *id, struct pack_location *where,
                      uint64_t *size, struct verror *err);
int catalog_cache_get(struct catalog *c, const struct sha256 *key, struct strbuf *ret,
                      struct verror *err);

/* ---- changes ---- */
int catalog_cache_put(struct catalog *c, const struct sha256 *key, const void *value, size_t size,
                      struct verror *err);
/* *added: false when the blob was there already; its location is then left as it is. */
int catalog_add_blob(struct catalog *c, const struct sha256 *id, const struct pack_location *where,
                     uint64_t size, bool *added, struct verror *err);
int catalog_add_pack(struct catalog *c, uint32_t number, uint64_t bytes, struct verror *err);
int catalog_add_image(struct catalog *c, const struct store_image *which, const struct image *image,
                      struct verror *err);
/* A wheel, and the image made from it for a target. */
int catalog_add_made(struct catalog *c, const struct store_wheel *wheel, const char *target,
                     uint32_t image, struct verror *err);

/* ---- rewriting packs (catalog_optimize.c) ---- */

/* The level at which `store optimize` made a pack; negative: the level at which it found the pack
 * not worth rewriting; 0: it has not seen the pack. A store of an older program has no table for
 * that: then every pack is 0. */
int catalog_optimized(struct catalog *c, uint32_t pack, int *level, struct verror *err);
/* The following belong into a transaction. */
int catalog_set_optimized(struct catalog *c, uint32_t pack, int level, struct verror *err);
/* -ESTALE when the blob is not at `from`. */
int catalog_move_blob(struct catalog *c, const struct sha256 *id, const struct pack_location *from,
                      const struct pack_location *to, struct verror *err);
/* Forgets packs in which no blob lies. */
int catalog_drop_empty_packs(struct catalog *c, struct verror *err);
/* Rewrites the database without its gaps. Not within a transaction; needs three times its size for
 * a moment. */
int catalog_vacuum(struct catalog *c, struct verror *err);

/* ---- garbage collection (catalog_gc.c), within a transaction ---- */

/* Forgets an image and of which wheels it was made. */
int catalog_drop_image(struct catalog *c, uint32_t number, struct verror *err);
/* Forgets wheels of which no image is left. */
int catalog_drop_idle_wheels(struct catalog *c, struct verror *err);
int catalog_drop_blob(struct catalog *c, const struct sha256 *id, struct verror *err);
/* Forgets the answers of the lock helper that were kept longest, until the rest has no more than so
 * many bytes. */
int catalog_trim_cache(struct catalog *c, uint64_t bytes, struct verror *err);

enum catalog_counter { COUNTER_PACK, COUNTER_IMAGE };
/* The lowest number never given out; set when a transaction used some. */
int catalog_counter(struct catalog *c, enum catalog_counter which, uint32_t *ret,
                    struct verror *err);
int catalog_set_counter(struct catalog *c, enum catalog_counter which, uint32_t value,
                        struct verror *err);

/* ---- walking (catalog_walk.c): fn returns 0 to go on, else its value is returned ---- */

struct catalog_blob {
    struct sha256 id;
    struct pack_location where;
    uint64_t size;
};
/* In order of id. */
int catalog_each_blob(struct catalog *c, int (*fn)(const struct catalog_blob *blob, void *arg),
                      void *arg, struct verror *err);
int catalog_each_pack(struct catalog *c, int (*fn)(uint32_t number, uint64_t bytes, void *arg),
                      void *arg, struct verror *err);

struct catalog_image {
    struct store_image which;
    const char *name, *version;
    uint64_t file_bytes;
    uint32_t nodes;
};
int catalog_each_image(struct catalog *c, int (*fn)(const struct catalog_image *image, void *arg),
                       void *arg, struct verror *err);
/* In order of distribution name, version, wheel file name and target. */
int catalog_each_made(struct catalog *c, int (*fn)(const struct store_listing *entry, void *arg),
                      void *arg, struct verror *err);

struct catalog_totals {
    uint64_t images, wheels, packs, blobs, apparent_bytes, unique_bytes;
};
int catalog_totals(struct catalog *c, struct catalog_totals *ret, struct verror *err);
/* SQLite's own check, and that every row names rows that exist; problem() gets a line for each
 * damage. */
int catalog_check(struct catalog *c, void (*problem)(const char *line, void *arg), void *arg,
                  struct verror *err);
/* SQLite's check without that of its indexes. */
int catalog_quick_check(struct catalog *c, void (*problem)(const char *line, void *arg), void *arg,
                        struct verror *err);

#endif
