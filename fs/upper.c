#include "fs/upper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "fs/place.h"

/* ---- life ---- */

#define UPPER_NONE                                                                                 \
    {                                                                                              \
        .root = -1, .work = -1, .orphans = -1, .whiteout = -1, .lock = -1                          \
    }

/* Nothing in these folders outlives the daemon that made it. Returns a descriptor. */
static int make_empty_folder(const struct upper *u, const char *name)
{
    _cleanup_free_ char *path = path_join(u->path, name);
    int r = path_remove_tree(path);
    if (r == 0)
        r = io_mkdirat(u->root, name, 0700);
    return r < 0 ? r : upper_beneath(u->root, name, O_PATH | O_DIRECTORY);
}

static int open_orphans(const struct upper *u, bool keep)
{
    int fd = keep ? upper_beneath(u->root, UPPER_ORPHANS, O_PATH | O_DIRECTORY) : -ENOENT;
    return fd == -ENOENT ? make_empty_folder(u, UPPER_ORPHANS) : fd;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(struct upper *u)
{
    close_one(&u->root);
    close_one(&u->work);
    close_one(&u->orphans);
    u->n_spares = 0;
    close_one(&u->whiteout);
}

static int open_root(struct upper *u, bool keep_orphans)
{
    u->root = open(u->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (u->root < 0)
        return -errno;
    u->work = make_empty_folder(u, UPPER_WORK);
    if (u->work >= 0)
        u->orphans = open_orphans(u, keep_orphans);
    if (u->work >= 0 && u->orphans >= 0)
        return 0;
    int r = u->work < 0 ? u->work : u->orphans;
    close_all(u); /* a later change tries again */
    return r;
}

static int take_lock(struct upper *u)
{
    _cleanup_free_ char *lock = xasprintf("%s.lock", u->path);
    if (u->lock < 0)
        u->lock = lock_file(lock, LOCK_EXCLUSIVE, false);
    return u->lock < 0 ? u->lock : 0;
}

/* The kernel closes a killed daemon's descriptors one by one: its successor, which started when the
 * daemon's own lock was free, may be here before this one is. */
static int wait_for_lock(struct upper *u)
{
    enum { TRIES = 100, NANOSECONDS = 10000000 };
    int r = take_lock(u);
    for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
        nanosleep(&(struct timespec){.tv_nsec = NANOSECONDS}, NULL);
        r = take_lock(u);
    }
    return r;
}

int upper_open(const char *path, bool keep_orphans, struct upper *ret, struct verror *err)
{
    *ret = (struct upper)UPPER_NONE;
    ret->path = xstrdup(path);
    if (!path_exists(path))
        return 0; /* most environments: no descriptor for them */
    int r = wait_for_lock(ret);
    if (r == 0)
        r = open_root(ret, keep_orphans);
    if (r == 0)
        return 0;
    upper_close(ret);
    if (r == -EAGAIN)
        return verror_set(err, EAGAIN, "another daemon writes to %s", path);
    return verror_errno(err, r, "%s", path);
}

void upper_close(struct upper *u)
{
    close_all(u);
    close_one(&u->lock);
    free(u->path);
    *u = (struct upper)UPPER_NONE;
}

void upper_leave(struct upper *u)
{
    close_all(u);
    close_one(&u->lock);
}

bool upper_exists(const struct upper *u)
{
    return u->root >= 0;
}

int upper_create(struct upper *u)
{
    if (upper_exists(u))
        return 0;
    int r = take_lock(u);
    if (r < 0)
        return r == -EAGAIN ? -EROFS : r;
    r = io_mkdirat(AT_FDCWD, u->path, 0755);
    if (r == 0 && chmod(u->path, 0755) < 0) /* whatever the umask: its mode is what is shown */
        r = -errno;
    return r < 0 && r != -EEXIST ? r : open_root(u, false);
}

void upper_moved(struct upper *u, const char *path)
{
    free(u->path);
    u->path = xstrdup(path);
}

/* ---- paths ---- */

int upper_dir(const struct upper *u, const char *path)
{
    if (!upper_exists(u))
        return -ENOENT;
    return upper_beneath(u->root, path, O_PATH | O_DIRECTORY);
}

#define NAME_IN_WORK 64

static void name_in_work(const char *prefix, uint64_t number, char ret[NAME_IN_WORK])
{
    (void)snprintf(ret, NAME_IN_WORK, "%s-%" PRIu64, prefix, number);
}

void upper_temporary(struct upper *u, const char *prefix, char ret[NAME_IN_WORK])
{
    name_in_work(prefix, ++u->serial, ret);
}

/* ---- reading ---- */

int upper_read_dir(const struct upper *u, const char *path, const struct upper_reader *reader)
{
    return upper_read_folder(u->root, path, reader);
}

int upper_read_marks(const struct upper *u, const char *path, const struct upper_reader *reader)
{
    _cleanup_close_ int dir = upper_dir(u, path);
    return dir < 0 ? dir : upper_read_own_marks(dir, reader);
}

/* ---- changes ---- */

static const char *proc_path(int fd, char ret[32])
{
    (void)snprintf(ret, 32, "/proc/self/fd/%d", fd);
    return ret;
}

static void whiteout_name(const char *name, char ret[NAME_MAX + 1])
{
    (void)snprintf(ret, NAME_MAX + 1, "%s%s", UPPER_PREFIX, name);
}

static int make_empty(int dir, const char *name)
{
    /* mknod of a regular file: one call, no descriptor. */
    if (mknodat(dir, name, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int upper_add_whiteout(struct upper *u, int dir, const char *name)
{
    char whiteout[NAME_MAX + 1];
    whiteout_name(name, whiteout);
    int first = ENOENT;
    if (u->whiteout >= 0) {
        char path[32];
        if (linkat(AT_FDCWD, proc_path(u->whiteout, path), dir, whiteout, AT_SYMLINK_FOLLOW) == 0)
            return 0;
        first = errno;
    }
    int r = make_empty(dir, whiteout);
    /* That one has lost its last name, or has as many as it can have: the next ones are links to
     * this one. */
    if (r == 0 && (first == ENOENT || first == EMLINK)) {
        close_one(&u->whiteout);
        u->whiteout = openat(dir, whiteout, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    return r;
}

int upper_drop_whiteout(int dir, const char *name)
{
    char whiteout[NAME_MAX + 1];
    whiteout_name(name, whiteout);
    int r = io_unlinkat(dir, whiteout, 0);
    return r == -ENOENT ? 0 : r;
}

int upper_set_opaque(int dir)
{
    return make_empty(dir, UPPER_OPAQUE);
}

int upper_set_redirect(const struct upper *u, int dir, const struct sha256 *image, const char *path)
{
    char digest[SHA256_HEX_SIZE];
    sha256_to_hex(image, digest);
    _cleanup_free_ char *text = xasprintf("sha256:%s %s\n", digest, path);
    _cleanup_close_ int fd = io_openat(u->work, "redirect", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return fd;
    int r = io_write_all(fd, text, strlen(text));
    if (r == 0)
        r = io_fsync(fd);
    return r < 0 ? r : io_renameat(u->work, "redirect", dir, UPPER_REDIRECT);
}

/* "%" and what ends a line are written as %XX, so that a name is always one word of one line. */
static void escape(struct strbuf *sb, const char *name)
{
    for (; *name; name++) {
        if (*name == '%' || *name == '\n' || *name == ' ')
            strbuf_addf(sb, "%%%02x", (unsigned char)*name);
        else
            strbuf_addch(sb, *name);
    }
}

static void add_field(struct strbuf *sb, int64_t value, int64_t unset, const char *fmt)
{
    if (value == unset)
        strbuf_addstr(sb, "- ");
    else if (*fmt == 'o')
        strbuf_addf(sb, "%" PRIo64 " ", (uint64_t)value);
    else
        strbuf_addf(sb, "%" PRId64 " ", value);
}

int upper_add_attr(int dir, const char *name, const struct upper_attr *attr)
{
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    add_field(&line, attr->mode, -1, "o");
    add_field(&line, attr->uid, -1, "d");
    add_field(&line, attr->gid, -1, "d");
    add_field(&line, attr->mtime_ns, INT64_MIN, "d");
    escape(&line, name);
    strbuf_addch(&line, '\n');
    _cleanup_close_ int fd = io_openat(dir, UPPER_ATTR, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return fd < 0 ? fd : io_write_all(fd, line.buf, line.len);
}

/* ---- modes ---- */

static void show_known_mode(int32_t shown, struct stat *st)
{
    if (shown >= 0)
        st->st_mode = (st->st_mode & S_IFMT) | (mode_t)shown;
}

/* Of a descriptor that may be O_PATH. */
static void show_mode(int fd, int32_t *shown, struct stat *st)
{
    if (*shown == UPPER_MODE_UNKNOWN)
        *shown = upper_show_mode(fd, st) ? (int32_t)(st->st_mode & 07777) : UPPER_MODE_OF_DISK;
    else
        show_known_mode(*shown, st);
}

int upper_fstat(int fd, int32_t *shown, struct stat *ret)
{
    if (fstat(fd, ret) < 0)
        return -errno;
    show_mode(fd, shown, ret);
    return 0;
}

int upper_stat(int dir, const char *name, int32_t *shown, struct stat *ret)
{
    if (*shown == UPPER_MODE_UNKNOWN) {
        _cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : upper_fstat(fd, shown, ret);
    }
    if (fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    show_known_mode(*shown, ret);
    return 0;
}

/* path: leads to the file through a descriptor. */
static int set_mode_of(const char *path, mode_t type, mode_t mode, int32_t *shown)
{
    mode_t disk = upper_disk_mode(type | mode), permissions = mode & 07777;
    char text[16];
    if (disk != permissions) {
        int n = snprintf(text, sizeof(text), "%o", (unsigned)permissions);
        if (setxattr(path, UPPER_MODE_XATTR, text, (size_t)n, 0) < 0)
            return -errno;
        *shown = (int32_t)permissions;
    } else if (*shown != UPPER_MODE_OF_DISK) {
        if (removexattr(path, UPPER_MODE_XATTR) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
            return -errno;
        *shown = UPPER_MODE_OF_DISK;
    }
    return chmod(path, disk) < 0 ? -errno : 0;
}

int upper_set_mode(int dir, const char *name, mode_t type, mode_t mode, int32_t *shown)
{
    char path[32];
    _cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : set_mode_of(proc_path(fd, path), type, mode, shown);
}

int upper_fset_mode(int fd, mode_t type, mode_t mode, int32_t *shown)
{
    char path[32];
    mode_t disk = upper_disk_mode(type | mode);
    if (*shown == UPPER_MODE_OF_DISK && disk == (mode & 07777))
        return fchmod(fd, disk) < 0 ? -errno : 0;
    return set_mode_of(proc_path(fd, path), type, mode, shown);
}

/* ---- folders ---- */

enum { SPARE_MODE = 0755 };

/* A folder of SPARE_MODE. */
static int use_spare(struct upper *u, int dir, const char *name)
{
    char spare[NAME_IN_WORK];
    name_in_work("r", u->spares[--u->n_spares], spare);
    if (renameat2(u->work, spare, dir, name, RENAME_NOREPLACE) < 0)
        return -errno;
    return utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int upper_mkdir(struct upper *u, int dir, const char *name, mode_t mode, int32_t *shown)
{
    *shown = UPPER_MODE_OF_DISK;
    if (u->n_spares && (mode & 07777) == SPARE_MODE)
        return use_spare(u, dir, name);
    int r = io_mkdirat(dir, name, 0700);
    if (r < 0)
        return r;
    if (upper_disk_mode(S_IFDIR | mode) != (mode & 07777))
        return upper_set_mode(dir, name, S_IFDIR, mode, shown);
    return fchmodat(dir, name, mode & 07777, 0) < 0 ? -errno : 0;
}

/* False: something is in it that is no file. */
static bool empty_folder(DIR *dir)
{
    const struct dirent *e;
    bool empty = true;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            empty = unlinkat(dirfd(dir), e->d_name, 0) == 0 && empty;
    return empty;
}

static bool is_plain(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_uid == place_owner()->uid &&
           st.st_gid == place_owner()->gid && (st.st_mode & 07777) == SPARE_MODE &&
           fgetxattr(fd, UPPER_MODE_XATTR, NULL, 0) < 0 &&
           (errno == ENODATA || errno == EOPNOTSUPP);
}

/* What is in it goes, and it becomes a spare one, or goes as well. name, with number: in work. */
static void recycle(struct upper *u, const char *name, uint64_t number)
{
    int fd = openat(u->work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    bool keep = dir && empty_folder(dir) && u->n_spares < UPPER_SPARES && is_plain(fd);
    if (dir)
        closedir(dir);
    if (keep) {
        u->spares[u->n_spares++] = number;
        return;
    }
    _cleanup_free_ char *path = xasprintf("%s/" UPPER_WORK "/%s", u->path, name);
    (void)path_remove_tree(path);
}

int upper_remove_dir(struct upper *u, int dir, const char *name, bool marked)
{
    char temporary[NAME_IN_WORK];
    if (!marked && unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    if (!marked && errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    upper_temporary(u, "r", temporary);
    int r = io_renameat(dir, name, u->work, temporary);
    if (r == 0)
        recycle(u, temporary, u->serial);
    return r;
}
