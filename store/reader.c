/* Reading blobs: where files, open packs, decoded frames.
 *
 * Every byte that leaves here was compared with a checksum that the image carries, so a wrong
 * location can only ever give -EIO, never another file's bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sigbus.h"
#include "base/wire.h"
#include "store/frame_cache.h"
#include "store/store_private.h"
#include "store/where.h"

enum { MAX_OPEN_PACKS = 64, MAX_IDLE_DECODERS = 4, RELOCATIONS = 4 };

struct blob_reader {
    struct store *store;
    struct frame_cache *frames;
    pthread_mutex_t lock;               /* protects all below; no call is made under it */
    struct pack *packs[MAX_OPEN_PACKS]; /* most recently used first */
    size_t pack_count;
    struct pack_decoder *idle[MAX_IDLE_DECODERS];
    size_t idle_count;
};

struct image_where {
    uint32_t count;
    pthread_mutex_t lock;   /* protects all below; no call is made under it */
    const uint8_t *entries; /* in map */
    const void *map;
    size_t map_size;
    struct sigbus_watch *watch; /* of map; constant, as is checksum */
    uint64_t checksum;          /* as the file's last bytes were when it was checked */
    struct pack_location *own;  /* replaces entries once anything differs from the file */
};

int blob_reader_new(struct store *store, size_t cache_bytes, struct blob_reader **ret,
                    struct verror *err)
{
    (void)err;
    struct blob_reader *reader = xcalloc(1, sizeof(*reader));
    reader->store = store;
    reader->frames = frame_cache_new(cache_bytes);
    pthread_mutex_init(&reader->lock, NULL);
    *ret = reader;
    return 0;
}

