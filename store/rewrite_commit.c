/* Changing over to the new packs; the invariants are in rewrite.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/rewrite.h"
#include "store/where.h"

/* ---- locations ---- */

struct gathering {
    struct plan *plan;
    struct catalog *catalog;
    struct store_image *images;
    size_t image_count, image_alloc;
    struct where_part *parts;
    size_t part_count, part_alloc;
};

static int note_image(const struct catalog_image *image, void *arg)
{
    struct gathering *g = arg;
    g->images = xgrow(g->images, &g->image_alloc, g->image_count + 1, sizeof(*g->images));
    g->images[g->image_count++] = image->which;
    return 0;
}

/* Most blobs were moved just now; the catalog knows the others. */
static int locate(const struct gathering *g, const struct sha256 *id, struct pack_location *ret,
                  struct verror *err)
{
    const struct plan_blob *b = plan_find(g->plan, id);
    uint64_t size;
    if (!b || !plan_moves(b))
        return catalog_find_blob(g->catalog, id, ret, &size, err);
    *ret = b->to;
    return 0;
}

/* An image that is damaged, or lacks content, keeps what it has. */
static int gather_image(struct gathering *g, const struct store_image *which, struct verror *err)
{
    struct image *image;
    int r = store_image_open(g->plan->store, which, &image, err);
    if (r < 0)
        return r == -ENOENT || r == -EBADMSG || r == -EIO ? 0 : r;
    uint32_t count = image_blobs(image);
    _cleanup_free_ struct pack_location *all = xcalloc(count + 1, sizeof(*all));
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = locate(g, image_blob_id(image, i), &all[i], err);
    if (r == 0) {
        g->parts = xgrow(g->parts, &g->part_alloc, g->part_count + 1, sizeof(*g->parts));
        struct where_part *part = &g->parts[g->part_count++];
        part->number = which->number;
        strbuf_init(&part->bytes);
        where_encode(image_id(image), all, count, &part->bytes);
        struct plan *p = g->plan;
        p->gathered =
            xgrow(p->gathered, &p->gathered_alloc, p->gathered_count + 1, sizeof(*p->gathered));
        p->gathered[p->gathered_count++] = *which;
    }
    image_unref(image);
    return r == -ENOENT ? 0 : r;
}

int rewrite_gather(struct plan *plan, struct catalog *catalog, const char *path, struct verror *err)
{
    struct gathering g = {.plan = plan, .catalog = catalog};
    _cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
    plan->gathered_count = 0;
    int r = catalog_each_image(catalog, note_image, &g, err);
    for (size_t i = 0; r == 0 && i < g.image_count; i++)
        r = gather_image(&g, &g.images[i], err);
    if (r == 0) {
        where_gather(g.parts, g.part_count, &bytes);
        r = io_write_file_atomic(path, bytes.buf, bytes.len, 0644, true);
        if (r < 0)
            (void)verror_errno(err, r, "cannot write %s", path);
    }
    for (size_t i = 0; i < g.part_count; i++)
        strbuf_release(&g.parts[i].bytes);
    free(g.parts);
    free(g.images);
    return r;
}

int rewrite_put_gathered(const struct plan *plan, const char *path, struct verror *err)
{
    _cleanup_free_ char *to = store_gathered_path(plan->store);
    _cleanup_free_ char *folder = store_path(plan->store, "images");
    int r = io_rename(path, to);
    if (r == 0)
        r = io_fsync_dir(folder);
    if (r < 0)
        return verror_errno(err, r, "cannot name %s", to);
    for (size_t i = 0; i < plan->gathered_count; i++) {
        _cleanup_free_ char *own = store_where_path(plan->store, &plan->gathered[i]);
        (void)unlink(own);
    }
    return 0;
}

/* ---- the change ---- */

static int next_number(struct plan *plan, struct catalog *catalog, uint32_t *ret,
                       struct verror *err)
{
    uint32_t highest, next;
    int r = store_highest_number(plan->store, "packs", &highest, err);
    if (r == 0)
        r = catalog_counter(catalog, COUNTER_PACK, &next, err);
    if (r == 0)
        *ret = next > highest ? next : highest + 1;
    return r;
}

static int name_packs(struct plan *plan, struct written_pack *packs, uint32_t *next,
                      struct verror *err)
{
    _cleanup_free_ char *folder = store_path(plan->store, "packs");
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++) {
        if (!packs[g].writer)
            continue;
        _cleanup_free_ char *to = store_pack_path(plan->store, *next);
        int r = io_rename(packs[g].path, to);
        if (r < 0)
            return verror_errno(err, r, "cannot name %s", to);
        packs[g].number = (*next)++;
    }
    int r = io_fsync_dir(folder);
    return r < 0 ? verror_errno(err, r, "cannot write %s", folder) : 0;
}

