/* Reading packs: the index is mapped and checked once, frames are read with pread(). */
#include "store/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sigbus.h"
#include "base/wire.h"
#include "store/image.h"
#include "store/pack_format.h"

struct pack {
    atomic_uint refs;
    uint32_t number;
    int fd;
    uint64_t bytes;
    const void *map; /* the pages that hold the index */
    size_t map_size;
    struct sigbus_watch *watch;
    const uint8_t *frame, *blob;
    uint32_t frames, blobs;
};

struct pack_decoder {
    ZSTD_DCtx *zstd;
    size_t alloc;
    uint8_t *compressed;
};

static int damaged(const char *path, struct verror *err, const char *what)
{
    return verror_set(err, EBADMSG, "%s: damaged pack: %s", path, what);
}

static const uint8_t *raw_frame(const struct pack *pack, uint32_t frame)
{
    return pack->frame + (size_t)frame * PACK_FRAME_SIZE;
}

static bool frame_ok(const struct pack *pack, uint32_t i, uint64_t frames_end)
{
    const uint8_t *f = raw_frame(pack, i);
    uint64_t offset = wire_load64(f);
    uint32_t compressed = wire_load32(f + 8), raw = wire_load32(f + 12);
    return offset >= PACK_HEADER_SIZE && compressed > 0 &&
           compressed <= ZSTD_COMPRESSBOUND(IMAGE_SLICE_SIZE) && raw > 0 &&
           raw <= IMAGE_SLICE_SIZE && wire_range_ok(offset, compressed, 1, frames_end) &&
           wire_load64(f + 24) == 0;
}

/* The frames between the first and last of a big blob are judged when they are read: looking at
 * each here would let a hostile index make opening quadratic. */
static bool blob_ok(const struct pack *pack, uint32_t i)
{
    struct pack_blob b = pack_blob(pack, i);
    if (b.size == 0 || b.frame >= pack->frames ||
        wire_load64(pack->blob + (size_t)i * PACK_BLOB_SIZE + 48) != 0)
        return false;
    if (i > 0) {
        struct pack_blob before = pack_blob(pack, i - 1);
        if (sha256_cmp(&before.id, &b.id) >= 0)
            return false;
    }
    if (b.size <= IMAGE_SLICE_SIZE)
        return wire_range_ok(b.offset, b.size, 1, pack_frame_size(pack, b.frame));
    uint64_t slices = image_slices(b.size);
    if (b.offset != 0 || slices > pack->frames - b.frame)
        return false;
    uint64_t rest = b.size - (slices - 1) * IMAGE_SLICE_SIZE;
    return pack_frame_size(pack, b.frame + (uint32_t)slices - 1) == rest;
}

