/* overlay: making, removing and moving names. */
#include "fs/overlay_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/intent.h"

/* ---- names ---- */

static int check_new_name(const char *name, size_t len)
{
    if (len > UPPER_NAME_MAX)
        return -ENAMETOOLONG;
    return upper_is_own(name, len) ? -EPERM : 0;
}

/* A child of a folder, whether or not the overlay knows the folder. */
static int look(const struct place *folder, const char *name, struct place *ret)
{
    size_t len = strlen(name);
    *ret = (struct place){0};
    return len > UPPER_NAME_MAX ? -ENAMETOOLONG : overlay_child(folder, name, len, ret);
}

static mode_t type_of(const struct place *place)
{
    return place->up ? place->up->type : lower_type(place->tree, place->node);
}

/* Does something lie below this name, or may it soon? While the layer is settled a tree is on its
 * way that has what the layer had when that began. */
static bool lies_below(const struct onode *dir, const char *name, size_t len)
{
    struct view_node lower;
    return onode_lower(dir, name, len, &lower) || (dir->ov->settling && !dir->opaque);
}

/* Invariant 2: what lies below a name must not come back when the name's own file has gone. */
static int hide_lower(struct onode *dir, struct oentry *e)
{
    if (e->whiteout || !lies_below(dir, e->name, e->len))
        return 0;
    int fd = onode_dir_fd(dir);
    int r = fd < 0 ? fd : upper_add_whiteout(&dir->ov->upper, fd, e->name);
    e->whiteout = r == 0;
    return r;
}

/* The node of an entry that has gone. */
static void forget_name(struct oentry *e)
{
    struct onode *n = e->node;
    onode_unlink(e);
    if (n->links)
        return;
    overlay_removed(n);
}

/* ---- making ---- */

