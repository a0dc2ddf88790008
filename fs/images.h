/* images: opened images shared by all environments in view, and how their blobs are read. */
#ifndef VENVFS_FS_IMAGES_H
#define VENVFS_FS_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/verror.h"
#include "store/store.h"

struct images;       /* the registry; thread-safe */
struct shared_image; /* one image in it; lives while somebody holds a reference */

/* store_root: opened at the first image asked for, so a daemon may start before there is a store.
 * cache_bytes: bound of the decoded frames kept. */
struct images *images_new(const char *store_root, size_t cache_bytes);
void images_free(struct images *images); /* every reference must be gone; NULL is accepted */

/* A lease (store/lease.h) on an image that is about to be shown; counted. -ESTALE: it is being or
 * was removed from the store, so that what names it is out of date. */
int images_lease(struct images *images, const struct store_image *which, struct verror *err);
void images_end_lease(struct images *images, uint32_t number);
/* The same for a generation. */
int images_lease_generation(struct images *images, uint32_t slot, unsigned generation,
                            struct verror *err);
void images_end_lease_of_generation(struct images *images, uint32_t slot, unsigned generation);

/* The image of this number and identity, opened when nobody has it open yet (reads and checks the
 * whole file: a millisecond). A new reference. Errors of store_open() and store_image_open();
 * -EBADMSG: another image of this number is open. Who reads what it names has a lease besides. */
int images_get(struct images *images, const struct store_image *which, struct shared_image **ret,
               struct verror *err);
/* Did the image's file lose bytes since it was opened, so that what was read from it may be zeros?
 * The first who sees it writes a line to the log. The next images_get() opens the file anew. */
bool images_damaged(struct images *images, struct shared_image *image);
void images_put(struct images *images, struct shared_image *image); /* NULL is accepted */
struct image *shared_image_image(const struct shared_image *image); /* borrowed */

/* blob_reader_read() for a shared image. nowait: -EAGAIN as well when the blobs' locations are not
 * loaded yet. */
ssize_t images_read(struct images *images, struct shared_image *image, uint32_t blob,
                    uint64_t offset, void *buf, size_t size, bool nowait, struct verror *err);

/* Closes packs whose files were removed: see blob_reader_forget_removed(). */
void images_forget_removed(struct images *images);

struct images_stats {
    size_t open;    /* images now open */
    size_t located; /* of these, with locations loaded */
    struct blob_reader_stats reader;
};
void images_stats(struct images *images, struct images_stats *ret);

#endif
