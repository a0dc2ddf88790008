#include "cli/aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/compose.h"
#include "cli/point.h"
#include "cli/show_env.h"
#include "env/edits.h"
#include "env/upper_read.h"
#include "fs/control.h"

char *aside_path(const struct env *env, unsigned generation)
{
    return xasprintf("%s/edits/%u", env->dir, generation);
}

/* ---- which edits ---- */

struct choice {
    const struct manifest *before;
    struct manifest *next;
    struct view *old, *new;
    json_t *aside, *unhide;
    bool moved; /* there is a folder that was moved */
};

static bool leaves(const struct choice *c, uint32_t layer)
{
    const struct manifest_package *p = &c->before->packages[layer];
    const struct manifest_package *now = manifest_find(c->next, p->normalised);
    return !now || !sha256_equal(&now->image.id, &p->image.id);
}

static bool is_of_leaving(const struct choice *c, const char *path)
{
    struct view_node node;
    uint32_t layer;
    return view_walk(c->old, path, &node) && view_layer_behind(c->old, node, &layer) &&
           leaves(c, layer);
}

static bool will_be_there(const struct choice *c, const char *path)
{
    struct view_node node;
    return view_walk(c->new, path, &node);
}

static void choose(struct choice *c, const struct edit *e)
{
    switch (e->kind) {
    case EDIT_ADDED:
        if (!e->folder && will_be_there(c, e->path))
            json_array_append_new(c->aside, json_string(e->path));
        break;
    case EDIT_MODIFIED:
        if (is_of_leaving(c, e->path))
            json_array_append_new(c->aside, json_string(e->path));
        break;
    case EDIT_REMOVED:
        if (is_of_leaving(c, e->path))
            json_array_append_new(c->unhide, json_string(e->path));
        break;
    case EDIT_RENAMED:
        c->moved = true;
        break;
    }
}

/* ---- doing it ---- */

static int ask(struct control *control, const struct env *env, const char *step, json_t *argument,
               json_t **answer, struct verror *err)
{
    json_t *request = json_pack("{s:s, s:s, s:o, s:I}", "do", "settle", "env", env->name, step,
                                argument, "generation", (json_int_t)env->manifest->generation);
    int r = control_call(control, request, answer, err);
    return r < 0 ? (verror_prefix(err, "setting edits of %s aside", env->name), r) : 0;
}

/* The removal of a file is remembered like an edit of it. */
static int note_removed(const struct env *env, const json_t *paths, struct verror *err)
{
    _cleanup_free_ char *root = aside_path(env, env->manifest->generation);
    const json_t *path;
    size_t i;
    json_array_foreach(paths, i, path)
    {
        const char *text = json_string_value(path), *name = path_basename(text);
        _cleanup_free_ char *dir =
            xasprintf("%s/%.*s", root, (int)(name > text ? name - text - 1 : 0), text);
        _cleanup_free_ char *file = xasprintf("%s/%s%s", dir, UPPER_PREFIX, name);
        int r = path_mkdirs(dir, 0755);
        _cleanup_close_ int fd = r < 0 ? r : io_open(file, O_WRONLY | O_CREAT, 0644);
        if (fd < 0)
            return verror_errno(err, fd, "%s", file);
    }
    return 0;
}

static json_t *leaving_images(const struct choice *c)
{
    json_t *images = json_array();
    for (uint32_t i = 0; i < c->before->n_packages; i++) {
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&c->before->packages[i].image.id, hex);
        if (leaves(c, i))
            json_array_append_new(images, json_string(hex));
    }
    return images;
}

static int carry_out(struct session *s, const struct env *env, struct choice *c, size_t *moved,
                     struct verror *err)
{
    struct control *control;
    int r = control_start(&s->home, &control, err);
    if (r < 0)
        return r;
    json_t *answer = NULL;
    r = attach_env(control, env->name, err);
    if (r == 0)
        r = look_at_env(&s->home, env->name, err);
    if (r == 0 && c->moved) {
        r = ask(control, env, "absorb", leaving_images(c), &answer, err);
        json_decref(answer);
    }
    if (r == 0)
        r = note_removed(env, c->unhide, err);
    if (r == 0 && json_array_size(c->unhide)) {
        r = ask(control, env, "unhide", json_incref(c->unhide), &answer, err);
        json_decref(r < 0 ? NULL : answer);
        *moved += json_array_size(c->unhide);
    }
    if (r == 0 && json_array_size(c->aside)) {
        r = ask(control, env, "set-aside", json_incref(c->aside), &answer, err);
        if (r == 0) {
            *moved += json_array_size(c->aside) - json_array_size(json_object_get(answer, "kept"));
            json_decref(answer);
        }
    }
    control_close(control);
    return r;
}

