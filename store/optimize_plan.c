/* Which blob lies where: what is known of each, the order, the frames. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/optimize.h"

/* Who reads a file decodes what else its frame holds: the other versions of it, which do not help
 * him. So frames are the smaller the more an import reads of the group. */
static const uint32_t frame_limit[GROUPS] = {
    [GROUP_BYTECODE] = IMAGE_SLICE_SIZE / 4, [GROUP_NATIVE] = IMAGE_SLICE_SIZE,
    [GROUP_METADATA] = IMAGE_SLICE_SIZE / 4, [GROUP_SOURCE] = IMAGE_SLICE_SIZE / 2,
    [GROUP_OTHER] = IMAGE_SLICE_SIZE / 2,
};

/* ---- what the catalog knows ---- */

static int copy_blob(const struct catalog_blob *blob, void *arg)
{
    struct plan *p = arg;
    p->blobs = xgrow(p->blobs, &p->blob_alloc, p->blob_count + 1, sizeof(*p->blobs));
    p->blobs[p->blob_count++] = (struct plan_blob){.id = blob->id,
                                                   .size = blob->size,
                                                   .from = blob->where,
                                                   .to = blob->where,
                                                   .group = GROUP_OTHER};
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

/* ---- what images know ---- */

static const char *basename_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}

/* libfoo.so, libfoo.so.1.2, foo.pyd ... */
static bool is_native(const char *path)
{
    const char *name = basename_of(path);
    return has_suffix(name, ".so") || strstr(name, ".so.") || has_suffix(name, ".a") ||
           has_suffix(name, ".dylib") || has_suffix(name, ".pyd") || has_suffix(name, ".dll") ||
           has_suffix(name, ".exe");
}

static uint8_t group_of(const char *path, bool bytecode)
{
    if (bytecode || has_suffix(path, ".pyc"))
        return GROUP_BYTECODE;
    if (is_native(path))
        return GROUP_NATIVE;
    if (strstr(path, ".dist-info/"))
        return GROUP_METADATA;
    return has_suffix(path, ".py") || has_suffix(path, ".pyi") ? GROUP_SOURCE : GROUP_OTHER;
}

static bool is_test(const char *path)
{
    return strstr(path, "/tests/") || strstr(path, "/test/") || strstr(path, "/_tests/");
}

/* A blob that several files have is known by the first of them, whichever image is read first. */
static void name_blob(struct plan *p, const struct image *image, uint32_t blob, const char *path,
                      bool bytecode)
{
    const struct sha256 *id = image_blob_id(image, blob);
    struct plan_blob *b = plan_find(p, id);
    if (!b) {
        p->missing = xgrow(p->missing, &p->missing_alloc, p->missing_count + 1, sizeof(*id));
        p->missing[p->missing_count++] = *id;
        return;
    }
    int c = b->path ? strcmp(path, b->path) : -1;
    if (c == 0)
        c = strcasecmp(image_dist_name(image), b->dist);
    if (c == 0)
        c = strverscmp(image_dist_version(image), b->version);
    if (c >= 0)
        return;
    free(b->path);
    free(b->dist);
    free(b->version);
    b->path = xstrdup(path);
    b->dist = xstrdup(image_dist_name(image));
    b->version = xstrdup(image_dist_version(image));
    b->group = group_of(path, bytecode);
    b->test = is_test(path);
}

static void name_blobs(struct plan *p, const struct image *image)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    for (uint32_t i = 0; i < image_nodes(image); i++) {
        struct image_node node = image_node(image, i);
        if (node.type != IMAGE_FILE || node.blob == IMAGE_NO_BLOB)
            continue;
        strbuf_reset(&path);
        image_node_path(image, i, &path);
        name_blob(p, image, node.blob, path.buf, node.flags & IMAGE_BYTECODE);
    }
    for (size_t i = 0; i < image_scripts(image); i++) {
        struct image_script script = image_script(image, i);
        if (script.kind == IMAGE_SCRIPT_PYTHON && script.blob != IMAGE_NO_BLOB)
            name_blob(p, image, script.blob, script.name, false);
    }
}

static int by_id(const void *a, const void *b)
{
    return sha256_cmp(a, b);
}

