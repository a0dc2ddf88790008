#include "fs/warmer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/view.h"
#include "store/image.h"
#include "store/profiles.h"

enum { BUSY_MS = 100, LIST_BYTES = 3 << 20 };

void warmer_init(struct warmer *w)
{
    const char *text = getenv("VENVFS_WARM");
    *w = (struct warmer){.off = text && (strcmp(text, "off") == 0 || strcmp(text, "0") == 0)};
}

void warmer_want(struct warmer *w, const char *env, uint32_t slot, unsigned generation)
{
    if (w->off || (w->walked && w->slot == slot && w->generation == generation))
        return;
    free(w->walked);
    free(w->next);
    w->walked = xstrdup(env);
    w->next = xstrdup(env);
    w->slot = slot;
    w->generation = generation;
}

static void want_begun(struct warmer *w, struct realm *realm, struct recorder *recorder)
{
    uint32_t slot;
    while (recorder_take_begun(recorder, &slot)) {
        unsigned generation;
        _cleanup_free_ char *name = realm_name_of_slot(realm, slot, &generation);
        if (name)
            warmer_want(w, name, slot, generation);
    }
}

static void start(struct warmer *w, const struct home *home)
{
    const char *argv[] = {"venvfs", "warm", "--", w->next, NULL};
    int r = errand_start(&w->errand, home, argv);
    if (r < 0)
        log_line("warming environment %s: no process could be made: %s", w->next, strerror(-r));
    free(w->next);
    w->next = NULL;
}

int warmer_tick(struct warmer *w, const struct home *home, struct realm *realm,
                struct recorder *recorder)
{
    int status;
    if (errand_ended(&w->errand, &status) && status != 0)
        log_line("warming environment %s failed", w->walked);
    if (!realm)
        return -1;
    want_begun(w, realm, recorder);
    if (w->next && !w->errand.pid)
        start(w, home);
    return w->errand.pid ? BUSY_MS : -1;
}

void warmer_stop(struct warmer *w)
{
    errand_stop(&w->errand);
    free(w->next);
    free(w->walked);
    w->next = w->walked = NULL;
}

void warmer_leave(struct warmer *w, const char *env)
{
    if (w->walked && strcmp(w->walked, env) == 0)
        warmer_stop(w);
}

/* ---- the list ---- */

struct item {
    uint32_t layer, node, slice, rank;
};

struct items {
    const struct view *view;
    uint32_t layer;
    struct item *list;
    size_t n, alloc;
};

static void add_item(void *arg, const struct profile_touch *t)
{
    struct items *s = arg;
    const struct image *image = view_image(s->view, s->layer);
    if (t->node >= image_nodes(image))
        return;
    struct image_node node = image_node(image, t->node);
    bool folder = node.type == IMAGE_DIR && t->slice == 0;
    if (!folder && (node.type != IMAGE_FILE || t->slice >= image_slices(node.size)))
        return;
    s->list = xgrow(s->list, &s->alloc, s->n + 1, sizeof(*s->list));
    s->list[s->n++] = (struct item){s->layer, t->node, t->slice, t->rank};
}

static int by_rank(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static json_t *list_of(const struct items *s)
{
    json_t *list = json_array();
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    size_t bytes = 0;
    for (size_t i = 0; i < s->n && i < WARMER_FILES && bytes < LIST_BYTES; i++) {
        const struct item *it = &s->list[i];
        path.len = 0;
        image_node_path(view_image(s->view, it->layer), it->node, &path);
        bytes += path.len + 16;
        if (image_node(view_image(s->view, it->layer), it->node).type == IMAGE_DIR)
            strbuf_addch(&path, '/');
        json_t *entry = json_pack("[s%, I]", path.buf, path.len, (json_int_t)it->slice);
        if (entry) /* else the name is not in UTF-8 */
            json_array_append_new(list, entry);
    }
    return list;
}

int warmer_list(struct realm *realm, const struct home *home, const char *env, json_t **ret,
                struct verror *err)
{
    struct profiles *profiles;
    struct tree *tree = realm_tree(realm, env);
    if (!tree)
        return verror_set(err, ENOENT, "%s is not in view", env);
    _cleanup_free_ char *path = path_join(home->root, PROFILES_NAME);
    int r = profiles_open(path, &profiles, err);
    if (r < 0) {
        tree_unref(tree);
        return r;
    }
    struct items items = {.view = tree_view(tree)};
    for (; r == 0 && items.layer < view_layers(items.view); items.layer++)
        r = profiles_each(profiles, view_image_id(items.view, items.layer)->number, add_item,
                          &items, err);
    profiles_close(profiles);
    if (items.n)
        qsort(items.list, items.n, sizeof(*items.list), by_rank);
    if (r == 0)
        *ret = list_of(&items);
    free(items.list);
    tree_unref(tree);
    return r;
}
