/* A put under way, shared by put.c (filling it) and put_commit.c (making it durable). */
#ifndef VENVFS_STORE_PUT_PRIVATE_H
#define VENVFS_STORE_PUT_PRIVATE_H

#include <pthread.h>

#include "store/pack_writer.h"
#include "store/store_private.h"

/* A blob this put has seen; pack 0 means the put's own pack, which has no number yet. */
struct put_blob {
    struct sha256 id;
    uint64_t size;
    struct pack_location where;
    uint32_t next_hash;
};

struct put_image {
    struct image *image; /* opened on bytes */
    struct strbuf bytes;
    struct store_wheel wheel;
    char *target;
    char *path;                /* of its temporary file */
    struct store_image result; /* valid after the commit */
};

struct store_put {
    struct store *store;
    pthread_mutex_t lock; /* protects all below while streams are alive; outside catalog_lock */
    char *dir;            /* STORE/tmp/PID-N, made when first needed */
    int dir_lock;         /* its lock, which tells the living from the dead */
    char *pack_path;      /* temporary */
    struct pack_writer *writer;
    struct put_blob *blobs;
    size_t blob_count, blob_alloc;
    uint32_t *blob_hash; /* heads of chains, a power of two */
    size_t blob_hash_size;
    struct put_image **images;
    size_t image_count, image_alloc;
    size_t streams;
    struct verror failure; /* the first one */
    bool committed;
};

/* The blob of this id, or NULL. */
struct put_blob *put_find_blob(const struct store_put *put, const struct sha256 *id);
/* Writes a file in the put's folder and starts its way to the disk. */
int put_write_file(const char *path, const void *data, size_t size, struct verror *err);

#endif
