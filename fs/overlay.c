/* overlay: the nodes of the upper layer, and looking through it. */
#include "fs/overlay_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"

#define NS_PER_S INT64_C(1000000000)
/* Cookies of names that only the upper has: behind all of the tree's, which have 62 bits. The file
 * system adds 2, and an offset has 63 bits. */
#define UPPER_COOKIE (UINT64_C(1) << 62)
#define COOKIE_BITS 61

/* ---- the table of nodeids ---- */

static size_t bucket_of(const struct overlay *ov, uint64_t nodeid)
{
    return (size_t)((nodeid * UINT64_C(0x9E3779B97F4A7C15)) >> 24) & (ov->n_buckets - 1);
}

struct onode *onode_find(const struct overlay *ov, uint64_t nodeid)
{
    struct onode *n = ov->buckets[bucket_of(ov, nodeid)];
    while (n && n->nodeid != nodeid)
        n = n->next;
    return n;
}

static void grow_table(struct overlay *ov)
{
    struct onode **old = ov->buckets;
    size_t n_old = ov->n_buckets;
    ov->n_buckets *= 2;
    ov->buckets = xcalloc(ov->n_buckets, sizeof(struct onode *));
    for (size_t i = 0; i < n_old; i++) {
        for (struct onode *n = old[i], *next; n; n = next) {
            next = n->next;
            struct onode **bucket = &ov->buckets[bucket_of(ov, n->nodeid)];
            n->next = *bucket;
            *bucket = n;
        }
    }
    free(old);
}

struct onode *onode_new(struct overlay *ov, uint64_t nodeid, mode_t type)
{
    if (ov->n_nodes >= ov->n_buckets)
        grow_table(ov);
    struct onode *n = xcalloc(1, sizeof(*n));
    *n = (struct onode){.ov = ov,
                        .nodeid = nodeid,
                        .type = type & S_IFMT,
                        .fd = -1,
                        .shown = UPPER_MODE_UNKNOWN,
                        .attr = UPPER_ATTR_NONE};
    struct onode **bucket = &ov->buckets[bucket_of(ov, nodeid)];
    n->next = *bucket;
    *bucket = n;
    ov->n_nodes++;
    return n;
}

void onode_free(struct onode *n)
{
    struct overlay *ov = n->ov;
    struct onode **p = &ov->buckets[bucket_of(ov, n->nodeid)];
    while (*p != n)
        p = &(*p)->next;
    *p = n->next;
    ov->n_nodes--;
    onode_note_gone(n);
    onode_close(n);
    for (size_t i = 0; i < n->n; i++)
        free(n->entries[i]);
    free(n->entries);
    onode_set_redirect(n, NULL, NULL);
    if (n->leased)
        tree_end_lease(n->tree);
    tree_unref(n->tree);
    free(n);
}

uint64_t overlay_new_nodeid(struct overlay *ov)
{
    return nodeid_of_table(ov->slot, 0) | UPPER_INDEX | ++ov->next_index;
}

/* ---- folders that were moved ---- */

static void unlist_moved(struct onode *n)
{
    struct onode **p = &n->ov->moved;
    while (*p != n)
        p = &(*p)->next_moved;
    *p = n->next_moved;
}

void onode_set_redirect(struct onode *n, struct sha256 *image, char *path)
{
    if (n->redirect_image)
        unlist_moved(n);
    free(n->redirect_image);
    free(n->redirect_path);
    n->redirect_image = image;
    n->redirect_path = path;
    if (image) {
        n->next_moved = n->ov->moved;
        n->ov->moved = n;
    }
}

struct onode *onode_find_moved(const struct overlay *ov, uint64_t nodeid)
{
    struct onode *n = ov->moved;
    while (n && !onode_shows(n, nodeid))
        n = n->next_moved;
    return n;
}

bool onode_shows(const struct onode *dir, uint64_t nodeid)
{
    return dir->has_lower && !dir->opaque && !dir->removed &&
           tree_nodeid(dir->ov->tree, dir->lower) == nodeid;
}

