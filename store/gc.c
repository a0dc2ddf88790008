/* The course of `store gc`; gc.h has the design and its invariants. */
#include "store/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/lease.h"
#include "store/put_dir.h"
#include "store/where.h"

enum { ANEW_LEVEL = 3 }; /* of zstd, as a put; optimize takes its time */

/* The answers of the lock helper that are kept: those for some thousands of locks. */
#define CACHE_BYTES (UINT64_C(16) << 20)

void store_image_touch(struct store *store, const struct store_image *image)
{
    _cleanup_free_ char *path = store_image_path(store, image);
    (void)utimensat(AT_FDCWD, path, NULL, 0);
}

/* ---- sizes ---- */

static void count_file(const char *path, const char *name, uint64_t size, void *arg)
{
    (void)path;
    (void)name;
    (void)size;
    ++*(uint64_t *)arg;
}

static int measure(const struct store *store, uint64_t *packs, uint64_t *pack_bytes,
                   uint64_t *image_bytes, struct verror *err)
{
    *packs = *pack_bytes = *image_bytes = 0;
    int r = store_each_file(store, "packs", count_file, packs, pack_bytes, err);
    return r < 0 ? r : store_each_file(store, "images", NULL, NULL, image_bytes, err);
}

static bool moves_any(const struct gc *gc)
{
    return gc->plan.order_count > 0;
}

