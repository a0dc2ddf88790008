/* A composed view: what its nodes are. Composing is in view_merge.c. */
#include "env/view_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define NS_PER_S INT64_C(1000000000)

struct view *view_ref(struct view *view)
{
    __atomic_fetch_add(&view->refs_held, 1, __ATOMIC_RELAXED);
    return view;
}

void view_unref(struct view *view)
{
    if (view == NULL || __atomic_sub_fetch(&view->refs_held, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (uint32_t i = 0; i < view->n_layers; i++)
        image_unref(view->layers[i].image);
    free(view->layers);
    free(view->by_number);
    free(view->refs);
    free(view->tops);
    free(view->merged);
    free(view->generated);
    free(view->conflicts);
    free(view->strings);
    for (uint32_t i = 0; i < view->n_files; i++) {
        free(view->files[i].path);
        free(view->files[i].text);
    }
    free(view->files);
    struct manifest *m = &view->facts;
    free(m->prompt);
    free(m->executable);
    free(m->base_executable);
    free(m->home);
    free(m->version);
    free(m->python_dir);
    free(m->platlibdir);
    json_decref(m->settings);
    free(view->address);
    free(view->interpreter);
    free(view->link_target);
    free(view);
}

size_t view_layers(const struct view *view)
{
    return view->n_layers;
}

struct image *view_image(const struct view *view, uint32_t layer)
{
    return view->layers[layer].image;
}

const struct store_image *view_image_id(const struct view *view, uint32_t layer)
{
    return &view->layers[layer].id;
}

bool view_layer_of(const struct view *view, uint32_t image_number, uint32_t *layer)
{
    uint32_t low = 0, high = view->n_layers;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (view->layers[view->by_number[middle]].id.number < image_number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == view->n_layers || view->layers[view->by_number[low]].id.number != image_number)
        return false;
    *layer = view->by_number[low];
    return true;
}

bool view_layer_behind(const struct view *view, struct view_node node, uint32_t *layer)
{
    if (node.kind == VIEW_IMAGE)
        *layer = node.layer;
    else if (node.kind == VIEW_GENERATED && view->generated[node.index].layer != VIEW_NO_LAYER)
        *layer = view->generated[node.index].layer;
    else
        return false;
    return true;
}

int view_check_images(const struct view *view, struct verror *err)
{
    for (uint32_t i = 0; i < view->n_layers; i++)
        if (image_damaged(view->layers[i].image))
            return verror_set(err, EBADMSG,
                              "image %u of the store was damaged while it was read: its file "
                              "became shorter, or the disk fails",
                              view->layers[i].id.number);
    return 0;
}

bool view_is_bare(const struct view *view)
{
    return view->facts.bare;
}

struct view_node view_root(const struct view *view)
{
    (void)view;
    return (struct view_node){.kind = VIEW_MERGED, .index = 0};
}

const char *view_ref_name(const struct view *view, uint64_t ref, size_t *len)
{
    struct view_node node = view_ref_node(ref);
    if (node.kind == VIEW_IMAGE)
        return image_name(view->layers[node.layer].image, node.index, len);
    uint32_t at =
        node.kind == VIEW_MERGED ? view->merged[node.index].name : view->generated[node.index].name;
    *len = strlen(view->strings + at);
    return view->strings + at;
}

/* The first child of a merged folder whose hash begins with `top` or more. */
static uint32_t find_top(const struct view *view, const struct view_merged *dir, uint32_t top)
{
    uint32_t low = dir->first, high = dir->first + dir->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (view->tops[middle] < top)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool lookup_merged(const struct view *view, const struct view_merged *dir, const char *name,
                          size_t len, struct view_node *ret)
{
    uint32_t top = view_hash_top(view_hash(name, len));
    uint32_t end = dir->first + dir->count;
    for (uint32_t i = find_top(view, dir, top); i < end && view->tops[i] == top; i++) {
        size_t have_len;
        const char *have = view_ref_name(view, view->refs[i], &have_len);
        struct view_node node = view_ref_node(view->refs[i]);
        bool same = have_len == len && memcmp(have, name, len) == 0;
        if (same || (node.kind == VIEW_IMAGE && image_damaged(view->layers[node.layer].image))) {
            *ret = node;
            return true;
        }
    }
    return false;
}

bool view_lookup(const struct view *view, struct view_node dir, const char *name, size_t len,
                 struct view_node *ret)
{
    if (dir.kind == VIEW_MERGED)
        return lookup_merged(view, &view->merged[dir.index], name, len, ret);
    if (dir.kind != VIEW_IMAGE)
        return false;
    const struct view_layer *layer = &view->layers[dir.layer];
    uint32_t child;
    if (image_node(layer->image, dir.index).type != IMAGE_DIR ||
        !image_lookup(layer->image, dir.index, name, len, layer->requested, &child))
        return false;
    *ret = (struct view_node){.kind = VIEW_IMAGE, .layer = dir.layer, .index = child};
    return true;
}

bool view_walk(const struct view *view, const char *path, struct view_node *ret)
{
    struct view_node node = view_root(view);
    for (;;) {
        path += strspn(path, "/");
        if (*path == '\0')
            break;
        size_t len = strcspn(path, "/");
        if (!view_lookup(view, node, path, len, &node))
            return false;
        path += len;
    }
    *ret = node;
    return true;
}

void view_image_stat(const struct image *image, uint32_t index, int64_t entered_ns,
                     struct view_attr *ret)
{
    struct image_node node = image_node(image, index);
    ret->type = node.type;
    ret->size = node.size;
    ret->nlink = 1;
    ret->mtime_ns = entered_ns;
    switch ((enum image_type)node.type) {
    case IMAGE_DIR:
        ret->mode = 0755;
        ret->size = 0;
        ret->mtime_ns = node.dir_time * NS_PER_S;
        break;
    case IMAGE_SYMLINK:
        ret->mode = 0777;
        break;
    case IMAGE_FILE:
    default:
        ret->mode = node.flags & IMAGE_EXEC ? 0755 : 0644;
        if (node.flags & IMAGE_TIME_DERIVED) {
            int64_t seconds = IMAGE_TIME_OF_EMPTY;
            if (node.blob != IMAGE_NO_BLOB)
                seconds = image_time_of_blob(image_blob_id(image, node.blob));
            ret->mtime_ns = seconds * NS_PER_S;
        }
        break;
    }
}

static void stat_generated(const struct view *view, const struct view_generated *g,
                           struct view_attr *ret)
{
    uint32_t blob;
    uint64_t skip, tail;
    bool link = view_generated_is_link(g);
    ret->type = link ? IMAGE_SYMLINK : IMAGE_FILE;
    ret->mode = link ? 0777 : view_generated_is_exec(view, g) ? 0755 : 0644;
    ret->size = g->text_size;
    if (view_generated_tail(view, g, &blob, &skip, &tail))
        ret->size += tail;
    ret->nlink = 1;
    ret->mtime_ns =
        g->layer == VIEW_NO_LAYER ? view->facts.time_ns : view->layers[g->layer].entered_ns;
}

void view_stat(const struct view *view, struct view_node node, struct view_attr *ret)
{
    if (node.kind == VIEW_IMAGE) {
        const struct view_layer *layer = &view->layers[node.layer];
        view_image_stat(layer->image, node.index, layer->entered_ns, ret);
    } else if (node.kind == VIEW_GENERATED) {
        stat_generated(view, &view->generated[node.index], ret);
    } else {
        *ret = (struct view_attr){
            .type = IMAGE_DIR, .mode = 0755, .nlink = 1, .mtime_ns = view->facts.time_ns};
    }
}

static void readdir_image(const struct view *view, struct view_node dir, uint64_t cookie,
                          view_dir_fn fn, void *arg)
{
    const struct view_layer *layer = &view->layers[dir.layer];
    struct image_node node = image_node(layer->image, dir.index);
    if (node.type != IMAGE_DIR)
        return;
    for (uint64_t i = cookie; i < node.count; i++) {
        struct view_node child = {
            .kind = VIEW_IMAGE, .layer = dir.layer, .index = node.first + (uint32_t)i};
        if (!image_present(layer->image, child.index, layer->requested))
            continue;
        size_t len;
        const char *name = image_name(layer->image, child.index, &len);
        if (!fn(arg, name, len, child, i + 1))
            return;
    }
}

static void readdir_merged(const struct view *view, const struct view_merged *dir, uint64_t cookie,
                           view_dir_fn fn, void *arg)
{
    uint64_t before = 0, rank = 0;
    if (cookie >> (VIEW_HASH_BITS + 8) != 0)
        return;
    uint32_t end = dir->first + dir->count;
    for (uint32_t i = find_top(view, dir, view_hash_top(cookie >> 8)); i < end; i++) {
        size_t len;
        const char *name = view_ref_name(view, view->refs[i], &len);
        uint64_t hash = view_hash(name, len);
        rank = hash == before ? rank + 1 : 1;
        before = hash;
        uint64_t own = hash << 8 | rank;
        if (own > cookie && !fn(arg, name, len, view_ref_node(view->refs[i]), own))
            return;
    }
}

void view_readdir(const struct view *view, struct view_node dir, uint64_t cookie, view_dir_fn fn,
                  void *arg)
{
    if (dir.kind == VIEW_MERGED)
        readdir_merged(view, &view->merged[dir.index], cookie, fn, arg);
    else if (dir.kind == VIEW_IMAGE)
        readdir_image(view, dir, cookie, fn, arg);
}

void view_readlink(const struct view *view, struct view_node node, struct strbuf *sb)
{
    if (node.kind == VIEW_GENERATED) {
        const struct view_generated *g = &view->generated[node.index];
        if (view_generated_is_link(g))
            view_generated_target(view, g, sb);
    } else if (node.kind == VIEW_IMAGE) {
        const struct image *image = view->layers[node.layer].image;
        size_t len;
        if (image_node(image, node.index).type == IMAGE_SYMLINK) {
            const char *target = image_target(image, node.index, &len);
            strbuf_add(sb, target, len);
        }
    }
}

void view_generated(const struct view *view, struct view_node node, struct strbuf *sb,
                    uint32_t *layer, uint32_t *blob, uint64_t *skip)
{
    uint64_t size;
    *layer = 0;
    *blob = IMAGE_NO_BLOB;
    *skip = 0;
    if (node.kind != VIEW_GENERATED)
        return;
    const struct view_generated *g = &view->generated[node.index];
    if (view_generated_is_link(g))
        return;
    view_generated_text(view, g, sb);
    if (view_generated_tail(view, g, blob, skip, &size))
        *layer = g->layer;
    else
        *blob = IMAGE_NO_BLOB;
}

const char *view_path(const struct view *view, struct view_node node)
{
    if (node.kind == VIEW_MERGED)
        return view->strings + view->merged[node.index].path;
    return node.kind == VIEW_GENERATED ? view->strings + view->generated[node.index].path : "";
}

size_t view_count(const struct view *view, enum view_layer_kind kind)
{
    return kind == VIEW_MERGED ? view->n_merged : kind == VIEW_GENERATED ? view->n_generated : 0;
}

size_t view_conflicts(const struct view *view, const struct view_conflict **ret)
{
    *ret = view->conflicts;
    return view->n_conflicts;
}
