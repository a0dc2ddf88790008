#include "env/upper_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "env/edits.h"
#include "env/upper_read.h"

enum {
    CHUNK = 256 * 1024,
    FEW = 32, /* files that are made durable one by one */
};

/* A file with several names, known by where its first copy is. */
struct linked {
    dev_t dev;
    ino_t ino;
    char *path;
};

struct folder {
    char *path;
    struct stat st;
};

struct copy {
    int from, to; /* the layers */
    bool no_reflink;
    void *links;            /* tree of struct linked */
    struct folder *folders; /* in the order they were made: parents first */
    size_t n_folders, alloc;
    char *files[FEW]; /* the first regular files */
    size_t n_files;   /* all of them */
    char *chunk;
    bool (*stop)(void);
    struct verror *err;
};

/* ---- bytes ---- */

static int copy_range(struct copy *c, int in, int out, off_t at, off_t end)
{
    while (at < end) {
        off_t left = end - at;
        ssize_t n = io_pread_all(in, c->chunk, left < CHUNK ? (size_t)left : CHUNK, (uint64_t)at);
        if (n <= 0) /* cut off meanwhile */
            return (int)n;
        int r = io_pwrite_all(out, c->chunk, (size_t)n, (uint64_t)at);
        if (r < 0)
            return r;
        at += n;
    }
    return 0;
}

