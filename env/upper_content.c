#include "env/upper_content.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct upper_name *add_name(struct upper_content *c, const char *name, size_t len)
{
    c->v = xgrow(c->v, &c->alloc, c->n + 1, sizeof(*c->v));
    c->v[c->n] =
        (struct upper_name){.text = xstrndup(name, len), .attr = UPPER_ATTR_NONE, .order = c->n};
    return &c->v[c->n++];
}

static void take_entry(void *arg, const char *name, size_t len, mode_t type)
{
    struct upper_name *n = add_name(arg, name, len);
    n->entry = true;
    n->type = type;
}

static void take_whiteout(void *arg, const char *name, size_t len)
{
    add_name(arg, name, len)->whiteout = true;
}

static void take_attr(void *arg, const char *name, size_t len, const struct upper_attr *attr)
{
    struct upper_name *n = add_name(arg, name, len);
    n->attr_set = true;
    n->attr = *attr;
}

static void take_opaque(void *arg)
{
    struct upper_content *c = arg;
    c->opaque = true;
}

static void take_redirect(void *arg, const struct sha256 *image, const char *path)
{
    struct upper_content *c = arg;
    c->moved = true;
    c->image = *image;
    free(c->path);
    c->path = xstrdup(path);
}

static int by_text(const void *a, const void *b)
{
    const struct upper_name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

/* One for each text; the last of an attr log wins. */
static void merge_names(struct upper_content *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct upper_name *n = &c->v[i], *last = kept ? &c->v[kept - 1] : NULL;
        if (!last || strcmp(last->text, n->text) != 0) {
            c->v[kept++] = *n;
            continue;
        }
        last->entry |= n->entry;
        last->whiteout |= n->whiteout;
        if (n->entry)
            last->type = n->type;
        if (n->attr_set) {
            last->attr_set = true;
            last->attr = n->attr;
        }
        free(n->text);
    }
    c->n = kept;
}

int upper_content_read(int root, const char *path, struct upper_content *ret)
{
    const struct upper_reader reader = {take_entry,  take_whiteout, take_attr,
                                        take_opaque, take_redirect, ret};
    *ret = (struct upper_content){0};
    int r = upper_read_folder(root, path, &reader);
    if (r < 0)
        return r;
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_text);
    merge_names(ret);
    return 0;
}

void upper_content_release(struct upper_content *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].text);
    free(c->v);
    free(c->path);
    *c = (struct upper_content){0};
}

static int find_text(const void *key, const void *element)
{
    return strcmp(key, ((const struct upper_name *)element)->text);
}

const struct upper_name *upper_content_find(const struct upper_content *c, const char *name)
{
    return c->n ? bsearch(name, c->v, c->n, sizeof(*c->v), find_text) : NULL;
}

bool upper_redirect_target(const struct view *view, const struct sha256 *image, const char *path,
                           struct view_node *ret)
{
    for (uint32_t layer = 0; layer < view_layers(view); layer++) {
        if (!sha256_equal(&view_image_id(view, layer)->id, image))
            continue;
        struct view_node node = {.kind = VIEW_IMAGE, .layer = layer, .index = IMAGE_ROOT};
        bool there = true;
        for (const char *p = path; there && *p;) {
            size_t len = strcspn(p, "/");
            there = view_lookup(view, node, p, len, &node);
            p += len;
            p += *p == '/';
        }
        if (there)
            *ret = node;
        return there;
    }
    return false;
}