/* ---- entries ---- */

static uint64_t cookie_of(const char *name, size_t len)
{
    return checksum_of(name, len) >> (64 - COOKIE_BITS);
}

static int compare(const struct oentry *e, uint64_t cookie, const char *name, size_t len)
{
    if (e->cookie != cookie)
        return e->cookie < cookie ? -1 : 1;
    if (e->len != len)
        return e->len < len ? -1 : 1;
    return memcmp(e->name, name, len);
}

static size_t position(const struct onode *dir, const char *name, size_t len, bool *found)
{
    uint64_t cookie = cookie_of(name, len);
    size_t lo = 0, hi = dir->n;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare(dir->entries[mid], cookie, name, len);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct oentry *onode_entry(const struct onode *dir, const char *name, size_t len)
{
    bool found;
    size_t i = position(dir, name, len, &found);
    return found ? dir->entries[i] : NULL;
}

struct oentry *onode_entry_make(struct onode *dir, const char *name, size_t len)
{
    bool found;
    size_t i = position(dir, name, len, &found);
    if (found)
        return dir->entries[i];
    struct oentry *e = xcalloc(1, sizeof(*e) + len + 1);
    e->dir = dir;
    e->cookie = cookie_of(name, len);
    e->len = (uint8_t)len;
    memcpy(e->name, name, len);
    dir->entries = xgrow(dir->entries, &dir->alloc, dir->n + 1, sizeof(struct oentry *));
    memmove(&dir->entries[i + 1], &dir->entries[i], (dir->n - i) * sizeof(struct oentry *));
    dir->entries[i] = e;
    dir->n++;
    return e;
}

void onode_entry_drop(struct oentry *e)
{
    struct onode *dir = e->dir;
    bool found;
    size_t i = position(dir, e->name, e->len, &found);
    memmove(&dir->entries[i], &dir->entries[i + 1], (dir->n - i - 1) * sizeof(struct oentry *));
    dir->n--;
    free(e);
}

void onode_drop_if_bare(struct oentry *e)
{
    if (!e->node && !e->whiteout)
        onode_entry_drop(e);
}

void onode_link(struct onode *n, struct oentry *e)
{
    e->node = n;
    e->next_link = n->links;
    n->links = e;
    n->removed = false;
}

void onode_unlink(struct oentry *e)
{
    struct oentry **p = &e->node->links;
    while (*p != e)
        p = &(*p)->next_link;
    *p = e->next_link;
    e->next_link = NULL;
    e->node = NULL;
}

void overlay_removed(struct onode *n)
{
    n->removed = true;
    onode_note_removed(n);
    if (nodeid_is_table(n->nodeid))
        return;
    n->next_orphan = n->ov->orphans;
    n->ov->orphans = n;
}

/* ---- life ---- */

int overlay_open(const char *path, uint32_t slot, const struct overlay_context *context,
                 const struct inherited_env *inherited, struct overlay **ret, struct verror *err)
{
    struct overlay *ov = xcalloc(1, sizeof(*ov));
    int r = upper_open(path, inherited != NULL, &ov->upper, err);
    if (r < 0) {
        free(ov);
        return r;
    }
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&ov->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    ov->slot = slot;
    ov->images = context->images;
    ov->wake = context->wake;
    ov->succession = context->succession;
    ov->inherited = inherited;
    ov->due = upper_exists(&ov->upper);
    overlay_note(ov, NULL, NULL);
    if (ov->due)
        overlay_wake(ov);
    ov->n_buckets = BUCKETS_MIN;
    ov->buckets = xcalloc(ov->n_buckets, sizeof(struct onode *));
    ov->root = onode_new(ov, nodeid_of_table(slot, NODEID_TABLE_ROOT), S_IFDIR);
    ov->root->upper = upper_exists(&ov->upper);
    *ret = ov;
    return 0;
}

void overlay_free(struct overlay *ov)
{
    if (!ov)
        return;
    ov->succession = NULL; /* nothing goes that a successor would need */
    for (size_t i = 0; i < ov->n_buckets; i++)
        while (ov->buckets[i])
            onode_free(ov->buckets[i]);
    free(ov->buckets);
    for (size_t i = 0; i < ov->n_ready; i++)
        free(ov->ready[i]);
    free(ov->ready);
    tree_unref(ov->tree);
    upper_close(&ov->upper);
    pthread_mutex_destroy(&ov->lock);
    free(ov);
}

void overlay_moved(struct overlay *ov, const char *path)
{
    overlay_lock(ov);
    upper_moved(&ov->upper, path);
    overlay_unlock(ov);
}

struct onode *overlay_root(struct overlay *ov)
{
    return ov->root;
}

const struct tree *overlay_tree(const struct overlay *ov)
{
    return ov->tree;
}

void overlay_lock(struct overlay *ov)
{
    pthread_mutex_lock(&ov->lock);
}

void overlay_unlock(struct overlay *ov)
{
    pthread_mutex_unlock(&ov->lock);
}

/* ---- what lies below ---- */

mode_t lower_type(const struct tree *tree, struct view_node node)
{
    struct stat st;
    tree_stat(tree, node, &st);
    return st.st_mode & S_IFMT;
}

bool onode_lower(const struct onode *dir, const char *name, size_t len, struct view_node *ret)
{
    return dir->has_lower && !dir->opaque && dir->ov->tree &&
           view_lookup(tree_view(dir->ov->tree), dir->lower, name, len, ret);
}

static bool find_in_image(const struct overlay *ov, const struct sha256 *image, const char *path,
                          struct view_node *ret)
{
    const struct view *view = tree_view(ov->tree);
    for (uint32_t layer = 0; layer < view_layers(view); layer++) {
        if (!sha256_equal(&view_image_id(view, layer)->id, image))
            continue;
        struct view_node node = {.kind = VIEW_IMAGE, .layer = layer, .index = IMAGE_ROOT};
        const char *p = path;
        while (*p) {
            size_t len = strcspn(p, "/");
            if (!view_lookup(view, node, p, len, &node))
                return false;
            p += len + (p[len] == '/');
        }
        *ret = node;
        return true;
    }
    return false;
}

bool onode_find_lower(const struct onode *n, struct view_node *ret)
{
    if (!n->ov->tree || n->removed || !n->links)
        return false;
    if (n->redirect_image) {
        bool found = find_in_image(n->ov, n->redirect_image, n->redirect_path, ret);
        if (!found)
            log_line("what a moved folder shows is in no package of this generation: %s",
                     n->redirect_path);
        return found;
    }
    const struct oentry *e = n->links;
    if (n->upper && n->type != S_IFDIR)
        return false;
    return onode_lower(e->dir, e->name, e->len, ret) && lower_type(n->ov->tree, *ret) == n->type;
}

struct change {
    struct overlay *ov;
    struct tree *before;
    tree_change_fn fn;
    void *arg;
    uint64_t folder;
};

static bool tell_child(void *arg, const char *name, size_t len, struct view_node node,
                       uint64_t cookie)
{
    struct change *c = arg;
    (void)node, (void)cookie;
    c->fn(c->arg, c->folder, name, len);
    return true;
}

/* All names that a folder had and has from below. */
static void tell_children(struct change *c, const struct onode *dir, bool had,
                          struct view_node before)
{
    c->folder = dir->nodeid;
    if (had && c->before)
        view_readdir(tree_view(c->before), before, 0, tell_child, c);
    if (dir->has_lower)
        view_readdir(tree_view(c->ov->tree), dir->lower, 0, tell_child, c);
    c->fn(c->arg, dir->nodeid, NULL, 0);
}

static bool same_lower(const struct change *c, bool had, struct view_node before,
                       const struct onode *dir)
{
    if (had != dir->has_lower)
        return false;
    return !had ||
           (c->before && tree_nodeid(c->before, before) == tree_nodeid(c->ov->tree, dir->lower));
}

static void tell(const struct change *c, uint64_t nodeid, const char *name, size_t len)
{
    if (c->fn)
        c->fn(c->arg, nodeid, name, len);
}

/* The tree has nothing for a name any more that is nowhere but in trees: who has it open keeps the
 * bytes of the replaced tree. */
static void leave_tree(struct change *c, struct oentry *e)
{
    struct onode *n = e->node;
    while (n->n)
        if (n->entries[n->n - 1]->node)
            leave_tree(c, n->entries[n->n - 1]);
        else
            onode_entry_drop(n->entries[n->n - 1]);
    if (n->type != S_IFDIR && n->has_lower && c->before) {
        n->tree = tree_ref(c->before);
        n->leased = tree_lease(n->tree);
    }
    onode_unlink(e);
    overlay_removed(n);
    tell(c, e->dir->nodeid, e->name, e->len);
    onode_drop_if_bare(e);
}

static void follow_tree(struct change *c, struct onode *n);

/* A nodeid means the same bytes always: a file that is another one now gets another. */
static void follow_entry(struct change *c, struct oentry *e)
{
    struct onode *n = e->node;
    struct view_node now;
    bool stays = n->upper;
    if (!stays && onode_find_lower(n, &now))
        stays = n->type == S_IFDIR ||
                (n->has_lower && c->before &&
                 tree_nodeid(c->before, n->lower) == tree_nodeid(c->ov->tree, now));
    if (stays)
        follow_tree(c, n);
    else
        leave_tree(c, e);
}

static void follow_tree(struct change *c, struct onode *n)
{
    bool had = n->has_lower;
    struct view_node before = n->lower;
    if (n == n->ov->root) {
        n->has_lower = true;
        n->lower = view_root(tree_view(n->ov->tree));
    } else {
        n->has_lower = onode_find_lower(n, &n->lower);
    }
    if (n->type != S_IFDIR) {
        if (!n->upper) /* its time may be another */
            tell(c, n->nodeid, NULL, 0);
        return;
    }
    /* Merged folders are compared by tree_diff(), name by name. */
    if (c->fn && n != n->ov->root && !n->opaque && !same_lower(c, had, before, n))
        tell_children(c, n, had, before);
    for (size_t i = n->n; i-- > 0;)
        if (n->entries[i]->node)
            follow_entry(c, n->entries[i]);
}

void overlay_set_tree(struct overlay *ov, struct tree *tree, tree_change_fn changed, void *arg)
{
    overlay_lock(ov);
    struct change c = {.ov = ov, .before = ov->tree, .fn = changed, .arg = arg};
    ov->tree = tree_ref(tree);
    follow_tree(&c, ov->root);
    overlay_unlock(ov);
    tree_unref(c.before);
}

/* ---- reading folders from disk ---- */

void onode_path(const struct onode *n, struct strbuf *sb)
{
    if (!n->links)
        return; /* the root */
    onode_path(n->links->dir, sb);
    if (sb->len)
        strbuf_addch(sb, '/');
    strbuf_add(sb, n->links->name, n->links->len);
}

struct load {
    struct onode *dir;
};

/* A folder's own marks: what is below it. */
struct marks {
    bool opaque;
    struct sha256 *image;
    char *path;
};

static void mark_opaque(void *arg)
{
    struct marks *m = arg;
    m->opaque = true;
}

static void mark_redirect(void *arg, const struct sha256 *image, const char *path)
{
    struct marks *m = arg;
    m->image = xmemdup(image, sizeof(*image));
    m->path = xstrdup(path);
}

static int read_marks(struct onode *dir, const char *name, size_t len, struct marks *ret)
{
    *ret = (struct marks){0};
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    onode_path(dir, &path);
    if (path.len)
        strbuf_addch(&path, '/');
    strbuf_add(&path, name, len);
    struct upper_reader reader = {.opaque = mark_opaque, .redirect = mark_redirect, .arg = ret};
    return upper_read_marks(&dir->ov->upper, path.buf, &reader);
}

/* A folder on disk. What is below it decides its nodeid, since that is how what is in it finds its
 * way back (overlay_know()). */
static struct onode *folder_of_disk(struct onode *dir, const char *name, size_t len)
{
    struct overlay *ov = dir->ov;
    struct view_node lower;
    struct marks marks;
    int r = read_marks(dir, name, len, &marks);
    if (r < 0)
        log_line("the folder %.*s of an upper layer: %s", (int)len, name, strerror(-r));
    bool found = false;
    if (marks.image)
        found = find_in_image(ov, marks.image, marks.path, &lower);
    else if (!marks.opaque)
        found = onode_lower(dir, name, len, &lower) && lower_type(ov->tree, lower) == S_IFDIR;
    uint64_t nodeid = overlay_inherited_nodeid(dir, name);
    if (!nodeid)
        nodeid = found ? tree_nodeid(ov->tree, lower) : 0;
    if (!nodeid || onode_find(ov, nodeid))
        nodeid = overlay_new_nodeid(ov);
    struct onode *n = onode_new(ov, nodeid, S_IFDIR);
    n->opaque = marks.opaque;
    if (marks.image)
        onode_set_redirect(n, marks.image, marks.path);
    return n;
}

/* The node of a file on disk. Names of one file share it; what changed a file from below keeps the
 * nodeid that the tree has for it. */
static struct onode *node_of_disk(struct onode *dir, const char *name, size_t len, mode_t type)
{
    struct overlay *ov = dir->ov;
    struct view_node lower;
    if (type == S_IFDIR)
        return folder_of_disk(dir, name, len);
    uint64_t nodeid = overlay_inherited_nodeid(dir, name);
    if (nodeid)
        return onode_new(ov, nodeid, type);
    if (onode_lower(dir, name, len, &lower) && lower_type(ov->tree, lower) == type) {
        nodeid = tree_nodeid(ov->tree, lower);
        if (!onode_find(ov, nodeid))
            return onode_new(ov, nodeid, type);
    }
    return onode_new(ov, overlay_new_nodeid(ov), type);
}

static struct onode *find_other_name(struct overlay *ov, uint64_t ino)
{
    for (size_t i = 0; i < ov->n_buckets; i++)
        for (struct onode *n = ov->buckets[i]; n; n = n->next)
            if (n->ino == ino)
                return n;
    return NULL;
}

/* Its inode number when the file has several names, else 0. */
static uint64_t shared_ino(struct onode *dir, const char *name, mode_t type)
{
    struct stat st;
    int fd = type == S_IFDIR ? -1 : onode_dir_fd(dir);
    if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink < 2)
        return 0;
    return st.st_ino;
}

