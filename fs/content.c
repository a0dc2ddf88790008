#include "fs/content.h"

#include <errno.h>
#include <string.h>

#include "env/view.h"
#include "store/image.h"

/* Some bytes of a text, then a range of a blob. */
struct range {
    struct strbuf text;
    bool has_blob;
    uint32_t layer, blob;
    uint64_t offset;
    size_t size;
};

static void set_blob(struct range *g, uint32_t layer, uint32_t blob, uint64_t offset, size_t size)
{
    g->has_blob = size > 0;
    g->layer = layer;
    g->blob = blob;
    g->offset = offset;
    g->size = size;
}

/* Finds out where the bytes are. */
static int locate(struct tree *tree, struct view_node node, uint64_t offset, size_t size,
                  struct range *g)
{
    const struct view *view = tree_view(tree);
    if (node.kind == VIEW_IMAGE) {
        struct image_node in = image_node(view_image(view, node.layer), node.index);
        set_blob(g, node.layer, in.blob, offset, size);
    } else {
        _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
        uint32_t layer, blob;
        uint64_t skip;
        view_generated(view, node, &all, &layer, &blob, &skip);
        size_t from = offset < all.len ? (size_t)offset : all.len;
        size_t n = all.len - from < size ? all.len - from : size;
        strbuf_add(&g->text, all.buf + from, n);
        if (blob != IMAGE_NO_BLOB)
            set_blob(g, layer, blob, skip + (offset + n - all.len), size - n);
    }
    if (!g->has_blob)
        return g->text.len == size ? 0 : -EIO;
    return g->blob < image_blobs(view_image(view, g->layer)) ? 0 : -EIO;
}

int content_read(struct images *images, struct tree *tree, struct view_node node, uint64_t offset,
                 char *buf, size_t size, bool nowait, struct verror *err)
{
    struct range g = {.text = STRBUF_INIT};
    int r = locate(tree, node, offset, size, &g);
    if (r < 0) {
        strbuf_release(&g.text);
        return verror_errno(err, r, "finding its bytes");
    }
    size_t head = g.text.len;
    memcpy(buf, g.text.buf, head);
    strbuf_release(&g.text);
    if (!g.has_blob)
        return tree_node_damaged(tree, node) ? verror_set(err, EUCLEAN, "its image is damaged") : 0;
    ssize_t n = images_read(images, tree_image(tree, g.layer), g.blob, g.offset, buf + head, g.size,
                            nowait, err);
    if (tree_node_damaged(tree, node))
        return verror_set(err, EUCLEAN, "its image is damaged");
    if (n < 0)
        return (int)n;
    return (size_t)n == g.size ? 0 : verror_set(err, EIO, "a blob is shorter than its file");
}

const char *content_owner(const struct tree *tree, struct view_node node)
{
    if (node.kind != VIEW_IMAGE)
        return "an environment";
    return image_dist_name(view_image(tree_view(tree), node.layer));
}
