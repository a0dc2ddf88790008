/* overlay: bringing up what lies below. */
#include "fs/overlay_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/content.h"
#include "store/image.h"

#define COPY_CHUNK (1u << 20)

/* ---- where a node of the tree is ---- */

/* The names from a folder that the overlay knows down to a node, last first. */
struct trail {
    struct onode *base;
    const char *names[IMAGE_MAX_DEPTH + 2];
    size_t lens[IMAGE_MAX_DEPTH + 2];
    size_t n;
};

static void trail_in_image(const struct place *place, struct trail *t)
{
    struct overlay *ov = t->base->ov;
    const struct view *view = tree_view(place->tree);
    const struct image *image = view_image(view, place->node.layer);
    uint32_t number = view_image_id(view, place->node.layer)->number;
    for (uint32_t node = place->node.index; node != IMAGE_ROOT;) {
        t->names[t->n] = image_name(image, node, &t->lens[t->n]);
        t->n++;
        node = image_node(image, node).parent;
        uint64_t nodeid = nodeid_of_image(ov->slot, number, node);
        struct onode *known = onode_find(ov, nodeid);
        /* Who has the nodeid may have been removed, or have content of its own, while the folder is
         * there again under another. */
        if (!known || !onode_shows(known, nodeid))
            known = onode_find_moved(ov, nodeid);
        if (known) {
            t->base = known;
            return;
        }
    }
}

static void trail_of_path(const char *path, struct trail *t)
{
    const char *end = path + strlen(path);
    while (end > path && t->n < IMAGE_MAX_DEPTH) {
        const char *start = end;
        while (start > path && start[-1] != '/')
            start--;
        t->names[t->n] = start;
        t->lens[t->n++] = (size_t)(end - start);
        end = start > path ? start - 1 : path;
    }
}

/* Does the trail lead to the node today? */
static bool leads_to(const struct trail *t, uint64_t nodeid)
{
    struct place here;
    onode_place(t->base, &here);
    int r = t->base->removed ? -ENOENT : 0;
    for (size_t i = t->n; r == 0 && i-- > 0;) {
        struct place next;
        r = overlay_child(&here, t->names[i], t->lens[i], &next);
        place_release(&here);
        here = next;
    }
    bool found = r == 0 && here.nodeid == nodeid;
    place_release(&here);
    return found;
}

/* ---- folders ---- */

static int raise_folder(struct onode *dir);

