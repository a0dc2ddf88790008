/* Which images stay, and what they need. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/gc.h"
#include "store/lease.h"
#include "store/pins.h"

/* ---- roots ---- */

struct store_roots {
    struct gc *gc;
};

/* The index of an image by number; -1: the catalog does not know it. */
static ssize_t find_image(const struct gc *gc, uint32_t number)
{
    size_t lo = 0, hi = gc->plan.image_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint32_t at = gc->plan.images[mid].which.number;
        if (at == number)
            return (ssize_t)mid;
        if (at < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

bool gc_keeps_number(const struct gc *gc, uint32_t image)
{
    ssize_t i = find_image(gc, image);
    return i >= 0 && gc->images[i].keep;
}

int store_roots_add(struct store_roots *roots, const struct store_image *image, const char *what,
                    struct verror *err)
{
    struct gc *gc = roots->gc;
    ssize_t i = find_image(gc, image->number);
    if (i >= 0 && sha256_equal(&gc->plan.images[i].which.id, &image->id)) {
        gc->images[i].keep = true;
        return 0;
    }
    (void)verror_set(err, ENOENT, "%s has image %u, which the catalog of the store does not list",
                     what, image->number);
    return verror_hint(err, "nothing was removed; venvfs store verify tells what is damaged");
}

static int add_pins(struct gc *gc, struct verror *err)
{
    struct store_roots roots = {.gc = gc};
    _cleanup_free_ struct store_image *pins = NULL;
    size_t n = 0;
    int r = pins_read(gc->store, &pins, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = store_roots_add(&roots, &pins[i], "the list of pins", err);
    return r;
}

/* What is left may be shown by a process that read a manifest earlier. */
static int add_leased(struct gc *gc, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < gc->plan.image_count; i++) {
        uint64_t lease = lease_of_image(gc->plan.images[i].which.number);
        bool leased;
        if (gc->images[i].keep)
            continue;
        r = store_is_leased(gc->store, lease, &leased, err);
        if (r == 0)
            gc->images[i].keep = leased;
        gc->images[i].unused = !leased;
    }
    return r;
}

/* ---- what images need ---- */

static int open_image(struct gc *gc, size_t i, struct image **ret, struct verror *err)
{
    return store_image_open(gc->store, &gc->plan.images[i].which, ret, err);
}

static void count_blobs(struct gc *gc, size_t i, const struct image *image)
{
    size_t missing = gc->plan.missing_count;
    gc->images[i].blobs = image_blobs(image);
    for (uint32_t k = 0; k < image_blobs(image); k++) {
        const struct plan_blob *b = plan_find(&gc->plan, image_blob_id(image, k));
        if (b)
            gc->refs[b - gc->plan.blobs]++;
        else
            plan_miss(&gc->plan, image_blob_id(image, k));
    }
    gc->images[i].complete = missing == gc->plan.missing_count;
}

/* Counts what an image that stays needs. One that nothing has and that cannot be read does not
 * stay; any other that cannot be read ends it all. */
static int need(struct gc *gc, size_t i, struct verror *err)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct image *image;
    int r = open_image(gc, i, &image, &why);
    if (r < 0 && gc->images[i].unused && (r == -ENOENT || r == -EBADMSG || r == -EIO)) {
        gc->images[i].keep = false;
        return 0;
    }
    if (r < 0) {
        (void)verror_move(err, &why);
        verror_prefix(err, "%s %s is needed", gc->plan.images[i].name, gc->plan.images[i].version);
        return verror_hint(err, "nothing was removed; venvfs store verify tells what is damaged"),
               r;
    }
    count_blobs(gc, i, image);
    image_unref(image);
    return 0;
}

/* ---- limits ---- */

static uint64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void look_at_file(struct gc *gc, size_t i)
{
    const struct store_image *which = &gc->plan.images[i].which;
    _cleanup_free_ char *path = store_image_path(gc->store, which);
    _cleanup_free_ char *where = store_where_path(gc->store, which);
    struct stat st;
    if (stat(path, &st) == 0) {
        gc->images[i].used = st.st_mtim.tv_sec;
        gc->images[i].bytes = (uint64_t)st.st_size;
    }
    gc->images[i].bytes += file_size(where);
}

uint64_t gc_stored_bytes(const struct gc *gc, const struct plan_blob *b)
{
    const struct plan_pack *at = plan_find_pack(&gc->plan, b->from.pack);
    uint64_t bytes = 0, rest = b->size;
    for (uint32_t f = b->from.frame; at && at->pack && rest; f++) {
        uint32_t raw = pack_frame_size(at->pack, f);
        if (!raw)
            break;
        uint64_t n = rest < raw ? rest : raw;
        bytes += (uint64_t)pack_frame_stored(at->pack, f) * n / raw;
        rest -= n;
    }
    return bytes;
}

/* Forgets what an image needed; returns how many bytes that frees, packs being cut to what lives.
 */
static uint64_t give_up(struct gc *gc, size_t i)
{
    struct image *image;
    uint64_t bytes = gc->images[i].bytes;
    gc->images[i].keep = false;
    if (open_image(gc, i, &image, NULL) < 0)
        return bytes;
    for (uint32_t k = 0; k < image_blobs(image); k++) {
        const struct plan_blob *b = plan_find(&gc->plan, image_blob_id(image, k));
        if (b && --gc->refs[b - gc->plan.blobs] == 0)
            bytes += gc_stored_bytes(gc, b);
    }
    image_unref(image);
    return bytes;
}

static int by_use(const void *pa, const void *pb, void *arg)
{
    const struct gc *gc = arg;
    size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
    int64_t x = gc->images[a].used, y = gc->images[b].used;
    return x != y ? (x < y ? -1 : 1) : (a > b) - (a < b);
}

/* Of the images that nothing has, the longest unused go until the rest fits. */
static void fit(struct gc *gc)
{
    uint64_t size = 0;
    size_t n = 0;
    _cleanup_free_ size_t *order = xcalloc(gc->plan.image_count + 1, sizeof(*order));
    for (size_t i = 0; i < gc->plan.image_count; i++) {
        if (gc->images[i].keep)
            size += gc->images[i].bytes;
        if (gc->images[i].keep && gc->images[i].unused)
            order[n++] = i;
    }
    for (size_t i = 0; i < gc->plan.blob_count; i++)
        if (gc->refs[i])
            size += gc_stored_bytes(gc, &gc->plan.blobs[i]);
    qsort_r(order, n, sizeof(*order), by_use, gc);
    for (size_t i = 0; i < n && size > gc->options->max_size; i++)
        size -= give_up(gc, order[i]);
}

/* ---- */

static void choose_by_age(struct gc *gc)
{
    const struct store_gc_options *o = gc->options;
    bool limits = o->max_age >= 0 || o->max_size != UINT64_MAX;
    int64_t oldest = o->max_age >= 0 ? time(NULL) - o->max_age : INT64_MIN;
    for (size_t i = 0; i < gc->plan.image_count; i++) {
        look_at_file(gc, i);
        if (gc->images[i].unused)
            gc->images[i].keep = limits && gc->images[i].used >= oldest;
    }
}

static int refuse_leases(struct gc *gc, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < gc->plan.image_count; i++) {
        bool refused = true;
        if (!gc->images[i].keep && !gc->options->dry_run)
            r = store_lease_refuse(gc->store, lease_of_image(gc->plan.images[i].which.number),
                                   &refused, err);
        if (r < 0 || refused)
            continue;
        /* Somebody began to show it since add_leased(). */
        gc->images[i].keep = true;
        gc->images[i].unused = false;
        r = need(gc, i, err);
    }
    return r;
}

int gc_mark(struct gc *gc, struct verror *err)
{
    struct store_roots roots = {.gc = gc};
    gc->images = xcalloc(gc->plan.image_count + 1, sizeof(*gc->images));
    gc->refs = xcalloc(gc->plan.blob_count + 1, sizeof(*gc->refs));
    int r = gc->options->mark(&roots, gc->options->arg, err);
    if (r == 0)
        r = add_pins(gc, err);
    if (r == 0)
        r = add_leased(gc, err);
    if (r < 0)
        return r;
    choose_by_age(gc);
    for (size_t i = 0; r == 0 && i < gc->plan.image_count; i++)
        if (gc->images[i].keep)
            r = need(gc, i, err);
    if (r == 0)
        fit(gc);
    if (r == 0)
        r = refuse_leases(gc, err);
    plan_sort_missing(&gc->plan);
    for (size_t i = 0; i < gc->plan.blob_count; i++)
        gc->plan.blobs[i].live = gc->refs[i] > 0;
    return r;
}
