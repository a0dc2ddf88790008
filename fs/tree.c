#include "fs/tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/wire.h"
#include "fs/nodeid.h"

#define FUSE_ROOT_NODEID 1u
#define BLOCK_SIZE 4096

/* What of a layer shapes its nodes' attributes besides the image. */
struct layer {
    struct shared_image *image;
    uint32_t number;
    bool requested;
    int64_t entered_ns;
};

struct table_entry {
    uint32_t index; /* in the environment's table */
    struct view_node node;
};

struct tree {
    atomic_uint refs;
    uint32_t slot;
    bool is_mount_root;
    unsigned generation;
    pthread_mutex_t lease_lock; /* leases, and the taking and ending of them */
    unsigned leases;
    bool has_generation_lease; /* one without packages has no part in the store */
    struct view *view;
    struct images *images;
    struct layer *layers;
    size_t n_layers;
    uint32_t *merged, *generated; /* table index by the view's index */
    struct table_entry *table;    /* sorted by index */
    size_t n_table;
};

/* ---- composing ---- */

/* view_images.open: remembers what the registry handed out, in the order of the layers' numbers. */
struct opener {
    struct tree *tree;
    size_t alloc;
};

static int open_shared(void *arg, const struct store_image *which, struct image **ret,
                       struct verror *err)
{
    struct opener *o = arg;
    struct tree *t = o->tree;
    struct shared_image *shared;
    if (which->number == 0 || which->number > NODEID_MASK(NODEID_IMAGE_BITS))
        return verror_set(err, EBADMSG, "image number %u is out of range", which->number);
    int r = images_lease(t->images, which, err);
    if (r < 0)
        return r;
    r = images_get(t->images, which, &shared, err);
    if (r < 0) {
        images_end_lease(t->images, which->number);
        return r;
    }
    t->layers = xgrow(t->layers, &o->alloc, t->n_layers + 1, sizeof(*t->layers));
    t->layers[t->n_layers++] = (struct layer){.image = shared, .number = which->number};
    *ret = image_ref(shared_image_image(shared));
    return 0;
}

/* The registry's references are in the order of opening; puts them in the order of the layers. */
static int order_layers(struct tree *t, const struct manifest *m, struct verror *err)
{
    size_t n = view_layers(t->view);
    if (n != t->n_layers || n != m->n_packages)
        return verror_set(err, EBADMSG, "the view has %zu layers, its manifest %zu packages", n,
                          m->n_packages);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = view_image_id(t->view, i)->number;
        size_t j = i;
        while (j < n && t->layers[j].number != number)
            j++;
        if (j == n)
            return verror_set(err, EBADMSG, "the view names an image that was not opened");
        struct layer found = t->layers[j];
        t->layers[j] = t->layers[i];
        found.requested = m->packages[i].requested;
        found.entered_ns = m->packages[i].entered_ns;
        t->layers[i] = found;
    }
    return 0;
}

static void hash_u64(struct sha256_state *st, uint64_t v)
{
    uint8_t bytes[8];
    wire_store64(bytes, v);
    sha256_update(st, bytes, sizeof(bytes));
}

/* A merged folder is its path. */
static void merged_key(const char *path, struct sha256 *ret)
{
    struct sha256_state *st = sha256_begin();
    sha256_update(st, "d", 1);
    sha256_update(st, path, strlen(path));
    sha256_end(st, ret);
}

/* A generated file is its path, its attributes and its bytes: any of them makes another node. */
static void generated_key(const struct tree *t, struct view_node node, struct sha256 *ret)
{
    const char *path = view_path(t->view, node);
    struct view_attr attr;
    view_stat(t->view, node, &attr);
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    uint32_t layer = 0, blob = IMAGE_NO_BLOB;
    uint64_t skip = 0;
    if (attr.type == IMAGE_SYMLINK)
        view_readlink(t->view, node, &sb);
    else if (attr.type == IMAGE_FILE)
        view_generated(t->view, node, &sb, &layer, &blob, &skip);

    struct sha256_state *st = sha256_begin();
    sha256_update(st, "g", 1);
    sha256_update(st, path, strlen(path) + 1);
    hash_u64(st, attr.type);
    hash_u64(st, attr.mode);
    hash_u64(st, attr.size);
    hash_u64(st, (uint64_t)attr.mtime_ns);
    hash_u64(st, sb.len);
    sha256_update(st, sb.buf, sb.len);
    if (blob != IMAGE_NO_BLOB && layer < t->n_layers) {
        hash_u64(st, t->layers[layer].number);
        hash_u64(st, blob);
        hash_u64(st, skip);
    }
    sha256_end(st, ret);
}