static int make_folder(struct onode *dir, int fd, const char *name, mode_t mode, bool opaque,
                       int32_t *shown)
{
    struct upper *upper = &dir->ov->upper;
    char temporary[64];
    if (!opaque)
        return upper_mkdir(upper, fd, name, mode, shown);
    /* Invariant 3. */
    upper_temporary(upper, "d", temporary);
    int r = upper_mkdir(upper, upper->work, temporary, mode, shown);
    if (r < 0)
        return r;
    _cleanup_close_ int fresh = openat(upper->work, temporary, O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = fresh < 0 ? -errno : upper_set_opaque(fresh);
    return r < 0 ? r : io_renameat(upper->work, temporary, fd, name);
}

/* Makes the file; *opened: its descriptor where that comes for free, else -1; *shown: as
 * upper_set_mode() has it. */
static int make_on_disk(struct onode *dir, const char *name, const struct overlay_new *what,
                        bool hides, int *opened, int32_t *shown)
{
    int fd = onode_dir_fd(dir);
    mode_t type = what->mode & S_IFMT;
    *opened = -1;
    *shown = UPPER_MODE_OF_DISK;
    if (fd < 0)
        return fd;
    if (type == S_IFDIR)
        return make_folder(dir, fd, name, what->mode, hides, shown);
    if (type == S_IFLNK)
        return io_symlinkat(what->target, fd, name);
    if (type == S_IFREG) {
        *opened = io_openat(fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (*opened < 0)
            return *opened;
        return (what->mode & 07777) == 0600 ? 0 : upper_fset_mode(*opened, type, what->mode, shown);
    } else if (type == S_IFIFO || type == S_IFSOCK) {
        if (mknodat(fd, name, type | 0600, 0) < 0)
            return -errno;
    } else {
        return -EPERM;
    }
    return (what->mode & 07777) == 0600 ? 0 : upper_set_mode(fd, name, type, what->mode, shown);
}

static int set_owner(struct onode *dir, const char *name, const struct overlay_new *what)
{
    if (what->uid == place_owner()->uid && what->gid == place_owner()->gid)
        return 0;
    int fd = onode_dir_fd(dir);
    if (fd < 0)
        return fd;
    /* A daemon that is not root serves one user, whose groups it may not all have. */
    if (fchownat(fd, name, what->uid, what->gid, AT_SYMLINK_NOFOLLOW) < 0 &&
        place_owner()->uid == 0)
        return -errno;
    return 0;
}

static int must_be_free(const struct place *folder, const char *name)
{
    struct place there;
    int r = look(folder, name, &there);
    place_release(&there);
    return r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
}

/* A predecessor made it, and may have been killed before it had its mode. */
static int find_made(const struct place *folder, const char *name, const struct overlay_new *what,
                     struct place *ret)
{
    mode_t type = what->mode & S_IFMT;
    int r = overlay_child(folder, name, strlen(name), ret);
    if (r < 0)
        return r;
    if (!ret->up || !ret->up->upper || ret->up->type != type)
        return -EEXIST;
    int fd = onode_dir_fd(ret->up->links->dir);
    r = fd < 0 ? fd : 0;
    if (r == 0 && type != S_IFLNK)
        r = upper_set_mode(fd, name, type, what->mode, &ret->up->shown);
    return r < 0 ? r : set_owner(ret->up->links->dir, name, what);
}

int overlay_make(const struct place *folder, const char *name, const struct overlay_new *what,
                 struct place *ret)
{
    struct onode *dir;
    size_t len = strlen(name);
    int32_t shown;
    int opened, r = check_new_name(name, len);
    *ret = (struct place){0};
    if (r == 0)
        r = must_be_free(folder, name);
    if (r == -EEXIST && intent_was_set(NULL))
        return find_made(folder, name, what, ret);
    if (r == 0)
        r = overlay_raise(folder, false, &dir);
    if (r == 0 && dir->removed)
        r = -ENOENT;
    if (r < 0)
        return r;
    bool hides = S_ISDIR(what->mode) && lies_below(dir, name, len);
    intent_set(0);
    r = make_on_disk(dir, name, what, hides, &opened, &shown);
    if (r == 0)
        r = set_owner(dir, name, what);
    if (r < 0) {
        if (opened >= 0)
            close(opened);
        return r;
    }
    struct onode *n = onode_new(dir->ov, overlay_new_nodeid(dir->ov), what->mode);
    n->upper = n->loaded = n->fresh = true;
    n->opaque = hides;
    n->shown = shown;
    onode_link(n, onode_entry_make(dir, name, len));
    if (opened >= 0)
        onode_keep(n, opened);
    onode_touch(dir);
    overlay_note(dir->ov, dir, name);
    if (S_ISDIR(what->mode))
        onode_touch(n);
    onode_place(n, ret);
    return 0;
}

int overlay_link(const struct place *file, const struct place *folder, const char *name,
                 struct place *ret)
{
    struct onode *n, *dir;
    struct stat st;
    *ret = (struct place){0};
    int r = check_new_name(name, strlen(name));
    if (r == 0 && type_of(file) == S_IFDIR)
        r = -EPERM;
    if (r == 0)
        r = must_be_free(folder, name);
    if (r == -EEXIST && intent_was_set(NULL))
        return overlay_child(folder, name, strlen(name), ret);
    if (r == 0)
        r = overlay_raise(file, false, &n);
    if (r == 0 && n->removed)
        r = -ENOENT;
    if (r == 0)
        r = overlay_raise(folder, false, &dir);
    if (r < 0)
        return r;
    int from = onode_dir_fd(n->links->dir);
    int to = from < 0 ? from : onode_dir_fd(dir);
    if (to < 0)
        return to;
    intent_set(0);
    if (linkat(from, n->links->name, to, name, 0) < 0 ||
        fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    n->ino = st.st_ino;
    onode_link(n, onode_entry_make(dir, name, strlen(name)));
    onode_touch(dir);
    overlay_note(dir->ov, dir, name);
    onode_place(n, ret);
    return 0;
}

/* ---- removing ---- */

static bool any(void *arg, const char *name, size_t len, const struct place *place, uint64_t cookie)
{
    (void)name, (void)len, (void)place, (void)cookie;
    *(bool *)arg = true;
    return false;
}

static bool any_lower(void *arg, const char *name, size_t len, struct view_node node,
                      uint64_t cookie)
{
    (void)name, (void)len, (void)node, (void)cookie;
    *(bool *)arg = true;
    return false;
}

int overlay_check_empty(const struct place *folder)
{
    bool found = false;
    int r = 0;
    if (folder->up)
        r = overlay_readdir(folder, 0, any, &found);
    else
        view_readdir(tree_view(folder->tree), folder->node, 0, any_lower, &found);
    return r < 0 ? r : found ? -ENOTEMPTY : 0;
}

/* A file that may be open must not be lost with its last name: a descriptor keeps it, or, when
 * there are many of those, it is only moved away. */
static int remove_file(struct onode *n, int fd, const char *name)
{
    bool last = !n->links->next_link && n->type == S_IFREG, pinned = last && onode_pin(n);
    if (last && !pinned)
        return overlay_make_orphan(n, fd, name);
    int r = io_unlinkat(fd, name, 0);
    if (r < 0 && pinned)
        onode_close(n);
    return r;
}

static int remove_on_disk(struct onode *dir, struct oentry *e)
{
    struct onode *n = e->node;
    if (!n || !n->upper)
        return 0;
    int fd = onode_dir_fd(dir);
    if (fd < 0)
        return fd;
    if (n->type != S_IFDIR)
        return remove_file(n, fd, e->name);
    onode_close(n);
    return upper_remove_dir(&dir->ov->upper, fd, e->name, n->n > 0);
}

static int remove_checked(const struct place *folder, const char *name)
{
    struct onode *dir;
    int r = overlay_raise(folder, false, &dir);
    if (r < 0)
        return r;
    struct oentry *e = onode_entry_make(dir, name, strlen(name));
    r = hide_lower(dir, e);
    if (r == 0)
        r = remove_on_disk(dir, e);
    if (r == 0) {
        if (e->node)
            forget_name(e);
        onode_touch(dir);
        overlay_note(dir->ov, dir, name);
    }
    onode_drop_if_bare(e);
    return r;
}

int overlay_remove(const struct place *folder, const char *name, bool is_dir)
{
    struct place target;
    int r = look(folder, name, &target);
    if (r < 0)
        return r == -ENOENT && intent_was_set(NULL) ? 0 : r;
    bool dir = type_of(&target) == S_IFDIR;
    if (is_dir && !dir)
        r = -ENOTDIR;
    else if (!is_dir && dir)
        r = -EISDIR;
    else if (is_dir)
        r = overlay_check_empty(&target);
    place_release(&target);
    if (r < 0)
        return r;
    intent_set(0);
    return remove_checked(folder, name);
}

/* ---- moving ---- */

struct move {
    const struct place *from, *to;
    const char *name, *to_name;
    struct place source, target; /* target.nodeid 0: there is none */
    struct onode *node, *other;  /* other: of the target, when they change places */
    struct onode *dir, *to_dir;
    bool exchange;
};

static int look_both(struct move *m, unsigned flags)
{
    int r = check_new_name(m->to_name, strlen(m->to_name));
    if (r == 0 && (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE)))
        r = -EINVAL;
    if (r == 0)
        r = look(m->from, m->name, &m->source);
    if (r < 0)
        return r;
    r = look(m->to, m->to_name, &m->target);
    if (r < 0 && r != -ENOENT)
        return r;
    bool found = r == 0;
    if (m->exchange)
        return found ? 0 : -ENOENT;
    if (found && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    return 0;
}

static int check_types(const struct move *m)
{
    if (!m->target.nodeid || m->exchange)
        return 0;
    bool source = type_of(&m->source) == S_IFDIR, target = type_of(&m->target) == S_IFDIR;
    if (source && !target)
        return -ENOTDIR;
    if (!source && target)
        return -EISDIR;
    return target ? overlay_check_empty(&m->target) : 0;
}

/* The node as something that can move: with a file of its own, and if it is a folder with its
 * content told independently of the place. */
static int make_movable(struct overlay *ov, struct place *place, struct onode **ret)
{
    place->overlay = ov;
    int r = overlay_raise(place, false, ret);
    place->overlay = NULL;
    return r == 0 && (*ret)->type == S_IFDIR ? overlay_detach(*ret) : r;
}

/* A folder must not merge with what lies below its new name (invariant 3). */
static int close_folder(struct onode *n, struct onode *to_dir, const char *to_name)
{
    if (n->type != S_IFDIR || n->opaque || n->redirect_image ||
        !lies_below(to_dir, to_name, strlen(to_name)))
        return 0;
    int fd = onode_dir_fd(n);
    int r = fd < 0 ? fd : upper_set_opaque(fd);
    n->opaque = r == 0;
    return r;
}

/* What is replaced may be open: it keeps its bytes under another name. */
static int save_target(struct onode *other, int to_fd, const char *to_name)
{
    struct upper *upper = &other->ov->upper;
    char orphan[64];
    if (other->type == S_IFDIR) {
        onode_close(other);
        return upper_remove_dir(upper, to_fd, to_name, other->n > 0);
    }
    if (other->links->next_link || other->type != S_IFREG || onode_pin(other))
        return 0;
    upper_temporary(upper, "o", orphan);
    if (linkat(to_fd, to_name, upper->orphans, orphan, 0) < 0)
        return -errno;
    other->orphan = upper->serial;
    onode_note_orphan(other);
    return 0;
}

/* The disk's own care for rename over a file that exists does not see one that is below. */
static int sync_source(struct onode *n, bool replaces_lower)
{
    if (!replaces_lower || n->type != S_IFREG || !n->dirty)
        return 0;
    int fd = onode_open(n), r = fd < 0 ? fd : io_fsync(fd);
    if (r == 0)
        n->dirty = false;
    return r;
}

static int move_on_disk(struct move *m, struct oentry *e, struct oentry *to)
{
    struct view_node lower;
    bool over_lower =
        !(to->node && to->node->upper) && onode_lower(m->to_dir, to->name, to->len, &lower);
    int r = hide_lower(m->dir, e);
    if (r == 0)
        r = close_folder(m->node, m->to_dir, to->name);
    if (r == 0 && m->node->type == S_IFDIR)
        r = hide_lower(m->to_dir, to);
    if (r == 0)
        r = sync_source(m->node, over_lower);
    int fd = r < 0 ? r : onode_dir_fd(m->dir), to_fd = fd < 0 ? fd : onode_dir_fd(m->to_dir);
    if (to_fd < 0)
        return to_fd;
    struct onode *target = to->node && to->node->upper ? to->node : NULL;
    intent_set(0);
    if (target)
        r = save_target(target, to_fd, to->name);
    if (r == 0)
        r = io_renameat(fd, e->name, to_fd, to->name);
    if (r < 0 && target)
        overlay_drop_orphan(target); /* it has its name still */
    return r;
}

static int move(struct move *m)
{
    struct oentry *e = onode_entry(m->dir, m->name, strlen(m->name));
    struct oentry *to = onode_entry_make(m->to_dir, m->to_name, strlen(m->to_name));
    /* Making an entry may have moved the array, never an entry. */
    int r = move_on_disk(m, e, to);
    if (r < 0) {
        onode_drop_if_bare(to);
        return r;
    }
    if (to->node)
        forget_name(to);
    onode_unlink(e);
    onode_link(m->node, to);
    onode_drop_if_bare(e);
    return 0;
}

static uint64_t inode_of(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* Did a predecessor move it, or exchange both? Of those the names tell nothing, but the inode does.
 */
static bool was_moved(const struct move *m, int result)
{
    uint64_t ino;
    if (!intent_was_set(&ino))
        return false;
    if (!m->exchange)
        return result == -ENOENT;
    const struct onode *n = m->source.up;
    int fd = n && n->upper && n->links ? onode_dir_fd(n->links->dir) : -ENOENT;
    return fd >= 0 && inode_of(fd, m->name) != ino;
}

static int exchange(struct move *m)
{
    struct oentry *e = onode_entry(m->dir, m->name, strlen(m->name));
    struct oentry *to = onode_entry(m->to_dir, m->to_name, strlen(m->to_name));
    int r = close_folder(m->node, m->to_dir, m->to_name);
    if (r == 0)
        r = close_folder(m->other, m->dir, m->name);
    int fd = r < 0 ? r : onode_dir_fd(m->dir), to_fd = fd < 0 ? fd : onode_dir_fd(m->to_dir);
    if (to_fd < 0)
        return to_fd;
    intent_set(inode_of(fd, e->name));
    if (renameat2(fd, e->name, to_fd, to->name, RENAME_EXCHANGE) < 0)
        return -errno;
    onode_unlink(e);
    onode_unlink(to);
    onode_link(m->node, to);
    onode_link(m->other, e);
    return 0;
}

static int raise_all(struct move *m)
{
    struct overlay *ov = m->from->overlay;
    int r = make_movable(ov, &m->source, &m->node);
    if (r == 0 && m->exchange)
        r = make_movable(ov, &m->target, &m->other);
    if (r == 0)
        r = overlay_raise(m->from, false, &m->dir);
    if (r == 0)
        r = overlay_raise(m->to, false, &m->to_dir);
    if (r == 0 && m->to_dir->removed)
        r = -ENOENT;
    return r;
}

int overlay_rename(const struct place *from, const char *name, const struct place *to,
                   const char *to_name, unsigned flags)
{
    struct move m = {.from = from,
                     .to = to,
                     .name = name,
                     .to_name = to_name,
                     .exchange = flags & RENAME_EXCHANGE};
    int r = look_both(&m, flags);
    if (was_moved(&m, r)) {
        place_release(&m.source);
        place_release(&m.target);
        return 0;
    }
    if (r == 0)
        r = check_types(&m);
    /* Two names of one file: nothing happens, says POSIX. */
    bool same = r == 0 && m.source.nodeid == m.target.nodeid;
    if (r == 0 && !same)
        r = raise_all(&m);
    if (r == 0 && !same)
        r = m.exchange ? exchange(&m) : move(&m);
    if (r == 0 && !same) {
        onode_touch(m.dir);
        onode_touch(m.to_dir);
        overlay_note(m.dir->ov, m.dir, name);
        overlay_note(m.dir->ov, m.to_dir, to_name);
    }
    place_release(&m.source);
    place_release(&m.target);
    return r;
}

/* ---- forgetting ---- */

int overlay_make_orphan(struct onode *n, int dir, const char *name)
{
    struct upper *upper = &n->ov->upper;
    char orphan[64];
    upper_temporary(upper, "o", orphan);
    int r = io_renameat(dir, name, upper->orphans, orphan);
    if (r == 0) {
        n->orphan = upper->serial;
        onode_note_orphan(n);
    }
    return r;
}

void overlay_drop_orphan(struct onode *n)
{
    char name[64];
    if (n->pinned)
        onode_close(n);
    if (!n->orphan)
        return;
    (void)snprintf(name, sizeof(name), "o-%llu", (unsigned long long)n->orphan);
    (void)io_unlinkat(n->ov->upper.orphans, name, 0);
    n->orphan = 0;
}

/* What only the tree has needs no node once the kernel has let go of it; nor do folders that were
 * only on the way to it. */
static void forget_settled(struct onode *n)
{
    while (n && n->links && !n->upper && !n->n && !onode_has_attr(n)) {
        struct oentry *e = n->links;
        struct onode *dir = e->dir;
        onode_unlink(e);
        onode_free(n);
        onode_drop_if_bare(e);
        n = dir->let_go ? dir : NULL;
    }
    if (n && !n->upper)
        n->let_go = true;
}

void overlay_forget(struct overlay *ov, uint64_t nodeid)
{
    uint64_t group = nodeid_group(nodeid);
    overlay_lock(ov);
    struct onode *own = nodeid_is_table(nodeid) ? onode_find(ov, nodeid) : NULL;
    if (own && own->removed) {
        overlay_drop_orphan(own);
        onode_free(own);
    } else if (own) {
        forget_settled(own);
    }
    for (struct onode **p = nodeid_is_table(nodeid) ? NULL : &ov->orphans; p && *p;) {
        struct onode *n = *p;
        if (nodeid_group(n->nodeid) != group) {
            p = &n->next_orphan;
            continue;
        }
        *p = n->next_orphan;
        if (n->links)
            continue; /* found again under another name */
        overlay_drop_orphan(n);
        onode_free(n);
    }
    overlay_close_unused(ov);
    overlay_unlock(ov);
}
