#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { MAX_COMPONENT = 251 };

char *path_join(const char *dir, const char *name)
{
    if (name[0] == '/')
        return xstrdup(name);
    size_t n = strlen(dir);
    const char *slash = n && dir[n - 1] != '/' ? "/" : "";
    return xasprintf("%s%s%s", dir, slash, name);
}

char *path_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

const char *path_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    return n > k && memcmp(path + n - k, suffix, k) == 0;
}

char *path_absolute(const char *path)
{
    _cleanup_strbuf_ struct strbuf in = STRBUF_INIT;
    if (path[0] != '/') {
        char cwd[PATH_MAX];
        if (!getcwd(cwd, sizeof(cwd)))
            return NULL;
        strbuf_addstr(&in, cwd);
        strbuf_addch(&in, '/');
    }
    strbuf_addstr(&in, path);

    struct strbuf out = STRBUF_INIT;
    for (const char *p = in.buf; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (out.len && out.buf[--out.len] != '/')
                ;
            strbuf_truncate(&out, out.len);
        } else if (n && !(n == 1 && p[0] == '.')) {
            strbuf_addch(&out, '/');
            strbuf_add(&out, p, n);
        }
        p += n;
        while (*p == '/')
            p++;
    }
    if (!out.len)
        strbuf_addch(&out, '/');
    return strbuf_detach(&out, NULL);
}

bool path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool path_component_ok(const char *name, size_t len)
{
    if (len == 0 || len > MAX_COMPONENT)
        return false;
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return false;
    return !memchr(name, '/', len) && !memchr(name, '\0', len);
}

int path_mkdirs(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0)
        return 0;
    if (errno == EEXIST) {
        struct stat st;
        if (stat(path, &st) < 0)
            return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    }
    if (errno != ENOENT)
        return -errno;
    _cleanup_free_ char *parent = path_dirname(path);
    if (strcmp(parent, path) == 0 || strcmp(parent, ".") == 0)
        return -ENOENT;
    int r = path_mkdirs(parent, mode);
    if (r < 0)
        return r;
    return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -errno;
}

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth);

static int remove_children(int fd, dev_t dev, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int e = errno;
        close(fd);
        return -e;
    }
    int r = 0;
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(dir);
        if (!de) {
            r = r ? r : -errno;
            break;
        }
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        int one = remove_at(dirfd(dir), de->d_name, dev, depth + 1);
        if (one < 0 && r == 0)
            r = one;
    }
    closedir(dir);
    return r;
}

static int remove_at(int dirfd, const char *name, dev_t dev, unsigned depth)
{
    struct stat st;
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode))
        return -EPERM;
    if (st.st_dev != dev)
        return -EXDEV;
    if (depth > 512)
        return -ELOOP;
    if ((st.st_mode & 0700) != 0700)
        (void)fchmodat(dirfd, name, 0700, 0);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = remove_children(fd, dev, depth);
    if (r < 0)
        return r;
    return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int path_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    return remove_at(AT_FDCWD, path, st.st_dev, 0);
}