/* Before it gets another name, by which nobody would know it again. */
static void note_inode(struct onode *n)
{
    struct stat st;
    if (n->removed || !n->ov->succession)
        return;
    int dir = onode_dir_fd(n->links->dir);
    if (dir >= 0 && fstatat(dir, n->links->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        onode_note(n, st.st_ino);
}

static int make_folder(struct onode *parent, const char *name, size_t len, struct onode *dir)
{
    _cleanup_free_ char *copy = xstrndup(name, len);
    int r = raise_folder(parent);
    int fd = r < 0 ? r : onode_dir_fd(parent);
    if (fd < 0)
        return fd;
    struct stat st;
    tree_stat(dir->ov->tree, dir->lower, &st);
    r = upper_mkdir(&parent->ov->upper, fd, copy, st.st_mode, &dir->shown);
    if (r < 0)
        return r;
    dir->upper = dir->loaded = dir->fresh = true;
    note_inode(dir);
    dir->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return 0;
}

/* Gives a folder a part in the upper, and those above it. */
static int raise_folder(struct onode *dir)
{
    if (dir->upper)
        return onode_load(dir);
    if (dir == dir->ov->root && !dir->removed) {
        int r = upper_create(&dir->ov->upper);
        dir->upper = r == 0;
        dir->loaded = r == 0;
        return r;
    }
    if (dir->removed || !dir->links)
        return -ENOENT;
    return make_folder(dir->links->dir, dir->links->name, dir->links->len, dir);
}

int onode_raise_parent(struct onode *n)
{
    return n->links ? raise_folder(n->links->dir) : -ENOENT;
}

/* The onode of a folder's child that only the tree has. */
static struct onode *know_child(struct onode *dir, const char *name, size_t len,
                                struct view_node lower)
{
    struct overlay *ov = dir->ov;
    struct onode *n = onode_new(ov, tree_nodeid(ov->tree, lower), lower_type(ov->tree, lower));
    n->has_lower = true;
    n->lower = lower;
    onode_link(n, onode_entry_make(dir, name, len));
    return n;
}

/* Walks a trail that leads to its node, making onodes on the way. */
static int walk(const struct trail *t, struct onode **ret)
{
    struct onode *here = t->base;
    for (size_t i = t->n; i-- > 0;) {
        struct view_node lower;
        int r = onode_load(here);
        if (r < 0)
            return r;
        const struct oentry *e = onode_entry(here, t->names[i], t->lens[i]);
        if (e && e->node)
            here = e->node;
        else if (!e && onode_lower(here, t->names[i], t->lens[i], &lower))
            here = know_child(here, t->names[i], t->lens[i], lower);
        else
            return -ENOENT;
    }
    *ret = here;
    return 0;
}

/* A file that no name leads to: it was removed, or belongs to a replaced generation. */
static struct onode *know_removed(struct overlay *ov, const struct place *place)
{
    struct onode *n = onode_new(ov, place->nodeid, lower_type(place->tree, place->node));
    overlay_removed(n);
    return n;
}

int overlay_know(const struct place *place, struct onode **ret)
{
    struct overlay *ov = place->overlay;
    if (place->up) {
        *ret = place->up;
        return 0;
    }
    struct trail t = {.base = ov->root};
    if (place->node.kind == VIEW_IMAGE)
        trail_in_image(place, &t);
    else
        trail_of_path(view_path(tree_view(place->tree), place->node), &t);
    if (place->tree == ov->tree && leads_to(&t, place->nodeid))
        return walk(&t, ret);
    *ret = know_removed(ov, place);
    return 0;
}

/* ---- files ---- */

static int copy_content(struct overlay *ov, const struct place *from, int fd)
{
    struct stat st;
    tree_stat(from->tree, from->node, &st);
    uint64_t size = (uint64_t)st.st_size;
    _cleanup_free_ char *buf = malloc(COPY_CHUNK);
    if (!buf)
        return -ENOMEM;
    for (uint64_t at = 0; at < size;) {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        size_t n = size - at < COPY_CHUNK ? (size_t)(size - at) : COPY_CHUNK;
        int r = content_read(ov->images, from->tree, from->node, at, buf, n, false, &err);
        if (r < 0) {
            log_line("copying a file up: %s", verror_message(&err));
            return r == -ENOMEM ? r : -EIO;
        }
        r = io_write_all(fd, buf, n);
        if (r < 0)
            return r;
        at += n;
    }
    return 0;
}

static int set_attributes(int work, const char *name, const struct stat *st, int32_t *shown)
{
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    if ((st->st_uid != place_owner()->uid || st->st_gid != place_owner()->gid) &&
        fchownat(work, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISLNK(st->st_mode)) {
        int r = upper_set_mode(work, name, st->st_mode & S_IFMT, st->st_mode, shown);
        if (r < 0)
            return r;
    }
    return utimensat(work, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* Makes the file in the work folder; *ret_fd: its descriptor, -1 for a symlink. */
static int make_copy(struct onode *n, const struct place *from, bool truncate, int work,
                     const char *name, int *ret_fd)
{
    struct stat st;
    onode_stat_lower(n, from->tree, from->node, &st);
    *ret_fd = -1;
    n->shown = UPPER_MODE_OF_DISK;
    if (n->type == S_IFLNK) {
        _cleanup_strbuf_ struct strbuf target = STRBUF_INIT;
        view_readlink(tree_view(from->tree), from->node, &target);
        int r = io_symlinkat(target.buf, work, name);
        return r < 0 ? r : set_attributes(work, name, &st, &n->shown);
    }
    _cleanup_close_ int fd = io_openat(work, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    int r = truncate ? 0 : copy_content(n->ov, from, fd);
    if (r == 0)
        r = set_attributes(work, name, &st, &n->shown);
    if (r == 0 && !truncate)
        r = io_fsync(fd); /* else a crash might leave an empty file over a good one */
    if (r == 0)
        *ret_fd = steal_fd(&fd);
    return r;
}

/* Gives the finished copy its name: the node's, or one in the orphans' folder. */
static int place_copy(struct onode *n, int work, const char *name)
{
    if (!n->removed) {
        int dir = onode_dir_fd(n->links->dir);
        return dir < 0 ? dir : io_renameat(work, name, dir, n->links->name);
    }
    return overlay_make_orphan(n, work, name);
}

static int bring_up(struct onode *n, const struct place *from, bool truncate)
{
    char name[64];
    int fd;
    int r = n->removed ? raise_folder(n->ov->root) : raise_folder(n->links->dir);
    if (r < 0)
        return r;
    int work = n->ov->upper.work;
    upper_temporary(&n->ov->upper, "c", name);
    r = make_copy(n, from, truncate, work, name, &fd);
    if (r == 0)
        r = place_copy(n, work, name);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        (void)io_unlinkat(work, name, 0);
        return r;
    }
    n->upper = true;
    n->has_lower = false;
    if (fd >= 0)
        onode_keep(n, fd);
    note_inode(n);
    return 0;
}

int overlay_raise(const struct place *place, bool truncate, struct onode **ret)
{
    int r = overlay_know(place, ret);
    if (r < 0)
        return r;
    struct onode *n = *ret;
    if (n->type == S_IFDIR)
        return raise_folder(n);
    if (n->upper)
        return 0;
    if (!place->tree || (place->up && !n->has_lower))
        return -ESTALE;
    return bring_up(n, place, truncate);
}

/* ---- folders that move ---- */

static int redirect(struct onode *dir)
{
    const struct view *view = tree_view(dir->ov->tree);
    const struct sha256 *id = &view_image_id(view, dir->lower.layer)->id;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    image_node_path(view_image(view, dir->lower.layer), dir->lower.index, &path);
    int fd = onode_dir_fd(dir);
    int r = fd < 0 ? fd : upper_set_redirect(&dir->ov->upper, fd, id, path.buf);
    if (r < 0)
        return r;
    onode_set_redirect(dir, xmemdup(id, sizeof(*id)), strbuf_detach(&path, NULL));
    return 0;
}

struct names {
    char **list;
    size_t n, alloc;
};

static bool collect(void *arg, const char *name, size_t len, const struct place *place,
                    uint64_t cookie)
{
    struct names *names = arg;
    (void)place, (void)cookie;
    names->list = xgrow(names->list, &names->alloc, names->n + 1, sizeof(char *));
    names->list[names->n++] = xstrndup(name, len);
    return true;
}

static int bring_child(struct onode *dir, const char *name, int (*folder)(struct onode *))
{
    struct place here, child;
    struct onode *n;
    onode_place(dir, &here);
    here.overlay = NULL;
    int r = overlay_lookup(&here, name, strlen(name), &child);
    place_release(&here);
    if (r < 0)
        return r;
    child.overlay = dir->ov;
    r = overlay_raise(&child, false, &n);
    child.overlay = NULL;
    place_release(&child);
    return r == 0 && n->type == S_IFDIR ? folder(n) : r;
}

/* Each of a folder's children is told by itself, its folders in the way of folder(). */
static int bring_children(struct onode *dir, int (*folder)(struct onode *))
{
    struct names names = {0};
    struct place here;
    onode_place(dir, &here);
    int r = overlay_readdir(&here, 0, collect, &names);
    place_release(&here);
    for (size_t i = 0; i < names.n; i++) {
        if (r == 0)
            r = bring_child(dir, names.list[i], folder);
        free(names.list[i]);
    }
    free(names.list);
    int fd = r < 0 ? r : onode_dir_fd(dir);
    r = fd < 0 ? fd : upper_set_opaque(fd);
    if (r == 0) {
        dir->opaque = true;
        dir->has_lower = false;
    }
    return r;
}

int overlay_bring_all(struct onode *dir)
{
    int r = raise_folder(dir);
    return r < 0 || !dir->has_lower || dir->opaque ? r : bring_children(dir, overlay_bring_all);
}

int overlay_detach(struct onode *dir)
{
    int r = raise_folder(dir);
    if (r < 0 || !dir->has_lower || dir->opaque || dir->redirect_image)
        return r;
    /* A merged folder has no one place to point to. */
    return dir->lower.kind == VIEW_IMAGE ? redirect(dir) : bring_children(dir, overlay_detach);
}
