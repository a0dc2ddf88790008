/* where: the resolved locations of an image's blobs, as a file beside the image.
 *
 * FORMAT (version 1, little-endian): magic "VFSWHERE", u32 version, u32 count, the image's id, then
 * per blob u32 pack, u32 frame, u32 offset, u32 zero; at the end the XXH3 of everything before it.
 *
 * `store optimize` gathers those of all images in one file, which saves an inode for each:
 *
 * FORMAT (version 1, little-endian): magic "VFSWHERA", u32 version, u32 count, then per image in
 * order of its number u32 number, u32 zero, u64 offset, u64 size; the XXH3 of everything so far;
 * then the bytes of the where files, each 8-aligned. A where file of its own goes before it.
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

size_t where_size(uint32_t count); /* of that file */

/* Checks bytes and returns where its entries begin, or NULL when they are damaged or another
 * image's. */
const uint8_t *where_check(const void *data, size_t size, const struct sha256 *image,
                           uint32_t count);
struct pack_location where_entry(const uint8_t *entries, uint32_t i);

/* The where file of one image, as bytes. */
struct where_part {
    uint32_t number; /* of the image */
    struct strbuf bytes;
};
/* Replaces *ret by the bytes of a file of all parts, which are in order of their numbers. */
void where_gather(const struct where_part *parts, size_t count, struct strbuf *ret);
/* How many bytes that would be, each part having where_size(counts[i]). */
size_t where_gathered_size(const uint32_t *counts, size_t count);
/* Where in such a file an image's part lies: 0, -ENOENT: it has none, -EBADMSG: damaged, or errno
 * of a call. */
int where_find_part(int fd, uint32_t number, uint64_t *offset, uint64_t *size);

#endif
