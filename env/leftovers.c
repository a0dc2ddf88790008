#include "env/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "wheel/layout.h"

enum { MAX_DEPTH = 100 };

struct walk {
    const struct venv *venv;
    bool (*owns)(void *arg, const char *path);
    void *arg;
    struct leftovers *left;
    dev_t device;
    struct strbuf path;
    struct verror *err;
};

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* ---- what every environment has ---- */

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_own(const struct walk *w, const char *path)
{
    static const char *const at_root[] = {"pyvenv.cfg", "lib64", ".gitignore", "CACHEDIR.TAG",
                                          ".lock"};
    static const char *const in_bin[] = {"deactivate.bat", "pydoc.bat"};
    if (is_one_of(path, at_root, ARRAY_SIZE(at_root)))
        return true;
    if (strncmp(path, "bin/", 4) == 0 && !strchr(path + 4, '/'))
        return layout_is_reserved_in_bin(path + 4) ||
               is_one_of(path + 4, in_bin, ARRAY_SIZE(in_bin));
    _cleanup_free_ char *views = xasprintf("lib/%s/site-packages/_venvfs", w->venv->python_dir);
    return strncmp(path, views, strlen(views)) == 0;
}

/* ---- bytecode ---- */

/* DIR/NAME.py for DIR/__pycache__/NAME.TAG.pyc; malloc'ed, NULL for other files. */
static char *source_of(const char *path)
{
    static const char cache[] = "__pycache__/";
    const size_t n = sizeof(cache) - 1;
    const char *name = path_basename(path);
    size_t dir = (size_t)(name - path);
    if (dir < n || memcmp(name - n, cache, n) != 0 || (dir > n && name[-(ptrdiff_t)n - 1] != '/') ||
        !ends_with(name, ".pyc"))
        return NULL;
    const char *tag = strstr(name, ".cpython-");
    size_t stem = tag ? (size_t)(tag - name) : strcspn(name, ".");
    return xasprintf("%.*s%.*s.py", (int)(dir - n), path, (int)stem, name);
}

static bool is_there(const struct walk *w, const char *path)
{
    _cleanup_free_ char *full = path_join(w->venv->root, path);
    return path_exists(full);
}

/* ---- the walk ---- */

static const char *problem_of(const char *name, const struct stat *st)
{
    if (!path_component_ok(name, strlen(name)))
        return "has too long a name";
    if (strncmp(name, ".wh.", 4) == 0)
        return "has a name that marks deletions";
    if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode))
        return S_ISFIFO(st->st_mode)   ? "is a FIFO"
               : S_ISSOCK(st->st_mode) ? "is a socket"
               : S_ISDIR(st->st_mode)  ? "is a folder that cannot be looked into"
                                       : "is a device";
    return NULL;
}

static struct leftover *add(struct walk *w, const char *name, const struct stat *st)
{
    struct leftovers *left = w->left;
    left->list = xgrow(left->list, &left->alloc, left->n + 1, sizeof(*left->list));
    struct leftover *l = &left->list[left->n++];
    *l = (struct leftover){.path = xstrdup(w->path.buf),
                           .type = st->st_mode & S_IFMT,
                           .size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
                           .problem = problem_of(name, st)};
    return l;
}

static void see_file(struct walk *w, const char *name, const struct stat *st)
{
    if (w->owns(w->arg, w->path.buf))
        return;
    _cleanup_free_ char *source = source_of(w->path.buf);
    if (source && (w->owns(w->arg, source) || !is_there(w, source)))
        return;
    add(w, name, st)->bytecode = source != NULL;
}

static int see_folder(struct walk *w, int parent, const char *name, unsigned depth);

static int see_entry(struct walk *w, int dir, const char *name, unsigned depth)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : verror_errno(w->err, errno, "%s", w->path.buf);
    if (is_own(w, w->path.buf))
        return 0;
    if (!S_ISDIR(st.st_mode)) {
        see_file(w, name, &st);
        return 0;
    }
    const char *problem = problem_of(name, &(struct stat){.st_mode = S_IFREG});
    if (!problem && st.st_dev != w->device)
        problem = "is on another file system";
    if (!problem && depth == MAX_DEPTH)
        problem = "is nested too deeply";
    if (!problem)
        return see_folder(w, dir, name, depth + 1);
    add(w, name, &st)->problem = problem;
    return 0;
}

static int see_entries(struct walk *w, DIR *dir, unsigned depth)
{
    size_t len = w->path.len;
    const struct dirent *de;
    errno = 0;
    while ((de = readdir(dir))) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0) {
            if (len)
                strbuf_addch(&w->path, '/');
            strbuf_addstr(&w->path, de->d_name);
            int r = see_entry(w, dirfd(dir), de->d_name, depth);
            strbuf_truncate(&w->path, len);
            if (r < 0)
                return r;
        }
        errno = 0;
    }
    return errno ? verror_errno(w->err, errno, "reading %s/%s", w->venv->root, w->path.buf) : 0;
}

static int see_folder(struct walk *w, int parent, const char *name, unsigned depth)
{
    int fd = io_open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return verror_errno(w->err, fd, "%s/%s", w->venv->root, w->path.buf);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return verror_errno(w->err, ENOMEM, "%s/%s", w->venv->root, w->path.buf);
    }
    int r = see_entries(w, dir, depth);
    closedir(dir);
    return r;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct leftover *)a)->path, ((const struct leftover *)b)->path);
}

int leftovers_find(const struct venv *venv, bool (*owns)(void *arg, const char *path), void *arg,
                   struct leftovers *ret, struct verror *err)
{
    struct walk w = {
        .venv = venv, .owns = owns, .arg = arg, .left = ret, .path = STRBUF_INIT, .err = err};
    struct stat st;
    *ret = (struct leftovers){.list = NULL};
    _cleanup_close_ int root = io_open(venv->root, O_RDONLY | O_DIRECTORY, 0);
    int r = root < 0 ? root : fstat(root, &st) < 0 ? -errno : 0;
    if (r < 0)
        return verror_errno(err, r, "%s", venv->root);
    w.device = st.st_dev;
    r = see_folder(&w, root, "", 0);
    strbuf_release(&w.path);
    if (r < 0) {
        leftovers_release(ret);
        return r;
    }
    if (ret->n)
        qsort(ret->list, ret->n, sizeof(*ret->list), by_path);
    return 0;
}

void leftovers_release(struct leftovers *left)
{
    for (size_t i = 0; i < left->n; i++)
        free(left->list[i].path);
    free(left->list);
    *left = (struct leftovers){.list = NULL};
}
