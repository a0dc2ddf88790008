/* store: each package version once, compressed, addressed by content.
 *
 *   STORE/format            minimum reader and writer version
 *   STORE/lock              shared: using or adding; exclusive: removing (gc, optimize)
 *   STORE/catalog.sqlite    an index that can be rebuilt from the rest
 *   STORE/packs/N.pack
 *   STORE/images/N-SHA256.image
 *   STORE/images/N-SHA256.where
 *   STORE/images/gathered.where   the where files of all images that optimize or gc saw
 *   STORE/claims            one byte-range lock per wheel being ingested; always empty
 *   STORE/leases            the same for what is shown (store/lease.h)
 *   STORE/pins              images that gc keeps (store/pins.h)
 *   STORE/tmp/              a folder per put under way
 *
 * `where` files hold the resolved location of each blob of an image, so that READ never asks
 * SQLite. They are caches: checked by a checksum, re-made from the catalog when a pack they name is
 * gone.
 *
 * INVARIANTS of a put (their order survives a crash at any point; garbage may remain, never a
 * dangling reference):
 *   1. a pack is complete, fsynced, renamed into packs/ and its folder fsynced before the catalog
 *      names it
 *   2. an image and its `where` likewise
 *   3. one catalog transaction (synchronous=FULL) makes blobs, images and wheels known together
 *   4. only then may a manifest name the images
 *   5. the store's lock is held shared from the first "do we have it" until the root is durable
 */
#ifndef VENVFS_STORE_STORE_H
#define VENVFS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/verror.h"
#include "store/image.h"
#include "store/pack.h"

struct store;

enum store_flags {
    STORE_CREATE = 1 << 0,    /* make it when missing */
    STORE_READ_ONLY = 1 << 1, /* never writes; no lock file, no WAL needed */
};

/* Opens the store, for writing (STORE_CREATE) removing what killed writers left in its tmp/. The
 * catalog's connection opens at the first call that needs it. -ENOENT: none
 * there; -EPROTO: a newer format; -EPERM: owned by or writable for others; -EOPNOTSUPP: a network
 * file system where SQLite's WAL is not safe. Thread-safe after opening (calls into the catalog are
 * serialised). */
int store_open(const char *root, unsigned flags, struct store **ret, struct verror *err);
void store_close(struct store *store); /* NULL is accepted */
const char *store_root(const struct store *store);
/* Takes the store's lock shared until store_close(); blocks while someone removes, and up to ten
 * seconds for who waits for it exclusively. Idempotent. */
int store_lock_shared(struct store *store, struct verror *err);

/* ---- what is there ---- */

struct store_image {
    uint32_t number;  /* 1 .. 2^20-1, never reused */
    struct sha256 id; /* the image's identity */
};
/* The file of an image. malloc'ed. */
char *store_image_path(const struct store *store, const struct store_image *image);
int store_image_open(struct store *store, const struct store_image *image, struct image **ret,
                     struct verror *err);

/* The image made from a wheel for a target. `target` is an opaque key of all that shapes an image
 * besides the wheel (python tag, pyc magic, layout, compile options; see wheel/target.h).
 * -ENOENT when there is none. */
int store_find_image(struct store *store, const struct sha256 *wheel, const char *target,
                     struct store_image *ret, struct verror *err);

/* The same with what the catalog says of it. Release what is filled. */
struct store_made {
    struct store_image image;
    char *name, *version; /* of the distribution, as in METADATA */
    char *wheel_filename;
};
int store_find_made(struct store *store, const struct sha256 *wheel, const char *target,
                    struct store_made *ret, struct verror *err);
void store_made_release(struct store_made *made);
/* The digests of all wheels that are known, sorted (sha256_cmp()): a lock names twenty wheels for
 * each that is stored, and a look-up in the catalog costs as much as ten rows. malloc'ed. -E2BIG:
 * there are more than `most`. */
int store_wheel_ids(struct store *store, size_t most, struct sha256 **ret, size_t *n,
                    struct verror *err);

