/* pack_writer: fills one pack from several threads.
 *
 * Frame numbers are reserved before their bytes exist, so that a blob's location is known at once
 * and a big blob's frames are consecutive although other threads write between them. Only the
 * reservation of numbers and of space happens under the lock; the bytes go out by pwrite().
 */
#ifndef VENVFS_STORE_PACK_WRITER_H
#define VENVFS_STORE_PACK_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "store/pack.h"

struct pack_writer;

/* Creates the file, which must not exist. */
int pack_writer_new(const char *path, struct pack_writer **ret, struct verror *err);
/* Closes; the file stays (its owner renames or removes it). NULL is accepted. */
void pack_writer_free(struct pack_writer *w);

/* Reserves `count` consecutive frames. Thread-safe. */
int pack_writer_reserve(struct pack_writer *w, uint32_t count, uint32_t *first, struct verror *err);
/* Writes the compressed bytes of a reserved frame. Thread-safe. */
int pack_writer_frame(struct pack_writer *w, uint32_t frame, const void *data, size_t size,
                      size_t raw_size, struct verror *err);
/* Writes the index over the blobs (sorted by id) and makes the file durable. Every reserved frame
 * must have been written (-EINVAL). *bytes: the file's size. */
int pack_writer_finish(struct pack_writer *w, const struct pack_blob *blobs, size_t count,
                       uint64_t *bytes, struct verror *err);
uint32_t pack_writer_frames(const struct pack_writer *w);

#endif