static int by_index(const void *a, const void *b)
{
    const struct table_entry *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static void number_table(struct tree *t, struct ids *ids)
{
    size_t merged = view_count(t->view, VIEW_MERGED);
    size_t generated = view_count(t->view, VIEW_GENERATED);
    struct sha256 key;
    merged_key("", &key);
    uint32_t root = ids_index(ids, &key); /* NODEID_TABLE_ROOT: the first entry of every table */
    (void)root;

    t->merged = xcalloc(merged + 1, sizeof(*t->merged));
    t->generated = xcalloc(generated + 1, sizeof(*t->generated));
    t->table = xcalloc(merged + generated + 1, sizeof(*t->table));
    for (uint32_t i = 0; i < merged; i++) {
        struct view_node node = {.index = i, .kind = VIEW_MERGED};
        merged_key(view_path(t->view, node), &key);
        t->merged[i] = ids_index(ids, &key);
        t->table[t->n_table++] = (struct table_entry){t->merged[i], node};
    }
    for (uint32_t i = 0; i < generated; i++) {
        struct view_node node = {.index = i, .kind = VIEW_GENERATED};
        generated_key(t, node, &key);
        t->generated[i] = ids_index(ids, &key);
        t->table[t->n_table++] = (struct table_entry){t->generated[i], node};
    }
    qsort(t->table, t->n_table, sizeof(*t->table), by_index);
}

int tree_compose(const struct manifest *m, const struct tree_place *place, struct images *images,
                 struct ids *ids, struct tree **ret, struct verror *err)
{
    struct tree *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    t->slot = place->slot;
    t->is_mount_root = place->is_mount_root;
    t->generation = m->generation;
    t->images = images;

    struct opener opener = {.tree = t};
    struct view_images open = {.open = open_shared, .arg = &opener};
    pthread_mutex_init(&t->lease_lock, NULL);
    t->leases = 1;
    int r = m->n_packages ? images_lease_generation(images, t->slot, t->generation, err) : 0;
    t->has_generation_lease = r == 0 && m->n_packages;
    if (r == 0)
        r = view_compose(m, place->address, &open, &t->view, err);
    if (r == 0)
        r = order_layers(t, m, err);
    if (r < 0) {
        tree_unref(t);
        return r;
    }
    number_table(t, ids);
    *ret = t;
    return 0;
}

/* Those of the first `layers` layers. */
static void end_leases(struct tree *t, size_t layers)
{
    for (size_t i = 0; i < layers; i++)
        images_end_lease(t->images, t->layers[i].number);
    if (t->has_generation_lease)
        images_end_lease_of_generation(t->images, t->slot, t->generation);
    t->has_generation_lease = false;
}

static bool take_leases(struct tree *t)
{
    if (t->n_layers && images_lease_generation(t->images, t->slot, t->generation, NULL) < 0)
        return false;
    t->has_generation_lease = t->n_layers > 0;
    for (size_t i = 0; i < t->n_layers; i++)
        if (images_lease(t->images, view_image_id(t->view, (uint32_t)i), NULL) < 0) {
            end_leases(t, i);
            return false;
        }
    return true;
}

bool tree_lease(struct tree *t)
{
    pthread_mutex_lock(&t->lease_lock);
    bool leased = t->leases > 0 || take_leases(t);
    t->leases += leased;
    pthread_mutex_unlock(&t->lease_lock);
    return leased;
}

void tree_end_lease(struct tree *t)
{
    pthread_mutex_lock(&t->lease_lock);
    if (t->leases && --t->leases == 0)
        end_leases(t, t->n_layers);
    pthread_mutex_unlock(&t->lease_lock);
}

struct tree *tree_ref(struct tree *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tree_unref(struct tree *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (t->leases)
        end_leases(t, t->n_layers);
    if (t->view)
        view_unref(t->view);
    for (size_t i = 0; i < t->n_layers; i++)
        images_put(t->images, t->layers[i].image);
    pthread_mutex_destroy(&t->lease_lock);
    free(t->layers);
    free(t->merged);
    free(t->generated);
    free(t->table);
    free(t);
}

/* ---- nodes ---- */

const struct view *tree_view(const struct tree *t)
{
    return t->view;
}

uint32_t tree_slot(const struct tree *t)
{
    return t->slot;
}

unsigned tree_generation(const struct tree *t)
{
    return t->generation;
}

struct shared_image *tree_image(const struct tree *t, uint32_t layer)
{
    return t->layers[layer].image;
}

uint64_t tree_nodeid(const struct tree *t, struct view_node node)
{
    if (node.kind == VIEW_IMAGE)
        return nodeid_of_image(t->slot, t->layers[node.layer].number, node.index);
    uint32_t index = (node.kind == VIEW_MERGED ? t->merged : t->generated)[node.index];
    if (index == NODEID_TABLE_ROOT && t->is_mount_root)
        return FUSE_ROOT_NODEID;
    return nodeid_of_table(t->slot, index);
}

static bool resolve_table(const struct tree *t, uint64_t index, struct view_node *ret)
{
    if (index > UINT32_MAX)
        return false;
    const struct table_entry key = {.index = (uint32_t)index};
    const struct table_entry *e = bsearch(&key, t->table, t->n_table, sizeof(*t->table), by_index);
    if (!e)
        return false;
    *ret = e->node;
    return true;
}

bool tree_resolve(const struct tree *t, uint64_t nodeid, struct view_node *ret)
{
    if (t->is_mount_root && nodeid == FUSE_ROOT_NODEID)
        return resolve_table(t, NODEID_TABLE_ROOT, ret);
    if (nodeid_slot(nodeid) != t->slot)
        return false;
    if (nodeid_is_table(nodeid))
        return resolve_table(t, nodeid_index(nodeid), ret);
    uint32_t layer, node = nodeid_node(nodeid);
    if (!view_layer_of(t->view, nodeid_image(nodeid), &layer) ||
        node >= image_nodes(view_image(t->view, layer)))
        return false;
    *ret = (struct view_node){.layer = layer, .index = node, .kind = VIEW_IMAGE};
    return true;
}

void tree_stat(const struct tree *t, struct view_node node, struct stat *ret)
{
    static const mode_t types[] = {
        [IMAGE_FILE] = S_IFREG, [IMAGE_DIR] = S_IFDIR, [IMAGE_SYMLINK] = S_IFLNK};
    struct view_attr attr;
    view_stat(t->view, node, &attr);
    struct timespec mtime = {.tv_sec = attr.mtime_ns / 1000000000,
                             .tv_nsec = attr.mtime_ns % 1000000000};
    *ret = (struct stat){
        .st_ino = tree_nodeid(t, node),
        .st_mode = types[attr.type] | attr.mode,
        .st_nlink = attr.nlink,
        .st_size = (off_t)attr.size,
        .st_blocks = (blkcnt_t)((attr.size + 511) / 512),
        .st_blksize = BLOCK_SIZE,
        .st_mtim = mtime,
        .st_ctim = mtime,
        .st_atim = mtime,
    };
}

static bool layer_damaged(const struct tree *t, size_t layer)
{
    return images_damaged(t->images, t->layers[layer].image);
}

bool tree_node_damaged(const struct tree *t, struct view_node node)
{
    uint32_t layer;
    return view_layer_behind(t->view, node, &layer) && layer_damaged(t, layer);
}

bool tree_list_damaged(const struct tree *t, struct view_node folder)
{
    if (folder.kind != VIEW_MERGED)
        return tree_node_damaged(t, folder);
    for (size_t i = 0; i < t->n_layers; i++)
        if (layer_damaged(t, i))
            return true;
    return false;
}

char *tree_path(const struct tree *t, struct view_node node)
{
    if (node.kind != VIEW_IMAGE)
        return xstrdup(view_path(t->view, node));
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    image_node_path(view_image(t->view, node.layer), node.index, &path);
    return xstrdup(path.buf);
}

struct view_node tree_parent(const struct tree *t, struct view_node node)
{
    struct view_node parent = view_root(t->view);
    _cleanup_free_ char *path = tree_path(t, node);
    char *slash = strrchr(path, '/');
    if (slash) {
        *slash = '\0';
        view_walk(t->view, path, &parent);
    }
    return parent;
}

bool tree_each_group(const struct tree *t, bool (*fn)(void *arg, uint64_t group), void *arg)
{
    for (size_t i = 0; i < t->n_layers; i++)
        if (!fn(arg, nodeid_of_image(t->slot, t->layers[i].number, 0)))
            return false;
    for (size_t i = 0; i < t->n_table; i++)
        if (!fn(arg, tree_nodeid(t, t->table[i].node)))
            return false;
    return true;
}

/* ---- what changed ---- */

struct diff {
    const struct tree *here, *there;
    struct view_node folder_there;
    bool only_missing; /* report names that `there` lacks, not those that differ */
    uint64_t folder;
    bool changed;
    tree_change_fn fn;
    void *arg;
};

static bool same_node(const struct tree *a, struct view_node x, const struct tree *b,
                      struct view_node y)
{
    if (tree_nodeid(a, x) != tree_nodeid(b, y))
        return false;
    if (x.kind != VIEW_IMAGE)
        return true;
    const struct layer *p = &a->layers[x.layer], *q = &b->layers[y.layer];
    return p->requested == q->requested && p->entered_ns == q->entered_ns;
}

static bool compare_entry(void *arg, const char *name, size_t len, struct view_node node,
                          uint64_t cookie)
{
    struct diff *d = arg;
    struct view_node other;
    (void)cookie;
    bool found = view_lookup(d->there->view, d->folder_there, name, len, &other);
    if (found && d->only_missing && !tree_node_damaged(d->there, other))
        return true;
    if (found && !d->only_missing && same_node(d->here, node, d->there, other))
        return true;
    d->changed = true;
    d->fn(d->arg, d->folder, name, len);
    return true;
}

static void diff_folder(const struct tree *before, struct view_node x, const struct tree *after,
                        struct view_node y, tree_change_fn fn, void *arg)
{
    struct diff d = {.here = before,
                     .there = after,
                     .folder_there = y,
                     .folder = tree_nodeid(after, y),
                     .fn = fn,
                     .arg = arg};
    view_readdir(before->view, x, 0, compare_entry, &d);
    d.here = after;
    d.there = before;
    d.folder_there = x;
    d.only_missing = true;
    view_readdir(after->view, y, 0, compare_entry, &d);

    struct view_attr old, new;
    view_stat(before->view, x, &old);
    view_stat(after->view, y, &new);
    if (d.changed || old.mtime_ns != new.mtime_ns || old.nlink != new.nlink)
        fn(arg, d.folder, NULL, 0);
}

/* A file or symlink whose time is that of its package's entering (view_image_stat()). */
static bool has_time_of_entry(const struct image_node *node)
{
    return node->type != IMAGE_DIR && !(node->flags & IMAGE_TIME_DERIVED);
}

/* Nodes of an image that is in both keep their nodeids. The entry of a package's folder is reported
 * where it differs, but what processes hold open below it stays in the kernel's cache. */
static void diff_layer(const struct tree *t, uint32_t index, bool requested, bool entered,
                       tree_change_fn fn, void *arg)
{
    const struct image *image = view_image(t->view, index);
    uint32_t told = IMAGE_ROOT; /* the folder last reported; the root is merged always */
    for (uint32_t i = 0; i < image_nodes(image); i++) {
        const struct image_node node = image_node(image, i);
        uint64_t folder = nodeid_of_image(t->slot, t->layers[index].number, node.parent);
        if (requested && node.flags & (IMAGE_IF_REQUESTED | IMAGE_IF_NOT_REQUESTED)) {
            size_t len;
            const char *name = image_name(image, i, &len);
            fn(arg, folder, name, len);
            if (node.parent != told)
                fn(arg, folder, NULL, 0);
            told = node.parent;
        }
        if (entered && has_time_of_entry(&node))
            fn(arg, nodeid_of_image(t->slot, t->layers[index].number, i), NULL, 0);
    }
}

static void diff_layers(const struct tree *before, const struct tree *after, tree_change_fn fn,
                        void *arg)
{
    for (size_t i = 0; i < before->n_layers; i++) {
        const struct layer *old = &before->layers[i];
        uint32_t index;
        if (!view_layer_of(after->view, old->number, &index))
            continue;
        const struct layer *new = &after->layers[index];
        bool requested = old->requested != new->requested;
        bool entered = old->entered_ns != new->entered_ns;
        if (requested || entered)
            diff_layer(after, index, requested, entered, fn, arg);
    }
}

void tree_diff(const struct tree *before, const struct tree *after, tree_change_fn fn, void *arg)
{
    /* A folder that is merged in one of them only is another node, which its parent reports. */
    for (uint32_t i = 0; i < view_count(before->view, VIEW_MERGED); i++) {
        struct view_node x = {.index = i, .kind = VIEW_MERGED}, y;
        if (view_walk(after->view, view_path(before->view, x), &y) && y.kind == VIEW_MERGED)
            diff_folder(before, x, after, y, fn, arg);
    }
    diff_layers(before, after, fn, arg);
}