/* Between these two, look-ups see one state of the catalog and cost four system calls less each.
 * Nothing may be changed and no other process waited for: a reader keeps the write-ahead log from
 * being emptied. */
int store_reading_begin(struct store *store, struct verror *err);
void store_reading_end(struct store *store);

struct store_wheel {
    struct sha256 id; /* of the wheel file */
    char *filename;   /* "numpy-2.1.3-cp311-cp311-manylinux_2_17_x86_64.whl" */
};
/* Is a wheel of this digest known, whatever the target? Fills *ret (filename malloc'ed). -ENOENT.
 */
int store_find_wheel(struct store *store, const struct sha256 *wheel, struct store_wheel *ret,
                     struct verror *err);
void store_wheel_release(struct store_wheel *wheel);

/* A small key-value cache in the catalog for answers of the lock helper; value is bytes. */
int store_cache_get(struct store *store, const struct sha256 *key, struct strbuf *ret,
                    struct verror *err); /* -ENOENT */
int store_cache_put(struct store *store, const struct sha256 *key, const void *value, size_t size,
                    struct verror *err);

/* Calls fn for each image in order of distribution name; fn returns 0 to go on. */
struct store_listing {
    struct store_image image;
    struct sha256 wheel;
    const char *name, *version, *target, *wheel_filename;
    uint64_t file_bytes; /* apparent */
    uint32_t nodes;
};
int store_list(struct store *store, int (*fn)(const struct store_listing *entry, void *arg),
               void *arg, struct verror *err);

struct store_stats {
    uint64_t images, wheels, packs, blobs;
    uint64_t apparent_bytes; /* of all files of all images */
    uint64_t unique_bytes;   /* of all blobs, raw */
    uint64_t pack_bytes;     /* on disk */
    uint64_t dead_bytes;     /* compressed bytes in packs that no catalog entry names (share of
                              * frames; packs that a crash left behind count whole) */
    uint64_t image_bytes, catalog_bytes;
};
int store_stats(struct store *store, struct store_stats *ret, struct verror *err);

#define STORE_LOOK_CATALOG (256 << 20) /* bytes; SQLite checks some 450 MB a second */
struct store_look {
    uint64_t images, packs; /* that the catalog knows */
    uint64_t problems;
};
/* What costs little: SQLite's quick check of a catalog that is not bigger than STORE_LOOK_CATALOG,
 * and that every pack is there with its size and a sound index. problem() as in store_verify().
 * -EBADMSG: the catalog cannot be read. */
int store_look(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
               struct store_look *ret, struct verror *err);

/* Checks everything: pack indexes, frames (XXH3), blobs (SHA-256 when `full`), images (digest,
 * shape, every blob present), catalog (every entry against packs and images). problem() is called
 * for each damage with a line for people. *problems: their number. A negative errno only when
 * checking itself failed. */
int store_verify(struct store *store, bool full, void (*problem)(const char *line, void *arg),
                 void *arg, uint64_t *problems, struct verror *err);

/* ---- rewriting (store/optimize.h has how) ---- */

enum { STORE_OPTIMIZE_LEVEL = 14, STORE_OPTIMIZE_LEVEL_MAX = 19 };

struct progress;
struct store_optimize_options {
    int level;    /* of zstd, 1 .. STORE_OPTIMIZE_LEVEL_MAX; 0: STORE_OPTIMIZE_LEVEL */
    size_t jobs;  /* threads; 0: one per CPU */
    bool dry_run; /* changes nothing: the sizes afterwards are told from a sample */
    struct progress *progress;
    void (*problem)(const char *line, void *arg); /* a line for each damage; that stays as it is */
    void (*waiting)(void *arg); /* called once when other commands that use the store are waited for
                                   for longer than a second; may be NULL */
    void *arg;
};

struct store_optimize_sizes {
    uint64_t packs, pack_bytes, image_bytes, catalog_bytes; /* where files count as image_bytes */
    uint64_t files;                                         /* in the store, all of them */
};

