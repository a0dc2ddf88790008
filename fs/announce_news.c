/* announce: what a switch changed, and the calls that tell it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "fs/announce_internal.h"
#include "fs/nodeid.h"

/* ---- two trees ---- */

/* A name in one tree, or nothing there. */
struct entry {
    const struct tree *tree;
    struct view_node node;
    mode_t type; /* 0: nothing */
};

static struct entry entry_of(const struct tree *tree, bool found, struct view_node node)
{
    static const mode_t types[] = {
        [IMAGE_FILE] = S_IFREG, [IMAGE_DIR] = S_IFDIR, [IMAGE_SYMLINK] = S_IFLNK};
    struct entry e = {.tree = tree};
    struct view_attr attr;
    if (!found)
        return e;
    view_stat(tree_view(tree), node, &attr);
    e.node = node;
    e.type = types[attr.type];
    return e;
}

static struct entry entry_walk(const struct tree *tree, const char *path)
{
    struct view_node node = {0};
    return entry_of(tree, view_walk(tree_view(tree), path, &node), node);
}

static struct entry entry_child(const struct entry *folder, const char *name, size_t len)
{
    struct view_node node = {0};
    bool found = folder->type == S_IFDIR &&
                 view_lookup(tree_view(folder->tree), folder->node, name, len, &node);
    return entry_of(folder->tree, found, node);
}

static uint64_t entry_nodeid(const struct entry *e)
{
    return tree_nodeid(e->tree, e->node);
}

static const struct sha256 *blob_of(const struct entry *e)
{
    const struct image *image = view_image(tree_view(e->tree), e->node.layer);
    uint32_t blob = image_node(image, e->node.index).blob;
    return blob == IMAGE_NO_BLOB ? NULL : image_blob_id(image, blob);
}

/* Would nobody who looks at both see a difference, but for their times? */
static bool same(const struct entry *x, const struct entry *y)
{
    if (x->type != y->type)
        return false;
    if (!x->type || entry_nodeid(x) == entry_nodeid(y))
        return true;
    if (x->type != S_IFREG || x->node.kind != VIEW_IMAGE || y->node.kind != VIEW_IMAGE)
        return false;
    struct view_attr a, b;
    view_stat(tree_view(x->tree), x->node, &a);
    view_stat(tree_view(y->tree), y->node, &b);
    const struct sha256 *p = blob_of(x), *q = blob_of(y);
    return a.mode == b.mode && a.size == b.size && (p && q ? sha256_equal(p, q) : p == q);
}

typedef void (*pair_fn)(void *arg, const char *name, size_t len, const struct entry *x,
                        const struct entry *y);

struct pairing {
    const struct entry *here, *there;
    bool only_missing;
    pair_fn fn;
    void *arg;
};

static bool pair_up(void *arg, const char *name, size_t len, struct view_node node, uint64_t cookie)
{
    const struct pairing *p = arg;
    (void)cookie;
    struct entry mine = entry_of(p->here->tree, true, node);
    struct entry other = entry_child(p->there, name, len);
    if (p->only_missing && other.type)
        return true;
    if (p->only_missing)
        p->fn(p->arg, name, len, &other, &mine);
    else
        p->fn(p->arg, name, len, &mine, &other);
    return true;
}

/* Calls fn for each name that either folder has. */
static void pair_children(const struct entry *x, const struct entry *y, pair_fn fn, void *arg)
{
    struct pairing p = {.here = x, .there = y, .fn = fn, .arg = arg};
    if (x->type == S_IFDIR)
        view_readdir(tree_view(x->tree), x->node, 0, pair_up, &p);
    p = (struct pairing){.here = y, .there = x, .only_missing = true, .fn = fn, .arg = arg};
    if (y->type == S_IFDIR)
        view_readdir(tree_view(y->tree), y->node, 0, pair_up, &p);
}

/* The interpreter's own business: half of all files, and no watcher's. */
static bool is_bytecode_folder(const char *name, size_t len)
{
    static const char pycache[] = "__pycache__";
    return len == sizeof(pycache) - 1 && memcmp(name, pycache, len) == 0;
}