/* Finds and maps the index. */
static int map_index(struct pack *pack, const char *path, struct verror *err)
{
    uint8_t header[PACK_HEADER_SIZE], trailer[PACK_TRAILER_SIZE];
    if (pack->bytes < PACK_HEADER_SIZE + PACK_TRAILER_SIZE)
        return damaged(path, err, "too short");
    ssize_t n = io_pread_all(pack->fd, header, sizeof(header), 0);
    if (n == sizeof(header))
        n = io_pread_all(pack->fd, trailer, sizeof(trailer), pack->bytes - PACK_TRAILER_SIZE);
    if (n < 0)
        return verror_errno(err, (int)n, "cannot read %s", path);
    if (n != sizeof(trailer) || memcmp(header, PACK_MAGIC, 8) != 0 ||
        wire_load32(header + 12) != 0 || memcmp(trailer + 40, PACK_END_MAGIC, 8) != 0)
        return damaged(path, err, "no header or trailer");
    if (wire_load32(header + 8) != PACK_VERSION)
        return verror_set(err, EBADMSG, "%s: pack of unknown version %u", path,
                          (unsigned)wire_load32(header + 8));

    uint64_t at = wire_load64(trailer), frames = wire_load64(trailer + 8);
    uint64_t blob_at = wire_load64(trailer + 16), blobs = wire_load64(trailer + 24);
    uint64_t end = pack->bytes - PACK_TRAILER_SIZE;
    if (frames >= UINT32_MAX || blobs >= UINT32_MAX || at < PACK_HEADER_SIZE ||
        !wire_range_ok(at, frames, PACK_FRAME_SIZE, end) ||
        blob_at != at + frames * PACK_FRAME_SIZE ||
        !wire_range_ok(blob_at, blobs, PACK_BLOB_SIZE, end) ||
        blob_at + blobs * PACK_BLOB_SIZE != end)
        return damaged(path, err, "position of the index");

    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = at - at % page;
    pack->map_size = (size_t)(pack->bytes - start);
    int r = io_mmap_at(pack->fd, start, pack->map_size, &pack->map);
    if (r < 0)
        return verror_errno(err, r, "cannot map %s", path);
    /* All of the index is read now, and none of the frames around the first page that is touched,
     * which is what a fault brings in otherwise: megabytes, where the disk reads ahead far. */
    (void)posix_fadvise(pack->fd, (off_t)start, (off_t)pack->map_size, POSIX_FADV_WILLNEED);
    (void)madvise((void *)(uintptr_t)pack->map, pack->map_size, MADV_RANDOM);
    pack->watch = sigbus_watch(pack->map, pack->map_size);
    pack->frame = (const uint8_t *)pack->map + (at - start);
    pack->blob = (const uint8_t *)pack->map + (blob_at - start);
    pack->frames = (uint32_t)frames;
    pack->blobs = (uint32_t)blobs;
    if (checksum_of(pack->frame, (size_t)(end - at)) != wire_load64(trailer + 32))
        return damaged(path, err, "checksum of the index");
    for (uint32_t i = 0; i < pack->frames; i++)
        if (!frame_ok(pack, i, at))
            return damaged(path, err, "frame table");
    for (uint32_t i = 0; i < pack->blobs; i++)
        if (!blob_ok(pack, i))
            return damaged(path, err, "blob table");
    return 0;
}

int pack_open(const char *path, uint32_t number, struct pack **ret, struct verror *err)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return verror_errno(err, fd, "cannot open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return verror_errno(err, errno, "cannot stat %s", path);
    if (!S_ISREG(st.st_mode))
        return damaged(path, err, "not a regular file");
    struct pack *pack = xcalloc(1, sizeof(*pack));
    atomic_init(&pack->refs, 1);
    pack->number = number;
    pack->fd = steal_fd(&fd);
    pack->bytes = (uint64_t)st.st_size;
    int r = map_index(pack, path, err);
    if (sigbus_damaged(pack->watch))
        r = damaged(path, err, "it became shorter, or the disk fails");
    if (r < 0) {
        pack_unref(pack);
        return r;
    }
    *ret = pack;
    return 0;
}

void pack_expect_random(const struct pack *pack)
{
    (void)posix_fadvise(pack->fd, 0, 0, POSIX_FADV_RANDOM);
}

struct pack *pack_ref(struct pack *pack)
{
    atomic_fetch_add_explicit(&pack->refs, 1, memory_order_relaxed);
    return pack;
}

void pack_unref(struct pack *pack)
{
    if (!pack || atomic_fetch_sub_explicit(&pack->refs, 1, memory_order_acq_rel) != 1)
        return;
    sigbus_unwatch(pack->watch);
    if (pack->map)
        (void)munmap((void *)(uintptr_t)pack->map, pack->map_size);
    (void)close(pack->fd);
    free(pack);
}

bool pack_damaged(const struct pack *pack)
{
    /* The end of the file goes first, and within a page without a signal. */
    const uint8_t *end = (const uint8_t *)pack->map + pack->map_size;
    bool cut = memcmp(end - 8, PACK_END_MAGIC, 8) != 0;
    return cut || sigbus_damaged(pack->watch);
}

bool pack_removed(const struct pack *pack)
{
    struct stat st;
    return fstat(pack->fd, &st) == 0 && st.st_nlink == 0;
}

uint32_t pack_number(const struct pack *pack)
{
    return pack->number;
}

uint64_t pack_bytes(const struct pack *pack)
{
    return pack->bytes;
}

uint32_t pack_frames(const struct pack *pack)
{
    return pack->frames;
}

uint32_t pack_frame_size(const struct pack *pack, uint32_t frame)
{
    return frame < pack->frames ? wire_load32(raw_frame(pack, frame) + 12) : 0;
}