static int read_images(struct plan *p, void (*problem)(const char *line, void *arg), void *arg,
                       struct verror *err)
{
    for (size_t i = 0; i < p->image_count; i++) {
        _cleanup_verror_ struct verror why = VERROR_INIT;
        struct image *image;
        int r = store_image_open(p->store, &p->images[i].which, &image, &why);
        if (r == -ENOENT || r == -EBADMSG || r == -EIO) {
            problem(verror_message(&why), arg);
            continue;
        }
        if (r < 0)
            return verror_move(err, &why);
        name_blobs(p, image);
        image_unref(image);
    }
    if (p->missing_count)
        qsort(p->missing, p->missing_count, sizeof(*p->missing), by_id);
    return 0;
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

int plan_read(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
              struct plan *ret, struct verror *err)
{
    ret->store = store;
    int r = read_catalog(ret, err);
    if (r == 0)
        r = open_packs(ret, problem, arg, err);
    return r < 0 ? r : read_images(ret, problem, arg, err);
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

/* ---- the order ---- */

static const char *text(const char *s)
{
    return s ? s : "";
}

/* Versions of a file lie beside each other, and what a folder holds lies together. Objects of
 * native code hardly resemble their other versions within the reach of a frame: those of one
 * version, which are read together, lie together. Of metadata all files of one name do: whoever
 * looks for entry points reads those of all distributions. */
static int by_place(const void *pa, const void *pb, void *arg)
{
    const struct plan_blob *blobs = arg;
    const struct plan_blob *a = &blobs[*(const uint32_t *)pa], *b = &blobs[*(const uint32_t *)pb];
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->test != b->test)
        return a->test ? 1 : -1;
    int path = strcmp(text(a->path), text(b->path));
    int dist = strcasecmp(text(a->dist), text(b->dist));
    int version = strverscmp(text(a->version), text(b->version));
    int name = strcmp(basename_of(text(a->path)), basename_of(text(b->path)));
    const int native[] = {dist, version, path}, metadata[] = {name, path, version};
    const int other[] = {path, dist, version};
    const int *keys = a->group == GROUP_NATIVE     ? native
                      : a->group == GROUP_METADATA ? metadata
                                                   : other;
    for (size_t i = 0; i < 3; i++)
        if (keys[i])
            return keys[i];
    return sha256_cmp(&a->id, &b->id);
}

/* ---- the frames ---- */

static struct plan_frame *add_frame(struct plan *p, uint32_t first, uint8_t group)
{
    p->frames = xgrow(p->frames, &p->frame_alloc, p->frame_count + 1, sizeof(*p->frames));
    struct plan_frame *f = &p->frames[p->frame_count++];
    *f = (struct plan_frame){
        .first = first, .count = 1, .group = group, .number = p->group_frames[group]++};
    return f;
}

static void add_slices(struct plan *p, uint32_t at)
{
    struct plan_blob *b = &p->blobs[p->order[at]];
    uint64_t slices = image_slices(b->size);
    b->to = (struct pack_location){.pack = b->group, .frame = p->group_frames[b->group]};
    for (uint32_t k = 0; k < slices; k++) {
        uint64_t rest = b->size - (uint64_t)k * IMAGE_SLICE_SIZE;
        struct plan_frame *f = add_frame(p, at, b->group);
        f->slice = k;
        f->size = (uint32_t)(rest < IMAGE_SLICE_SIZE ? rest : IMAGE_SLICE_SIZE);
    }
}

void plan_lay_out(struct plan *plan)
{
    plan->order = xrealloc(plan->order, (plan->blob_count + 1) * sizeof(*plan->order));
    plan->order_count = plan->frame_count = 0;
    memset(plan->group_frames, 0, sizeof(plan->group_frames));
    for (uint32_t i = 0; i < plan->blob_count; i++)
        if (!plan->blobs[i].damaged)
            plan->order[plan->order_count++] = i;
    qsort_r(plan->order, plan->order_count, sizeof(*plan->order), by_place, plan->blobs);
    struct plan_frame *open = NULL; /* has room */
    for (uint32_t at = 0; at < plan->order_count; at++) {
        struct plan_blob *b = &plan->blobs[plan->order[at]];
        if (b->size > IMAGE_SLICE_SIZE) {
            add_slices(plan, at);
            open = NULL;
            continue;
        }
        if (open && open->group == b->group && open->size + b->size <= frame_limit[b->group])
            open->count++;
        else
            open = add_frame(plan, at, b->group);
        b->to =
            (struct pack_location){.pack = b->group, .frame = open->number, .offset = open->size};
        open->size += (uint32_t)b->size;
    }
}

bool plan_frame_kept(const struct plan *plan, const struct plan_frame *frame, int level)
{
    const struct plan_blob *first = &plan->blobs[plan->order[frame->first]];
    const struct plan_pack *at = plan_find_pack(plan, first->from.pack);
    if (!at || at->level < level || first->from.offset != 0 ||
        pack_frame_size(at->pack, first->from.frame + frame->slice) != frame->size)
        return false;
    uint32_t offset = 0;
    for (uint32_t i = 0; i < frame->count; i++) {
        const struct plan_blob *b = &plan->blobs[plan->order[frame->first + i]];
        if (b->from.pack != first->from.pack || b->from.frame != first->from.frame ||
            b->from.offset != offset)
            return false;
        offset += (uint32_t)b->size;
    }
    return true;
}