struct store_optimize_result {
    bool nothing; /* there was nothing to do */
    struct store_optimize_sizes before, after;
    uint64_t blobs_moved, blobs_damaged;
    uint64_t frames_made, frames_kept; /* kept: copied as they were */
    uint64_t swept_bytes;              /* of packs that an interrupted command left */
    uint64_t space_needed;             /* bytes of free disk while it runs */
};

/* Rewrites all packs so that they take less disk: what is alike lies together, compressed better.
 * Readers of other processes go on; commands that add wait at the end for the seconds that the
 * change of the catalog takes. Needs the disk space of the packs once more while it runs: -ENOSPC
 * before anything was written when there is less. -EBUSY: another process optimizes. After any
 * failure, or when it is killed, the store is as it was; the next run removes what is left. */
int store_optimize(struct store *store, const struct store_optimize_options *options,
                   struct store_optimize_result *ret, struct verror *err);

/* ---- garbage collection (store/gc.h has how) ---- */

struct store_roots;
/* An image that stays. `what` has it, for messages ("environment web, generation 3"). -ENOENT: the
 * store does not know the image. */
int store_roots_add(struct store_roots *roots, const struct store_image *image, const char *what,
                    struct verror *err);

struct store_gc_options {
    bool dry_run; /* changes nothing; what it tells is what would be */
    size_t jobs;  /* threads; 0: one per CPU */
    /* Which of the images go that nothing has. None of both: all. Else those that nothing has had
     * for so many seconds (-1: no such limit), and of the others the least recently used until
     * packs and images take no more than so many bytes (UINT64_MAX: no limit). */
    int64_t max_age;
    uint64_t max_size;
    struct progress *progress;
    /* Called with the store's lock held exclusively: names all roots, store_roots_add(). */
    int (*mark)(struct store_roots *roots, void *arg, struct verror *err);
    /* Called before anything is removed, not with dry_run: makes it durable that what was not
     * marked is needed no more. */
    int (*release)(void *arg, struct verror *err);
    void (*problem)(const char *line, void *arg); /* a line for each damage; that stays as it is */
    void (*waiting)(void *arg);                   /* as in store_optimize_options */
    void *arg;
};

struct store_gc_image {
    struct store_image which;
    char *name, *version;
    int64_t used; /* seconds since 1970: when an environment last had it, else when it was made */
};

struct store_gc_result {
    uint64_t packs_before, packs_after, pack_bytes_before, pack_bytes_after;
    uint64_t images_before, images_after, image_bytes_before, image_bytes_after;
    int64_t freed;      /* bytes of files: those before less those after */
    uint64_t rewritten; /* packs of which the living part was copied */
    uint64_t dead;      /* compressed bytes in the packs that stay that no image needs */
    bool no_room;       /* packs could not be rewritten: the disk is full */
    struct store_gc_image *removed; /* in order of number */
    size_t n_removed;
    uint32_t *kept; /* numbers of the images that stay, in order */
    size_t n_kept;
    size_t unused_kept; /* of which nothing has so many, but the limits let them stay */
};

/* Removes what nothing has: images that are no root, no pin and not leased (store/lease.h), the
 * content that only they need, and what killed writers left. Holds the store's lock exclusively
 * throughout, so that commands that use or add wait; who shows environments does not, and is to be
 * told as after store_optimize(). -EBUSY: another process rewrites packs. -EBADMSG, -ENOENT: a root
 * cannot be read, and nothing was changed. */
int store_gc(struct store *store, const struct store_gc_options *options,
             struct store_gc_result *ret, struct verror *err);
void store_gc_result_release(struct store_gc_result *result);
/* The image is in use now: as of now it is counted as unused. Best effort. */
void store_image_touch(struct store *store, const struct store_image *image);

/* ---- adding: one put per ingest ---- */

struct store_put;
struct put_stream; /* one per thread: fills frames of its own */

