/* overlay: descriptors, bytes, attributes, and making them durable. */
#include "fs/overlay_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

/* ---- descriptors ---- */

static void unlist(struct onode *n)
{
    struct overlay *ov = n->ov;
    *(n->newer ? &n->newer->older : &ov->newest) = n->older;
    *(n->older ? &n->older->newer : &ov->oldest) = n->newer;
    n->newer = n->older = NULL;
}

static void list_newest(struct onode *n)
{
    struct overlay *ov = n->ov;
    n->older = ov->newest;
    *(ov->newest ? &ov->newest->newer : &ov->oldest) = n;
    ov->newest = n;
}

/* A pinned file's bytes go with this. Nothing is synced: as for every program that closes a file, a
 * writeback that fails later is told to the next descriptor that syncs it, also one opened after
 * the failure (errseq_t; nobody else asks). */
void onode_close(struct onode *n)
{
    if (n->fd < 0)
        return;
    if (n->pinned) {
        n->pinned = false;
        n->ov->n_pinned--;
        if (n->ov->succession)
            succession_drop(n->ov->succession, n->fd);
    } else {
        unlist(n);
        n->ov->n_descriptors--;
    }
    close(n->fd);
    n->fd = -1;
}

bool onode_pin(struct onode *n)
{
    struct overlay *ov = n->ov;
    if (ov->n_pinned >= MAX_PINNED || onode_open(n) < 0)
        return false;
    if (ov->succession && !succession_keep(ov->succession, n->fd))
        return false;
    unlist(n);
    ov->n_descriptors--;
    n->pinned = true;
    ov->n_pinned++;
    onode_note_orphan(n);
    return true;
}

void onode_keep(struct onode *n, int fd)
{
    if (n->ov->n_descriptors >= MAX_DESCRIPTORS)
        onode_close(n->ov->oldest);
    n->fd = fd;
    n->ov->n_descriptors++;
    list_newest(n);
}

/* The cached one, or -1. */
static int use(struct onode *n)
{
    if (n->fd >= 0 && !n->pinned && n->ov->newest != n) {
        unlist(n);
        list_newest(n);
    }
    return n->fd;
}

/* The nearest folder above that needs no walk, and the path from there. */
static int path_from_open(const struct onode *n, struct strbuf *path)
{
    if (n == n->ov->root)
        return n->ov->upper.root;
    if (n->fd >= 0)
        return n->fd;
    int fd = path_from_open(n->links->dir, path);
    if (path->len)
        strbuf_addch(path, '/');
    strbuf_add(path, n->links->name, n->links->len);
    return fd;
}

int onode_dir_fd(struct onode *dir)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    if (!upper_exists(&dir->ov->upper) || dir->removed)
        return -ENOENT;
    if (dir == dir->ov->root)
        return dir->ov->upper.root;
    if (use(dir) >= 0)
        return dir->fd;
    int above = path_from_open(dir, &path);
    int fd = upper_beneath(above, path.buf, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        onode_keep(dir, fd);
    return fd;
}

