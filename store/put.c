/* Filling a put: blobs go through streams into frames of one pack, images are staged. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/wire.h"
#include "store/put_dir.h"
#include "store/put_private.h"

#define NONE UINT32_MAX
enum { LEVEL = 3 };

/* A frame being filled with small blobs of one kind. */
struct open_frame {
    uint8_t *raw; /* IMAGE_SLICE_SIZE bytes, allocated when first needed */
    size_t len;
    uint32_t number; /* reserved when len became positive */
};

struct put_stream {
    struct store_put *put;
    ZSTD_CCtx *zstd;
    void *compressed;
    size_t compressed_size;
    struct open_frame frames[BLOB_KINDS];
};

/* ---- the put ---- */

int store_put_begin(struct store *store, struct store_put **ret, struct verror *err)
{
    if (store->flags & STORE_READ_ONLY)
        return verror_set(err, EROFS, "the store %s was opened for reading only", store->root);
    int r = store_lock_shared(store, err);
    if (r < 0)
        return r;
    struct store_put *put = xcalloc(1, sizeof(*put));
    put->store = store;
    put->dir_lock = -1;
    put->blob_hash_size = 1024;
    put->blob_hash = xmalloc(put->blob_hash_size * sizeof(*put->blob_hash));
    memset(put->blob_hash, 0xff, put->blob_hash_size * sizeof(*put->blob_hash));
    pthread_mutex_init(&put->lock, NULL);
    *ret = put;
    return 0;
}

static void put_image_free(struct put_image *i)
{
    image_unref(i->image);
    strbuf_release(&i->bytes);
    store_wheel_release(&i->wheel);
    free(i->target);
    free(i->path);
    free(i);
}

void store_put_free(struct store_put *put)
{
    if (!put)
        return;
    pack_writer_free(put->writer);
    if (put->dir)
        put_dir_remove(put->dir, put->dir_lock);
    for (size_t i = 0; i < put->image_count; i++)
        put_image_free(put->images[i]);
    verror_release(&put->failure);
    pthread_mutex_destroy(&put->lock);
    free(put->images);
    free(put->blobs);
    free(put->blob_hash);
    free(put->pack_path);
    free(put->dir);
    free(put);
}

/* The put's folder; put->lock is held. */
static int need_dir(struct store_put *put, struct verror *err)
{
    if (put->dir)
        return 0;
    _cleanup_free_ char *tmp = store_path(put->store, "tmp");
    int fd = put_dir_make(tmp, &put->dir, err);
    if (fd < 0)
        return fd;
    put->dir_lock = fd;
    return 0;
}

static int need_writer(struct store_put *put, struct pack_writer **ret, struct verror *err)
{
    pthread_mutex_lock(&put->lock);
    int r = 0;
    if (!put->writer) {
        r = need_dir(put, err);
        if (r == 0) {
            free(put->pack_path);
            put->pack_path = path_join(put->dir, "pack");
            r = pack_writer_new(put->pack_path, &put->writer, err);
        }
    }
    *ret = put->writer;
    pthread_mutex_unlock(&put->lock);
    return r;
}

/* Remembers the first failure: after it the put cannot be committed, since a blob that another
 * thread believes stored may be missing. */
static int failed(struct store_put *put, int r, const struct verror *err)
{
    pthread_mutex_lock(&put->lock);
    if (!put->failure.errnum)
        (void)verror_set(&put->failure, r, "%s", err ? verror_message(err) : strerror(-r));
    pthread_mutex_unlock(&put->lock);
    return r;
}

/* ---- blobs seen ---- */

static uint32_t *blob_head(const struct store_put *put, const struct sha256 *id)
{
    return &put->blob_hash[wire_load64(id->bytes) & (put->blob_hash_size - 1)];
}

struct put_blob *put_find_blob(const struct store_put *put, const struct sha256 *id)
{
    for (uint32_t i = *blob_head(put, id); i != NONE; i = put->blobs[i].next_hash)
        if (sha256_equal(&put->blobs[i].id, id))
            return &put->blobs[i];
    return NULL;
}

static void link_blob(struct store_put *put, uint32_t i)
{
    uint32_t *head = blob_head(put, &put->blobs[i].id);
    put->blobs[i].next_hash = *head;
    *head = i;
}

static void grow_hash(struct store_put *put)
{
    if (put->blob_count < put->blob_hash_size)
        return;
    put->blob_hash_size *= 2;
    put->blob_hash = xrealloc(put->blob_hash, put->blob_hash_size * sizeof(*put->blob_hash));
    memset(put->blob_hash, 0xff, put->blob_hash_size * sizeof(*put->blob_hash));
    for (uint32_t i = 0; i < put->blob_count; i++)
        link_blob(put, i);
}

