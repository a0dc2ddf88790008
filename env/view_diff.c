/* What a switch from one view to another changes: only merged folders can differ, so only they are
 * compared, each pair as two lists in the same order. */
#include "env/view_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct pair { /* merged folders of one path */
    uint32_t before, after;
};

struct diff {
    const struct view *before, *after;
    void (*fn)(void *arg, const char *parent, const char *name, size_t len);
    void *arg;
    struct pair *pairs; /* still to be compared */
    size_t n_pairs, pairs_alloc;
};

/* Would both texts, and the blobs behind them, read the same? */
static bool same_generated(const struct diff *d, uint32_t before, uint32_t after)
{
    const struct view_generated *g = &d->before->generated[before];
    const struct view_generated *h = &d->after->generated[after];
    _cleanup_strbuf_ struct strbuf x = STRBUF_INIT, y = STRBUF_INIT;
    uint32_t blob, other;
    uint64_t skip, other_skip, size, other_size;
    if (view_generated_is_link(g) != view_generated_is_link(h))
        return false;
    view_generated_text(d->before, g, &x);
    view_generated_text(d->after, h, &y);
    if (x.len != y.len || memcmp(x.buf, y.buf, x.len) != 0)
        return false;
    bool tail = view_generated_tail(d->before, g, &blob, &skip, &size);
    if (tail != view_generated_tail(d->after, h, &other, &other_skip, &other_size))
        return false;
    return !tail || (skip == other_skip && size == other_size &&
                     sha256_equal(image_blob_id(d->before->layers[g->layer].image, blob),
                                  image_blob_id(d->after->layers[h->layer].image, other)));
}

/* Is `node` at or below `top`? */
static bool image_below(const struct image *image, uint32_t node, uint32_t top)
{
    while (node != top && node != IMAGE_ROOT)
        node = image_node(image, node).parent;
    return node == top;
}

static void add_image_path(const struct image *image, uint32_t node, uint32_t top,
                           struct strbuf *sb)
{
    uint32_t *chain = NULL;
    size_t n = 0, alloc = 0, len;
    for (; node != top && node != IMAGE_ROOT; node = image_node(image, node).parent) {
        chain = xgrow(chain, &alloc, n + 1, sizeof(*chain));
        chain[n++] = node;
    }
    while (n > 0) {
        const char *name = image_name(image, chain[--n], &len);
        strbuf_addch(sb, '/');
        strbuf_add(sb, name, len);
    }
    free(chain);
}

/* The same folder of the same image, but the package is now asked for by name, or no longer: what
 * depends on that (REQUESTED, RECORD) differs somewhere below. */
static void diff_requested(const struct diff *d, const struct image *image, uint32_t top,
                           const char *path)
{
    const uint8_t conditions = IMAGE_IF_REQUESTED | IMAGE_IF_NOT_REQUESTED;
    for (uint32_t i = 0; i < image_nodes(image); i++) {
        struct image_node node = image_node(image, i);
        if ((node.flags & conditions) == 0 || i == top || !image_below(image, i, top))
            continue;
        size_t len, before_len;
        const char *name = image_name(image, i, &len);
        if (i > 0 && image_node(image, i - 1).parent == node.parent &&
            image_node(image, i - 1).flags & conditions) {
            const char *before = image_name(image, i - 1, &before_len);
            if (before_len == len && memcmp(before, name, len) == 0)
                continue; /* the other variant, already told */
        }
        _cleanup_strbuf_ struct strbuf parent = STRBUF_INIT;
        strbuf_addstr(&parent, path);
        add_image_path(image, node.parent, top, &parent);
        d->fn(d->arg, parent.buf, name, len);
    }
}

static void diff_child(struct diff *d, const char *path, uint64_t before, uint64_t after,
                       const char *name, size_t len)
{
    struct view_node a = view_ref_node(before), b = view_ref_node(after);
    if (a.kind == VIEW_MERGED && b.kind == VIEW_MERGED) {
        d->pairs = xgrow(d->pairs, &d->pairs_alloc, d->n_pairs + 1, sizeof(*d->pairs));
        d->pairs[d->n_pairs++] = (struct pair){a.index, b.index};
        return;
    }
    if (a.kind == VIEW_GENERATED && b.kind == VIEW_GENERATED) {
        if (!same_generated(d, a.index, b.index))
            d->fn(d->arg, path, name, len);
        return;
    }
    const struct view_layer *x = &d->before->layers[a.layer], *y = &d->after->layers[b.layer];
    if (a.kind != VIEW_IMAGE || b.kind != VIEW_IMAGE || a.index != b.index ||
        x->id.number != y->id.number || x->entered_ns != y->entered_ns) {
        d->fn(d->arg, path, name, len);
    } else if (x->requested != y->requested && image_node(y->image, b.index).type == IMAGE_DIR) {
        _cleanup_strbuf_ struct strbuf child = STRBUF_INIT;
        strbuf_addf(&child, "%s%s%.*s", path, *path == '\0' ? "" : "/", (int)len, name);
        diff_requested(d, y->image, b.index, child.buf);
    }
}

/* The order of merged folders: by hash, then name. */
static int compare_names(const char *x, size_t x_len, const char *y, size_t y_len)
{
    uint64_t a = view_hash(x, x_len), b = view_hash(y, y_len);
    if (a != b)
        return a < b ? -1 : 1;
    int order = memcmp(x, y, x_len < y_len ? x_len : y_len);
    return order != 0 ? order : x_len < y_len ? -1 : x_len > y_len;
}

static void diff_merged(struct diff *d, const struct view_merged *before,
                        const struct view_merged *after, const char *path)
{
    uint32_t i = 0, j = 0, n = before == NULL ? 0 : before->count,
             m = after == NULL ? 0 : after->count;
    while (i < n || j < m) {
        size_t x_len = 0, y_len = 0;
        uint64_t x_ref = 0, y_ref = 0;
        const char *x = NULL, *y = NULL;
        if (i < n) {
            x_ref = d->before->refs[before->first + i];
            x = view_ref_name(d->before, x_ref, &x_len);
        }
        if (j < m) {
            y_ref = d->after->refs[after->first + j];
            y = view_ref_name(d->after, y_ref, &y_len);
        }
        int order = x == NULL ? 1 : y == NULL ? -1 : compare_names(x, x_len, y, y_len);
        if (order < 0)
            d->fn(d->arg, path, x, x_len);
        else if (order > 0)
            d->fn(d->arg, path, y, y_len);
        else
            diff_child(d, path, x_ref, y_ref, x, x_len);
        i += order <= 0;
        j += order >= 0;
    }
}

void view_diff(const struct view *before, const struct view *after,
               void (*fn)(void *arg, const char *parent, const char *name, size_t len), void *arg)
{
    struct diff d = {.before = before, .after = after, .fn = fn, .arg = arg};
    if (before == NULL || after == NULL) {
        diff_merged(&d, before == NULL ? NULL : before->merged,
                    after == NULL ? NULL : after->merged, "");
        return;
    }
    d.pairs = xgrow(d.pairs, &d.pairs_alloc, 1, sizeof(*d.pairs));
    d.pairs[d.n_pairs++] = (struct pair){0, 0};
    while (d.n_pairs > 0) {
        struct pair p = d.pairs[--d.n_pairs];
        diff_merged(&d, &before->merged[p.before], &after->merged[p.after],
                    after->strings + after->merged[p.after].path);
    }
    free(d.pairs);
}