static int find(struct session *s, const struct env *env, const char *upper, struct choice *c,
                struct verror *err)
{
    _cleanup_edits_ struct edits edits = {0};
    int r = compose_view(s->store, env->manifest, NULL, &c->old, err);
    if (r == 0)
        r = compose_view(s->store, c->next, NULL, &c->new, err);
    if (r == 0)
        r = edits_read(upper, c->old, &edits, err);
    for (size_t i = 0; r == 0 && i < edits.n; i++)
        choose(c, &edits.v[i]);
    return r;
}

int aside_before(struct session *s, const struct env *env, const struct manifest *next,
                 size_t *moved, struct verror *err)
{
    _cleanup_free_ char *upper = env_upper(env);
    *moved = 0;
    if (daemon_unwanted() || !edits_any(upper))
        return 0;
    struct choice c = {.before = env->manifest,
                       .next = manifest_copy(next),
                       .aside = json_array(),
                       .unhide = json_array()};
    flush_env(&s->home, env->name);
    int r = find(s, env, upper, &c, err);
    if (r == 0 && (c.moved || json_array_size(c.aside) || json_array_size(c.unhide)))
        r = carry_out(s, env, &c, moved, err);
    json_decref(c.aside);
    json_decref(c.unhide);
    if (c.old)
        view_unref(c.old);
    if (c.new)
        view_unref(c.new);
    manifest_free(c.next);
    return r;
}

/* ---- bringing back ---- */

struct restore {
    char *from, *to; /* roots */
};

static int make_parent(const char *path, struct verror *err)
{
    _cleanup_free_ char *dir = path_dirname(path);
    int r = path_mkdirs(dir, 0755);
    return r < 0 ? verror_errno(err, r, "making %s", dir) : 0;
}

static int copy_link(const char *from, const char *to)
{
    char target[4096];
    ssize_t n = readlink(from, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    return io_symlinkat(target, AT_FDCWD, to);
}

static int copy_plain(const char *from, const char *to, const struct stat *st)
{
    _cleanup_close_ int in = io_open(from, O_RDONLY | O_NOFOLLOW, 0);
    if (in < 0)
        return in;
    _cleanup_close_ int out = io_open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (out < 0)
        return out;
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    int r = copy_bytes(in, out, (uint64_t)st->st_size);
    if (r == 0 && (fchmod(out, st->st_mode & 07777) < 0 || futimens(out, times) < 0))
        r = -errno;
    return r;
}

/* What is there gives way first: nothing is written through a link. */
static int restore_one(const struct restore *w, const char *path, struct verror *err)
{
    _cleanup_free_ char *from = path_join(w->from, path), *to = path_join(w->to, path);
    const char *name = path_basename(path);
    struct stat st;
    if (upper_is_own(name, strlen(name))) {
        _cleanup_free_ char *dir = path_dirname(to);
        _cleanup_free_ char *gone = path_join(dir, name + strlen(UPPER_PREFIX));
        return path_remove_tree(gone); /* there or not */
    }
    int r = lstat(from, &st) < 0 ? verror_errno(err, errno, "%s", from) : make_parent(to, err);
    if (r < 0)
        return r;
    r = io_unlink(to);
    if (r == 0 || r == -ENOENT)
        r = S_ISLNK(st.st_mode) ? copy_link(from, to) : copy_plain(from, to, &st);
    return r < 0 ? verror_errno(err, r, "bringing %s back", to) : 0;
}

static int restore_folder(const struct restore *w, const char *path, struct verror *err)
{
    _cleanup_free_ char *full = path_join(w->from, path);
    DIR *dir = opendir(path[0] ? full : w->from);
    const struct dirent *de;
    int r = 0;
    if (!dir)
        return verror_errno(err, errno, "%s", full);
    while (r == 0 && (de = readdir(dir))) {
        struct stat st;
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        _cleanup_free_ char *child = xasprintf("%s%s%s", path, path[0] ? "/" : "", de->d_name);
        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = verror_errno(err, errno, "%s/%s", w->from, child);
        else
            r = S_ISDIR(st.st_mode) ? restore_folder(w, child, err) : restore_one(w, child, err);
    }
    closedir(dir);
    return r;
}

int aside_restore(struct session *s, const struct env *env, unsigned generation, struct verror *err)
{
    struct restore w = {.from = aside_path(env, generation), .to = hub_path(&s->home, env->name)};
    int r = daemon_unwanted() || !path_exists(w.from) ? 0 : restore_folder(&w, "", err);
    free(w.from);
    free(w.to);
    return r;
}

int aside_recover(struct session *s, const struct env *env, struct verror *err)
{
    _cleanup_free_ char *path = aside_path(env, env->manifest->generation);
    struct control *control;
    if (daemon_unwanted() || !path_exists(path))
        return 0;
    int r = control_start(&s->home, &control, err);
    if (r < 0)
        return r;
    r = attach_env(control, env->name, err);
    control_close(control);
    if (r == 0)
        r = look_at_env(&s->home, env->name, err);
    if (r == 0)
        r = aside_restore(s, env, env->manifest->generation, err);
    if (r == 0 && (r = path_remove_tree(path)) < 0)
        verror_errno(err, r, "removing %s", path);
    return r;
}
