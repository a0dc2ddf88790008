/* Checking a whole store: the catalog, then the packs, then the images over both. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/verify_private.h"
#include "store/where.h"

#define WHERE_MAX_BYTES (UINT64_C(1) << 30)

struct listed_pack {
    uint32_t number;
    uint64_t bytes;
};

struct listed_image {
    struct store_image which;
    char *name, *version;
    uint64_t file_bytes;
    uint32_t nodes;
};

struct contents {
    struct verify *v;
    struct listed_pack *packs;
    size_t pack_count, pack_alloc;
    struct listed_image *images;
    size_t image_count, image_alloc;
};

void verify_problem(struct verify *v, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *line = xvasprintf(fmt, ap);
    va_end(ap);
    v->problems++;
    if (v->problem)
        v->problem(line, v->arg);
}

static void catalog_problem(const char *line, void *arg)
{
    verify_problem(arg, "%s", line);
}

struct verified_blob *verify_find_blob(struct verify *v, const struct sha256 *id)
{
    size_t lo = 0, hi = v->blob_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = sha256_cmp(&v->blobs[mid].row.id, id);
        if (c == 0)
            return &v->blobs[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- copying the catalog, so that it is not locked while packs are read ---- */

static int copy_blob(const struct catalog_blob *blob, void *arg)
{
    struct verify *v = ((struct contents *)arg)->v;
    v->blobs = xgrow(v->blobs, &v->blob_alloc, v->blob_count + 1, sizeof(*v->blobs));
    v->blobs[v->blob_count++] = (struct verified_blob){.row = *blob};
    return 0;
}

static int copy_pack(uint32_t number, uint64_t bytes, void *arg)
{
    struct contents *s = arg;
    s->packs = xgrow(s->packs, &s->pack_alloc, s->pack_count + 1, sizeof(*s->packs));
    s->packs[s->pack_count++] = (struct listed_pack){.number = number, .bytes = bytes};
    return 0;
}

static int copy_image(const struct catalog_image *image, void *arg)
{
    struct contents *s = arg;
    s->images = xgrow(s->images, &s->image_alloc, s->image_count + 1, sizeof(*s->images));
    s->images[s->image_count++] = (struct listed_image){
        .which = image->which,
        .name = xstrdup(image->name),
        .version = xstrdup(image->version),
        .file_bytes = image->file_bytes,
        .nodes = image->nodes,
    };
    return 0;
}

static int read_catalog(struct contents *s, struct verror *err)
{
    struct catalog *catalog;
    _cleanup_verror_ struct verror why = VERROR_INIT;
    int r = store_catalog(s->v->store, &catalog, &why);
    if (r == 0) {
        r = catalog_check(catalog, catalog_problem, s->v, &why);
        if (r == 0)
            r = catalog_each_blob(catalog, copy_blob, s, &why);
        if (r == 0)
            r = catalog_each_pack(catalog, copy_pack, s, &why);
        if (r == 0)
            r = catalog_each_image(catalog, copy_image, s, &why);
        store_catalog_done(s->v->store);
    }
    if (r == -EBADMSG || r == -EIO) {
        /* What could be read is still checked. */
        verify_problem(s->v, "%s", verror_message(&why));
        return 0;
    }
    return r < 0 ? verror_move(err, &why) : 0;
}

/* ---- packs ---- */

static int by_pack(const void *pa, const void *pb)
{
    const struct verified_blob *a = *(struct verified_blob *const *)pa;
    const struct verified_blob *b = *(struct verified_blob *const *)pb;
    uint32_t x = a->row.where.pack, y = b->row.where.pack;
    return (x > y) - (x < y);
}

static int check_packs(const struct contents *s, struct verror *err)
{
    struct verify *v = s->v;
    _cleanup_free_ struct verified_blob **rows = xcalloc(v->blob_count, sizeof(*rows));
    for (size_t i = 0; i < v->blob_count; i++)
        rows[i] = &v->blobs[i];
    qsort(rows, v->blob_count, sizeof(*rows), by_pack);
    size_t at = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < s->pack_count; i++) {
        uint32_t number = s->packs[i].number;
        /* Blobs in packs that are not listed: catalog_check() told of them. */
        for (; at < v->blob_count && rows[at]->row.where.pack < number; at++)
            rows[at]->bad = true;
        size_t first = at;
        while (at < v->blob_count && rows[at]->row.where.pack == number)
            at++;
        r = verify_pack(v, number, s->packs[i].bytes, rows + first, at - first, err);
    }
    for (; at < v->blob_count; at++)
        rows[at]->bad = true;
    return r;
}

/* ---- images ---- */

/* Blobs that two puts stored at once lie in two packs; a where file may name either copy. One that
 * names a pack which is gone is old: readers ask the catalog. */
