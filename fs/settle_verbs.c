/* daemon: the steps of settling, as a command asks for them (fs/control.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/upper_read.h"
#include "env/view.h"
#include "fs/control.h"
#include "fs/daemon_internal.h"
#include "fs/overlay_settle.h"

struct settling {
    struct daemon *daemon;
    const char *env;
    struct overlay *overlay;
    struct overlay_settling how;
    struct notices notices;
    const json_t *request;
    json_t *answer;
};

/* From the environment's root, of names that a user can make. NULL is none. */
static bool is_path(const char *path)
{
    while (path && *path) {
        size_t len = strcspn(path, "/");
        if (!path_component_ok(path, len) || upper_is_own(path, len))
            return false;
        if (!path[len])
            return true;
        path += len + 1;
    }
    return false;
}

/* What may be wrong with one path is told with it; the others go on. */
static bool is_of_path(int r)
{
    return r == -ENOENT || r == -ESTALE || r == -EXDEV || r == -EMLINK || r == -EEXIST;
}

static void keep(json_t *kept, const json_t *path, int error)
{
    json_array_append_new(
        kept, json_pack("[O, s]", path, error == -ESTALE ? "it was changed" : strerror(-error)));
}

/* Paths for which `step` is taken; those that stayed as they are become the answer's "kept". */
static int each_path(struct settling *s, const json_t *paths,
                     int (*step)(struct settling *s, const char *path), struct verror *err)
{
    json_t *kept = json_array(), *path;
    size_t i;
    int r = 0;
    json_array_foreach(paths, i, path)
    {
        const char *text = json_string_value(path);
        r = is_path(text) ? step(s, text) : -EINVAL;
        if (is_of_path(r))
            keep(kept, path, r);
        else if (r < 0) {
            verror_errno(err, r, "%s of environment %s", text ? text : "a path", s->env);
            break;
        }
        r = 0;
    }
    json_object_set_new(s->answer, "kept", kept);
    return r;
}

/* ---- steps ---- */

static int hide_one(struct settling *s, const char *path)
{
    return overlay_hide(s->overlay, path);
}

static int unhide_one(struct settling *s, const char *path)
{
    return overlay_unhide(s->overlay, path, &s->how);
}

static int do_hide(struct settling *s, const json_t *paths, struct verror *err)
{
    return each_path(s, paths, hide_one, err);
}

static int do_unhide(struct settling *s, const json_t *paths, struct verror *err)
{
    return each_path(s, paths, unhide_one, err);
}

static int read_file_entry(const json_t *entry, struct overlay_file *ret)
{
    json_t *path;
    json_int_t ino, size, mtime, ctime;
    int same;
    if (json_unpack((json_t *)(uintptr_t)entry, "[o, I, I, I, I, b]", &path, &ino, &size, &mtime,
                    &ctime, &same) < 0 ||
        !is_path(json_string_value(path)))
        return -EINVAL;
    *ret = (struct overlay_file){
        .path = json_string_value(path),
        .same = same,
        .version = {.ino = (uint64_t)ino, .size = size, .mtime_ns = mtime, .ctime_ns = ctime}};
    return 0;
}

static char *trash_of(const struct settling *s)
{
    return xasprintf("%s/%s/trash", s->daemon->home->envs, s->env);
}

static void tell_files(struct settling *s, const struct overlay_file *files, size_t n)
{
    json_t *kept = json_array();
    json_int_t gone = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *path = json_string(files[i].path);
        gone += files[i].result == 0;
        if (files[i].result < 0)
            keep(kept, path, files[i].result);
        json_decref(path);
    }
    json_object_set_new(s->answer, "kept", kept);
    json_object_set_new(s->answer, "gone", json_integer(gone));
}

static int do_give_way(struct settling *s, const json_t *entries, struct verror *err)
{
    size_t n = json_array_size(entries), i;
    struct overlay_file *files = xcalloc(n + 1, sizeof(*files));
    _cleanup_free_ char *trash = trash_of(s);
    json_t *entry;
    int r = 0;
    json_array_foreach(entries, i, entry)
    {
        if (read_file_entry(entry, &files[i]) < 0)
            r = verror_set(err, EINVAL, "settling: an entry is no file");
    }
    if (r == 0) {
        r = overlay_give_way(s->overlay, files, n, trash, &s->how);
        if (r < 0)
            verror_errno(err, r, "the upper layer of environment %s", s->env);
    }
    for (i = 0; r == 0 && i < n; i++)
        if (files[i].result < 0 && !is_of_path(files[i].result))
            r = verror_errno(err, files[i].result, "%s of environment %s", files[i].path, s->env);
    if (r == 0)
        tell_files(s, files, n);
    free(files);
    return r;
}