void blob_reader_free(struct blob_reader *reader)
{
    if (!reader)
        return;
    frame_cache_free(reader->frames);
    for (size_t i = 0; i < reader->pack_count; i++)
        pack_unref(reader->packs[i]);
    for (size_t i = 0; i < reader->idle_count; i++)
        pack_decoder_free(reader->idle[i]);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

void blob_reader_stats(struct blob_reader *reader, struct blob_reader_stats *ret)
{
    frame_cache_stats(reader->frames, ret);
}

/* ---- packs ---- */

static struct pack *held_pack(struct blob_reader *reader, uint32_t number)
{
    for (size_t i = 0; i < reader->pack_count; i++) {
        struct pack *pack = reader->packs[i];
        if (pack_number(pack) != number)
            continue;
        memmove(reader->packs + 1, reader->packs, i * sizeof(struct pack *));
        reader->packs[0] = pack;
        return pack_ref(pack);
    }
    return NULL;
}

/* Returns the pack that falls out of the table, or NULL. */
static struct pack *keep_pack(struct blob_reader *reader, struct pack *pack)
{
    struct pack *out = NULL;
    if (reader->pack_count == MAX_OPEN_PACKS)
        out = reader->packs[--reader->pack_count];
    memmove(reader->packs + 1, reader->packs, reader->pack_count * sizeof(struct pack *));
    reader->packs[0] = pack_ref(pack);
    reader->pack_count++;
    return out;
}

static void drop_pack(struct blob_reader *reader, struct pack *pack)
{
    struct pack *out = NULL;
    pthread_mutex_lock(&reader->lock);
    for (size_t i = 0; i < reader->pack_count && !out; i++) {
        if (reader->packs[i] != pack)
            continue;
        out = pack;
        reader->pack_count--;
        memmove(reader->packs + i, reader->packs + i + 1,
                (reader->pack_count - i) * sizeof(struct pack *));
    }
    pthread_mutex_unlock(&reader->lock);
    pack_unref(out);
}

void blob_reader_forget_removed(struct blob_reader *reader)
{
    struct pack *held[MAX_OPEN_PACKS];
    pthread_mutex_lock(&reader->lock);
    size_t count = reader->pack_count;
    for (size_t i = 0; i < count; i++)
        held[i] = pack_ref(reader->packs[i]);
    pthread_mutex_unlock(&reader->lock);
    for (size_t i = 0; i < count; i++) {
        if (pack_removed(held[i]))
            drop_pack(reader, held[i]);
        pack_unref(held[i]);
    }
}

static int get_pack(struct blob_reader *reader, uint32_t number, bool nowait, struct pack **ret,
                    struct verror *err)
{
    pthread_mutex_lock(&reader->lock);
    struct pack *pack = held_pack(reader, number);
    pthread_mutex_unlock(&reader->lock);
    if (pack && !pack_damaged(pack)) {
        *ret = pack;
        return 0;
    }
    if (pack) { /* the file may have been repaired since */
        drop_pack(reader, pack);
        pack_unref(pack);
    }
    if (nowait)
        return -EAGAIN; /* opening reads the index */
    _cleanup_free_ char *path = store_pack_path(reader->store, number);
    int r = pack_open(path, number, &pack, err);
    if (r < 0)
        return r;
    pack_expect_random(pack);
    pthread_mutex_lock(&reader->lock);
    struct pack *other = held_pack(reader, number), *out = NULL;
    if (!other)
        out = keep_pack(reader, pack);
    pthread_mutex_unlock(&reader->lock);
    pack_unref(other); /* another thread opened it as well */
    pack_unref(out);
    *ret = pack;
    return 0;
}

static struct pack_decoder *take_decoder(struct blob_reader *reader)
{
    struct pack_decoder *decoder = NULL;
    pthread_mutex_lock(&reader->lock);
    if (reader->idle_count)
        decoder = reader->idle[--reader->idle_count];
    pthread_mutex_unlock(&reader->lock);
    return decoder ? decoder : pack_decoder_new();
}

static void give_decoder(struct blob_reader *reader, struct pack_decoder *decoder)
{
    pthread_mutex_lock(&reader->lock);
    if (reader->idle_count < MAX_IDLE_DECODERS) {
        reader->idle[reader->idle_count++] = decoder;
        decoder = NULL;
    }
    pthread_mutex_unlock(&reader->lock);
    pack_decoder_free(decoder);
}

static int load_frame(void *arg, uint32_t number, uint32_t frame, bool nowait, uint8_t **data,
                      size_t *size, struct verror *err)
{
    struct blob_reader *reader = arg;
    struct pack *pack;
    int r = get_pack(reader, number, nowait, &pack, err);
    if (r < 0)
        return r;
    struct pack_decoder *decoder = take_decoder(reader);
    size_t raw = pack_frame_size(pack, frame);
    _cleanup_free_ uint8_t *buf = malloc(raw ? raw : 1);
    if (!buf || !decoder)
        r = verror_errno(err, ENOMEM, "cannot read pack %u frame %u", number, frame);
    else
        r = pack_read_frame(pack, decoder, frame, nowait, buf, err);
    if (decoder)
        give_decoder(reader, decoder);
    pack_unref(pack);
    if (r == 0) {
        *data = steal_ptr(buf);
        *size = raw;
    }
    return r;
}

/* ---- where ---- */

/* Did the mapped file lose bytes? Ask after reading from it. */
static bool where_damaged(const struct image_where *where)
{
    const uint8_t *end = (const uint8_t *)where->map + where->map_size;
    return wire_load64(end - 8) != where->checksum || sigbus_damaged(where->watch);
}

static void unmap_where(struct image_where *where)
{
    if (!where->map)
        return;
    sigbus_unwatch(where->watch);
    (void)munmap((void *)(uintptr_t)where->map, where->map_size);
    where->map = NULL;
}

/* Maps a part of a file, which is checked to be this image's locations. */
static bool map_part(struct image_where *where, int fd, uint64_t offset, uint64_t size,
                     const struct image *image)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = offset - offset % page;
    where->map_size = (size_t)(offset - start + size);
    if (io_mmap_at(fd, start, where->map_size, &where->map) < 0)
        return false;
    where->watch = sigbus_watch(where->map, where->map_size);
    where->entries = where_check((const uint8_t *)where->map + (offset - start), (size_t)size,
                                 image_id(image), where->count);
    if (where->entries)
        where->checksum = wire_load64((const uint8_t *)where->map + where->map_size - 8);
    if (where->entries && !where_damaged(where))
        return true;
    unmap_where(where);
    return false;
}

/* Maps the image's where file if there is a good one. */
static bool map_own(struct image_where *where, const char *path, const struct image *image)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return false;
    return map_part(where, fd, 0, (uint64_t)st.st_size, image);
}

/* Maps the image's part of the gathered ones. */
static bool map_gathered(struct image_where *where, const struct store *store, uint32_t number,
                         const struct image *image)
{
    _cleanup_free_ char *path = store_gathered_path(store);
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    uint64_t offset, size;
    return fd >= 0 && where_find_part(fd, number, &offset, &size) == 0 &&
           map_part(where, fd, offset, size, image);
}