static void load_entry(void *arg, const char *name, size_t len, mode_t type)
{
    struct load *l = arg;
    struct oentry *e = onode_entry_make(l->dir, name, len);
    uint64_t ino = shared_ino(l->dir, name, type);
    struct onode *n = ino ? find_other_name(l->dir->ov, ino) : NULL;
    struct onode *before = e->node; /* of attributes recorded before the file came up */
    if (before && (n || before->type != type)) {
        onode_unlink(e);
        onode_free(before);
    }
    if (!e->node) {
        if (!n)
            n = node_of_disk(l->dir, name, len, type);
        onode_link(n, e);
        overlay_drop_orphan(n); /* one name of it was removed, another is found again */
    }
    e->node->ino = ino;
    e->node->upper = true;
}

static void load_whiteout(void *arg, const char *name, size_t len)
{
    struct load *l = arg;
    if (len && len <= UPPER_NAME_MAX)
        onode_entry_make(l->dir, name, len)->whiteout = true;
}

static void load_attr(void *arg, const char *name, size_t len, const struct upper_attr *attr)
{
    struct load *l = arg;
    struct view_node lower;
    struct oentry *e = onode_entry_make(l->dir, name, len);
    if (!e->node) {
        if (e->whiteout || !onode_lower(l->dir, name, len, &lower)) {
            if (!e->whiteout)
                onode_entry_drop(e);
            return;
        }
        onode_link(node_of_disk(l->dir, name, len, lower_type(l->dir->ov->tree, lower)), e);
    }
    if (!e->node->upper)
        e->node->attr = *attr;
}