static int set_aside_one(struct settling *s, const char *path)
{
    json_int_t generation = json_integer_value(json_object_get(s->request, "generation"));
    if (generation <= 0)
        return -EINVAL;
    _cleanup_free_ char *dir =
        xasprintf("%s/%s/edits/%lld", s->daemon->home->envs, s->env, (long long)generation);
    int r = path_mkdirs(dir, 0755);
    if (r < 0)
        return r;
    _cleanup_close_ int to = io_open(dir, O_RDONLY | O_DIRECTORY, 0);
    return to < 0 ? to : overlay_set_aside(s->overlay, path, to, &s->how);
}

static int do_set_aside(struct settling *s, const json_t *paths, struct verror *err)
{
    return each_path(s, paths, set_aside_one, err);
}

static int do_absorb(struct settling *s, const json_t *list, struct verror *err)
{
    size_t n = json_array_size(list), i;
    struct sha256 *images = xcalloc(n + 1, sizeof(*images));
    json_t *image;
    int r = 0;
    json_array_foreach(list, i, image)
    {
        const char *hex = json_string_value(image);
        if (!hex || !sha256_from_hex(hex, strlen(hex), &images[i]))
            r = verror_set(err, EINVAL, "settling: a digest is malformed");
    }
    if (r == 0)
        r = overlay_absorb(s->overlay, images, n);
    free(images);
    return r < 0 && !err->message ? verror_errno(err, r, "folders of environment %s", s->env) : r;
}

/* A worker's. What stays goes at the next sweep. */
static void empty_trash(void *arg, size_t worker)
{
    char *trash = arg;
    (void)worker;
    (void)path_remove_tree(trash);
    free(trash);
}

static int do_sweep(struct settling *s, const json_t *yes, struct verror *err)
{
    (void)yes;
    int r = overlay_sweep(s->overlay, &s->how);
    pool_submit(s->daemon->context.workers, empty_trash, trash_of(s));
    return r < 0 ? verror_errno(err, r, "the upper layer of environment %s", s->env) : 0;
}

static int do_begin(struct settling *s, const json_t *yes, struct verror *err)
{
    (void)err;
    if (json_is_true(yes))
        overlay_begin_settling(s->overlay);
    else
        overlay_end_settling(s->overlay);
    return 0;
}

static int do_due(struct settling *s, const json_t *yes, struct verror *err)
{
    (void)yes, (void)err;
    json_object_set_new(s->answer, "due", json_boolean(overlay_is_due(s->overlay)));
    return 0;
}

/* ---- all of it ---- */

/* The layers of the request's images in the tree that is below. */
static bool *layers_of(const struct settling *s, size_t *n)
{
    struct place root = {0};
    bool *layers = NULL;
    *n = 0;
    overlay_lock(s->overlay);
    root.overlay = s->overlay;
    const struct tree *tree = overlay_tree(s->overlay);
    if (tree) {
        const struct view *view = tree_view(tree);
        const json_t *images = json_object_get(s->request, "images");
        json_t *number;
        size_t i;
        uint32_t layer;
        *n = view_layers(view);
        layers = xcalloc(*n + 1, sizeof(*layers));
        json_array_foreach(images, i, number)
        {
            if (view_layer_of(view, (uint32_t)json_integer_value(number), &layer))
                layers[layer] = true;
        }
    }
    place_release(&root);
    return layers;
}

int daemon_settle(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    static const struct {
        const char *name;
        int (*perform)(struct settling *s, const json_t *argument, struct verror *err);
    } steps[] = {
        {"hide", do_hide},         {"unhide", do_unhide},
        {"give-way", do_give_way}, {"set-aside", do_set_aside},
        {"absorb", do_absorb},     {"sweep", do_sweep},
        {"due", do_due},           {"begin", do_begin},
    };
    struct settling s = {.daemon = d, .request = request, .answer = answer};
    struct realm *realm = session_realm(d->hub);
    s.env = json_string_value(json_object_get(request, "env"));
    if (!s.env)
        return verror_set(err, EINVAL, "settling: the request names no environment");
    s.overlay = realm_overlay(realm, s.env);
    if (!s.overlay)
        return verror_set(err, ENOENT, "environment %s is not in view, or read-only", s.env);
    bool *layers = layers_of(&s, &s.how.n_layers);
    s.how.layers = layers;
    s.how.held = realm_is_held;
    s.how.held_arg = realm;
    s.how.changed = notices_add;
    s.how.attributes = notices_add_attributes;
    s.how.arg = &s.notices;
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++) {
        const json_t *argument = json_object_get(request, steps[i].name);
        if (argument)
            r = steps[i].perform(&s, argument, err);
    }
    free(layers);
    notices_send(&s.notices, d->hub);
    realm_settle(realm);
    return r;
}