static bool changes_catalog(const struct gc *gc)
{
    for (size_t i = 0; i < gc->plan.image_count; i++)
        if (!gc->images[i].keep)
            return true;
    for (size_t i = 0; i < gc->plan.pack_count; i++)
        if (gc->packs[i].fate != GC_STAYS)
            return true;
    return false;
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* What gathering the locations adds, less what it makes superfluous. */
static int64_t gathering_adds(const struct gc *gc)
{
    _cleanup_free_ uint32_t *counts = xcalloc(gc->plan.image_count + 1, sizeof(*counts));
    _cleanup_free_ char *gathered = store_gathered_path(gc->store);
    uint64_t gone = size_of(gathered);
    size_t n = 0;
    for (size_t i = 0; i < gc->plan.image_count; i++) {
        if (!gc->images[i].keep || !gc->images[i].complete)
            continue;
        _cleanup_free_ char *own = store_where_path(gc->store, &gc->plan.images[i].which);
        gone += size_of(own);
        counts[n++] = gc->images[i].blobs;
    }
    return (int64_t)where_gathered_size(counts, n) - (int64_t)gone;
}

/* ---- files of images ---- */

struct image_sweep {
    struct gc *gc;
    bool keeps_any;
    uint64_t bytes;
    int result; /* of removing, for the last that failed */
    struct verror *err;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static void sweep_image_file(const char *path, const char *name, uint64_t size, void *arg)
{
    struct image_sweep *s = arg;
    unsigned long number = strtoul(name, NULL, 10);
    bool leased = false;
    bool of_all = strcmp(name, "gathered.where") == 0;
    if (of_all ? s->keeps_any
               : name[0] < '1' || name[0] > '9' || number >= UINT32_MAX ||
                     !(has_suffix(name, ".image") || has_suffix(name, ".where")) ||
                     gc_keeps_number(s->gc, (uint32_t)number))
        return;
    /* One that the catalog lost may be shown all the same. */
    int r = of_all
                ? 0
                : store_is_leased(s->gc->store, lease_of_image((uint32_t)number), &leased, s->err);
    if (r == 0 && !leased && !s->gc->options->dry_run) {
        r = io_unlink(path);
        if (r < 0)
            (void)verror_errno(s->err, r, "cannot remove %s", path);
    }
    if (r < 0)
        s->result = r; /* the next run finds it again */
    else if (!leased)
        s->bytes += size;
}

static int sweep_images(struct gc *gc, uint64_t *bytes, struct verror *err)
{
    struct image_sweep s = {.gc = gc, .err = err};
    uint64_t total = 0;
    for (size_t i = 0; i < gc->plan.image_count; i++)
        s.keeps_any |= gc->images[i].keep;
    int r = store_each_file(gc->store, "images", sweep_image_file, &s, &total, err);
    *bytes = s.bytes;
    return r < 0 ? r : s.result;
}

/* ---- a dry run ---- */

static int foretell(struct gc *gc, const struct rewrite_options *options, struct verror *err)
{
    struct store_gc_result *res = gc->result;
    uint64_t old = 0, fresh = 0, unlisted = 0, count = 0, images = 0;
    if (moves_any(gc)) {
        int r = rewrite_measure(&gc->plan, options, &fresh, err);
        if (r < 0)
            return r;
        for (size_t i = 0; i < gc->plan.pack_count; i++)
            old += gc->packs[i].fate == GC_ANEW ? gc->packs[i].bytes : 0;
        if (fresh > old) {
            gc_keep_packs(gc);
            fresh = 0;
        }
    }
    int r = rewrite_sweep(&gc->plan, true, &unlisted, &count, err);
    if (r == 0)
        r = sweep_images(gc, &images, err);
    if (r < 0)
        return r;
    res->packs_after = res->packs_before - count;
    res->pack_bytes_after = res->pack_bytes_before - unlisted + fresh;
    for (size_t i = 0; i < gc->plan.pack_count; i++) {
        const struct gc_pack *pack = &gc->packs[i];
        if (pack->fate == GC_STAYS)
            continue;
        res->rewritten += pack->fate == GC_ANEW;
        res->pack_bytes_after -= pack->bytes;
        res->packs_after -= pack->bytes > 0;
    }
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++)
        res->packs_after += gc->plan.group_frames[g] > 0;
    res->image_bytes_after = res->image_bytes_before - images;
    if (moves_any(gc))
        res->image_bytes_after += (uint64_t)gathering_adds(gc);
    return 0;
}

/* ---- the run ---- */

static int write_packs(struct gc *gc, const struct rewrite_options *options, struct verror *err)
{
    _cleanup_free_ char *tmp = store_path(gc->store, "tmp");
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct rewrite_counts counts;
    uint64_t limit = 0;
    for (size_t i = 0; i < gc->plan.pack_count; i++)
        limit += gc->packs[i].fate == GC_ANEW ? gc->packs[i].bytes : 0;
    int r = put_dir_make(tmp, &gc->dir, &why);
    if (r >= 0) {
        gc->dir_lock = r;
        r = rewrite_write(&gc->plan, options, gc->dir, limit, gc->written, &counts, &why);
    }
    if (r == -ENOSPC || r == -EDQUOT || r == -E2BIG) {
        /* What dies as a whole goes all the same, and gives room for the next run. */
        gc->result->no_room = r != -E2BIG;
        rewrite_release(gc->written);
        memset(gc->written, 0, sizeof(gc->written));
        if (gc->dir)
            put_dir_remove(gc->dir, gc->dir_lock);
        free(steal_ptr(gc->dir));
        gc_keep_packs(gc);
        return 0;
    }
    return r < 0 ? verror_move(err, &why) : 0;
}

static int forget(struct plan *plan, struct catalog *catalog, void *arg, struct verror *err)
{
    struct gc *gc = arg;
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->image_count; i++)
        if (!gc->images[i].keep)
            r = catalog_drop_image(catalog, plan->images[i].which.number, err);
    for (size_t i = 0; r == 0 && i < plan->pack_count; i++)
        for (uint32_t k = 0; r == 0 && gc->packs[i].fate != GC_STAYS && k < gc->packs[i].count;
             k++) {
            const struct plan_blob *b = &plan->blobs[gc->by_place[gc->packs[i].first + k]];
            if (!b->live)
                r = catalog_drop_blob(catalog, &b->id, err);
        }
    if (r == 0)
        r = catalog_drop_idle_wheels(catalog, err);
    return r < 0 ? r : catalog_trim_cache(catalog, CACHE_BYTES, err);
}

static int change_catalog(struct gc *gc, struct verror *err)
{
    _cleanup_free_ char *gathered = moves_any(gc) ? path_join(gc->dir, "gathered") : NULL;
    struct change change = {.packs = gc->written, .gathered = gathered, .also = forget, .arg = gc};
    struct catalog *catalog;
    if (!changes_catalog(gc))
        return 0;
    int r = rewrite_commit(&gc->plan, &change, err);
    if (r == 0 && gathered)
        r = rewrite_put_gathered(&gc->plan, gathered, err);
    if (r == 0 && (r = store_catalog(gc->store, &catalog, err)) == 0) {
        catalog_checkpoint(catalog);
        store_catalog_done(gc->store);
    }
    return r;
}