/* When all of a folder is known: attributes of a name that was removed later mean nothing. */
static void settle_entry(struct oentry *e)
{
    struct onode *n = e->node;
    if (n && e->whiteout && !n->upper) {
        onode_unlink(e);
        onode_free(n);
    } else if (n) {
        n->has_lower = onode_find_lower(n, &n->lower);
    }
}

int onode_load(struct onode *dir)
{
    if (dir->loaded || !dir->upper || dir->removed)
        return 0;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    onode_path(dir, &path);
    struct load l = {.dir = dir};
    /* The marks were read with the folder's name. */
    struct upper_reader reader = {
        .entry = load_entry, .whiteout = load_whiteout, .attr = load_attr, .arg = &l};
    int r = upper_read_dir(&dir->ov->upper, path.buf, &reader);
    if (r < 0)
        return r;
    for (size_t i = 0; i < dir->n; i++)
        settle_entry(dir->entries[i]);
    dir->loaded = true;
    return 0;
}

/* ---- looking ---- */

void onode_place(struct onode *n, struct place *ret)
{
    struct tree *tree = n->tree ? n->tree : n->ov->tree;
    n->let_go = false;
    *ret = (struct place){.nodeid = n->nodeid, .up = n};
    if (tree)
        ret->tree = tree_ref(tree);
    ret->node = n->lower;
}