static int open_file(struct onode *n)
{
    char name[64];
    if (!n->removed) {
        int dir = onode_dir_fd(n->links->dir);
        return dir < 0 ? dir : io_openat(dir, n->links->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    }
    if (!n->orphan)
        return -ESTALE;
    (void)snprintf(name, sizeof(name), "o-%llu", (unsigned long long)n->orphan);
    return io_openat(n->ov->upper.orphans, name, O_RDWR | O_NOFOLLOW, 0);
}

int onode_open(struct onode *n)
{
    if (use(n) >= 0)
        return n->fd;
    int fd = open_file(n);
    if (fd >= 0)
        onode_keep(n, fd);
    return fd;
}

int overlay_fd(const struct place *place)
{
    struct onode *n = place->up;
    if (!n || !n->upper)
        return -ENODATA;
    return n->type == S_IFREG ? onode_open(n) : -EINVAL;
}

/* ---- bytes ---- */

ssize_t overlay_write(const struct place *place, const void *buf, size_t size, off_t offset)
{
    struct onode *n;
    int r = overlay_raise(place, false, &n);
    if (r < 0)
        return r;
    if (n->type != S_IFREG)
        return -EINVAL;
    int fd = onode_open(n);
    if (fd < 0)
        return fd;
    ssize_t written;
    do
        written = pwrite(fd, buf, size, offset);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return -errno;
    n->dirty = true;
    overlay_note(n->ov, NULL, NULL);
    return written;
}

int overlay_fallocate(const struct place *place, int mode, off_t offset, off_t length)
{
    struct onode *n;
    int r = overlay_raise(place, false, &n);
    int fd = r < 0 ? r : onode_open(n);
    if (fd < 0)
        return fd;
    if (fallocate(fd, mode, offset, length) < 0)
        return -errno;
    n->dirty = true;
    return 0;
}

/* ---- attributes ---- */

static int set_size(const struct place *place, off_t size)
{
    struct onode *n;
    int r = overlay_raise(place, size == 0, &n);
    if (r < 0)
        return r;
    if (n->type != S_IFREG)
        return -EINVAL;
    int fd = onode_open(n);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, size) < 0)
        return -errno;
    n->dirty = true;
    return 0;
}

/* A descriptor for calls that take one and a name: of the node's folder, or -1 with the name of its
 * orphan. */
static int name_of(struct onode *n, int *dir, const char **name)
{
    if (n == n->ov->root) {
        *name = ".";
        *dir = onode_dir_fd(n);
    } else if (n->links) {
        *name = n->links->name;
        *dir = onode_dir_fd(n->links->dir);
    } else {
        return -ESTALE;
    }
    return *dir < 0 ? *dir : 0;
}

static int set_removed(struct onode *n, const struct overlay_attr *a)
{
    const struct timespec times[2] = {a->set_atime ? a->atime : (struct timespec){0, UTIME_OMIT},
                                      a->set_mtime ? a->mtime : (struct timespec){0, UTIME_OMIT}};
    int fd = n->type == S_IFREG ? onode_open(n) : -ESTALE;
    if (fd < 0)
        return n->type == S_IFDIR ? 0 : fd; /* a folder that is gone: nobody will see it */
    int r = a->set_mode ? upper_fset_mode(fd, n->type, a->mode, &n->shown) : 0;
    if (r < 0)
        return r;
    if ((a->set_uid || a->set_gid) &&
        fchown(fd, a->set_uid ? a->uid : (uid_t)-1, a->set_gid ? a->gid : (gid_t)-1) < 0)
        return -errno;
    if ((a->set_atime || a->set_mtime) && futimens(fd, times) < 0)
        return -errno;
    return 0;
}

