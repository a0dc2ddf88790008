#include "fs/overlay_settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "fs/overlay_internal.h"

/* ---- ways ---- */

static const char *next_component(const char **path, size_t *len)
{
    const char *name = *path;
    *len = strcspn(name, "/");
    *path = name + *len + (name[*len] == '/');
    return name;
}

static bool drop_whiteout(struct oentry *e, int fd, int *r)
{
    if (!e->whiteout)
        return false;
    *r = fd < 0 ? fd : upper_drop_whiteout(fd, e->name);
    if (*r == 0)
        e->whiteout = false;
    return *r == 0;
}

static int add_whiteout(struct onode *dir, const char *name, size_t len)
{
    struct oentry *e = onode_entry_make(dir, name, len);
    if (e->whiteout)
        return 0;
    int fd = onode_dir_fd(dir);
    int r = fd < 0 ? fd : upper_add_whiteout(&dir->ov->upper, fd, e->name);
    e->whiteout = r == 0;
    onode_drop_if_bare(e);
    return r;
}

/* The folder of the upper that holds the last component of a path, loaded. in: called with each
 * folder on the way, the root excepted. */
static int find_folder(struct overlay *ov, const char *path,
                       int (*in)(struct onode *dir, const struct overlay_settling *s),
                       const struct overlay_settling *s, struct onode **ret, const char **name)
{
    struct onode *dir = ov->root;
    for (;;) {
        size_t len;
        const char *component = next_component(&path, &len);
        int r = dir->upper ? onode_load(dir) : -ENOENT;
        if (r < 0)
            return r;
        if (!*path) {
            *ret = dir;
            *name = component;
            return 0;
        }
        const struct oentry *e = onode_entry(dir, component, len);
        if (!e || !e->node || e->node->type != S_IFDIR)
            return -ENOENT;
        dir = e->node;
        if (dir->redirect_image)
            return -EXDEV;
        r = in ? in(dir, s) : 0;
        if (r < 0)
            return r;
    }
}

static int find_entry(struct overlay *ov, const char *path, struct onode **dir,
                      struct oentry **entry)
{
    const char *name;
    int r = find_folder(ov, path, NULL, NULL, dir, &name);
    if (r < 0)
        return r;
    *entry = onode_entry(*dir, name, strlen(name));
    return *entry ? 0 : -ENOENT;
}

/* ---- hiding ---- */

void overlay_begin_settling(struct overlay *ov)
{
    overlay_lock(ov);
    ov->settling = true;
    overlay_unlock(ov);
}

void overlay_end_settling(struct overlay *ov)
{
    overlay_lock(ov);
    ov->settling = false;
    overlay_unlock(ov);
}

/* The topmost component that is not there is what is hidden. */
static int hide(struct overlay *ov, const char *path)
{
    struct place here;
    onode_place(ov->root, &here);
    int r = 0;
    for (bool more = true; r == 0 && more;) {
        size_t len;
        struct place next;
        const char *name = next_component(&path, &len);
        r = overlay_child(&here, name, len, &next);
        more = r == 0 && *path;
        if (r == -ENOENT) {
            struct onode *dir;
            here.overlay = ov;
            r = overlay_raise(&here, false, &dir);
            here.overlay = NULL;
            if (r == 0)
                r = add_whiteout(dir, name, len);
        }
        place_release(&here);
        here = next;
    }
    place_release(&here);
    return r;
}

int overlay_hide(struct overlay *ov, const char *path)
{
    overlay_lock(ov);
    int r = hide(ov, path);
    overlay_unlock(ov);
    return r;
}

/* ---- opaque folders ---- */

static bool lower_folder(const struct onode *dir, struct view_node *ret)
{
    const struct oentry *e = dir->links;
    return e && onode_lower(e->dir, e->name, e->len, ret) &&
           lower_type(dir->ov->tree, *ret) == S_IFDIR;
}

static bool may_show(const struct overlay *ov, struct view_node node,
                     const struct overlay_settling *s)
{
    uint32_t layer;
    return node.kind != VIEW_MERGED && view_layer_behind(tree_view(ov->tree), node, &layer) &&
           layer < s->n_layers && s->layers[layer];
}

struct showing {
    struct onode *dir;
    const struct overlay_settling *s;
    int r;
};

