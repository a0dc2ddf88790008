#include "fs/upper_fill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "wheel/shebang.h"
#include "wheel/wheel.h"

#define MAX_SCRIPT (16u << 20)

int upper_fill_begin(struct upper_fill *fill, const char *path, struct verror *err)
{
    int r = path_remove_tree(path);
    if (r < 0)
        return verror_errno(err, r, "removing %s", path);
    return upper_open(path, false, &fill->upper, err);
}

void upper_fill_end(struct upper_fill *fill)
{
    upper_close(&fill->upper);
}

static int failed(const struct upper_fill *fill, int r, const char *path, struct verror *err)
{
    return verror_errno(err, r, "copying %s/%s", fill->root, path);
}

/* ---- folders ---- */

static int copy_folder(const struct upper_fill *fill, const char *path, int parent,
                       const char *name)
{
    struct stat st;
    int32_t shown = UPPER_MODE_OF_DISK;
    int r = io_mkdirat(parent, name, 0700);
    if (r == -EEXIST)
        return 0;
    if (r < 0)
        return r;
    /* Where the other tree has no such folder, a file of it is only said to be gone. */
    _cleanup_close_ int from = io_open_beneath(fill->tree, path, O_PATH | O_DIRECTORY);
    mode_t mode = from >= 0 && fstat(from, &st) == 0 ? st.st_mode & 0777 : 0755;
    return upper_set_mode(parent, name, S_IFDIR, mode, &shown);
}

/* The upper's folder for the parent of `path`, made where it is missing; a descriptor. */
static int parent_of(struct upper_fill *fill, const char *path)
{
    int r = upper_create(&fill->upper);
    for (const char *p = path, *slash; r == 0 && (slash = strchr(p, '/')); p = slash + 1) {
        _cleanup_free_ char *dir = xstrndup(path, (size_t)(slash - path));
        _cleanup_free_ char *above = xstrndup(path, p > path ? (size_t)(p - path) - 1 : 0);
        _cleanup_close_ int fd = upper_dir(&fill->upper, above);
        r = fd < 0 ? fd : copy_folder(fill, dir, fd, path_basename(dir));
    }
    if (r < 0)
        return r;
    const char *last = strrchr(path, '/');
    _cleanup_free_ char *dir = xstrndup(path, last ? (size_t)(last - path) : 0);
    return upper_dir(&fill->upper, dir);
}

/* ---- files ---- */

/* Returns 1 when the script's first line was one to be replaced, and all of it is written. */
static int write_script(const struct upper_fill *fill, int from, int to, const struct stat *st)
{
    _cleanup_strbuf_ struct strbuf data = STRBUF_INIT, text = STRBUF_INIT;
    if (st->st_size > MAX_SCRIPT)
        return 0;
    int r = io_read_to_end(from, &data, MAX_SCRIPT);
    if (r < 0)
        return r;
    size_t n = shebang_length(data.buf, data.len, fill->names);
    if (!n)
        return 0;
    const struct image_script script = {.kind = IMAGE_SCRIPT_PYTHON};
    script_text(&script, fill->interpreter, &text);
    strbuf_add(&text, data.buf + n, data.len - n);
    r = io_write_all(to, text.buf, text.len);
    return r < 0 ? r : 1;
}

static bool is_in_bin(const char *path)
{
    return strncmp(path, "bin/", 4) == 0 && !strchr(path + 4, '/');
}

static int write_bytes(const struct upper_fill *fill, const char *path, int from, int to,
                       const struct stat *st)
{
    int r = is_in_bin(path) ? write_script(fill, from, to, st) : 0;
    if (r == 0)
        r = copy_bytes(from, to, (uint64_t)st->st_size);
    return r < 0 ? r : 0;
}

static int copy_file(struct upper_fill *fill, const char *path, int dir, const char *name)
{
    struct stat st, after;
    _cleanup_close_ int from = io_open_beneath(fill->tree, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (from < 0)
        return from;
    if (fstat(from, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ESTALE;
    _cleanup_close_ int to = io_openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (to < 0)
        return to;
    int32_t shown = UPPER_MODE_OF_DISK;
    int r = write_bytes(fill, path, from, to, &st);
    if (r == 0 && fstat(from, &after) < 0)
        r = -errno;
    if (r == 0 && (after.st_size != st.st_size || after.st_mtim.tv_sec != st.st_mtim.tv_sec ||
                   after.st_mtim.tv_nsec != st.st_mtim.tv_nsec))
        r = -ESTALE;
    if (r == 0)
        r = upper_fset_mode(to, S_IFREG, st.st_mode & 07777, &shown);
    const struct timespec times[2] = {st.st_mtim, st.st_mtim};
    if (r == 0 && futimens(to, times) < 0)
        r = -errno;
    return r;
}

static int copy_link(const struct upper_fill *fill, const char *path, int dir, const char *name,
                     const struct stat *st)
{
    /* An empty path reads the link that the descriptor is of. */
    _cleanup_close_ int link = io_open_beneath(fill->tree, path, O_PATH | O_NOFOLLOW);
    if (link < 0)
        return link;
    char target[4096];
    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    int r = io_symlinkat(target, dir, name);
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    if (r == 0 && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    return r;
}

/* openat2 with RESOLVE_NO_SYMLINKS refuses a link at the end, too, but for O_PATH | O_NOFOLLOW. */
static int stat_source(const struct upper_fill *fill, const char *path, struct stat *st)
{
    _cleanup_close_ int fd = io_open_beneath(fill->tree, path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    return fstat(fd, st) < 0 ? -errno : 0;
}

static int copy_any(struct upper_fill *fill, const char *path)
{
    struct stat st;
    int r = stat_source(fill, path, &st);
    if (r < 0)
        return r;
    _cleanup_close_ int dir = parent_of(fill, path);
    if (dir < 0)
        return dir;
    const char *name = path_basename(path);
    if (S_ISREG(st.st_mode))
        return copy_file(fill, path, dir, name);
    if (S_ISLNK(st.st_mode))
        return copy_link(fill, path, dir, name, &st);
    return S_ISDIR(st.st_mode) ? copy_folder(fill, path, dir, name) : -EOPNOTSUPP;
}

int upper_fill_copy(struct upper_fill *fill, const char *path, struct verror *err)
{
    int r = copy_any(fill, path);
    return r < 0 ? failed(fill, r, path, err) : 0;
}

int upper_fill_whiteout(struct upper_fill *fill, const char *path, struct verror *err)
{
    _cleanup_close_ int dir = parent_of(fill, path);
    int r = dir < 0 ? dir : upper_add_whiteout(&fill->upper, dir, path_basename(path));
    return r < 0 ? verror_errno(err, r, "hiding %s", path) : 0;
}

int upper_fill_sync(struct upper_fill *fill, struct verror *err)
{
    if (!upper_exists(&fill->upper))
        return 0;
    _cleanup_close_ int fd = io_open(fill->upper.path, O_RDONLY | O_DIRECTORY, 0);
    int r = fd < 0 ? fd : syncfs(fd) < 0 ? -errno : 0;
    return r < 0 ? verror_errno(err, r, "writing %s", fill->upper.path) : 0;
}