/* Makes the blob this thread's to store: returns its index, or NONE when the put had it. */
static uint32_t take_blob(struct store_put *put, const struct sha256 *id, uint64_t size)
{
    uint32_t i = NONE;
    pthread_mutex_lock(&put->lock);
    if (!put_find_blob(put, id)) {
        grow_hash(put);
        put->blobs = xgrow(put->blobs, &put->blob_alloc, put->blob_count + 1, sizeof(*put->blobs));
        i = (uint32_t)put->blob_count++;
        put->blobs[i] = (struct put_blob){.id = *id, .size = size};
        link_blob(put, i);
    }
    pthread_mutex_unlock(&put->lock);
    return i;
}

static void set_location(struct store_put *put, uint32_t i, const struct pack_location *where)
{
    pthread_mutex_lock(&put->lock);
    put->blobs[i].where = *where;
    pthread_mutex_unlock(&put->lock);
}

static int stored_before(struct store_put *put, const struct sha256 *id,
                         struct pack_location *where, struct verror *err)
{
    struct catalog *catalog;
    uint64_t size;
    int r = store_catalog(put->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_find_blob(catalog, id, where, &size, err);
    store_catalog_done(put->store);
    return r;
}

/* ---- streams ---- */

struct put_stream *put_stream_new(struct store_put *put)
{
    struct put_stream *s = xcalloc(1, sizeof(*s));
    s->put = put;
    s->zstd = ZSTD_createCCtx();
    s->compressed_size = ZSTD_compressBound(IMAGE_SLICE_SIZE);
    s->compressed = xmalloc(s->compressed_size);
    if (!s->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, LEVEL)))
        (void)failed(put, -ENOMEM, NULL);
    pthread_mutex_lock(&put->lock);
    put->streams++;
    pthread_mutex_unlock(&put->lock);
    return s;
}

static int write_frame(struct put_stream *s, struct pack_writer *w, uint32_t frame, const void *raw,
                       size_t size, struct verror *err)
{
    size_t n = s->zstd ? ZSTD_compress2(s->zstd, s->compressed, s->compressed_size, raw, size) : 0;
    if (!n || ZSTD_isError(n))
        return verror_set(err, ENOMEM, "cannot compress: %s", ZSTD_getErrorName(n));
    return pack_writer_frame(w, frame, s->compressed, n, size, err);
}

static int flush(struct put_stream *s, struct open_frame *f, struct verror *err)
{
    if (!f->len)
        return 0;
    int r = write_frame(s, s->put->writer, f->number, f->raw, f->len, err);
    f->len = 0;
    return r;
}

void put_stream_free(struct put_stream *stream)
{
    if (!stream)
        return;
    struct store_put *put = stream->put;
    for (size_t i = 0; i < BLOB_KINDS; i++) {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        int r = flush(stream, &stream->frames[i], &err);
        if (r < 0)
            (void)failed(put, r, &err);
        free(stream->frames[i].raw);
    }
    (void)ZSTD_freeCCtx(stream->zstd);
    free(stream->compressed);
    free(stream);
    pthread_mutex_lock(&put->lock);
    put->streams--;
    pthread_mutex_unlock(&put->lock);
}

/* A frame for each slice. */
static int store_alone(struct put_stream *s, struct pack_writer *w, const uint8_t *data,
                       size_t size, struct pack_location *where, struct verror *err)
{
    uint64_t slices = image_slices(size);
    if (slices > UINT32_MAX)
        return verror_set(err, EFBIG, "a file of %zu bytes is too big", size);
    int r = pack_writer_reserve(w, (uint32_t)slices, &where->frame, err);
    for (uint32_t i = 0; r == 0 && i < slices; i++) {
        size_t at = (size_t)i * IMAGE_SLICE_SIZE;
        size_t n = size - at < IMAGE_SLICE_SIZE ? size - at : IMAGE_SLICE_SIZE;
        r = write_frame(s, w, where->frame + i, data + at, n, err);
    }
    return r;
}

static int store_together(struct put_stream *s, struct pack_writer *w, struct open_frame *f,
                          const uint8_t *data, size_t size, struct pack_location *where,
                          struct verror *err)
{
    int r = f->len + size > IMAGE_SLICE_SIZE ? flush(s, f, err) : 0;
    if (r == 0 && !f->len)
        r = pack_writer_reserve(w, 1, &f->number, err);
    if (r < 0)
        return r;
    if (!f->raw)
        f->raw = xmalloc(IMAGE_SLICE_SIZE);
    where->frame = f->number;
    where->offset = (uint32_t)f->len;
    memcpy(f->raw + f->len, data, size);
    f->len += size;
    return 0;
}