/* A name that would show: it is hidden one by one, unless it comes from the upper. */
static bool hide_name(void *arg, const char *name, size_t len, struct view_node node,
                      uint64_t cookie)
{
    struct showing *h = arg;
    (void)cookie;
    const struct oentry *e = onode_entry(h->dir, name, len);
    if ((e && (e->node || e->whiteout)) || may_show(h->dir->ov, node, h->s))
        return true;
    h->r = add_whiteout(h->dir, name, len);
    return h->r == 0;
}

/* Its folders were made where nothing showed, and must not begin to merge. */
static int close_folders(struct onode *dir, struct view_node lower)
{
    const struct view *view = tree_view(dir->ov->tree);
    for (size_t i = 0; i < dir->n; i++) {
        const struct oentry *e = dir->entries[i];
        struct onode *n = e->node;
        struct view_node below;
        if (!n || !n->upper || n->type != S_IFDIR || n->opaque || n->redirect_image ||
            !view_lookup(view, lower, e->name, e->len, &below))
            continue;
        int fd = onode_dir_fd(n);
        int r = fd < 0 ? fd : upper_set_opaque(fd);
        if (r < 0)
            return r;
        n->opaque = true;
    }
    return 0;
}

static int drop_opaque(struct onode *dir)
{
    int fd = onode_dir_fd(dir);
    int r = fd < 0 ? fd : io_unlinkat(fd, UPPER_OPAQUE, 0);
    if (r < 0 && r != -ENOENT)
        return r;
    dir->opaque = false;
    dir->has_lower = onode_find_lower(dir, &dir->lower);
    for (size_t i = 0; i < dir->n; i++) {
        struct onode *n = dir->entries[i]->node;
        if (n)
            n->has_lower = onode_find_lower(n, &n->lower);
    }
    return 0;
}

/* An opaque folder that shows the same without the mark. */
static int open_folder(struct onode *dir, const struct overlay_settling *s)
{
    struct view_node lower;
    if (!dir->opaque || !lower_folder(dir, &lower))
        return 0;
    /* What this folder of an image shows may be seen where it was moved to. */
    if (lower.kind == VIEW_IMAGE && !may_show(dir->ov, lower, s))
        return -EXDEV;
    int r = onode_load(dir);
    if (r == 0)
        r = close_folders(dir, lower);
    struct showing h = {.dir = dir, .s = s, .r = r};
    if (r == 0)
        view_readdir(tree_view(dir->ov->tree), lower, 0, hide_name, &h);
    return h.r < 0 ? h.r : drop_opaque(dir);
}

/* ---- giving way ---- */

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool is_version(int fd, const char *name, const struct overlay_version *v)
{
    struct stat st;
    return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1 &&
           st.st_ino == v->ino && st.st_size == v->size && ns_of(st.st_mtim) == v->mtime_ns &&
           ns_of(st.st_ctim) == v->ctime_ns;
}

/* The node has what the tree has from now on. */
static void rely_on_tree(struct oentry *e, struct view_node lower, const struct overlay_settling *s)
{
    struct onode *n = e->node;
    uint64_t nodeid = n->nodeid;
    n->upper = n->dirty = n->own_mtime = n->fresh = false;
    n->shown = UPPER_MODE_UNKNOWN;
    n->has_lower = true;
    n->lower = lower;
    n->attr = (struct upper_attr)UPPER_ATTR_NONE;
    n->ctime_ns = 0;
    n->ino = 0;
    bool held = s->held(s->held_arg, nodeid);
    if (!held || nodeid == tree_nodeid(n->ov->tree, lower)) {
        if (n->n == 0) {
            onode_unlink(e);
            onode_free(n);
            onode_drop_if_bare(e);
        }
    } else {
        onode_note_lower(n, tree_nodeid(n->ov->tree, lower));
    }
    if (held)
        s->attributes(s->arg, nodeid);
}

/* Who has it open goes on with it under another name. */
static int keep_open(struct onode *n, int fd, const char *name)
{
    struct upper *upper = &n->ov->upper;
    char orphan[64];
    if (n->type != S_IFREG || n->links->next_link)
        return 0;
    upper_temporary(upper, "o", orphan);
    if (linkat(fd, name, upper->orphans, orphan, 0) < 0)
        return -errno;
    n->orphan = upper->serial;
    return 0;
}

/* Files that give way together. */
struct parting {
    struct overlay *overlay;
    const struct overlay_settling *s;
    const char *trash;
    int trash_fd;
    uint64_t *dirs; /* nodeids of folders with counts */
    size_t n_dirs, alloc_dirs;
};