static bool is_stale_or_other_copy(const struct verify *v, const struct pack_location *at,
                                   const struct sha256 *id)
{
    _cleanup_free_ char *path = store_pack_path(v->store, at->pack);
    struct pack *pack;
    int r = pack_open(path, at->pack, &pack, NULL);
    if (r < 0)
        return r == -ENOENT;
    struct pack_blob found;
    bool ret =
        pack_find(pack, id, &found) && found.frame == at->frame && found.offset == at->offset;
    pack_unref(pack);
    return ret;
}

static void check_locations(struct verify *v, const struct image *image, const char *path,
                            const void *data, size_t size)
{
    uint32_t count = image_blobs(image);
    const uint8_t *entries = where_check(data, size, image_id(image), count);
    if (!entries) {
        verify_problem(v, "%s is damaged", path);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct pack_location at = where_entry(entries, i);
        const struct verified_blob *b = verify_find_blob(v, image_blob_id(image, i));
        if (!b || memcmp(&at, &b->row.where, sizeof(at)) == 0 ||
            is_stale_or_other_copy(v, &at, image_blob_id(image, i)))
            continue;
        verify_problem(v, "%s names a wrong location", path);
        return;
    }
}

/* The image's part of the gathered locations; they are caches, made again when needed. */
static int read_part(const char *path, uint32_t number, struct strbuf *ret)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    uint64_t offset, size;
    int r = fd < 0 ? fd : where_find_part(fd, number, &offset, &size);
    if (r < 0)
        return r;
    if (size > WHERE_MAX_BYTES)
        return -EBADMSG;
    strbuf_grow(ret, (size_t)size);
    ssize_t n = io_pread_all(fd, ret->buf, (size_t)size, offset);
    if (n < 0)
        return (int)n;
    ret->len = (size_t)n;
    return 0;
}

static void check_where(struct verify *v, const struct listed_image *listed,
                        const struct image *image)
{
    _cleanup_free_ char *own = store_where_path(v->store, &listed->which);
    _cleanup_free_ char *gathered = store_gathered_path(v->store);
    _cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
    const char *path = own;
    int r = io_read_file(own, &bytes, WHERE_MAX_BYTES);
    if (r == -ENOENT) {
        path = gathered;
        r = read_part(gathered, listed->which.number, &bytes);
    }
    if (r == 0)
        check_locations(v, image, path, bytes.buf, bytes.len);
    else if (r != -ENOENT)
        verify_problem(v, "%s is damaged", path);
}

static void check_image_blobs(struct verify *v, const struct listed_image *listed,
                              const struct image *image)
{
    uint32_t missing = 0, bad = 0;
    for (uint32_t i = 0; i < image_blobs(image); i++) {
        const struct verified_blob *b = verify_find_blob(v, image_blob_id(image, i));
        if (!b || b->row.size != image_blob_size(image, i))
            missing++;
        else if (b->bad)
            bad++;
    }
    if (missing || bad)
        verify_problem(v,
                       "%s %s (image %u): of the content of its files, %u missing and %u "
                       "damaged",
                       listed->name, listed->version, listed->which.number, missing, bad);
}

static int check_image(struct verify *v, const struct listed_image *listed, struct verror *err)
{
    struct image *image;
    _cleanup_verror_ struct verror why = VERROR_INIT;
    int r = store_image_open(v->store, &listed->which, &image, &why);
    if (r == 0 && image_check_digest(image, &why) < 0) {
        image_unref(image);
        r = -EBADMSG;
    }
    if (r == -ENOENT || r == -EBADMSG || r == -EIO) {
        verify_problem(v, "%s %s (image %u): %s", listed->name, listed->version,
                       listed->which.number, verror_message(&why));
        return 0;
    }
    if (r < 0)
        return verror_move(err, &why);
    if (strcmp(image_dist_name(image), listed->name) != 0 ||
        strcmp(image_dist_version(image), listed->version) != 0 ||
        image_nodes(image) != listed->nodes || image_file_bytes(image) != listed->file_bytes)
        verify_problem(v, "catalog: image %u is not %s %s", listed->which.number, listed->name,
                       listed->version);
    check_image_blobs(v, listed, image);
    check_where(v, listed, image);
    image_unref(image);
    return 0;
}

static void contents_release(struct contents *s)
{
    for (size_t i = 0; i < s->image_count; i++) {
        free(s->images[i].name);
        free(s->images[i].version);
    }
    free(s->images);
    free(s->packs);
    free(s->v->blobs);
}

int store_verify(struct store *store, bool full, void (*problem)(const char *line, void *arg),
                 void *arg, uint64_t *problems, struct verror *err)
{
    struct verify v = {.store = store, .full = full, .problem = problem, .arg = arg};
    struct contents s = {.v = &v};
    int r = store_lock_shared(store, err);
    if (r == 0)
        r = read_catalog(&s, err);
    if (r == 0)
        r = check_packs(&s, err);
    for (size_t i = 0; r == 0 && i < s.image_count; i++)
        r = check_image(&v, &s.images[i], err);
    contents_release(&s);
    if (r == 0)
        *problems = v.problems;
    return r;
}