/* Every version has a new one. */
static bool is_metadata_folder(const char *name)
{
    const char *end = strrchr(name, '.');
    return end && strcmp(end, ".dist-info") == 0;
}

/* May there be modules in it, which reloaders wait for? */
static bool is_package(const char *name)
{
    return !is_metadata_folder(name) && !is_bytecode_folder(name, strlen(name));
}

/* ---- what changed ---- */

/* What a name leads to now, with the user's own layer. */
struct shown {
    bool there;
    uint64_t nodeid;
    bool user_s; /* the layer has all of it */
    bool stays;  /* the layer has a part of it, so that its node is the same as before */
};

static struct shown look(struct realm *realm, uint64_t folder, const char *name)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_place_ struct place parent = {0};
    _cleanup_place_ struct place child = {0};
    int r = realm_resolve(realm, folder, &parent);
    if (r == 0)
        r = realm_lookup(realm, &parent, name, strlen(name), &child, &err);
    bool over = child.up && overlay_is_over(&child);
    return (struct shown){
        .there = r == 0, .nodeid = child.nodeid, .user_s = child.up && !over, .stays = over};
}

static bool find_folder(struct announcement *a, const char *path, uint64_t *ret)
{
    struct realm *realm = a->session->realm;
    _cleanup_free_ char *copy = xstrdup(path);
    char *rest = NULL;
    struct shown shown = {.there = true};
    *ret = tree_nodeid(a->after, view_root(tree_view(a->after)));
    for (char *name = strtok_r(copy, "/", &rest); name && shown.there;
         name = strtok_r(NULL, "/", &rest)) {
        shown = look(realm, *ret, name);
        *ret = shown.nodeid;
    }
    return shown.there;
}

struct level {
    struct announcement *a;
    uint64_t folder;
    const char *path;
};

static void add_item(struct announcement *a, uint64_t folder, const char *path,
                     const struct entry *x, const struct entry *y);

static void add_child_item(void *arg, const char *name, size_t len, const struct entry *x,
                           const struct entry *y)
{
    const struct level *l = arg;
    _cleanup_free_ char *path = xasprintf("%s/%.*s", l->path, (int)len, name);
    add_item(l->a, l->folder, path, x, y);
}

static void add_item(struct announcement *a, uint64_t folder, const char *path,
                     const struct entry *x, const struct entry *y)
{
    if (same(x, y) || a->n == ANNOUNCE_CALLS / 2)
        return;
    struct shown shown = look(a->session->realm, folder, path_basename(path));
    if (shown.stays && x->type == S_IFDIR && y->type == S_IFDIR) {
        struct level l = {.a = a, .folder = shown.nodeid, .path = path};
        pair_children(x, y, add_child_item, &l);
        return;
    }
    /* The user's layer has another one, or hides it. */
    if (shown.there != (y->type != 0) || shown.user_s ||
        (shown.there && !shown.stays && shown.nodeid != entry_nodeid(y)))
        return;
    a->items = xgrow(a->items, &a->alloc, a->n + 1, sizeof(*a->items));
    struct item *item = &a->items[a->n++];
    *item = (struct item){.folder = folder, .path = xstrdup(path), .was = x->type, .is = y->type};
    item->name = path_basename(item->path);
    if (!x->type && y->type == S_IFDIR && is_package(item->name))
        item->fresh = nodeid_group(shown.nodeid);
    item->watched_here = shown.there && realm_is_held(a->session->realm, shown.nodeid);
}

static void add_change(void *arg, const char *parent, const char *name, size_t len)
{
    struct announcement *a = arg;
    _cleanup_free_ char *path = xasprintf("%s%s%.*s", parent, *parent ? "/" : "", (int)len, name);
    struct entry x = entry_walk(a->before, path), y = entry_walk(a->after, path);
    uint64_t folder;
    if (find_folder(a, parent, &folder))
        add_item(a, folder, path, &x, &y);
}

static int by_item(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->folder != y->folder)
        return x->folder < y->folder ? -1 : 1;
    return strcmp(x->name, y->name);
}

