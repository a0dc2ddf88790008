/* pack: an immutable file of compressed frames plus its index.
 *
 * FORMAT (version 1, little-endian)
 *   header   magic "VFSPACK1", u32 version, u32 reserved
 *   frames   zstd frames back to back, each independently decompressible, at most IMAGE_SLICE_SIZE
 * raw FRAME    32 bytes each: u64 offset, u32 compressed size, u32 raw size, u64 XXH3 of the
 * compressed bytes, u64 reserved BLOB     56 bytes each, sorted by SHA-256: id, u32 first frame,
 * u32 offset in it, u64 size, u64 reserved trailer  u64 offset and u64 count of FRAME, the same of
 * BLOB, XXH3 of both tables, magic "VFSPACKE" A blob of at most one slice lies in one frame, at any
 * offset; a bigger one in consecutive frames of its own, each holding exactly one slice. So the
 * location of any byte is arithmetic.
 *
 * Pack numbers are never reused: a location that names a vanished pack is stale, never wrong.
 */
#ifndef VENVFS_STORE_PACK_H
#define VENVFS_STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/verror.h"

struct pack_location {
    uint32_t pack;   /* number */
    uint32_t frame;  /* first frame */
    uint32_t offset; /* in the raw bytes of the first frame */
};

struct pack; /* one open pack: descriptor and mapped index; immutable, any thread may read it */

/* -ENOENT, -EBADMSG (damaged; the message says what) or errno of a call. Checks trailer and index.
 */
int pack_open(const char *path, uint32_t number, struct pack **ret, struct verror *err);
struct pack *pack_ref(struct pack *pack);
void pack_unref(struct pack *pack);
uint32_t pack_number(const struct pack *pack);
uint64_t pack_bytes(const struct pack *pack); /* size of the file */

uint32_t pack_frames(const struct pack *pack);
/* Raw size of a frame; 0 when there is no such frame. */
uint32_t pack_frame_size(const struct pack *pack, uint32_t frame);
/* Decodes one frame into buf (pack_frame_size() bytes). Blocks on the disk unless `nowait`, then
 * -EAGAIN when the compressed bytes are not in the page cache. -EBADMSG: checksum or zstd refused
 * it; -ERANGE: no such frame. */
int pack_read_frame(const struct pack *pack, uint32_t frame, bool nowait, void *buf,
                    struct verror *err);

struct pack_blob {
    struct sha256 id;
    uint32_t frame, offset;
    uint64_t size;
};
uint32_t pack_blobs(const struct pack *pack);
struct pack_blob pack_blob(const struct pack *pack, uint32_t i);

#endif