static int move_blobs(const struct plan *plan, struct catalog *catalog,
                      const struct written_pack *packs, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < plan->blob_count; i++) {
        struct plan_blob *b = &plan->blobs[i];
        if (!plan_moves(b))
            continue;
        b->to.pack = packs[b->group].number;
        r = catalog_move_blob(catalog, &b->id, &b->from, &b->to, err);
    }
    return r;
}

static int transaction(struct plan *plan, struct catalog *catalog, const struct change *change,
                       struct verror *err)
{
    struct written_pack *packs = change->packs;
    uint32_t next = 0;
    int r = next_number(plan, catalog, &next, err);
    if (r == 0)
        r = name_packs(plan, packs, &next, err);
    if (r == 0)
        r = move_blobs(plan, catalog, packs, err);
    for (size_t g = 0; r == 0 && g < PLAN_GROUPS_MAX; g++) {
        if (!packs[g].writer)
            continue;
        r = catalog_add_pack(catalog, packs[g].number, packs[g].bytes, err);
        if (r == 0)
            r = catalog_set_optimized(catalog, packs[g].number, packs[g].level, err);
    }
    if (r == 0)
        r = change->also(plan, catalog, change->arg, err);
    if (r == 0)
        r = catalog_drop_empty_packs(catalog, err);
    if (r == 0)
        r = catalog_set_counter(catalog, COUNTER_PACK, next, err);
    return r < 0 || !change->gathered ? r : rewrite_gather(plan, catalog, change->gathered, err);
}

int rewrite_commit(struct plan *plan, const struct change *change, struct verror *err)
{
    const struct written_pack *packs = change->packs;
    struct catalog *catalog;
    int r = store_catalog(plan->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_begin(catalog, err);
    if (r == 0) {
        r = transaction(plan, catalog, change, err);
        if (r < 0) {
            for (size_t g = 0; g < PLAN_GROUPS_MAX; g++) {
                _cleanup_free_ char *path =
                    packs[g].number ? store_pack_path(plan->store, packs[g].number) : NULL;
                if (path)
                    (void)unlink(path);
            }
        } else {
            r = catalog_commit(catalog, err);
        }
        if (r < 0)
            catalog_rollback(catalog);
    }
    store_catalog_done(plan->store);
    return r;
}

/* ---- packs that nobody lists ---- */

struct sweep {
    const struct plan *plan;
    uint32_t *listed;
    size_t listed_count, listed_alloc;
    bool dry_run;
    uint64_t bytes, count;
    int result; /* of removing, for the last that failed */
    struct verror *err;
};

static int note_pack(uint32_t number, uint64_t bytes, void *arg)
{
    struct sweep *s = arg;
    (void)bytes;
    s->listed = xgrow(s->listed, &s->listed_alloc, s->listed_count + 1, sizeof(*s->listed));
    s->listed[s->listed_count++] = number;
    return 0;
}

static int by_number(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return (a > b) - (a < b);
}

static int by_id(const void *a, const void *b)
{
    return sha256_cmp(a, b);
}

bool rewrite_pack_is_needed(const struct plan *plan, const char *path, uint32_t number)
{
    if (!plan->missing_count)
        return false;
    struct pack *pack;
    if (pack_open(path, number, &pack, NULL) < 0)
        return true;
    bool needed = false;
    for (uint32_t i = 0; i < pack_blobs(pack) && !needed; i++) {
        struct pack_blob b = pack_blob(pack, i);
        needed = bsearch(&b.id, plan->missing, plan->missing_count, sizeof(b.id), by_id);
    }
    pack_unref(pack);
    return needed;
}

static void sweep_file(const char *path, const char *name, uint64_t size, void *arg)
{
    struct sweep *s = arg;
    char *end;
    unsigned long n = strtoul(name, &end, 10);
    uint32_t number = (uint32_t)n;
    if (n == 0 || n >= UINT32_MAX || strcmp(end, ".pack") != 0)
        return;
    if (s->listed_count && bsearch(&number, s->listed, s->listed_count, sizeof(number), by_number))
        return;
    if (rewrite_pack_is_needed(s->plan, path, number))
        return;
    int r = s->dry_run ? 0 : io_unlink(path);
    if (r < 0) {
        s->result = verror_errno(s->err, r, "cannot remove %s", path);
        return; /* the next run finds it again */
    }
    s->bytes += size;
    s->count++;
}

int rewrite_sweep(const struct plan *plan, bool dry_run, uint64_t *bytes, uint64_t *count,
                  struct verror *err)
{
    struct sweep s = {.plan = plan, .dry_run = dry_run, .err = err};
    struct catalog *catalog;
    uint64_t total = 0;
    int r = store_catalog(plan->store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_each_pack(catalog, note_pack, &s, err);
    store_catalog_done(plan->store);
    if (r == 0)
        r = store_each_file(plan->store, "packs", sweep_file, &s, &total, err);
    free(s.listed);
    *bytes = s.bytes;
    *count = s.count;
    return r < 0 ? r : s.result;
}