void announce_compare(struct announcement *a)
{
    view_diff(tree_view(a->before), tree_view(a->after), add_change, a);
    if (a->n)
        qsort(a->items, a->n, sizeof(*a->items), by_item);
}

/* ---- what is held of older generations ---- */

static bool has_past(const struct item *item, uint64_t nodeid)
{
    for (size_t i = 0; i < item->n_past; i++)
        if (item->past[i] == nodeid)
            return true;
    return false;
}

static void add_past(struct announcement *a, struct item *item, struct tree *tree)
{
    struct entry now = entry_walk(a->after, item->path), old = entry_walk(tree, item->path);
    if (!old.type || (now.type && entry_nodeid(&now) == entry_nodeid(&old)))
        return;
    uint64_t nodeid = entry_nodeid(&old);
    if (has_past(item, nodeid) || !realm_is_held(a->session->realm, nodeid))
        return;
    size_t n = item->n_past++;
    item->past = xrealloc(item->past, (n + 1) * sizeof(*item->past));
    item->past_trees = xrealloc(item->past_trees, (n + 1) * sizeof(struct tree *));
    item->past[n] = nodeid;
    item->past_trees[n] = tree_ref(tree);
}

void announce_find_past(struct announcement *a)
{
    struct tree **trees;
    size_t n = realm_past(a->session->realm, tree_slot(a->after), &trees);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < a->n; i++)
            add_past(a, &a->items[i], trees[k]);
        tree_unref(trees[k]);
    }
    free(trees);
}

/* ---- the calls of a step ---- */

struct listing {
    struct announcement *a;
    struct news_list *news;
    json_t *calls;
    /* of what lies in a folder that was replaced: */
    struct entry folder; /* the one of them that is walked through */
    const char *path;
};

static void add_call(struct listing *l, const struct news *news, const char *path)
{
    static const char *const calls[] = {
        [CALL_TOUCH] = "touch", [CALL_REMOVE] = "remove", [CALL_MAKE] = "make"};
    const char *type = S_ISDIR(news->type) ? "folder" : S_ISLNK(news->type) ? "link" : "file";
    news_add(l->news, news);
    if (news->call == CALL_LOOK)
        return;
    json_array_append_new(l->calls, json_pack("[s, s, s]", calls[news->call], path, type));
    l->a->calls++;
}

static void list_children(const struct listing *l, const char *path, const struct entry *folder,
                          const struct entry *x, const struct entry *y);

/* In the folder that is walked through there may be neither of both: it may be older. */
static void list_child(void *arg, const char *name, size_t len, const struct entry *x,
                       const struct entry *y)
{
    struct listing *l = arg;
    struct entry here = entry_child(&l->folder, name, len);
    bool now = l->folder.tree == l->a->after;
    if (same(x, y) || l->a->calls >= ANNOUNCE_CALLS || is_bytecode_folder(name, len))
        return;
    _cleanup_free_ char *path = xasprintf("%s/%.*s", l->path, (int)len, name);
    struct news news = {.folder = entry_nodeid(&l->folder),
                        .name = (char *)path_basename(path),
                        .type = y->type ? y->type : x->type,
                        .real = now};
    bool folder = here.type == S_IFDIR && (x->type == S_IFDIR || y->type == S_IFDIR);
    if (!y->type) {
        news.call = CALL_REMOVE;
        news.past_file = !now && here.type && here.type != S_IFDIR && news.type != S_IFDIR;
        news.as = news.past_file ? entry_nodeid(&here) : 0;
    } else {
        news.call = here.type && x->type ? CALL_TOUCH : CALL_MAKE;
    }
    /* A folder is walked through while it has its name. */
    if (news.call == CALL_MAKE || (news.call == CALL_TOUCH && !folder))
        add_call(l, &news, path);
    if (folder)
        list_children(l, path, &here, x, y);
    if (news.call == CALL_REMOVE)
        add_call(l, &news, path);
}

static void list_children(const struct listing *l, const char *path, const struct entry *folder,
                          const struct entry *x, const struct entry *y)
{
    struct listing inner = *l;
    inner.folder = *folder;
    inner.path = path;
    pair_children(x, y, list_child, &inner);
}