bool overlay_resolve(struct overlay *ov, uint64_t nodeid, struct place *ret)
{
    struct onode *n = onode_find(ov, nodeid);
    if (!n)
        return false;
    struct overlay *locked = ret->overlay;
    onode_place(n, ret);
    ret->overlay = locked;
    return true;
}

bool overlay_is_over(const struct place *place)
{
    const struct onode *n = place->up;
    return n->has_lower && !n->opaque;
}

/* What the tree has under a name that the layer says nothing of. Its nodeid may be in use for a
 * file that came from there and has moved; then this one gets another. */
static void lower_place(struct onode *dir, const char *name, size_t len, struct view_node lower,
                        struct place *ret)
{
    struct overlay *ov = dir->ov;
    uint64_t nodeid = tree_nodeid(ov->tree, lower);
    if (onode_find(ov, nodeid)) {
        struct onode *n = onode_new(ov, overlay_new_nodeid(ov), lower_type(ov->tree, lower));
        n->has_lower = true;
        n->lower = lower;
        onode_link(n, onode_entry_make(dir, name, len));
        onode_note_lower(n, nodeid);
        onode_place(n, ret);
        return;
    }
    *ret = (struct place){.tree = tree_ref(ov->tree), .node = lower, .nodeid = nodeid};
}