static bool holds(const struct oentry *e)
{
    return e->node ? e->node->upper || onode_has_attr(e->node) : e->whiteout;
}

static void count(struct parting *p, struct onode *dir)
{
    if (dir->holding)
        return;
    for (size_t i = 0; i < dir->n; i++)
        dir->holding += holds(dir->entries[i]);
    p->dirs = xgrow(p->dirs, &p->alloc_dirs, p->n_dirs + 1, sizeof(*p->dirs));
    p->dirs[p->n_dirs++] = dir->nodeid;
}

/* Is it shown in the same way when it is the tree's? */
static bool same_folder(struct onode *dir, struct view_node lower)
{
    struct stat st, below;
    int parent = onode_dir_fd(dir->links->dir);
    if (parent < 0 || upper_stat(parent, dir->links->name, &dir->shown, &st) < 0)
        return false;
    tree_stat(dir->ov->tree, lower, &below);
    return (st.st_mode & 0700) == (below.st_mode & 0700) && !(st.st_mode & 07000) &&
           st.st_uid == geteuid();
}

/* Folders that a tool made, which packages happen to need, too: they are the tool's. */
static bool is_of_tool(const struct onode *dir, struct view_node lower)
{
    return lower.kind == VIEW_MERGED && view_is_bare(tree_view(dir->ov->tree));
}

static bool may_go(struct onode *dir)
{
    struct view_node lower;
    return dir->links && !dir->opaque && !dir->redirect_image && lower_folder(dir, &lower) &&
           !is_of_tool(dir, lower) && same_folder(dir, lower);
}

static void mark(struct parting *p, struct oentry *e)
{
    for (;;) {
        struct onode *dir = e->dir;
        e->node->goes = true;
        count(p, dir);
        if (++dir->parting != dir->holding || !may_go(dir))
            return;
        e = dir->links;
    }
}

static int find_going(struct parting *p, const struct overlay_file *f)
{
    struct onode *dir;
    const char *name;
    struct view_node lower;
    int r = find_folder(p->overlay, f->path, open_folder, p->s, &dir, &name);
    if (r < 0)
        return r;
    struct oentry *e = onode_entry(dir, name, strlen(name));
    struct onode *n = e ? e->node : NULL;
    if (!n || !n->upper || n->type == S_IFDIR || n->goes)
        return -ENOENT;
    if (n->links != e || e->next_link)
        return -EMLINK;
    int fd = onode_dir_fd(dir);
    if (fd < 0)
        return fd;
    if (!is_version(fd, name, &f->version) || !onode_lower(dir, name, e->len, &lower) ||
        lower_type(p->overlay->tree, lower) != n->type)
        return -ESTALE;
    n->differs = !f->same;
    if (n->differs && !path_has_suffix(name, ".pyc") && p->s->held(p->s->held_arg, n->nodeid) &&
        (r = keep_open(n, fd, name)) < 0)
        return r;
    mark(p, e);
    return 0;
}

/* Another file has its name from now on. */
static void replace_node(struct oentry *e, const struct overlay_settling *s)
{
    struct onode *n = e->node;
    bool held = s->held(s->held_arg, n->nodeid);
    n->differs = false;
    onode_unlink(e);
    overlay_removed(n);
    if (!held)
        overlay_drop_orphan(n);
    if (!held && nodeid_is_table(n->nodeid))
        onode_free(n);
    if (held)
        s->changed(s->arg, e->dir->nodeid, e->name, e->len);
    onode_drop_if_bare(e);
}

/* In memory what went on disk. */
static void part(struct parting *p, struct oentry *e)
{
    struct onode *n = e->node;
    struct view_node lower;
    for (size_t i = n->n; i-- > 0;)
        if (n->entries[i]->node && n->entries[i]->node->goes)
            part(p, n->entries[i]);
    n->goes = false;
    e->whiteout = false;
    n->dirty = false; /* what was not synced is in the store */
    onode_close(n);
    n->mtime_ns = 0;
    if (n->differs)
        replace_node(e, p->s);
    else if (onode_lower(e->dir, e->name, e->len, &lower))
        rely_on_tree(e, lower, p->s);
}

static int open_trash(struct parting *p)
{
    if (p->trash_fd >= 0)
        return 0;
    int r = io_mkdirat(AT_FDCWD, p->trash, 0700);
    if (r < 0 && r != -EEXIST)
        return r;
    p->trash_fd = io_open(p->trash, O_RDONLY | O_DIRECTORY, 0);
    return p->trash_fd < 0 ? p->trash_fd : 0;
}