static int store_blob(struct put_stream *s, enum blob_kind kind, const void *data, size_t size,
                      struct pack_location *where, struct verror *err)
{
    struct pack_writer *w;
    int r = need_writer(s->put, &w, err);
    if (r < 0)
        return r;
    struct open_frame *f = &s->frames[kind];
    /* A blob of over half a frame that does not fit any more would leave the frame half empty. */
    bool alone = size > IMAGE_SLICE_SIZE ||
                 (size > IMAGE_SLICE_SIZE / 2 && f->len + size > IMAGE_SLICE_SIZE);
    return alone ? store_alone(s, w, data, size, where, err)
                 : store_together(s, w, f, data, size, where, err);
}

static void fill_ref(struct blob_ref *ref, const void *data, size_t size,
                     const struct sha256 *known)
{
    uint64_t slices = image_slices(size);
    *ref = (struct blob_ref){.size = size};
    if (!size)
        return;
    if (known)
        ref->id = *known;
    else
        sha256_of(data, size, &ref->id);
    ref->checksums = xmalloc((size_t)slices * sizeof(*ref->checksums));
    for (size_t i = 0; i < slices; i++) {
        size_t at = i * IMAGE_SLICE_SIZE;
        size_t n = size - at < IMAGE_SLICE_SIZE ? size - at : IMAGE_SLICE_SIZE;
        ref->checksums[i] = checksum_of((const uint8_t *)data + at, n);
    }
}

int put_stream_blob(struct put_stream *stream, enum blob_kind kind, const void *data, size_t size,
                    const struct sha256 *known, struct blob_ref *ret, struct verror *err)
{
    struct store_put *put = stream->put;
    struct blob_ref ref;
    fill_ref(&ref, data, size, known);
    uint32_t i = size ? take_blob(put, &ref.id, size) : NONE;
    if (i != NONE) {
        struct pack_location where = {0};
        int r = stored_before(put, &ref.id, &where, err);
        if (r == -ENOENT)
            r = store_blob(stream, kind, data, size, &where, err);
        if (r < 0) {
            blob_ref_release(&ref);
            return failed(put, r, err);
        }
        set_location(put, i, &where);
    }
    *ret = ref;
    return 0;
}

void blob_ref_release(struct blob_ref *ref)
{
    free(ref->checksums);
    ref->checksums = NULL;
}

/* ---- images ---- */

int put_write_file(const char *path, const void *data, size_t size, struct verror *err)
{
    int fd = io_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return verror_errno(err, fd, "cannot create %s", path);
    int r = io_write_all(fd, data, size);
    /* The fsync()s of many small files follow at the commit: writing all of them back at once first
     * saves a wait for each. */
    if (r == 0)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    return r < 0 ? verror_errno(err, r, "cannot write %s", path) : 0;
}

static int stage(struct store_put *put, struct put_image *image, struct verror *err)
{
    pthread_mutex_lock(&put->lock);
    int r = need_dir(put, err);
    size_t index = put->image_count;
    if (r == 0) {
        image->path = xasprintf("%s/%zu.image", put->dir, index);
        put->images = xgrow(put->images, &put->image_alloc, index + 1, sizeof(struct put_image *));
        put->images[put->image_count++] = image;
    }
    pthread_mutex_unlock(&put->lock);
    return r < 0 ? r : (int)index;
}

int store_put_image(struct store_put *put, struct image_builder *builder,
                    const struct store_wheel *wheel, const char *target, size_t *index,
                    struct verror *err)
{
    struct put_image *image = xcalloc(1, sizeof(*image));
    strbuf_init(&image->bytes);
    int r = image_builder_finish(builder, &image->bytes, &image->result.id, err);
    /* Checked as any other image, so that what is stored can be opened. */
    if (r == 0)
        r = image_open_memory(image->bytes.buf, image->bytes.len, &image->image, err);
    if (r == 0) {
        image->wheel.id = wheel->id;
        image->wheel.filename = xstrdup(wheel->filename);
        image->target = xstrdup(target);
        r = stage(put, image, err);
    }
    if (r < 0) {
        put_image_free(image);
        return r;
    }
    *index = (size_t)r;
    r = put_write_file(image->path, image->bytes.buf, image->bytes.len, err);
    return r < 0 ? failed(put, r, err) : 0;
}

struct store_image store_put_result(const struct store_put *put, size_t index)
{
    return put->images[index]->result;
}
