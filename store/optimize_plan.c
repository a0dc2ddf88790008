/* The order that `store optimize` gives to all blobs, and the frames. */
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
        plan_miss(p, id);
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
    plan_sort_missing(p);
    return 0;
}

int optimize_read(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
                  struct plan *ret, struct verror *err)
{
    int r = plan_read_catalog(store, problem, arg, ret, err);
    for (size_t i = 0; i < ret->blob_count; i++)
        ret->blobs[i].group = GROUP_OTHER;
    return r < 0 ? r : read_images(ret, problem, arg, err);
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

static void add_slices(struct plan *p, uint32_t at)
{
    struct plan_blob *b = &p->blobs[p->order[at]];
    uint64_t slices = image_slices(b->size);
    b->to = (struct pack_location){.pack = b->group, .frame = p->group_frames[b->group]};
    for (uint32_t k = 0; k < slices; k++) {
        uint64_t rest = b->size - (uint64_t)k * IMAGE_SLICE_SIZE;
        struct plan_frame *f = plan_add_frame(p, at, b->group);
        f->slice = k;
        f->size = (uint32_t)(rest < IMAGE_SLICE_SIZE ? rest : IMAGE_SLICE_SIZE);
    }
}

static void divide(struct plan *plan)
{
    plan->order = xrealloc(plan->order, (plan->blob_count + 1) * sizeof(*plan->order));
    plan->order_count = plan->frame_count = 0;
    memset(plan->group_frames, 0, sizeof(plan->group_frames));
    for (uint32_t i = 0; i < plan->blob_count; i++)
        if (plan_moves(&plan->blobs[i]))
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
            open = plan_add_frame(plan, at, b->group);
        b->to =
            (struct pack_location){.pack = b->group, .frame = open->number, .offset = open->size};
        open->size += (uint32_t)b->size;
    }
}

/* Does the frame exist already, made at `level` or higher of just these blobs? */
static bool is_kept(const struct plan *plan, const struct plan_frame *frame, int level)
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

void optimize_lay_out(struct plan *plan, int level)
{
    divide(plan);
    for (size_t i = 0; i < plan->frame_count; i++)
        plan->frames[i].kept = is_kept(plan, &plan->frames[i], level);
}
