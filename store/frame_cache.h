/* frame_cache: decoded frames, bounded in bytes, least recently used out first.
 *
 * One thread decodes a frame while others that want it wait (single flight); no lock is held while
 * decoding. A frame in use is never dropped, so the bound may be exceeded by what is in use.
 */
#ifndef VENVFS_STORE_FRAME_CACHE_H
#define VENVFS_STORE_FRAME_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "store/store.h"

struct frame_cache;
struct frame; /* one decoded frame, held */

/* Decodes a frame into malloc'ed memory. */
typedef int (*frame_load)(void *arg, uint32_t pack, uint32_t number, bool nowait, uint8_t **data,
                          size_t *size, struct verror *err);

struct frame_cache *frame_cache_new(size_t limit);
void frame_cache_free(struct frame_cache *cache); /* nothing may be held */

/* Holds a frame until frame_cache_put(). nowait: -EAGAIN instead of waiting for another thread's
 * decoding. Otherwise load()'s error. */
int frame_cache_get(struct frame_cache *cache, uint32_t pack, uint32_t number, bool nowait,
                    frame_load load, void *arg, struct frame **ret, struct verror *err);
void frame_cache_put(struct frame_cache *cache, struct frame *frame);

const uint8_t *frame_data(const struct frame *frame, size_t *size);
/* The XXH3 of the whole frame, computed once. */
uint64_t frame_checksum(struct frame *frame);

void frame_cache_stats(struct frame_cache *cache, struct blob_reader_stats *ret);

#endif
