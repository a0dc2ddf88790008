#include "store/pack_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "store/pack_format.h"

/* Start writing back this often, so that the final fsync finds little left to do. */
#define WRITEBACK_BYTES (UINT64_C(8) << 20)

struct written_frame {
    uint64_t offset, checksum;
    uint32_t size, raw_size; /* size 0: reserved, not yet written */
};

struct pack_writer {
    char *path;
    int fd;
    pthread_mutex_t lock; /* protects all below; innermost, no call is made under it */
    struct written_frame *frames;
    size_t frame_count, frame_alloc;
    uint64_t end;       /* where the next frame goes */
    uint64_t writeback; /* handed to the disk up to here */
};

int pack_writer_new(const char *path, struct pack_writer **ret, struct verror *err)
{
    int fd = io_open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return verror_errno(err, fd, "cannot create %s", path);
    struct pack_writer *w = xcalloc(1, sizeof(*w));
    w->path = xstrdup(path);
    w->fd = fd;
    w->end = PACK_HEADER_SIZE;
    pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

void pack_writer_free(struct pack_writer *w)
{
    if (!w)
        return;
    (void)close(w->fd);
    pthread_mutex_destroy(&w->lock);
    free(w->frames);
    free(w->path);
    free(w);
}

int pack_writer_reserve(struct pack_writer *w, uint32_t count, uint32_t *first, struct verror *err)
{
    pthread_mutex_lock(&w->lock);
    size_t at = w->frame_count;
    bool fits = count < UINT32_MAX - at;
    if (fits) {
        w->frames = xgrow(w->frames, &w->frame_alloc, at + count, sizeof(*w->frames));
        memset(w->frames + at, 0, count * sizeof(*w->frames));
        w->frame_count += count;
    }
    pthread_mutex_unlock(&w->lock);
    if (!fits)
        return verror_set(err, EFBIG, "too much data for one pack");
    *first = (uint32_t)at;
    return 0;
}

int pack_writer_frame(struct pack_writer *w, uint32_t frame, const void *data, size_t size,
                      size_t raw_size, struct verror *err)
{
    pthread_mutex_lock(&w->lock);
    uint64_t offset = w->end;
    w->end += size;
    uint64_t from = w->writeback;
    bool start = offset - from >= WRITEBACK_BYTES;
    if (start)
        w->writeback = offset;
    pthread_mutex_unlock(&w->lock);

    int r = io_pwrite_all(w->fd, data, size, offset);
    if (r < 0)
        return verror_errno(err, r, "cannot write %s", w->path);
    if (start)
        (void)sync_file_range(w->fd, (off_t)from, (off_t)(offset - from), SYNC_FILE_RANGE_WRITE);

    struct written_frame written = {
        .offset = offset,
        .checksum = checksum_of(data, size),
        .size = (uint32_t)size,
        .raw_size = (uint32_t)raw_size,
    };
    pthread_mutex_lock(&w->lock);
    w->frames[frame] = written;
    pthread_mutex_unlock(&w->lock);
    return 0;
}

static int build_index(const struct pack_writer *w, const struct pack_blob *blobs, size_t count,
                       struct strbuf *out, struct verror *err)
{
    size_t frames_size = w->frame_count * PACK_FRAME_SIZE, blobs_size = count * PACK_BLOB_SIZE;
    strbuf_grow(out, frames_size + blobs_size + PACK_TRAILER_SIZE);
    for (size_t i = 0; i < w->frame_count; i++) {
        const struct written_frame *f = &w->frames[i];
        uint8_t raw[PACK_FRAME_SIZE] = {0};
        if (!f->size)
            return verror_set(err, EINVAL, "%s: frame %zu was never written", w->path, i);
        wire_store64(raw, f->offset);
        wire_store32(raw + 8, f->size);
        wire_store32(raw + 12, f->raw_size);
        wire_store64(raw + 16, f->checksum);
        strbuf_add(out, raw, sizeof(raw));
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t raw[PACK_BLOB_SIZE] = {0};
        memcpy(raw, blobs[i].id.bytes, SHA256_SIZE);
        wire_store32(raw + SHA256_SIZE, blobs[i].frame);
        wire_store32(raw + SHA256_SIZE + 4, blobs[i].offset);
        wire_store64(raw + SHA256_SIZE + 8, blobs[i].size);
        strbuf_add(out, raw, sizeof(raw));
    }
    uint8_t trailer[PACK_TRAILER_SIZE];
    wire_store64(trailer, w->end);
    wire_store64(trailer + 8, w->frame_count);
    wire_store64(trailer + 16, w->end + frames_size);
    wire_store64(trailer + 24, count);
    wire_store64(trailer + 32, checksum_of(out->buf, out->len));
    memcpy(trailer + 40, PACK_END_MAGIC, sizeof(PACK_END_MAGIC) - 1);
    strbuf_add(out, trailer, sizeof(trailer));
    return 0;
}

int pack_writer_finish(struct pack_writer *w, const struct pack_blob *blobs, size_t count,
                       uint64_t *bytes, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf index = STRBUF_INIT;
    int r = build_index(w, blobs, count, &index, err);
    if (r < 0)
        return r;
    uint8_t header[PACK_HEADER_SIZE] = {0};
    memcpy(header, PACK_MAGIC, sizeof(PACK_MAGIC) - 1);
    wire_store32(header + 8, PACK_VERSION);
    r = io_pwrite_all(w->fd, header, sizeof(header), 0);
    if (r == 0)
        r = io_pwrite_all(w->fd, index.buf, index.len, w->end);
    if (r == 0)
        r = io_fsync(w->fd);
    if (r < 0)
        return verror_errno(err, r, "cannot write %s", w->path);
    *bytes = w->end + index.len;
    return 0;
}

uint32_t pack_writer_frames(const struct pack_writer *w)
{
    return (uint32_t)w->frame_count;
}