/* Below an item that is or was a folder, in the one of `tree`. */
static void list_below(const struct listing *l, const struct item *item, const struct tree *tree)
{
    struct entry folder = entry_walk(tree, item->path);
    struct entry x = entry_walk(l->a->before, item->path);
    struct entry y = entry_walk(l->a->after, item->path);
    if (folder.type == S_IFDIR)
        list_children(l, item->path, &folder, &x, &y);
}

static void list_past(struct listing *l, const struct item *item)
{
    size_t k = l->a->pass;
    if (k >= item->n_past)
        return;
    bool folder = entry_walk(item->past_trees[k], item->path).type == S_IFDIR;
    bool going = k == 0 && !item->is; /* it is removed soon */
    struct news news = {.folder = item->folder,
                        .name = (char *)item->name,
                        .call = folder || going ? CALL_LOOK : CALL_TOUCH,
                        .as = item->past[k]};
    add_call(l, &news, item->path);
    if (folder)
        list_below(l, item, item->past_trees[k]);
}

static bool is_replaced(const struct item *item)
{
    return item->was != item->is || item->is == S_IFDIR;
}

static void list_gone(struct listing *l, const struct item *item)
{
    /* Invariant 3: a file's inode may come back, a folder's may not go. */
    bool file = item->was != S_IFDIR && item->n_past &&
                entry_walk(item->past_trees[0], item->path).type == item->was;
    struct news news = {.folder = item->folder,
                        .name = (char *)item->name,
                        .call = CALL_REMOVE,
                        .type = item->was,
                        .as = file ? item->past[0] : 0};
    if (item->was && is_replaced(item))
        add_call(l, &news, item->path);
}

static void list_came(struct listing *l, const struct item *item)
{
    struct news news = {.folder = item->folder,
                        .name = (char *)item->name,
                        .call = is_replaced(item) ? CALL_MAKE : CALL_TOUCH,
                        .type = item->is,
                        .real = true};
    if (item->is)
        add_call(l, &news, item->path);
}

static void list_now(struct listing *l, const struct item *item)
{
    if (item->watched_here && item->is == S_IFDIR)
        list_below(l, item, l->a->after);
}

void announce_list(struct announcement *a, struct news_list *news, json_t *calls)
{
    static void (*const list[])(struct listing * l, const struct item *item) = {
        [STEP_PAST] = list_past,
        [STEP_GONE] = list_gone,
        [STEP_CAME] = list_came,
        [STEP_NOW] = list_now,
    };
    struct listing l = {.a = a, .news = news, .calls = calls};
    for (size_t i = 0; i < a->n; i++)
        list[a->step](&l, &a->items[i]);
}

/* ---- what is new and watched since ---- */

bool announce_has_fresh(const struct announcement *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].fresh)
            return true;
    return false;
}

bool announce_is_fresh(const struct announcement *a, uint64_t folder)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].fresh == nodeid_group(folder))
            return true;
    return false;
}

static void touch_file(void *arg, const char *name, size_t len, const struct entry *x,
                       const struct entry *y)
{
    struct listing *l = arg;
    (void)x;
    if (y->type == S_IFDIR || l->a->calls >= ANNOUNCE_CALLS)
        return;
    _cleanup_free_ char *path = xasprintf("%s/%.*s", l->path, (int)len, name);
    struct news news = {.folder = entry_nodeid(&l->folder),
                        .name = (char *)path_basename(path),
                        .call = CALL_TOUCH};
    add_call(l, &news, path);
}

void announce_list_files(struct announcement *a, uint64_t nodeid, struct news_list *news,
                         json_t *calls)
{
    struct view_node node;
    if (!tree_resolve(a->after, nodeid, &node))
        return;
    _cleanup_free_ char *path = tree_path(a->after, node);
    struct listing l = {.a = a,
                        .news = news,
                        .calls = calls,
                        .folder = entry_of(a->after, true, node),
                        .path = path};
    struct entry nothing = {.tree = a->after};
    if (!is_bytecode_folder(path_basename(path), strlen(path_basename(path))))
        pair_children(&nothing, &l.folder, touch_file, &l);
}