enum blob_kind { BLOB_TEXT, BLOB_BYTECODE, BLOB_NATIVE, BLOB_KINDS };

/* Begins a put. The store's lock is taken shared if it is not yet. */
int store_put_begin(struct store *store, struct store_put **ret, struct verror *err);
struct put_stream *put_stream_new(struct store_put *put);
/* Writes what is still in its frames; a failure is reported by store_put_commit(). NULL is
 * accepted. */
void put_stream_free(struct put_stream *stream);

struct blob_ref {
    struct sha256 id;
    uint64_t size;
    uint64_t *checksums; /* one per slice, malloc'ed; free with blob_ref_release() */
};
/* Stores a file's bytes unless the store or this put has them. `known`: its SHA-256 when the caller
 * has just computed it from these bytes, else NULL. size 0 stores nothing. Thread-safe across
 * streams. */
int put_stream_blob(struct put_stream *stream, enum blob_kind kind, const void *data, size_t size,
                    const struct sha256 *known, struct blob_ref *ret, struct verror *err);
void blob_ref_release(struct blob_ref *ref);

/* Finishes the builder and stages its image for (wheel, target). Thread-safe. *index is what
 * store_put_result() takes after the commit. The builder stays the caller's. */
int store_put_image(struct store_put *put, struct image_builder *builder,
                    const struct store_wheel *wheel, const char *target, size_t *index,
                    struct verror *err);
/* Makes pack and images durable, then known. All streams must be freed before (-EBUSY). After a
 * failure only store_put_free() is left to call; the same put made again may succeed. */
int store_put_commit(struct store_put *put, struct verror *err);
/* After commit: the image staged as `index`; one that another process had committed for the same
 * (wheel, target), or an identical one, where there was one. */
struct store_image store_put_result(const struct store_put *put, size_t index);
/* Frees; when it was not committed, removes every temporary file. NULL is accepted. */
void store_put_free(struct store_put *put);

/* Claims the work of ingesting a wheel for a target, so that each is done by one process. Returns a
 * descriptor to close, -EAGAIN when another process has it and `wait` is false. After a wait look
 * again with store_find_image(). Hold no other claim while waiting. */
int store_claim(struct store *store, const struct sha256 *wheel, const char *target, bool wait,
                struct verror *err);

/* ---- reading: what fs/ and materialize use ---- */

/* A reader: open packs, decoded frames in a bounded cache, resolved locations. Thread-safe, one
 * decode per frame at a time (single flight). */
struct blob_reader;
int blob_reader_new(struct store *store, size_t cache_bytes, struct blob_reader **ret,
                    struct verror *err);
void blob_reader_free(struct blob_reader *reader);

/* The locations of one image's blobs: its `where` file, or, when that is missing, stale or damaged,
 * made from the catalog. Immutable once open. */
struct image_where;
int image_where_open(struct blob_reader *reader, const struct store_image *which,
                     struct image *image, struct image_where **ret, struct verror *err);
void image_where_free(struct image_where *where); /* NULL is accepted */

/* Copies bytes [offset, offset + size) of a blob, clipped to its end, into buf. Returns the number
 * copied. nowait: -EAGAIN instead of blocking on the disk. -EIO: damaged (the message names pack
 * and frame and is meant for one log line); re-reads the catalog once when a pack is gone. */
ssize_t blob_reader_read(struct blob_reader *reader, struct image_where *where,
                         const struct image *image, uint32_t blob, uint64_t offset, void *buf,
                         size_t size, bool nowait, struct verror *err);

/* Closes packs whose files were removed (by `store optimize`), so that the disk gets their space
 * back; what lay in them is then found where it lies now. */
void blob_reader_forget_removed(struct blob_reader *reader);

struct blob_reader_stats {
    uint64_t cache_bytes, cache_limit; /* decoded frames now held, and their bound */
    uint64_t hits, misses;             /* frames found decoded, frames decoded */
};
void blob_reader_stats(struct blob_reader *reader, struct blob_reader_stats *ret);

#endif
