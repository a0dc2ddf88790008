/* The course of `store optimize`; optimize.h has the design. */
#include "store/optimize.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/put_dir.h"

struct optimize {
    struct store *store;
    struct store_optimize_options options;
    struct store_optimize_result *result;
    struct plan plan;
    char *dir; /* in STORE/tmp */
    int dir_lock;
    struct written_pack packs[PLAN_GROUPS_MAX];
};

/* ---- sizes ---- */

/* SQLite's own two last no longer than a connection. */
static void count_file(const char *path, const char *name, uint64_t size, void *arg)
{
    (void)path;
    (void)size;
    if (strcmp(name, "catalog.sqlite-wal") != 0 && strcmp(name, "catalog.sqlite-shm") != 0)
        ++*(uint64_t *)arg;
}

static void count_pack(const char *path, const char *name, uint64_t size, void *arg)
{
    struct store_optimize_sizes *s = arg;
    count_file(path, name, size, &s->files);
    s->packs++;
}

static int measure(const struct store *store, struct store_optimize_sizes *ret, struct verror *err)
{
    struct store_optimize_sizes s = {0};
    uint64_t rest = 0;
    int r = store_each_file(store, "packs", count_pack, &s, &s.pack_bytes, err);
    if (r == 0)
        r = store_each_file(store, "images", count_file, &s.files, &s.image_bytes, err);
    if (r == 0)
        r = store_each_file(store, ".", count_file, &s.files, &rest, err);
    s.catalog_bytes =
        store_file_size(store, "catalog.sqlite") + store_file_size(store, "catalog.sqlite-wal");
    if (r == 0)
        *ret = s;
    return r;
}

/* The new packs are never bigger than the old ones (rewrite_write()'s limit); the catalog is
 * written once more by the transaction and twice by the removal of its gaps; the gathered locations
 * are smaller than all images. */
static int check_space(const struct optimize *o, struct verror *err)
{
    const struct store_optimize_sizes *s = &o->result->before;
    struct statvfs fs;
    uint64_t need = s->pack_bytes + 3 * s->catalog_bytes + s->image_bytes;
    o->result->space_needed = need;
    if (statvfs(store_root(o->store), &fs) < 0)
        return verror_errno(err, errno, "cannot look at %s", store_root(o->store));
    uint64_t have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have >= need || o->options.dry_run)
        return 0;
    (void)verror_set(err, ENOSPC,
                     "rewriting the packs of %s needs %" PRIu64 " MB of free disk, and there are "
                     "%" PRIu64,
                     store_root(o->store), need / 1000000 + 1, have / 1000000);
    return verror_hint(err, "nothing was changed");
}

/* ---- */

static bool worth_it(const struct plan *plan, int level)
{
    for (size_t i = 0; i < plan->pack_count; i++)
        if (abs(plan->packs[i].level) < level)
            return true;
    return false;
}

static int need_dir(struct optimize *o, struct verror *err)
{
    _cleanup_free_ char *tmp = store_path(o->store, "tmp");
    int fd = put_dir_make(tmp, &o->dir, err);
    if (fd >= 0)
        o->dir_lock = fd;
    return fd < 0 ? fd : 0;
}

/* What is left after the commit, in the order of optimize.h; of which nothing is lost when it
 * fails.
 */
static int tidy(struct optimize *o, const char *gathered, struct verror *err)
{
    struct catalog *catalog;
    uint64_t count;
    int r = rewrite_put_gathered(&o->plan, gathered, err);
    if (r == 0)
        r = rewrite_sweep(&o->plan, false, &o->result->swept_bytes, &count, err);
    if (r == 0)
        r = store_catalog(o->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_vacuum(catalog, err);
    catalog_checkpoint(catalog);
    store_catalog_done(o->store);
    return r;
}

static int mark_old(const struct plan *plan, struct catalog *catalog, int level, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->pack_count; i++)
        if (plan->packs[i].level < level)
            r = catalog_set_optimized(catalog, plan->packs[i].number, -level, err);
    return r;
}