int overlay_lookup(const struct place *folder, const char *name, size_t len, struct place *ret)
{
    struct onode *dir = folder->up;
    *ret = (struct place){0};
    if (dir->type != S_IFDIR)
        return -ENOTDIR;
    if (dir->removed || upper_is_own(name, len))
        return -ENOENT;
    int r = onode_load(dir);
    if (r < 0)
        return r;
    const struct oentry *e = onode_entry(dir, name, len);
    struct view_node lower;
    if (e && e->node)
        onode_place(e->node, ret);
    else if (!e && onode_lower(dir, name, len, &lower))
        lower_place(dir, name, len, lower, ret);
    else
        return -ENOENT;
    return 0;
}

static bool has_known(void *arg, const char *name, size_t len, struct view_node node,
                      uint64_t cookie)
{
    const struct place **folder = arg;
    const struct place *f = *folder;
    (void)name, (void)len, (void)cookie;
    if (onode_find(f->overlay, tree_nodeid(f->tree, node)))
        *folder = NULL;
    return *folder != NULL;
}

/* name NULL: any. */
int overlay_check_folder(struct place *folder, const char *name, size_t len)
{
    struct view_node node;
    const struct place *left = folder;
    if (!folder->overlay->orphans && !folder->overlay->moved)
        return 0;
    const struct view *view = tree_view(folder->tree);
    if (!name)
        view_readdir(view, folder->node, 0, has_known, &left);
    else if (view_lookup(view, folder->node, name, len, &node))
        has_known(&left, name, len, node, 0);
    if (left)
        return 0;
    struct onode *n;
    int r = overlay_know(folder, &n);
    if (r == 0)
        folder->up = n;
    return r;
}