static int collect(struct gc *gc, const struct rewrite_options *options, struct verror *err)
{
    struct store_gc_result *res = gc->result;
    uint64_t bytes, count;
    int r = moves_any(gc) ? write_packs(gc, options, err) : 0;
    if (r == 0)
        r = gc->options->release(gc->options->arg, err);
    if (r == 0)
        r = change_catalog(gc, err);
    if (r == 0)
        r = sweep_images(gc, &bytes, err);
    if (r == 0)
        r = rewrite_sweep(&gc->plan, false, &bytes, &count, err);
    for (size_t i = 0; i < gc->plan.pack_count; i++)
        res->rewritten += gc->packs[i].fate == GC_ANEW;
    return r < 0 ? r
                 : measure(gc->store, &res->packs_after, &res->pack_bytes_after,
                           &res->image_bytes_after, err);
}

/* ---- */

static void tell_images(const struct gc *gc)
{
    struct store_gc_result *res = gc->result;
    const struct plan *p = &gc->plan;
    res->images_before = p->image_count;
    res->kept = xcalloc(p->image_count + 1, sizeof(*res->kept));
    res->removed = xcalloc(p->image_count + 1, sizeof(*res->removed));
    for (size_t i = 0; i < p->image_count; i++) {
        const struct plan_image *image = &p->images[i];
        if (gc->images[i].keep) {
            res->kept[res->n_kept++] = image->which.number;
            res->unused_kept += gc->images[i].unused;
            continue;
        }
        res->removed[res->n_removed++] = (struct store_gc_image){.which = image->which,
                                                                 .name = xstrdup(image->name),
                                                                 .version = xstrdup(image->version),
                                                                 .used = gc->images[i].used};
    }
    res->images_after = res->n_kept;
}

static int go(struct gc *gc, struct verror *err)
{
    const struct store_gc_options *o = gc->options;
    struct store_gc_result *res = gc->result;
    struct rewrite_options options = {.level = ANEW_LEVEL,
                                      .jobs = o->jobs,
                                      .progress = o->progress,
                                      .problem = o->problem,
                                      .arg = o->arg};
    int r = measure(gc->store, &res->packs_before, &res->pack_bytes_before,
                    &res->image_bytes_before, err);
    if (r == 0)
        r = plan_read_catalog(gc->store, o->problem, o->arg, &gc->plan, err);
    if (r == 0)
        r = gc_mark(gc, err);
    if (r == 0)
        r = gc_plan_packs(gc, &options, err);
    if (r < 0)
        return r;
    r = o->dry_run ? foretell(gc, &options, err) : collect(gc, &options, err);
    tell_images(gc);
    res->dead = gc_dead_bytes(gc);
    res->freed = (int64_t)(res->pack_bytes_before + res->image_bytes_before) -
                 (int64_t)(res->pack_bytes_after + res->image_bytes_after);
    return r;
}

static void release(struct gc *gc)
{
    rewrite_release(gc->written);
    if (gc->dir)
        put_dir_remove(gc->dir, gc->dir_lock);
    free(gc->dir);
    free(gc->images);
    free(gc->refs);
    free(gc->packs);
    free(gc->by_place);
    plan_release(&gc->plan);
}

int store_gc(struct store *store, const struct store_gc_options *options,
             struct store_gc_result *ret, struct verror *err)
{
    struct gc gc = {.store = store, .options = options, .result = ret, .dir_lock = -1};
    *ret = (struct store_gc_result){0};
    _cleanup_close_ int claim = store_claim_rewriting(store, err);
    if (claim < 0)
        return claim;
    int r = store_lock_shared(store, err);
    if (r == 0)
        r = store_lock_exclusive(store, options->waiting, options->arg, err);
    if (r < 0)
        return r;
    r = go(&gc, err);
    store_unlock_exclusive(store);
    release(&gc);
    if (r < 0)
        store_gc_result_release(ret);
    return r;
}

void store_gc_result_release(struct store_gc_result *result)
{
    for (size_t i = 0; i < result->n_removed; i++) {
        free(result->removed[i].name);
        free(result->removed[i].version);
    }
    free(result->removed);
    free(result->kept);
    *result = (struct store_gc_result){0};
}