/* It may have been emptied and removed since it was made. */
static int move_to_trash(struct parting *p, int fd, const char *entry)
{
    char name[64];
    int r = open_trash(p);
    upper_temporary(&p->overlay->upper, "g", name);
    if (r == 0)
        r = io_renameat(fd, entry, p->trash_fd, name);
    if (r != -ENOENT)
        return r;
    close(p->trash_fd);
    p->trash_fd = -1;
    r = open_trash(p);
    return r < 0 ? r : io_renameat(fd, entry, p->trash_fd, name);
}

/* A whiteout of the name goes first: until then nothing shows differently. */
static int remove_going(struct parting *p, struct oentry *e)
{
    int fd = onode_dir_fd(e->dir), r = fd;
    if (r >= 0)
        r = 0;
    if (r == 0)
        drop_whiteout(e, fd, &r);
    return r < 0 ? r : move_to_trash(p, fd, e->name);
}

static int part_one(struct parting *p, const struct overlay_file *f)
{
    struct onode *dir;
    struct oentry *e;
    int r = find_entry(p->overlay, f->path, &dir, &e);
    if (r < 0 || !e->node || !e->node->goes)
        return 0; /* with its folder */
    while (e->dir->goes)
        e = e->dir->links;
    r = remove_going(p, e);
    if (r == 0)
        part(p, e);
    return r;
}

static int give_way(struct parting *p, struct overlay_file *files, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n; i++)
        files[i].result = find_going(p, &files[i]);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (files[i].result == 0)
            r = part_one(p, &files[i]);
    return r;
}

/* What an error has left marked, too. */
static void unmark(struct onode *dir)
{
    if (!dir)
        return;
    dir->holding = dir->parting = 0;
    dir->goes = false;
    for (size_t i = 0; i < dir->n; i++) {
        struct onode *n = dir->entries[i]->node;
        if (n && n->goes)
            overlay_drop_orphan(n);
        if (n)
            n->goes = n->differs = false;
    }
}

int overlay_give_way(struct overlay *ov, struct overlay_file *files, size_t n, const char *trash,
                     const struct overlay_settling *s)
{
    struct parting p = {.overlay = ov, .s = s, .trash = trash, .trash_fd = -1};
    overlay_lock(ov);
    int r = ov->tree ? give_way(&p, files, n) : -ESTALE;
    for (size_t i = 0; i < p.n_dirs; i++)
        unmark(onode_find(ov, p.dirs[i]));
    overlay_unlock(ov);
    free(p.dirs);
    if (p.trash_fd >= 0)
        close(p.trash_fd);
    return r;
}

/* ---- setting aside ---- */

static int make_folders(int to, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
        int r = io_mkdirat(to, dir, 0755);
        if (r < 0 && r != -EEXIST)
            return r;
    }
    return 0;
}

static int set_aside(struct overlay *ov, const char *path, int to, const struct overlay_settling *s)
{
    struct onode *dir;
    struct oentry *e;
    int r = find_entry(ov, path, &dir, &e);
    if (r < 0)
        return r;
    struct onode *n = e->node;
    if (!n || !n->upper || n->type == S_IFDIR)
        return -ENOENT;
    int fd = onode_dir_fd(dir);
    r = fd < 0 ? fd : make_folders(to, path);
    if (r == 0)
        r = keep_open(n, fd, e->name);
    if (r == 0)
        drop_whiteout(e, fd, &r);
    if (r == 0)
        r = io_renameat(fd, e->name, to, path);
    if (r < 0) {
        overlay_drop_orphan(n);
        return r;
    }
    onode_unlink(e);
    if (!n->links) {
        overlay_removed(n);
        if (!s->held(s->held_arg, n->nodeid)) {
            overlay_drop_orphan(n);
            if (nodeid_is_table(n->nodeid))
                onode_free(n);
        }
    }
    onode_touch(dir);
    s->changed(s->arg, dir->nodeid, e->name, e->len);
    s->changed(s->arg, dir->nodeid, NULL, 0);
    onode_drop_if_bare(e);
    return 0;
}

int overlay_set_aside(struct overlay *ov, const char *path, int to,
                      const struct overlay_settling *s)
{
    overlay_lock(ov);
    int r = set_aside(ov, path, to, s);
    overlay_unlock(ov);
    return r;
}