int overlay_child(const struct place *folder, const char *name, size_t len, struct place *ret)
{
    if (folder->up)
        return overlay_lookup(folder, name, len, ret);
    *ret = (struct place){0};
    if (!view_lookup(tree_view(folder->tree), folder->node, name, len, &ret->node))
        return -ENOENT;
    ret->tree = tree_ref(folder->tree);
    ret->nodeid = tree_nodeid(folder->tree, ret->node);
    return 0;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

void onode_touch(struct onode *dir)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ns = ns_of(now);
    /* A microsecond is what a float of Python's can tell apart. */
    overlay_note(dir->ov, dir, NULL);
    dir->own_mtime = false;
    dir->mtime_ns = ns > dir->mtime_ns + 1000 ? ns : dir->mtime_ns + 1000;
}

/* A folder's times: whichever changed last, what is below or the layer's own part. */
static void stat_folder_times(const struct onode *n, struct stat *st)
{
    int64_t mtime = n->mtime_ns ? n->mtime_ns : ns_of(st->st_mtim);
    if (n->has_lower && !n->opaque && !n->own_mtime) {
        struct stat below;
        tree_stat(n->ov->tree, n->lower, &below);
        if (ns_of(below.st_mtim) > mtime)
            mtime = ns_of(below.st_mtim);
    }
    st->st_mtim = timespec_of(mtime);
    if (mtime > ns_of(st->st_ctim))
        st->st_ctim = st->st_mtim;
    st->st_nlink = 1;
    st->st_size = 0;
}

static int stat_upper(struct onode *n, struct stat *ret)
{
    int fd = n->fd;
    if (fd < 0 && n->orphan)
        fd = onode_open(n);
    else if (fd < 0 && n == n->ov->root)
        fd = onode_dir_fd(n);
    else if (fd < 0 && n->links) {
        int dir = onode_dir_fd(n->links->dir);
        return dir < 0 ? dir : upper_stat(dir, n->links->name, &n->shown, ret);
    } else if (fd < 0)
        return -ESTALE;
    return fd < 0 ? fd : upper_fstat(fd, &n->shown, ret);
}

/* A folder that was removed while somebody is in it. */
static void stat_removed_folder(struct onode *n, struct stat *ret)
{
    *ret = (struct stat){
        .st_mode = S_IFDIR | 0755, .st_uid = place_owner()->uid, .st_gid = place_owner()->gid};
    ret->st_mtim = ret->st_ctim = ret->st_atim = timespec_of(n->mtime_ns);
}

void onode_stat_lower(const struct onode *n, const struct tree *tree, struct view_node at,
                      struct stat *ret)
{
    tree_stat(tree, at, ret);
    ret->st_uid = n->attr.uid < 0 ? place_owner()->uid : (uid_t)n->attr.uid;
    ret->st_gid = n->attr.gid < 0 ? place_owner()->gid : (gid_t)n->attr.gid;
    if (n->attr.mode >= 0)
        ret->st_mode = (ret->st_mode & S_IFMT) | (mode_t)n->attr.mode;
    if (n->attr.mtime_ns != INT64_MIN)
        ret->st_mtim = ret->st_atim = timespec_of(n->attr.mtime_ns);
    if (n->ctime_ns)
        ret->st_ctim = timespec_of(n->ctime_ns);
}