/* Nothing is gained: the packs there are are not worth another run at this level. */
static int mark_seen(struct plan *plan, int level, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(plan->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_begin(catalog, err);
    if (r == 0) {
        r = mark_old(plan, catalog, level, err);
        if (r == 0)
            r = catalog_drop_empty_packs(catalog, err);
        if (r == 0)
            r = catalog_commit(catalog, err);
        if (r < 0)
            catalog_rollback(catalog);
    }
    store_catalog_done(plan->store);
    return r;
}

/* Those that stay hold what is damaged, and would hold it after another run. */
static int also_mark_old(struct plan *plan, struct catalog *catalog, void *arg, struct verror *err)
{
    const struct optimize *o = arg;
    return mark_old(plan, catalog, o->options.level, err);
}

static int commit(struct optimize *o, const char *gathered, struct verror *err)
{
    for (size_t g = 0; g < GROUPS; g++)
        o->packs[g].level = o->options.level;
    struct change change = {
        .packs = o->packs, .gathered = gathered, .also = also_mark_old, .arg = o};
    int r = rewrite_commit(&o->plan, &change, err);
    for (size_t i = 0; r == 0 && i < o->plan.blob_count; i++)
        o->result->blobs_moved += plan_moves(&o->plan.blobs[i]);
    return r;
}

/* Of a run that was interrupted after its commit. */
static int gather_again(struct optimize *o, const char *gathered, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(o->store, &catalog, err);
    if (r < 0)
        return r;
    r = rewrite_gather(&o->plan, catalog, gathered, err);
    store_catalog_done(o->store);
    return r;
}

static int change_over(struct optimize *o,
                       int (*prepare)(struct optimize *o, const char *gathered, struct verror *err),
                       struct verror *err)
{
    _cleanup_free_ char *gathered = path_join(o->dir, "gathered");
    progress_item(o->options.progress, "changing over");
    int r = store_lock_exclusive(o->store, o->options.waiting, o->options.arg, err);
    if (r < 0)
        return r;
    r = prepare(o, gathered, err);
    if (r == 0)
        r = tidy(o, gathered, err);
    store_unlock_exclusive(o->store);
    return r;
}

static struct rewrite_options rewrite_options(const struct optimize *o)
{
    return (struct rewrite_options){.level = o->options.level,
                                    .jobs = o->options.jobs,
                                    .progress = o->options.progress,
                                    .problem = o->options.problem,
                                    .arg = o->options.arg};
}

static int rewrite(struct optimize *o, struct verror *err)
{
    struct rewrite_options options = rewrite_options(o);
    int r = need_dir(o, err);
    if (r == 0)
        r = rewrite_check(&o->plan, &options, &o->result->blobs_damaged, err);
    if (r < 0)
        return r;
    optimize_lay_out(&o->plan, o->options.level);
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct rewrite_counts counts = {0};
    r = rewrite_write(&o->plan, &options, o->dir, o->result->before.pack_bytes, o->packs, &counts,
                      &why);
    o->result->frames_made = counts.made;
    o->result->frames_kept = counts.kept;
    if (r == -E2BIG) {
        o->result->nothing = true;
        return mark_seen(&o->plan, o->options.level, err);
    }
    return r < 0 ? verror_move(err, &why) : change_over(o, commit, err);
}

/* Nothing is to be rewritten, but maybe an earlier run was interrupted. */
static int finish_earlier(struct optimize *o, struct verror *err)
{
    struct store_optimize_result *res = o->result;
    uint64_t bytes, count;
    res->after = res->before;
    int r = rewrite_sweep(&o->plan, true, &bytes, &count, err);
    res->nothing = count == 0;
    if (r < 0 || res->nothing)
        return r;
    res->after.packs -= count;
    res->after.pack_bytes -= bytes;
    res->swept_bytes = bytes;
    if (o->options.dry_run)
        return 0;
    r = need_dir(o, err);
    return r < 0 ? r : change_over(o, gather_again, err);
}

/* Without the gathering and the removal of gaps, which save a few percent of small figures. */
static int estimate(struct optimize *o, struct verror *err)
{
    struct store_optimize_result *res = o->result;
    uint64_t count, bytes;
    struct rewrite_options options = rewrite_options(o);
    optimize_lay_out(&o->plan, o->options.level);
    int r = rewrite_sweep(&o->plan, true, &res->swept_bytes, &count, err);
    if (r == 0)
        r = rewrite_estimate(&o->plan, &options, &bytes, err);
    if (r < 0)
        return r;
    res->after = res->before;
    res->after.packs = 0;
    for (size_t g = 0; g < GROUPS; g++)
        res->after.packs += o->plan.group_frames[g] > 0;
    res->after.pack_bytes = bytes < res->before.pack_bytes ? bytes : res->before.pack_bytes;
    return 0;
}

static int go(struct optimize *o, struct verror *err)
{
    struct store_optimize_result *res = o->result;
    int r = store_lock_shared(o->store, err);
    if (r == 0)
        r = measure(o->store, &res->before, err);
    if (r == 0)
        r = optimize_read(o->store, o->options.problem, o->options.arg, &o->plan, err);
    if (r < 0)
        return r;
    if (worth_it(&o->plan, o->options.level)) {
        r = check_space(o, err);
        if (r == 0)
            r = o->options.dry_run ? estimate(o, err) : rewrite(o, err);
    } else {
        r = finish_earlier(o, err);
    }
    return r < 0 || o->options.dry_run ? r : measure(o->store, &res->after, err);
}

int store_optimize(struct store *store, const struct store_optimize_options *options,
                   struct store_optimize_result *ret, struct verror *err)
{
    struct optimize o = {.store = store, .options = *options, .result = ret, .dir_lock = -1};
    *ret = (struct store_optimize_result){0};
    if (!o.options.level)
        o.options.level = STORE_OPTIMIZE_LEVEL;
    _cleanup_close_ int claim = store_claim_rewriting(store, err);
    if (claim < 0)
        return claim;
    int r = go(&o, err);
    rewrite_release(o.packs);
    if (o.dir)
        put_dir_remove(o.dir, o.dir_lock);
    free(o.dir);
    plan_release(&o.plan);
    return r;
}