static int unhide(struct overlay *ov, const char *path, const struct overlay_settling *s)
{
    struct onode *dir;
    struct oentry *e;
    int r = find_entry(ov, path, &dir, &e);
    if (r < 0)
        return r;
    if (!drop_whiteout(e, onode_dir_fd(dir), &r))
        return r < 0 ? r : -ENOENT;
    onode_touch(dir);
    s->changed(s->arg, dir->nodeid, e->name, e->len);
    s->changed(s->arg, dir->nodeid, NULL, 0);
    onode_drop_if_bare(e);
    return 0;
}

int overlay_unhide(struct overlay *ov, const char *path, const struct overlay_settling *s)
{
    overlay_lock(ov);
    int r = unhide(ov, path, s);
    overlay_unlock(ov);
    return r;
}

/* ---- all folders of the layer on disk ---- */

struct folders {
    char **list; /* each behind the one it lies in */
    size_t n, alloc;
};

static void add_folder(struct folders *f, const char *parent, const char *name)
{
    f->list = xgrow(f->list, &f->alloc, f->n + 1, sizeof(char *));
    f->list[f->n++] = xasprintf("%s%s%s", parent, parent[0] ? "/" : "", name);
}

static void folders_release(struct folders *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->list[i]);
    free(f->list);
}

