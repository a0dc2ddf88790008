#include "fs/upper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"

#define OPAQUE UPPER_PREFIX UPPER_PREFIX ".opq"
#define REDIRECT UPPER_PREFIX UPPER_PREFIX ".redirect"
#define ATTR UPPER_PREFIX UPPER_PREFIX ".attr"
#define WORK UPPER_PREFIX UPPER_PREFIX ".work"
#define ORPHANS UPPER_PREFIX UPPER_PREFIX ".orphans"
#define MODE_XATTR "user.venvfs.mode"

#define ATTR_LIMIT (64u << 20)
#define REDIRECT_LIMIT (64u << 10)

/* ---- life ---- */

/* Nothing in these folders outlives the daemon that made it. */
static int empty(const struct upper *u, const char *name)
{
    _cleanup_free_ char *path = path_join(u->path, name);
    int r = path_remove_tree(path);
    return r < 0 ? r : io_mkdirat(u->root, name, 0700);
}

static int open_root(struct upper *u)
{
    u->root = open(u->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (u->root < 0)
        return -errno;
    int r = empty(u, WORK);
    return r < 0 ? r : empty(u, ORPHANS);
}

static int take_lock(struct upper *u)
{
    _cleanup_free_ char *lock = xasprintf("%s.lock", u->path);
    if (u->lock < 0)
        u->lock = lock_file(lock, LOCK_EXCLUSIVE, false);
    return u->lock < 0 ? u->lock : 0;
}

int upper_open(const char *path, struct upper *ret, struct verror *err)
{
    *ret = (struct upper){.root = -1, .lock = -1, .path = xstrdup(path)};
    if (!path_exists(path))
        return 0; /* most environments: no descriptor for them */
    int r = take_lock(ret);
    if (r == 0)
        r = open_root(ret);
    if (r == 0)
        return 0;
    upper_close(ret);
    if (r == -EAGAIN)
        return verror_set(err, EAGAIN, "another daemon writes to %s", path);
    return verror_errno(err, r, "%s", path);
}

void upper_close(struct upper *u)
{
    if (u->root >= 0)
        close(u->root);
    if (u->lock >= 0)
        close(u->lock);
    free(u->path);
    *u = (struct upper){.root = -1, .lock = -1};
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
    return r < 0 && r != -EEXIST ? r : open_root(u);
}

/* ---- paths ---- */

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    long fd;
    do
        fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

int upper_dir(const struct upper *u, const char *path)
{
    if (!upper_exists(u))
        return -ENOENT;
    return open_beneath(u->root, path, O_PATH | O_DIRECTORY);
}

int upper_work(const struct upper *u)
{
    return open_beneath(u->root, WORK, O_PATH | O_DIRECTORY);
}

int upper_orphans(const struct upper *u)
{
    return open_beneath(u->root, ORPHANS, O_PATH | O_DIRECTORY);
}

void upper_temporary(struct upper *u, const char *prefix, char ret[64])
{
    (void)snprintf(ret, 64, "%s-%" PRIu64, prefix, ++u->serial);
}

/* ---- reading a folder ---- */

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

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(const char *text, size_t len, char ret[UPPER_NAME_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            if (len - i < 3 || hex(text[i + 1]) < 0 || hex(text[i + 2]) < 0)
                return false;
            c = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
            i += 2;
        }
        if (n == UPPER_NAME_MAX)
            return false;
        ret[n++] = c;
    }
    ret[n] = '\0';
    return path_component_ok(ret, n) && strlen(ret) == n;
}

static bool read_field(const char **p, int64_t *ret, int64_t unset, int base)
{
    char *end;
    if (**p == '-' && (*p)[1] == ' ') {
        *ret = unset;
        *p += 2;
        return true;
    }
    errno = 0;
    *ret = strtoll(*p, &end, base);
    if (errno || end == *p || *end != ' ')
        return false;
    *p = end + 1;
    return true;
}

/* "MODE UID GID MTIME NAME" */
static void read_attr_line(const char *line, size_t len, const struct upper_reader *reader)
{
    struct upper_attr attr = UPPER_ATTR_NONE;
    char name[UPPER_NAME_MAX + 1];
    const char *p = line;
    int64_t mode;
    if (!read_field(&p, &mode, -1, 8) || !read_field(&p, &attr.uid, -1, 10) ||
        !read_field(&p, &attr.gid, -1, 10) || !read_field(&p, &attr.mtime_ns, INT64_MIN, 10))
        return;
    if (p > line + len || !unescape(p, (size_t)(line + len - p), name))
        return;
    attr.mode = mode < 0 ? -1 : (int32_t)(mode & 07777);
    reader->attr(reader->arg, name, strlen(name), &attr);
}

/* A last line without its end was being written when the machine stopped. */
static int read_attrs(int dir, const struct upper_reader *reader)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_fileat(dir, ATTR, &text, ATTR_LIMIT);
    const char *end;
    for (const char *p = text.buf; r == 0 && (end = strchr(p, '\n')); p = end + 1)
        read_attr_line(p, (size_t)(end - p), reader);
    return r;
}

static int read_redirect(int dir, const struct upper_reader *reader)
{
    static const char scheme[] = "sha256:";
    const size_t start = sizeof(scheme) - 1, hex_len = SHA256_HEX_SIZE - 1;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct sha256 image;
    int r = io_read_fileat(dir, REDIRECT, &text, REDIRECT_LIMIT);
    if (r < 0)
        return r;
    if (text.len < start + hex_len + 2 || text.buf[text.len - 1] != '\n' ||
        memcmp(text.buf, scheme, start) != 0 || text.buf[start + hex_len] != ' ' ||
        !sha256_from_hex(text.buf + start, hex_len, &image))
        return -EUCLEAN;
    text.buf[text.len - 1] = '\0';
    reader->redirect(reader->arg, &image, text.buf + start + hex_len + 1);
    return 0;
}