/* The locations of all blobs, malloc'ed. A blob that the catalog lacks gets pack 0, which is no
 * pack: reading it is -EIO, the rest of the image stays usable. */
static int resolve_all(struct blob_reader *reader, const struct image *image,
                       struct pack_location **ret, bool *complete, struct verror *err)
{
    uint32_t count = image_blobs(image);
    _cleanup_free_ struct pack_location *all = calloc(count ? count : 1, sizeof(*all));
    if (!all)
        return verror_errno(err, ENOMEM, "cannot open %s", image_dist_name(image));
    struct catalog *catalog;
    int r = store_catalog(reader->store, &catalog, err);
    if (r < 0)
        return r;
    *complete = true;
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        uint64_t size;
        r = catalog_find_blob(catalog, image_blob_id(image, i), &all[i], &size, err);
        if (r == -ENOENT) {
            *complete = false;
            r = 0;
        }
    }
    store_catalog_done(reader->store);
    if (r == 0)
        *ret = steal_ptr(all);
    return r;
}

int image_where_open(struct blob_reader *reader, const struct store_image *which,
                     struct image *image, struct image_where **ret, struct verror *err)
{
    struct image_where *where = xcalloc(1, sizeof(*where));
    pthread_mutex_init(&where->lock, NULL);
    where->count = image_blobs(image);
    _cleanup_free_ char *path = store_where_path(reader->store, which);
    int r = 0;
    if (!map_own(where, path, image) && !map_gathered(where, reader->store, which->number, image)) {
        bool complete = false;
        r = resolve_all(reader, image, &where->own, &complete, err);
        if (r == 0 && complete && !(reader->store->flags & STORE_READ_ONLY)) {
            /* A cache: nothing is lost when it cannot be written. */
            _cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
            where_encode(image_id(image), where->own, where->count, &bytes);
            (void)io_write_file_atomic(path, bytes.buf, bytes.len, 0644, false);
        }
    }
    if (r < 0) {
        image_where_free(where);
        return r;
    }
    *ret = where;
    return 0;
}

void image_where_free(struct image_where *where)
{
    if (!where)
        return;
    unmap_where(where);
    pthread_mutex_destroy(&where->lock);
    free(where->own);
    free(where);
}

/* False: the where file lost bytes, and nothing better is known yet. */
static bool location_of(struct image_where *where, uint32_t blob, struct pack_location *ret)
{
    pthread_mutex_lock(&where->lock);
    const struct pack_location *own = where->own;
    *ret = own ? own[blob] : where_entry(where->entries, blob);
    pthread_mutex_unlock(&where->lock);
    return own || !where_damaged(where);
}

/* The catalog knows what a damaged where file said. */
static int resolve_again(struct blob_reader *reader, struct image_where *where,
                         const struct image *image, struct verror *err)
{
    bool complete;
    struct pack_location *all = NULL;
    int r = resolve_all(reader, image, &all, &complete, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&where->lock);
    if (!where->own) /* else another thread was faster */
        where->own = steal_ptr(all);
    pthread_mutex_unlock(&where->lock);
    free(all);
    return 0;
}