int overlay_stat(const struct place *place, struct stat *ret)
{
    struct onode *n = place->up;
    int r = 0;
    if (n->removed && n->type == S_IFDIR) {
        stat_removed_folder(n, ret);
    } else if (n->upper) {
        r = stat_upper(n, ret);
        if (r == 0)
            onode_note(n, ret->st_ino);
        if (r == 0 && n->type == S_IFDIR)
            stat_folder_times(n, ret);
        if (r == 0 && n->removed && n->orphan) /* its name does not count */
            ret->st_nlink--;
    } else if (n->has_lower) {
        onode_stat_lower(n, n->tree ? n->tree : n->ov->tree, n->lower, ret);
    } else {
        r = -ESTALE;
    }
    ret->st_ino = n->nodeid;
    ret->st_dev = 0;
    return r;
}

int overlay_readlink(const struct place *place, struct strbuf *sb)
{
    struct onode *n = place->up;
    char target[PATH_MAX];
    if (!n->upper) {
        view_readlink(tree_view(place->tree), place->node, sb);
        return 0;
    }
    if (n->removed)
        return -ESTALE;
    int dir = onode_dir_fd(n->links->dir);
    ssize_t len = dir < 0 ? dir : readlinkat(dir, n->links->name, target, sizeof(target));
    if (len < 0)
        return dir < 0 ? dir : -errno;
    strbuf_add(sb, target, (size_t)len);
    return 0;
}

uint64_t overlay_parent(const struct place *folder)
{
    const struct onode *n = folder->up;
    return n->links ? n->links->dir->nodeid : n->nodeid;
}

int overlay_statvfs(const struct overlay *ov, struct statvfs *ret)
{
    if (upper_exists(&ov->upper))
        return fstatvfs(ov->upper.root, ret) < 0 ? -errno : 0;
    _cleanup_free_ char *parent = path_dirname(ov->upper.path);
    return statvfs(parent, ret) < 0 ? -errno : 0;
}

/* ---- lists ---- */

struct listing {
    struct onode *dir;
    overlay_dir_fn fn;
    void *arg;
    bool more;
};

static bool give(struct listing *l, const char *name, size_t len, const struct place *place,
                 uint64_t cookie)
{
    l->more = l->fn(l->arg, name, len, place, cookie);
    return l->more;
}

static bool list_lower(void *arg, const char *name, size_t len, struct view_node node,
                       uint64_t cookie)
{
    struct listing *l = arg;
    struct place place;
    const struct oentry *e = onode_entry(l->dir, name, len);
    if (e && !e->node)
        return true;
    if (e)
        onode_place(e->node, &place);
    else
        lower_place(l->dir, name, len, node, &place);
    bool more = give(l, name, len, &place, cookie);
    place_release(&place);
    return more;
}

static size_t first_behind(const struct onode *dir, uint64_t cookie)
{
    size_t lo = 0, hi = dir->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (dir->entries[mid]->cookie <= cookie)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void list_upper(struct listing *l, uint64_t cookie)
{
    struct onode *dir = l->dir;
    size_t i = cookie < UPPER_COOKIE ? 0 : first_behind(dir, cookie - UPPER_COOKIE);
    for (; l->more && i < dir->n; i++) {
        const struct oentry *e = dir->entries[i];
        struct view_node lower;
        struct place place;
        if (!e->node || onode_lower(dir, e->name, e->len, &lower))
            continue; /* gone, or listed where the tree has it */
        onode_place(e->node, &place);
        give(l, e->name, e->len, &place, UPPER_COOKIE + e->cookie);
        place_release(&place);
    }
}

int overlay_readdir(const struct place *folder, uint64_t cookie, overlay_dir_fn fn, void *arg)
{
    struct onode *dir = folder->up;
    struct listing l = {.dir = dir, .fn = fn, .arg = arg, .more = true};
    if (dir->removed)
        return 0;
    int r = onode_load(dir);
    if (r < 0)
        return r;
    if (dir->has_lower && !dir->opaque && cookie < UPPER_COOKIE)
        view_readdir(tree_view(dir->ov->tree), dir->lower, cookie, list_lower, &l);
    if (l.more)
        list_upper(&l, cookie);
    return 0;
}