static int set_upper(struct onode *n, const struct overlay_attr *a)
{
    int dir;
    const char *name;
    if (n->removed)
        return set_removed(n, a);
    int r = name_of(n, &dir, &name);
    if (r < 0)
        return r;
    if ((a->set_uid || a->set_gid) &&
        fchownat(dir, name, a->set_uid ? a->uid : (uid_t)-1, a->set_gid ? a->gid : (gid_t)-1,
                 AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (a->set_mode && n->type != S_IFLNK)
        r = upper_set_mode(dir, name, n->type, a->mode, &n->shown);
    if (r == 0 && (a->set_atime || a->set_mtime)) {
        const struct timespec omit = {0, UTIME_OMIT};
        const struct timespec times[2] = {a->set_atime ? a->atime : omit,
                                          a->set_mtime ? a->mtime : omit};
        if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        if (a->set_mtime && n->type == S_IFDIR) {
            struct stat st;
            r = upper_stat(dir, name, &n->shown, &st);
            n->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
            n->own_mtime = true;
        }
    }
    return r;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A file from below keeps its bytes there: only what is shown of it is written down. */
static int set_below(struct onode *n, const struct overlay_attr *a)
{
    struct upper_attr attr = n->attr;
    if (a->set_mode)
        attr.mode = (int32_t)(a->mode & 07777);
    if (a->set_uid)
        attr.uid = a->uid;
    if (a->set_gid)
        attr.gid = a->gid;
    if (a->set_mtime)
        attr.mtime_ns = a->mtime.tv_nsec == UTIME_NOW
                            ? now_ns()
                            : (int64_t)a->mtime.tv_sec * 1000000000 + a->mtime.tv_nsec;
    if (!n->removed) {
        int dir;
        const char *name;
        int r = name_of(n, &dir, &name);
        if (r == 0)
            r = upper_add_attr(dir, name, &attr);
        if (r < 0)
            return r;
    }
    n->attr = attr;
    n->ctime_ns = now_ns();
    return 0;
}

static int current(const struct place *place, struct stat *st)
{
    if (place->up)
        return overlay_stat(place, st);
    tree_stat(place->tree, place->node, st);
    st->st_uid = place_owner()->uid;
    st->st_gid = place_owner()->gid;
    return 0;
}

/* What would change nothing is left out: chmod -R over a whole environment stores nothing then. */
static int drop_unchanged(const struct place *place, struct overlay_attr *a)
{
    struct stat st;
    int r = current(place, &st);
    if (r < 0)
        return r;
    if (a->set_mode && (a->mode & 07777) == (st.st_mode & 07777))
        a->set_mode = false;
    if (a->set_uid && a->uid == st.st_uid)
        a->set_uid = false;
    if (a->set_gid && a->gid == st.st_gid)
        a->set_gid = false;
    return 0;
}

int overlay_setattr(const struct place *place, const struct overlay_attr *attr)
{
    struct overlay_attr a = *attr;
    struct onode *n;
    int r = 0;
    if (a.set_size)
        r = set_size(place, a.size);
    if (r == 0)
        r = drop_unchanged(place, &a);
    if (r < 0 || !(a.set_mode || a.set_uid || a.set_gid || a.set_atime || a.set_mtime))
        return r;
    r = overlay_know(place, &n);
    if (r == 0 && n->type == S_IFDIR && !n->removed)
        r = overlay_raise(place, false, &n);
    if (r == 0 && !n->upper && !n->removed && n->links)
        r = onode_raise_parent(n);
    if (r < 0)
        return r;
    return n->upper ? set_upper(n, &a) : set_below(n, &a);
}

/* ---- syncing ---- */

static void add_sync(struct overlay_sync *s, int fd)
{
    s->fds = xrealloc(s->fds, (s->n + 1) * sizeof(int));
    s->fds[s->n++] = fd;
}

/* A folder to be synced itself, which takes more than O_PATH. */
static int add_folder(struct onode *dir, struct overlay_sync *s)
{
    int path = onode_dir_fd(dir);
    if (path < 0)
        return path;
    int fd = io_openat(path, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    add_sync(s, fd);
    dir->fresh = false;
    return 0;
}

/* A name is durable when every new folder above it is. */
static int add_ancestors(const struct onode *n, struct overlay_sync *s)
{
    int r = 0;
    while (r == 0 && n->links) {
        struct onode *dir = n->links->dir;
        if (n->type != S_IFDIR || n->fresh || dir->fresh)
            r = add_folder(dir, s);
        n = dir;
    }
    return r;
}

int overlay_sync_prepare(const struct place *place, struct overlay_sync *ret)
{
    struct onode *n = place->up;
    *ret = (struct overlay_sync){0};
    if (!n || !n->upper || (n->removed && n->type == S_IFDIR))
        return 0; /* nothing of it was ever written */
    int r = 0;
    if (n->type == S_IFREG) {
        int fd = onode_open(n);
        if (fd >= 0)
            fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return fd == -1 ? -errno : fd;
        add_sync(ret, fd);
        n->dirty = false;
    } else if (n->type == S_IFDIR) {
        r = add_folder(n, ret);
    }
    return r == 0 && !n->removed ? add_ancestors(n, ret) : r;
}