uint32_t pack_frame_stored(const struct pack *pack, uint32_t frame)
{
    return frame < pack->frames ? wire_load32(raw_frame(pack, frame) + 8) : 0;
}

uint32_t pack_blobs(const struct pack *pack)
{
    return pack->blobs;
}

struct pack_blob pack_blob(const struct pack *pack, uint32_t i)
{
    const uint8_t *b = pack->blob + (size_t)i * PACK_BLOB_SIZE;
    struct pack_blob ret = {
        .frame = wire_load32(b + SHA256_SIZE),
        .offset = wire_load32(b + SHA256_SIZE + 4),
        .size = wire_load64(b + SHA256_SIZE + 8),
    };
    memcpy(ret.id.bytes, b, SHA256_SIZE);
    return ret;
}

bool pack_find(const struct pack *pack, const struct sha256 *id, struct pack_blob *ret)
{
    uint32_t lo = 0, hi = pack->blobs;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = memcmp(pack->blob + (size_t)mid * PACK_BLOB_SIZE, id->bytes, SHA256_SIZE);
        if (c == 0) {
            *ret = pack_blob(pack, mid);
            return true;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* ---- frames ---- */

struct pack_decoder *pack_decoder_new(void)
{
    struct pack_decoder *decoder = calloc(1, sizeof(*decoder));
    if (!decoder)
        return NULL;
    decoder->zstd = ZSTD_createDCtx();
    if (!decoder->zstd) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

void pack_decoder_free(struct pack_decoder *decoder)
{
    if (!decoder)
        return;
    (void)ZSTD_freeDCtx(decoder->zstd);
    free(decoder->compressed);
    free(decoder);
}

/* The buffer grows to what frames really need: most compress to a quarter. */
static bool decoder_reserve(struct pack_decoder *decoder, size_t size)
{
    if (decoder->alloc >= size)
        return true;
    free(decoder->compressed);
    decoder->compressed = malloc(size);
    decoder->alloc = decoder->compressed ? size : 0;
    return decoder->compressed != NULL;
}

int pack_read_stored(const struct pack *pack, struct pack_decoder *decoder, uint32_t frame,
                     bool nowait, const void **data, size_t *size, struct verror *err)
{
    if (frame >= pack->frames)
        return verror_set(err, ERANGE, "pack %u has no frame %u", pack->number, frame);
    const uint8_t *f = raw_frame(pack, frame);
    uint64_t offset = wire_load64(f);
    size_t stored = wire_load32(f + 8);
    if (pack_damaged(pack))
        return verror_set(err, EBADMSG, "pack %u: its index became shorter, or the disk fails",
                          pack->number);
    if (!decoder_reserve(decoder, stored))
        return verror_errno(err, ENOMEM, "cannot read pack %u frame %u", pack->number, frame);
    if (nowait) {
        int r = io_pread_nowait(pack->fd, decoder->compressed, stored, offset);
        if (r == -EAGAIN)
            return r;
        if (r < 0)
            return verror_errno(err, r, "cannot read pack %u frame %u", pack->number, frame);
    } else {
        ssize_t n = io_pread_all(pack->fd, decoder->compressed, stored, offset);
        if (n < 0)
            return verror_errno(err, (int)n, "cannot read pack %u frame %u", pack->number, frame);
        if ((size_t)n != stored)
            return verror_set(err, EBADMSG, "pack %u frame %u is cut off", pack->number, frame);
    }
    if (checksum_of(decoder->compressed, stored) != wire_load64(f + 16))
        return verror_set(err, EBADMSG, "pack %u frame %u is damaged: wrong checksum", pack->number,
                          frame);
    *data = decoder->compressed;
    *size = stored;
    return 0;
}

int pack_read_frame(const struct pack *pack, struct pack_decoder *decoder, uint32_t frame,
                    bool nowait, void *buf, struct verror *err)
{
    const void *stored;
    size_t size, raw = pack_frame_size(pack, frame);
    int r = pack_read_stored(pack, decoder, frame, nowait, &stored, &size, err);
    if (r < 0)
        return r;
    size_t got = ZSTD_decompressDCtx(decoder->zstd, buf, raw, stored, size);
    if (ZSTD_isError(got) || got != raw)
        return verror_set(err, EBADMSG, "pack %u frame %u is damaged: %s", pack->number, frame,
                          ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong size");
    return 0;
}
