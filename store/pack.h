/* pack: an immutable file of compressed frames plus its index.
 *
 * FORMAT (version 1, little-endian)
 *   header   magic "VFSPACK1", u32 version, u32 zero
 *   frames   zstd frames, each independently decompressible, at most IMAGE_SLICE_SIZE raw
 *   FRAME    32 bytes each: u64 offset, u32 compressed size, u32 raw size, u64 XXH3 of the
 *            compressed bytes, u64 zero
 *   BLOB     56 bytes each, sorted by SHA-256: id, u32 first frame, u32 offset in it, u64 size,
 *            u64 zero
 *   trailer  u64 offset and u64 count of FRAME, the same of BLOB, XXH3 of both tables,
 *            magic "VFSPACKE"
 * FRAME, BLOB and the trailer follow each other at the end of the file. A blob of at most one slice
 * lies in one frame, at any offset; a bigger one in consecutive frames of its own, each holding
 * exactly one slice. So the location of any byte is arithmetic.
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
/* Frames will be read here and there: the disk is not to read what lies around them. */
void pack_expect_random(const struct pack *pack);
struct pack *pack_ref(struct pack *pack);
void pack_unref(struct pack *pack);
/* Did the file lose bytes of its index since it was opened? Once true it stays so. */
bool pack_damaged(const struct pack *pack);
/* Was the file removed since it was opened? What is open can still be read. */
bool pack_removed(const struct pack *pack);
uint32_t pack_number(const struct pack *pack);
uint64_t pack_bytes(const struct pack *pack); /* size of the file */

uint32_t pack_frames(const struct pack *pack);
/* Raw size of a frame; 0 when there is no such frame. */
uint32_t pack_frame_size(const struct pack *pack, uint32_t frame);
/* Its compressed size; 0 when there is no such frame. */
uint32_t pack_frame_stored(const struct pack *pack, uint32_t frame);
/* What decoding needs besides the frame: a zstd context and a buffer, reused from frame to frame.
 * One thread at a time. */
struct pack_decoder;
struct pack_decoder *pack_decoder_new(void);          /* NULL: out of memory */
void pack_decoder_free(struct pack_decoder *decoder); /* NULL is accepted */

/* Decodes one frame into buf (pack_frame_size() bytes). Blocks on the disk unless `nowait`, then
 * -EAGAIN when the compressed bytes are not in the page cache. -EBADMSG: checksum or zstd refused
 * it, or the index is lost; -ERANGE: no such frame. */
int pack_read_frame(const struct pack *pack, struct pack_decoder *decoder, uint32_t frame,
                    bool nowait, void *buf, struct verror *err);

/* The compressed bytes of a frame, checked by their checksum. *data is the decoder's until its next
 * use; *size is pack_frame_stored(). Otherwise as pack_read_frame(). */
int pack_read_stored(const struct pack *pack, struct pack_decoder *decoder, uint32_t frame,
                     bool nowait, const void **data, size_t *size, struct verror *err);

struct pack_blob {
    struct sha256 id;
    uint32_t frame, offset;
    uint64_t size;
};
uint32_t pack_blobs(const struct pack *pack);
struct pack_blob pack_blob(const struct pack *pack, uint32_t i);
/* Binary search in the pack's index. */
bool pack_find(const struct pack *pack, const struct sha256 *id, struct pack_blob *ret);

#endif
