/* where: the resolved locations of an image's blobs, as a file beside the image.
 *
 * FORMAT (version 1, little-endian): magic "VFSWHERE", u32 version, u32 count, the image's id, then
 * per blob u32 pack, u32 frame, u32 offset, u32 zero; at the end the XXH3 of everything before it.
 */
#ifndef VENVFS_STORE_WHERE_H
#define VENVFS_STORE_WHERE_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/verror.h"
#include "store/pack.h"

/* Replaces *ret by the file's bytes. */
void where_encode(const struct sha256 *image, const struct pack_location *locations, uint32_t count,
                  struct strbuf *ret);

/* Checks bytes and returns where its entries begin, or NULL when they are damaged or another
 * image's. */
const uint8_t *where_check(const void *data, size_t size, const struct sha256 *image,
                           uint32_t count);
struct pack_location where_entry(const uint8_t *entries, uint32_t i);

#endif
