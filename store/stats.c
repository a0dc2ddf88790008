/* What a store holds and what of it is dead. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/store_private.h"

/* A pack as far as it is needed to tell what of it is dead. */
struct pack_usage {
    uint32_t number, frames;
    bool listed; /* in the catalog */
    uint64_t bytes;
    uint32_t *stored, *raw; /* sizes of each frame */
    uint64_t *live;         /* raw bytes of each frame that the catalog names */
};

struct usage {
    struct pack_usage *packs; /* sorted by number */
    size_t count, alloc;
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct pack_usage *)a)->number, y = ((const struct pack_usage *)b)->number;
    return (x > y) - (x < y);
}

static struct pack_usage *find_pack(struct usage *u, uint32_t number)
{
    struct pack_usage key = {.number = number};
    return u->count ? bsearch(&key, u->packs, u->count, sizeof(key), by_number) : NULL;
}

int store_each_file(const struct store *store, const char *folder,
                    void (*fn)(const char *path, const char *name, uint64_t size, void *arg),
                    void *arg, uint64_t *total, struct verror *err)
{
    _cleanup_free_ char *path = store_path(store, folder);
    DIR *dir = opendir(path);
    if (!dir)
        return verror_errno(err, errno, "cannot list %s", path);
    struct dirent *de;
    while ((de = readdir(dir))) {
        struct stat st;
        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        *total += (uint64_t)st.st_size;
        if (fn) {
            _cleanup_free_ char *file = path_join(path, de->d_name);
            fn(file, de->d_name, (uint64_t)st.st_size, arg);
        }
    }
    closedir(dir);
    return 0;
}

/* A pack that cannot be opened counts as alive: store_verify() is there to complain. */
static void add_pack(const char *path, const char *name, uint64_t size, void *arg)
{
    struct usage *u = arg;
    struct pack *pack;
    uint32_t number = (uint32_t)strtoul(name, NULL, 10);
    if (pack_open(path, number, &pack, NULL) < 0)
        return;
    uint32_t n = pack_frames(pack);
    struct pack_usage p = {.number = number, .frames = n, .bytes = size};
    p.stored = xcalloc(n, sizeof(*p.stored));
    p.raw = xcalloc(n, sizeof(*p.raw));
    p.live = xcalloc(n, sizeof(*p.live));
    for (uint32_t i = 0; i < n; i++) {
        p.stored[i] = pack_frame_stored(pack, i);
        p.raw[i] = pack_frame_size(pack, i);
    }
    pack_unref(pack);
    u->packs = xgrow(u->packs, &u->alloc, u->count + 1, sizeof(*u->packs));
    u->packs[u->count++] = p;
}

static int mark_listed(uint32_t number, uint64_t bytes, void *arg)
{
    (void)bytes;
    struct pack_usage *p = find_pack(arg, number);
    if (p)
        p->listed = true;
    return 0;
}

static int mark_live(const struct catalog_blob *blob, void *arg)
{
    struct pack_usage *p = find_pack(arg, blob->where.pack);
    uint32_t frame = blob->where.frame;
    for (uint64_t rest = blob->size; p && rest && frame < p->frames; frame++) {
        uint64_t n = rest < p->raw[frame] ? rest : p->raw[frame];
        p->live[frame] += n;
        rest -= n;
    }
    return 0;
}

static uint64_t dead_bytes(const struct usage *u)
{
    uint64_t dead = 0;
    for (size_t i = 0; i < u->count; i++) {
        const struct pack_usage *p = &u->packs[i];
        if (!p->listed) {
            dead += p->bytes;
            continue;
        }
        for (uint32_t f = 0; f < p->frames; f++)
            if (p->live[f] < p->raw[f])
                dead += (uint64_t)p->stored[f] * (p->raw[f] - p->live[f]) / p->raw[f];
    }
    return dead;
}

static void usage_release(struct usage *u)
{
    for (size_t i = 0; i < u->count; i++) {
        free(u->packs[i].stored);
        free(u->packs[i].raw);
        free(u->packs[i].live);
    }
    free(u->packs);
}

static int read_catalog(struct store *store, struct usage *u, struct catalog_totals *totals,
                        struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_totals(catalog, totals, err);
    if (r == 0)
        r = catalog_each_pack(catalog, mark_listed, u, err);
    if (r == 0)
        r = catalog_each_blob(catalog, mark_live, u, err);
    store_catalog_done(store);
    return r;
}

uint64_t store_file_size(const struct store *store, const char *name)
{
    _cleanup_free_ char *path = store_path(store, name);
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int store_stats(struct store *store, struct store_stats *ret, struct verror *err)
{
    struct usage u = {0};
    struct catalog_totals totals;
    struct store_stats s = {0};
    int r = store_lock_shared(store, err);
    if (r == 0)
        r = store_each_file(store, "packs", add_pack, &u, &s.pack_bytes, err);
    if (r == 0)
        r = store_each_file(store, "images", NULL, NULL, &s.image_bytes, err);
    if (u.count)
        qsort(u.packs, u.count, sizeof(*u.packs), by_number);
    if (r == 0)
        r = read_catalog(store, &u, &totals, err);
    if (r == 0) {
        s.images = totals.images;
        s.wheels = totals.wheels;
        s.packs = totals.packs;
        s.blobs = totals.blobs;
        s.apparent_bytes = totals.apparent_bytes;
        s.unique_bytes = totals.unique_bytes;
        s.dead_bytes = dead_bytes(&u);
        s.catalog_bytes =
            store_file_size(store, "catalog.sqlite") + store_file_size(store, "catalog.sqlite-wal");
        *ret = s;
    }
    usage_release(&u);
    return r;
}