/* Asks the catalog where a blob is now, and remembers it. -ENOENT: it knows nothing newer. */
static int relocate(struct blob_reader *reader, struct image_where *where,
                    const struct image *image, uint32_t blob, struct pack_location *at,
                    struct verror *err)
{
    struct catalog *catalog;
    struct pack_location now;
    uint64_t size;
    int r = store_catalog(reader->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_find_blob(catalog, image_blob_id(image, blob), &now, &size, err);
    store_catalog_done(reader->store);
    if (r < 0)
        return r;
    if (now.pack == at->pack)
        return -ENOENT;
    *at = now;
    pthread_mutex_lock(&where->lock);
    if (!where->own) {
        /* Without the memory for it the next read asks again. */
        where->own = calloc(where->count, sizeof(*where->own));
        for (uint32_t i = 0; where->own && i < where->count; i++)
            where->own[i] = where_entry(where->entries, i);
        if (where->own && where_damaged(where)) {
            free(where->own);
            where->own = NULL;
        }
    }
    if (where->own)
        where->own[blob] = now;
    pthread_mutex_unlock(&where->lock);
    return 0;
}

/* ---- reading ---- */

/* One slice of a blob, as it lies in a frame. */
struct slice {
    uint32_t frame;
    size_t start, size; /* in the frame's raw bytes */
    uint64_t checksum;
};

static int mismatch(const struct image *image, const struct pack_location *at,
                    const struct slice *slice, struct verror *err)
{
    return verror_set(err, EIO, "pack %u frame %u does not hold what %s %s expects", at->pack,
                      slice->frame, image_dist_name(image), image_dist_version(image));
}

/* Is the slice in the frame what the image says? A frame that is one slice is hashed once. */
static bool slice_ok(struct frame *frame, const struct slice *slice, const uint8_t **data)
{
    size_t size;
    const uint8_t *raw = frame_data(frame, &size);
    if (slice->start > size || slice->size > size - slice->start)
        return false;
    *data = raw + slice->start;
    if (slice->start == 0 && slice->size == size)
        return frame_checksum(frame) == slice->checksum;
    return checksum_of(*data, slice->size) == slice->checksum;
}

static int copy_slice(struct blob_reader *reader, const struct image *image,
                      const struct pack_location *at, const struct slice *slice, size_t skip,
                      void *buf, size_t size, bool nowait, struct verror *err)
{
    struct frame *frame;
    int r = at->pack ? frame_cache_get(reader->frames, at->pack, slice->frame, nowait, load_frame,
                                       reader, &frame, err)
                     : -ENOENT;
    if (r < 0)
        return r;
    const uint8_t *data;
    if (slice_ok(frame, slice, &data))
        memcpy(buf, data + skip, size);
    else
        r = mismatch(image, at, slice, err);
    frame_cache_put(reader->frames, frame);
    return r;
}

/* total: the blob's size, read once, since a mapped image may be cut off between two looks. */
static ssize_t read_at(struct blob_reader *reader, const struct image *image, uint32_t blob,
                       uint64_t total, const struct pack_location *at, uint64_t offset, void *buf,
                       size_t size, bool nowait, struct verror *err)
{
    size_t copied = 0;
    while (copied < size) {
        uint32_t k = (uint32_t)((offset + copied) / IMAGE_SLICE_SIZE);
        uint64_t begin = (uint64_t)k * IMAGE_SLICE_SIZE;
        struct slice slice = {
            .frame = at->frame + k,
            .start = total <= IMAGE_SLICE_SIZE ? at->offset : 0,
            .size = total - begin < IMAGE_SLICE_SIZE ? total - begin : IMAGE_SLICE_SIZE,
            .checksum = image_slice_checksum(image, blob, k),
        };
        size_t skip = (size_t)(offset + copied - begin);
        size_t n = slice.size - skip < size - copied ? slice.size - skip : size - copied;
        int r = copy_slice(reader, image, at, &slice, skip, (char *)buf + copied, n, nowait, err);
        if (r < 0)
            return r;
        copied += n;
    }
    return (ssize_t)copied;
}

ssize_t blob_reader_read(struct blob_reader *reader, struct image_where *where,
                         const struct image *image, uint32_t blob, uint64_t offset, void *buf,
                         size_t size, bool nowait, struct verror *err)
{
    uint64_t total = image_blob_size(image, blob);
    if (offset >= total)
        return 0;
    if (size > total - offset)
        size = (size_t)(total - offset);
    struct pack_location at;
    ssize_t r = 0;
    if (!location_of(where, blob, &at)) {
        r = nowait ? -EAGAIN : resolve_again(reader, where, image, err);
        if (r < 0)
            return r;
        (void)location_of(where, blob, &at);
    }
    r = read_at(reader, image, blob, total, &at, offset, buf, size, nowait, err);
    if (r == -ENOENT) {
        if (nowait)
            return -EAGAIN;
        /* More than once where the store is rewritten time and again meanwhile. */
        for (int i = 0; r == -ENOENT && i < RELOCATIONS; i++) {
            if (relocate(reader, where, image, blob, &at, NULL) < 0)
                break;
            if (err)
                verror_release(err); /* of where it was */
            r = read_at(reader, image, blob, total, &at, offset, buf, size, false, err);
        }
    }
    if (r == -ENOENT)
        return verror_set(err, EIO, "pack %u, which holds files of %s %s, is missing", at.pack,
                          image_dist_name(image), image_dist_version(image));
    /* To a reader damage of any kind is an I/O error. */
    return r == -EBADMSG || r == -ERANGE ? -EIO : r;
}
