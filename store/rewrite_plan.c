/* What the catalog says that lies where, and what frames are to be made of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/rewrite.h"

static int copy_blob(const struct catalog_blob *blob, void *arg)
{
    struct plan *p = arg;
    p->blobs = xgrow(p->blobs, &p->blob_alloc, p->blob_count + 1, sizeof(*p->blobs));
    p->blobs[p->blob_count++] = (struct plan_blob){
        .id = blob->id, .size = blob->size, .from = blob->where, .to = blob->where};
    return 0;
}

static int copy_pack(uint32_t number, uint64_t bytes, void *arg)
{
    struct plan *p = arg;
    p->packs = xgrow(p->packs, &p->pack_alloc, p->pack_count + 1, sizeof(*p->packs));
    p->packs[p->pack_count++] = (struct plan_pack){.number = number, .bytes = bytes};
    return 0;
}

static int copy_image(const struct catalog_image *image, void *arg)
{
    struct plan *p = arg;
    p->images = xgrow(p->images, &p->image_alloc, p->image_count + 1, sizeof(*p->images));
    p->images[p->image_count++] = (struct plan_image){
        .which = image->which, .name = xstrdup(image->name), .version = xstrdup(image->version)};
    return 0;
}

static int read_catalog(struct plan *p, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(p->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_each_blob(catalog, copy_blob, p, err);
    if (r == 0)
        r = catalog_each_pack(catalog, copy_pack, p, err);
    if (r == 0)
        r = catalog_each_image(catalog, copy_image, p, err);
    for (size_t i = 0; r == 0 && i < p->pack_count; i++)
        r = catalog_optimized(catalog, p->packs[i].number, &p->packs[i].level, err);
    store_catalog_done(p->store);
    return r;
}

struct plan_blob *plan_find(const struct plan *plan, const struct sha256 *id)
{
    size_t lo = 0, hi = plan->blob_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = sha256_cmp(&plan->blobs[mid].id, id);
        if (c == 0)
            return &plan->blobs[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

struct plan_pack *plan_find_pack(const struct plan *plan, uint32_t number)
{
    size_t lo = 0, hi = plan->pack_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (plan->packs[mid].number == number)
            return &plan->packs[mid];
        if (plan->packs[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The blobs of a pack that cannot be opened stay in it. */
static int open_packs(struct plan *p, void (*problem)(const char *line, void *arg), void *arg,
                      struct verror *err)
{
    for (size_t i = 0; i < p->pack_count; i++) {
        _cleanup_verror_ struct verror why = VERROR_INIT;
        _cleanup_free_ char *path = store_pack_path(p->store, p->packs[i].number);
        int r = pack_open(path, p->packs[i].number, &p->packs[i].pack, &why);
        if (r == -ENOENT || r == -EBADMSG || r == -EIO)
            problem(verror_message(&why), arg);
        else if (r < 0)
            return verror_move(err, &why);
    }
    for (size_t i = 0; i < p->blob_count; i++) {
        const struct plan_pack *at = plan_find_pack(p, p->blobs[i].from.pack);
        p->blobs[i].damaged = !at || !at->pack;
    }
    return 0;
}

int plan_read_catalog(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
                      struct plan *ret, struct verror *err)
{
    ret->store = store;
    int r = read_catalog(ret, err);
    return r < 0 ? r : open_packs(ret, problem, arg, err);
}

void plan_miss(struct plan *plan, const struct sha256 *id)
{
    plan->missing =
        xgrow(plan->missing, &plan->missing_alloc, plan->missing_count + 1, sizeof(*id));
    plan->missing[plan->missing_count++] = *id;
}

static int by_id(const void *a, const void *b)
{
    return sha256_cmp(a, b);
}

void plan_sort_missing(struct plan *plan)
{
    if (plan->missing_count)
        qsort(plan->missing, plan->missing_count, sizeof(*plan->missing), by_id);
}

struct plan_frame *plan_add_frame(struct plan *p, uint32_t first, uint8_t group)
{
    p->frames = xgrow(p->frames, &p->frame_alloc, p->frame_count + 1, sizeof(*p->frames));
    struct plan_frame *f = &p->frames[p->frame_count++];
    *f = (struct plan_frame){
        .first = first, .count = 1, .group = group, .number = p->group_frames[group]++};
    return f;
}

void plan_release(struct plan *plan)
{
    for (size_t i = 0; i < plan->blob_count; i++) {
        free(plan->blobs[i].path);
        free(plan->blobs[i].dist);
        free(plan->blobs[i].version);
    }
    for (size_t i = 0; i < plan->image_count; i++) {
        free(plan->images[i].name);
        free(plan->images[i].version);
    }
    for (size_t i = 0; i < plan->pack_count; i++)
        pack_unref(plan->packs[i].pack);
    free(plan->blobs);
    free(plan->order);
    free(plan->frames);
    free(plan->packs);
    free(plan->images);
    free(plan->gathered);
    free(plan->missing);
}