static bool is_folder(int fd, const struct dirent *de)
{
    struct stat st;
    if (de->d_type != DT_UNKNOWN)
        return de->d_type == DT_DIR;
    return fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool was_moved(int dir)
{
    return faccessat(dir, UPPER_REDIRECT, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void find_in(struct folders *f, const char *path, DIR *dir)
{
    _cleanup_free_ char *parent = xstrdup(path); /* the list may move */
    const struct dirent *de;
    while ((de = readdir(dir)))
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
            !upper_is_own(de->d_name, strlen(de->d_name)) && is_folder(dirfd(dir), de))
            add_folder(f, parent, de->d_name);
}

/* root: the layer's, a descriptor of the caller's own. What goes meanwhile is passed over. moved:
 * those in folders that were moved, too. */
static void find_folders(int root, bool moved, struct folders *ret)
{
    add_folder(ret, "", "");
    for (size_t i = 0; i < ret->n; i++) {
        int fd = upper_beneath(root, ret->list[i], O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            continue;
        DIR *dir = moved || !was_moved(fd) ? fdopendir(fd) : NULL;
        if (dir)
            find_in(ret, ret->list[i], dir);
        if (dir)
            closedir(dir);
        else
            close(fd);
    }
}

static int overlay_folders(struct overlay *ov, bool moved, struct folders *ret)
{
    *ret = (struct folders){.n = 0};
    overlay_lock(ov);
    int root = upper_exists(&ov->upper) ? fcntl(ov->upper.root, F_DUPFD_CLOEXEC, 3) : -ENOENT;
    overlay_unlock(ov);
    if (root < 0)
        return root == -ENOENT ? 0 : -EMFILE;
    find_folders(root, moved, ret);
    close(root);
    return 0;
}

/* ---- sweeping ---- */

/* A folder with nothing below it, not read yet: its marks say nothing, whatever they are, unless it
 * was moved. */
static int sweep_unread(struct overlay *ov, const char *path)
{
    const struct dirent *de;
    int fd = upper_beneath(ov->upper.root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    DIR *dir = was_moved(fd) ? NULL : fdopendir(fd);
    if (!dir) {
        close(fd);
        return 0;
    }
    int r = 0;
    while (r == 0 && (de = readdir(dir)))
        if (upper_is_own(de->d_name, strlen(de->d_name)) && !is_folder(fd, de))
            r = io_unlinkat(fd, de->d_name, 0);
    closedir(dir);
    return r;
}

static int sweep_whiteouts(struct onode *dir, int fd)
{
    for (size_t i = dir->n; i-- > 0;) {
        struct oentry *e = dir->entries[i];
        struct view_node lower;
        int r = 0;
        if (e->whiteout && !onode_lower(dir, e->name, e->len, &lower))
            drop_whiteout(e, fd, &r);
        if (r < 0)
            return r;
        onode_drop_if_bare(e);
    }
    return 0;
}

static bool same_node(struct view_node a, struct view_node b)
{
    return a.kind == b.kind && a.index == b.index && (a.kind != VIEW_IMAGE || a.layer == b.layer);
}

/* An opaque folder where nothing is below; a folder that was moved away and back. */
static int sweep_marks(struct onode *dir, int fd)
{
    struct view_node lower;
    if (!dir->links)
        return 0;
    bool below = lower_folder(dir, &lower);
    if (dir->opaque && !below && !dir->redirect_image)
        return drop_opaque(dir);
    if (dir->opaque || !dir->redirect_image || !below || !dir->has_lower ||
        !same_node(lower, dir->lower))
        return 0;
    int r = io_unlinkat(fd, UPPER_REDIRECT, 0);
    if (r < 0)
        return r;
    onode_set_redirect(dir, NULL, NULL);
    return 0;
}

/* The log of attributes is written anew, when it says more than counts. */
static int sweep_attributes(struct onode *dir, int fd)
{
    struct stat st;
    bool any = false;
    if (fstatat(fd, UPPER_ATTR, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    int work = dir->ov->upper.work;
    (void)io_unlinkat(work, UPPER_ATTR, 0);
    for (size_t i = 0; i < dir->n; i++) {
        const struct oentry *e = dir->entries[i];
        if (!e->node || e->node->upper || !onode_has_attr(e->node))
            continue;
        int r = upper_add_attr(work, e->name, &e->node->attr);
        if (r < 0)
            return r;
        any = true;
    }
    return any ? io_renameat(work, UPPER_ATTR, fd, UPPER_ATTR) : io_unlinkat(fd, UPPER_ATTR, 0);
}

static bool holds_something(const struct onode *dir)
{
    for (size_t i = 0; i < dir->n; i++)
        if (holds(dir->entries[i]))
            return true;
    return false;
}

/* A folder that says nothing. */
static int sweep_folder(struct onode *dir, const struct overlay_settling *s)
{
    struct view_node lower;
    struct oentry *e = dir->links;
    if (holds_something(dir) || !may_go(dir) || !lower_folder(dir, &lower))
        return 0;
    onode_close(dir);
    int parent = onode_dir_fd(e->dir), r = 0;
    if (parent < 0)
        return parent;
    if (unlinkat(parent, e->name, AT_REMOVEDIR) < 0)
        return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
    drop_whiteout(e, parent, &r);
    dir->mtime_ns = 0;
    rely_on_tree(e, lower, s);
    return r;
}

/* The folder, read; or NULL unless `always`: it has nothing below it and was not read. */
static int find_read(struct overlay *ov, const char *path, bool always, struct onode **ret)
{
    struct onode *dir = ov->root;
    *ret = NULL;
    for (;;) {
        if (!always && !dir->loaded && !dir->has_lower && !dir->opaque && !dir->redirect_image)
            return 0;
        int r = dir->upper ? onode_load(dir) : -ENOENT;
        if (r < 0)
            return r;
        if (!*path) {
            *ret = dir;
            return 0;
        }
        size_t len;
        const char *name = next_component(&path, &len);
        const struct oentry *e = onode_entry(dir, name, len);
        if (!e || !e->node || e->node->type != S_IFDIR)
            return -ENOENT;
        dir = e->node;
    }
}

static int sweep_one(struct overlay *ov, const char *path, const struct overlay_settling *s)
{
    struct onode *dir;
    int r = find_read(ov, path, false, &dir);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!dir)
        return sweep_unread(ov, path);
    int fd = onode_dir_fd(dir);
    r = fd < 0 ? fd : sweep_whiteouts(dir, fd);
    if (r == 0)
        r = sweep_marks(dir, fd);
    if (r == 0)
        r = sweep_attributes(dir, onode_dir_fd(dir));
    return r < 0 ? r : sweep_folder(dir, s);
}

int overlay_sweep(struct overlay *ov, const struct overlay_settling *s)
{
    struct folders folders;
    overlay_end_settling(ov);
    int r = overlay_folders(ov, false, &folders);
    /* From the end: a folder is swept behind those in it. */
    for (size_t i = folders.n; r == 0 && i-- > 0;) {
        overlay_lock(ov);
        r = ov->tree ? sweep_one(ov, folders.list[i], s) : -ESTALE;
        overlay_unlock(ov);
    }
    folders_release(&folders);
    overlay_lock(ov);
    ov->due = ov->due && r < 0;
    overlay_unlock(ov);
    return r;
}

/* ---- moved folders whose images leave ---- */

static bool is_one_of(const struct sha256 *image, const struct sha256 *images, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sha256_equal(image, &images[i]))
            return true;
    return false;
}

static int absorb_one(struct overlay *ov, const char *path, const struct sha256 *images, size_t n)
{
    struct onode *dir;
    int r = find_read(ov, path, true, &dir);
    if (r < 0 || !dir->redirect_image || !is_one_of(dir->redirect_image, images, n))
        return r == -ENOENT ? 0 : r;
    r = overlay_bring_all(dir);
    int fd = r < 0 ? r : onode_dir_fd(dir);
    r = fd < 0 ? fd : io_unlinkat(fd, UPPER_REDIRECT, 0);
    if (r < 0)
        return r;
    onode_set_redirect(dir, NULL, NULL);
    return 0;
}

int overlay_absorb(struct overlay *ov, const struct sha256 *images, size_t n)
{
    struct folders folders;
    int r = overlay_folders(ov, true, &folders);
    for (size_t i = 0; r == 0 && i < folders.n; i++) {
        overlay_lock(ov);
        r = ov->tree ? absorb_one(ov, folders.list[i], images, n) : -ESTALE;
        overlay_unlock(ov);
    }
    folders_release(&folders);
    return r;
}

/* ---- when ---- */

#define DIST_INFO ".dist-info"

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void overlay_wake(const struct overlay *ov)
{
    const uint64_t one = 1;
    if (ov->wake < 0)
        return;
    ssize_t ignored = write(ov->wake, &one, sizeof(one)); /* full: it is awake */
    (void)ignored;
}

static void add_ready(struct overlay *ov, const char *dist_info)
{
    ov->ready_ms = ov->changed_ms;
    for (size_t i = 0; i < ov->n_ready; i++)
        if (strcmp(ov->ready[i], dist_info) == 0)
            return;
    if (ov->n_ready == READY_MAX)
        return; /* settling itself makes its image */
    ov->ready = xgrow(ov->ready, &ov->alloc_ready, ov->n_ready + 1, sizeof(char *));
    ov->ready[ov->n_ready++] = xstrdup(dist_info);
    if (ov->n_ready == 1)
        overlay_wake(ov);
}

void overlay_note(struct overlay *ov, const struct onode *dir, const char *name)
{
    const char *folder = dir && dir->links ? dir->links->name : "";
    bool in_package = path_has_suffix(folder, DIST_INFO);
    ov->changed_ms = now_ms();
    if (!name || (!in_package && !path_has_suffix(name, DIST_INFO)))
        return;
    ov->tries = 0;
    if (!ov->due) {
        ov->due = true;
        overlay_wake(ov);
    }
    if (in_package && strcmp(name, "RECORD") == 0 && onode_entry(dir, name, strlen(name)))
        add_ready(ov, folder);
}

bool overlay_is_due(struct overlay *ov)
{
    overlay_lock(ov);
    bool due = ov->due;
    overlay_unlock(ov);
    return due;
}

int64_t overlay_settling_ms(struct overlay *ov, int64_t quiet_ms)
{
    enum { MOST_DOUBLINGS = 10 };
    overlay_lock(ov);
    unsigned doublings = ov->tries < MOST_DOUBLINGS ? ov->tries : MOST_DOUBLINGS;
    int64_t at = ov->changed_ms + quiet_ms, again = ov->tried_ms + (quiet_ms << doublings);
    bool due = ov->due;
    if (ov->tries && again > at)
        at = again;
    overlay_unlock(ov);
    int64_t left = at - now_ms();
    return !due ? -1 : left > 0 ? left : 0;
}

void overlay_tried_settling(struct overlay *ov)
{
    overlay_lock(ov);
    ov->tries++;
    ov->tried_ms = now_ms();
    overlay_unlock(ov);
}

char **overlay_take_ready(struct overlay *ov, int64_t ms, size_t *n)
{
    char **ready = NULL;
    overlay_lock(ov);
    *n = 0;
    if (ov->n_ready && now_ms() - ov->ready_ms >= ms) {
        ready = ov->ready;
        *n = ov->n_ready;
        ov->ready = NULL;
        ov->n_ready = ov->alloc_ready = 0;
    }
    overlay_unlock(ov);
    return ready;
}

bool overlay_has_ready(struct overlay *ov)
{
    overlay_lock(ov);
    bool has = ov->n_ready > 0;
    overlay_unlock(ov);
    return has;
}