static int copy_bytes(struct copy *c, int in, int out)
{
    off_t size = lseek(in, 0, SEEK_END), at = 0;
    if (size < 0 || ftruncate(out, size) < 0)
        return -errno;
    while (at < size) {
        off_t data = lseek(in, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0; /* a hole up to the end */
        off_t hole = data < 0 ? -1 : lseek(in, data, SEEK_HOLE);
        if (hole < 0) { /* the file system cannot tell */
            data = at;
            hole = size;
        }
        int r = copy_range(c, in, out, data, hole);
        if (r < 0)
            return r;
        at = hole;
    }
    return 0;
}

static int copy_content(struct copy *c, int in, int out)
{
    if (!c->no_reflink && ioctl(out, FICLONE, in) == 0)
        return 0;
    c->no_reflink = true;
    return copy_bytes(c, in, out);
}

/* ---- attributes ---- */

/* Owners are kept where we may; who is not root owns all of the layer anyway. */
static int give_owner(int dir, const char *name, const struct stat *st)
{
    if (geteuid() != 0)
        return 0;
    return fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int give_shown_mode(int in, int out)
{
    char text[16];
    ssize_t n = fgetxattr(in, UPPER_MODE_XATTR, text, sizeof(text));
    if (n < 0)
        return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
    return fsetxattr(out, UPPER_MODE_XATTR, text, (size_t)n, 0) < 0 ? -errno : 0;
}

static int give_times(int dir, const char *name, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* ---- one thing ---- */

struct names { /* of what is copied: in both folders, and from the layer's root */
    int from, to;
    const char *name, *path;
};

static int by_inode(const void *a, const void *b)
{
    const struct linked *x = a, *y = b;
    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static const char *first_name(const struct copy *c, const struct stat *st)
{
    const struct linked key = {.dev = st->st_dev, .ino = st->st_ino};
    struct linked *const *found = tfind(&key, &c->links, by_inode);
    return found ? (*found)->path : NULL;
}

static void remember_name(struct copy *c, const struct stat *st, const char *path)
{
    struct linked *l = xmalloc(sizeof(*l));
    *l = (struct linked){.dev = st->st_dev, .ino = st->st_ino, .path = xstrdup(path)};
    if (!tsearch(l, &c->links, by_inode))
        abort(); /* no memory; mem.h says what that means */
}

static void free_linked(void *p)
{
    struct linked *l = p;
    free(l->path);
    free(l);
}

static void add_file(struct copy *c, const char *path)
{
    if (c->n_files < FEW)
        c->files[c->n_files] = xstrdup(path);
    c->n_files++;
}

static int copy_file(struct copy *c, const struct names *n)
{
    struct stat st;
    _cleanup_close_ int in = openat(n->from, n->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        return -errno;
    _cleanup_close_ int out = io_openat(n->to, n->name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (out < 0)
        return out;
    int r = copy_content(c, in, out);
    add_file(c, n->path);
    /* Begun now, one journal commit does for all of them (make_durable()). */
    (void)sync_file_range(out, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (r == 0)
        r = give_owner(n->to, n->name, &st);
    if (r == 0 && fchmod(out, st.st_mode & 07777) < 0) /* after the owner, which clears bits */
        r = -errno;
    if (r == 0)
        r = give_shown_mode(in, out);
    return r < 0 ? r : give_times(n->to, n->name, &st);
}

static int copy_symlink(const struct names *n, const struct stat *st)
{
    _cleanup_free_ char *target = xmalloc((size_t)st->st_size + 1);
    ssize_t len = readlinkat(n->from, n->name, target, (size_t)st->st_size + 1);
    if (len < 0)
        return -errno;
    if (len > st->st_size)
        return -EAGAIN; /* another link by now; nobody replaces one in a microsecond twice */
    target[len] = '\0';
    int r = io_symlinkat(target, n->to, n->name);
    if (r == 0)
        r = give_owner(n->to, n->name, st);
    return r < 0 ? r : give_times(n->to, n->name, st);
}

/* FIFOs, sockets and, for root, devices. */
static int copy_special(const struct names *n, const struct stat *st)
{
    if (mknodat(n->to, n->name, st->st_mode, st->st_rdev) < 0)
        return -errno;
    int r = give_owner(n->to, n->name, st);
    if (r == 0 && fchmodat(n->to, n->name, st->st_mode & 07777, 0) < 0)
        r = -errno;
    return r < 0 ? r : give_times(n->to, n->name, st);
}

static void add_folder(struct copy *c, const char *path, const struct stat *st)
{
    c->folders = xgrow(c->folders, &c->alloc, c->n_folders + 1, sizeof(*c->folders));
    c->folders[c->n_folders++] = (struct folder){.path = xstrdup(path), .st = *st};
}

static int copy_one(struct copy *c, const struct names *n)
{
    struct stat st;
    if (fstatat(n->from, n->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode)) {
        add_folder(c, n->path, &st);
        return io_mkdirat(n->to, n->name, 0700);
    }
    const char *first = st.st_nlink > 1 ? first_name(c, &st) : NULL;
    if (first)
        return linkat(c->to, first, n->to, n->name, 0) < 0 ? -errno : 0;
    int r = S_ISREG(st.st_mode)   ? copy_file(c, n)
            : S_ISLNK(st.st_mode) ? copy_symlink(n, &st)
                                  : copy_special(n, &st);
    if (r == 0 && st.st_nlink > 1)
        remember_name(c, &st, n->path);
    return r;
}

/* ---- folders ---- */

static bool is_left_out(const char *folder, const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    return !folder[0] && (strcmp(name, UPPER_WORK) == 0 || strcmp(name, UPPER_ORPHANS) == 0);
}

static int copy_entries(struct copy *c, const char *folder, DIR *dir, int to)
{
    const struct dirent *de;
    int r = 0;
    for (errno = 0; r == 0 && (de = readdir(dir)); errno = 0) {
        if (is_left_out(folder, de->d_name))
            continue;
        if (c->stop && c->stop())
            return verror_set(c->err, EINTR, "stopped");
        _cleanup_free_ char *path = xasprintf("%s%s%s", folder, folder[0] ? "/" : "", de->d_name);
        const struct names names = {dirfd(dir), to, de->d_name, path};
        r = copy_one(c, &names);
        if (r == -ENOENT && faccessat(dirfd(dir), de->d_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            r = 0; /* gone meanwhile */
        if (r < 0)
            verror_errno(c->err, r, "%s", path);
    }
    return r == 0 && errno ? verror_errno(c->err, errno, "%s", folder) : r;
}

static int copy_folder(struct copy *c, const char *path)
{
    int from = upper_beneath(c->from, path, O_RDONLY | O_DIRECTORY);
    if (from == -ENOENT)
        return 0;
    _cleanup_close_ int to = upper_beneath(c->to, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = from < 0 || to < 0 ? NULL : fdopendir(from);
    if (!dir) {
        if (from >= 0)
            close(from);
        return verror_errno(c->err, from < 0 ? from : to < 0 ? to : -ENOMEM, "%s", path);
    }
    int r = copy_entries(c, path, dir, to);
    closedir(dir);
    return r;
}

/* Modes, which might forbid writing, and times, which writing changes, come last. */
static int finish_folder(struct copy *c, const struct folder *f)
{
    _cleanup_close_ int from = upper_beneath(c->from, f->path, O_RDONLY | O_DIRECTORY);
    _cleanup_close_ int to = upper_beneath(c->to, f->path, O_RDONLY | O_DIRECTORY);
    int r = to < 0 ? to : 0;
    if (r == 0)
        r = give_owner(to, ".", &f->st);
    if (r == 0 && fchmod(to, f->st.st_mode & 07777) < 0)
        r = -errno;
    if (r == 0 && from >= 0)
        r = give_shown_mode(from, to);
    if (r == 0)
        r = give_times(to, ".", &f->st);
    return r < 0 ? verror_errno(c->err, r, "%s", f->path) : 0;
}

static int sync_path(const struct copy *c, const char *path, int flags)
{
    _cleanup_close_ int fd = upper_beneath(c->to, path, O_RDONLY | flags);
    int r = fd < 0 ? fd : io_fsync(fd);
    return r < 0 ? verror_errno(c->err, r, "making the copy of %s durable", path) : 0;
}

/* syncfs() waits for everything that anybody has written to this file system, half a second behind
 * an installation by pip: it is for copies of many files. Of few each is synced. Their names need
 * no fsync where the one of the environment's folder, with which a clone is committed, covers them.
 */
static int make_durable(const struct copy *c)
{
    int r = 0;
    if (c->n_files > FEW)
        return syncfs(c->to) < 0 ? verror_errno(c->err, errno, "making the copy durable") : 0;
    for (size_t i = 0; r == 0 && i < c->n_files; i++)
        r = sync_path(c, c->files[i], O_NOFOLLOW);
    bool names = !io_orders_names(c->to);
    for (size_t i = c->n_folders; names && r == 0 && i-- > 0;)
        r = sync_path(c, c->folders[i].path, O_DIRECTORY);
    return r;
}

static int copy_all(struct copy *c)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->n_folders; i++) {
        _cleanup_free_ char *path = xstrdup(c->folders[i].path); /* the list grows meanwhile */
        r = copy_folder(c, path);
    }
    for (size_t i = c->n_folders; r == 0 && i-- > 0;)
        r = finish_folder(c, &c->folders[i]);
    if (r == 0)
        r = make_durable(c);
    for (size_t i = 0; i < c->n_folders; i++)
        free(c->folders[i].path);
    free(c->folders);
    for (size_t i = 0; i < c->n_files && i < FEW; i++)
        free(c->files[i]);
    return r;
}

int upper_copy(const char *from, const char *to, bool (*stop)(void), struct verror *err)
{
    struct copy c = {.stop = stop, .err = err};
    struct stat st;
    if (!edits_any(from))
        return 0;
    _cleanup_close_ int source = open(from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (source < 0 || fstat(source, &st) < 0)
        return verror_errno(err, errno, "%s", from);
    int r = io_mkdirat(AT_FDCWD, to, 0700);
    _cleanup_close_ int target = r < 0 ? r : io_open(to, O_RDONLY | O_DIRECTORY, 0);
    if (target < 0)
        return verror_errno(err, target, "making %s", to);
    c.from = source;
    c.to = target;
    c.chunk = xmalloc(CHUNK);
    add_folder(&c, "", &st);
    r = copy_all(&c);
    tdestroy(c.links, free_linked);
    free(c.chunk);
    return r < 0 ? verror_prefix(err, "copying %s", from) : 0;
}
