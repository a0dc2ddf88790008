#include "cli/fallback.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/compose.h"

/* What a fallback wrote: the folder is known by its inode, so one that a user put in its place is
 * never taken for ours. */
struct written {
    char *path;
    uint64_t dev, ino;
    unsigned generation;
};

static char *record_path(const struct home *home, const char *env_name)
{
    return xasprintf("%s/%s/fallback.json", home->envs, env_name);
}

static bool read_record(const struct home *home, const char *env_name, struct written *ret)
{
    enum { LARGEST = 64 << 10 };
    _cleanup_free_ char *file = record_path(home, env_name);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(file, &text, LARGEST) < 0)
        return false;
    json_t *o = json_loadb(text.buf, text.len, 0, NULL);
    const char *path;
    json_int_t dev, ino, generation;
    bool ok = o && json_unpack(o, "{s:s, s:I, s:I, s:I}", "path", &path, "dev", &dev, "ino", &ino,
                               "generation", &generation) == 0;
    if (ok)
        *ret = (struct written){.path = xstrdup(path),
                                .dev = (uint64_t)dev,
                                .ino = (uint64_t)ino,
                                .generation = (unsigned)generation};
    json_decref(o);
    return ok;
}

static int write_record(const struct home *home, const struct env *env, struct verror *err)
{
    struct stat st;
    const char *path = env->manifest->address;
    if (lstat(path, &st) < 0)
        return verror_errno(err, errno, "%s", path);
    json_t *o =
        json_pack("{s:s, s:I, s:I, s:I}", "path", path, "dev", (json_int_t)st.st_dev, "ino",
                  (json_int_t)st.st_ino, "generation", (json_int_t)env->manifest->generation);
    _cleanup_free_ char *text = json_dumps(o, JSON_INDENT(2));
    _cleanup_free_ char *file = record_path(home, env->name);
    json_decref(o);
    int r = text ? io_write_file_atomic(file, text, strlen(text), 0644, false) : -EINVAL;
    return r < 0 ? verror_errno(err, r, "writing %s", file) : 0;
}

/* Is the folder at path the one of the record? */
static bool is_written(const struct written *w, const char *path)
{
    struct stat st;
    return strcmp(w->path, path) == 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (uint64_t)st.st_dev == w->dev && (uint64_t)st.st_ino == w->ino;
}

bool fallback_owns(const struct home *home, const char *env_name, const char *path)
{
    struct written w;
    if (!read_record(home, env_name, &w))
        return false;
    bool owns = is_written(&w, path);
    free(w.path);
    return owns;
}

/* Makes room at the address: ours is renamed to *old, a link of ours is removed. */
static int make_room(const struct home *home, const struct env *env, bool owned, char **old,
                     struct verror *err)
{
    const char *address = env->manifest->address;
    if (owned) {
        *old = xasprintf("%s.venvfs-old-%ld", address, (long)getpid());
        int r = io_rename(address, *old);
        return r < 0 ? verror_errno(err, r, "%s", address) : 0;
    }
    _cleanup_free_ char *leads_to = env_name_of_path(home, address);
    struct stat st;
    if (lstat(address, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode) && leads_to && strcmp(leads_to, env->name) == 0) {
        int r = io_unlink(address);
        return r < 0 ? verror_errno(err, r, "%s", address) : 0;
    }
    verror_set(err, EEXIST, "%s exists and was not made by venvfs; it stays untouched", address);
    return verror_hint(err, "move it away, or venvfs materialize -n %s DIR elsewhere", env->name);
}

static int replace_folder(struct session *s, const struct env *env, bool owned, struct verror *err)
{
    const char *address = env->manifest->address;
    _cleanup_free_ char *old = NULL;
    _cleanup_free_ char *new = xasprintf("%s.venvfs-new-%ld", address, (long)getpid());
    _cleanup_free_ char *parent = path_dirname(address);
    int r = path_mkdirs(parent, 0777);
    if (r < 0)
        verror_errno(err, r, "making %s", parent);
    if (r == 0)
        r = write_plain_files(s, env->manifest, address, new, err);
    if (r == 0)
        r = make_room(&s->home, env, owned, &old, err);
    if (r == 0 && (r = io_rename(new, address)) < 0)
        verror_errno(err, r, "%s", address);
    if (r < 0 && old)
        (void)io_rename(old, address);
    (void)path_remove_tree(r < 0 ? new : old ? old : new);
    return r;
}

int fallback_write(struct session *s, const struct env *env, struct verror *err)
{
    struct written w = {.path = NULL};
    const char *address = env->manifest->address;
    bool owned = read_record(&s->home, env->name, &w) && is_written(&w, address);
    bool current = owned && w.generation == env->manifest->generation;
    free(w.path);
    if (current)
        return 0;
    int r = replace_folder(s, env, owned, err);
    return r < 0 ? r : write_record(&s->home, env, err);
}