static int read_own(int dir, const char *name, const struct upper_reader *reader)
{
    if (strcmp(name, OPAQUE) == 0)
        reader->opaque(reader->arg);
    else if (strcmp(name, REDIRECT) == 0)
        return read_redirect(dir, reader);
    else if (strcmp(name, ATTR) == 0)
        return read_attrs(dir, reader);
    else if (strncmp(name, UPPER_PREFIX UPPER_PREFIX, 2 * strlen(UPPER_PREFIX)) != 0)
        reader->whiteout(reader->arg, name + strlen(UPPER_PREFIX),
                         strlen(name) - strlen(UPPER_PREFIX));
    return 0;
}

static int read_one(int dir, const struct dirent *de, const struct upper_reader *reader)
{
    size_t len = strlen(de->d_name);
    if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
        return 0;
    if (upper_is_own(de->d_name, len))
        return read_own(dir, de->d_name, reader);
    mode_t type = DTTOIF(de->d_type);
    if (de->d_type == DT_UNKNOWN) {
        struct stat st;
        if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        type = st.st_mode & S_IFMT;
    }
    if (len <= UPPER_NAME_MAX)
        reader->entry(reader->arg, de->d_name, len, type);
    return 0;
}

int upper_read_dir(const struct upper *u, const char *path, const struct upper_reader *reader)
{
    int fd = open_beneath(u->root, path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    int r = 0;
    const struct dirent *de;
    errno = 0;
    while (r == 0 && (de = readdir(dir))) {
        r = read_one(fd, de, reader);
        errno = 0;
    }
    if (r == 0 && errno)
        r = -errno;
    closedir(dir);
    return r;
}

int upper_read_marks(const struct upper *u, const char *path, const struct upper_reader *reader)
{
    struct stat st;
    _cleanup_close_ int dir = upper_dir(u, path);
    if (dir < 0)
        return dir;
    if (fstatat(dir, OPAQUE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        reader->opaque(reader->arg);
    int r = read_redirect(dir, reader);
    return r == -ENOENT ? 0 : r;
}

/* ---- changes ---- */

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

int upper_add_whiteout(int dir, const char *name)
{
    char whiteout[NAME_MAX + 1];
    whiteout_name(name, whiteout);
    return make_empty(dir, whiteout);
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
    return make_empty(dir, OPAQUE);
}

int upper_set_redirect(const struct upper *u, int dir, const struct sha256 *image, const char *path)
{
    char digest[SHA256_HEX_SIZE];
    sha256_to_hex(image, digest);
    _cleanup_free_ char *text = xasprintf("sha256:%s %s\n", digest, path);
    _cleanup_close_ int work = upper_work(u);
    if (work < 0)
        return work;
    _cleanup_close_ int fd = io_openat(work, "redirect", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return fd;
    int r = io_write_all(fd, text, strlen(text));
    if (r == 0)
        r = io_fsync(fd);
    return r < 0 ? r : io_renameat(work, "redirect", dir, REDIRECT);
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
    _cleanup_close_ int fd = io_openat(dir, ATTR, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return fd < 0 ? fd : io_write_all(fd, line.buf, line.len);
}

/* ---- modes ---- */

static bool parse_mode(const char *text, ssize_t len, mode_t *ret)
{
    char copy[16], *end;
    if (len <= 0 || (size_t)len >= sizeof(copy))
        return false;
    memcpy(copy, text, (size_t)len);
    copy[len] = '\0';
    unsigned long mode = strtoul(copy, &end, 8);
    *ret = (mode_t)(mode & 07777);
    return *end == '\0';
}

/* Symlinks have no mode of their own, and no such attribute. */
static const char *proc_path(int fd, char ret[32])
{
    (void)snprintf(ret, 32, "/proc/self/fd/%d", fd);
    return ret;
}

static void show_mode(int fd, struct stat *st)
{
    char text[16], path[32];
    mode_t mode;
    ssize_t n;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return;
    /* Only what looks as if it had been widened can have the attribute. */
    mode_t least = S_ISDIR(st->st_mode) ? 0700 : 0600;
    if ((st->st_mode & least) != least)
        return;
    n = getxattr(proc_path(fd, path), MODE_XATTR, text, sizeof(text) - 1);
    if (parse_mode(text, n, &mode))
        st->st_mode = (st->st_mode & S_IFMT) | mode;
}

int upper_fstat(int fd, struct stat *ret)
{
    if (fstat(fd, ret) < 0)
        return -errno;
    show_mode(fd, ret);
    return 0;
}

int upper_stat(int dir, const char *name, struct stat *ret)
{
    _cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : upper_fstat(fd, ret);
}

int upper_set_mode(int dir, const char *name, mode_t type, mode_t mode)
{
    mode_t disk = upper_disk_mode(type | mode);
    char path[32], text[16];
    _cleanup_close_ int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    (void)proc_path(fd, path);
    if (disk == (mode & 07777)) {
        if (removexattr(path, MODE_XATTR) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
            return -errno;
    } else {
        int n = snprintf(text, sizeof(text), "%o", (unsigned)(mode & 07777));
        if (setxattr(path, MODE_XATTR, text, (size_t)n, 0) < 0)
            return -errno;
    }
    return chmod(path, disk) < 0 ? -errno : 0;
}
