#include "cli/front_keep.h"

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
#include "cli/compose.h"
#include "fs/upper_fill.h"

enum { MAX_DEPTH = 100 };

struct keep {
    struct upper_fill fill;
    const struct view *view; /* of the environment without them */
};

static bool environment_has(const struct keep *k, const char *path)
{
    struct view_node node;
    struct view_attr attr;
    if (!view_walk(k->view, path, &node))
        return false;
    view_stat(k->view, node, &attr);
    return !S_ISDIR(attr.mode);
}

static int keep_folder(struct keep *k, const char *path, unsigned depth, struct verror *err);

static int keep_entry(struct keep *k, const char *path, unsigned depth, struct verror *err)
{
    struct stat st;
    if (fstatat(k->fill.tree, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return verror_errno(err, errno, "%s/%s", k->fill.root, path);
    if (environment_has(k, path))
        return 0;
    return S_ISDIR(st.st_mode) ? keep_folder(k, path, depth + 1, err)
                               : upper_fill_copy(&k->fill, path, err);
}

/* path: from the root, "" for the root itself, which is there. */
static int keep_folder(struct keep *k, const char *path, unsigned depth, struct verror *err)
{
    if (depth > MAX_DEPTH)
        return verror_errno(err, ELOOP, "%s/%s", k->fill.root, path);
    int r = *path ? upper_fill_copy(&k->fill, path, err) : 0;
    if (r < 0)
        return r;
    int fd =
        openat(k->fill.tree, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        r = verror_errno(err, errno, "%s/%s", k->fill.root, path);
        if (fd >= 0)
            close(fd);
        return r;
    }
    for (const struct dirent *de; r == 0 && (de = readdir(dir));) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        _cleanup_free_ char *entry = *path ? path_join(path, de->d_name) : xstrdup(de->d_name);
        r = keep_entry(k, entry, depth, err);
    }
    closedir(dir);
    return r;
}

static int fill(struct apply *a, const struct view *view, const char *dir, int tree,
                struct verror *err)
{
    static const char *const no_names[] = {NULL};
    _cleanup_free_ char *upper = env_upper(a->env);
    struct keep k = {.fill = {.tree = tree, .root = dir, .names = no_names}, .view = view};
    int r = upper_fill_begin(&k.fill, upper, err);
    if (r < 0)
        return r;
    r = keep_folder(&k, "", 0, err);
    if (r == 0)
        r = upper_fill_sync(&k.fill, err);
    upper_fill_end(&k.fill);
    return r;
}

int front_keep_files(struct apply *a, const char *dir, struct verror *err)
{
    _cleanup_close_ int tree = io_open(dir, O_RDONLY | O_DIRECTORY, 0);
    struct view *view;
    if (tree < 0)
        return verror_errno(err, tree, "%s", dir);
    int r = compose_view(a->session->store, a->env->manifest, NULL, &view, err);
    if (r < 0)
        return r;
    r = fill(a, view, dir, tree, err);
    view_unref(view);
    return r;
}
