#include "env/upper_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/path.h"
#include "base/strbuf.h"

#define ATTR_LIMIT (64u << 20)
#define REDIRECT_LIMIT (64u << 10)

int upper_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    long fd;
    do
        fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

/* ---- folders ---- */

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
    if (reader->attr)
        reader->attr(reader->arg, name, strlen(name), &attr);
}

/* A last line without its end was being written when the machine stopped. */
static int read_attrs(int dir, const struct upper_reader *reader)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_fileat(dir, UPPER_ATTR, &text, ATTR_LIMIT);
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
    int r = io_read_fileat(dir, UPPER_REDIRECT, &text, REDIRECT_LIMIT);
    if (r < 0)
        return r;
    if (text.len < start + hex_len + 2 || text.buf[text.len - 1] != '\n' ||
        memcmp(text.buf, scheme, start) != 0 || text.buf[start + hex_len] != ' ' ||
        !sha256_from_hex(text.buf + start, hex_len, &image))
        return -EUCLEAN;
    text.buf[text.len - 1] = '\0';
    if (reader->redirect)
        reader->redirect(reader->arg, &image, text.buf + start + hex_len + 1);
    return 0;
}

static int read_own(int dir, const char *name, const struct upper_reader *reader)
{
    if (strcmp(name, UPPER_REDIRECT) == 0)
        return read_redirect(dir, reader);
    if (strcmp(name, UPPER_ATTR) == 0)
        return read_attrs(dir, reader);
    if (strcmp(name, UPPER_OPAQUE) == 0 && reader->opaque)
        reader->opaque(reader->arg);
    bool whiteout = strncmp(name, UPPER_PREFIX UPPER_PREFIX, 2 * strlen(UPPER_PREFIX)) != 0;
    if (whiteout && reader->whiteout)
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
    if (len <= UPPER_NAME_MAX && reader->entry)
        reader->entry(reader->arg, de->d_name, len, type);
    return 0;
}

int upper_read_folder(int root, const char *path, const struct upper_reader *reader)
{
    int fd = upper_beneath(root, path, O_RDONLY | O_DIRECTORY);
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

int upper_read_own_marks(int dir, const struct upper_reader *reader)
{
    struct stat st;
    if (reader->opaque && fstatat(dir, UPPER_OPAQUE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        reader->opaque(reader->arg);
    int r = read_redirect(dir, reader);
    return r == -ENOENT ? 0 : r;
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

bool upper_show_mode(int fd, struct stat *st)
{
    char text[16], path[32];
    mode_t mode;
    ssize_t n;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return false;
    /* Only what looks as if it had been widened can have the attribute. */
    mode_t least = S_ISDIR(st->st_mode) ? 0700 : 0600;
    if ((st->st_mode & least) != least)
        return false;
    n = getxattr(proc_path(fd, path), UPPER_MODE_XATTR, text, sizeof(text) - 1);
    if (parse_mode(text, n, &mode))
        st->st_mode = (st->st_mode & S_IFMT) | mode;
    return n >= 0;
}
