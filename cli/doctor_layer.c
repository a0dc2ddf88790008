/* What lies in an environment's folder beside its manifests. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/aside.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "env/edits.h"
#include "env/plain.h"
#include "env/upper_read.h"
#include "env/view.h"

/* ---- the upper layer ---- */

struct walk {
    char **todo; /* folders, relative to the layer */
    size_t n, alloc;
    const char *at;
};

static void see_entry(void *arg, const char *name, size_t len, mode_t type)
{
    struct walk *w = arg;
    if (!S_ISDIR(type))
        return;
    char *path = xasprintf("%s%s%.*s", w->at, w->at[0] ? "/" : "", (int)len, name);
    w->todo = xgrow(w->todo, &w->alloc, w->n + 1, sizeof(*w->todo));
    w->todo[w->n++] = path;
}

/* 0, or what is wrong with the folder *at (malloc'ed). The daemon may be writing meanwhile. */
static int read_folders(const char *upper, char **at)
{
    struct walk w = {.at = ""};
    const struct upper_reader reader = {.entry = see_entry, .arg = &w};
    _cleanup_close_ int root = open(upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0) {
        *at = xstrdup("");
        return errno == ENOENT ? 0 : -errno;
    }
    char *folder = xstrdup("");
    int r = 0;
    while (folder && r == 0) {
        w.at = folder;
        r = upper_read_folder(root, folder, &reader);
        if (r == -ENOENT || r == -ENOTDIR)
            r = 0;
        if (r == 0) {
            free(folder);
            folder = w.n ? w.todo[--w.n] : NULL;
        }
    }
    while (w.n)
        free(w.todo[--w.n]);
    free(w.todo);
    *at = folder ? folder : xstrdup("");
    return r;
}

static void tell_damage(struct doctor *d, const struct env *env, const char *folder, int error)
{
    _cleanup_free_ char *word = print_word(folder);
    struct doctor_finding *f;
    if (error == -EUCLEAN) {
        _cleanup_free_ char *mark = path_join(folder, UPPER_REDIRECT);
        _cleanup_free_ char *quoted = print_word(mark);
        f = doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "upper-damaged",
                       "%s: %s is damaged, so that the folder that was renamed to this place "
                       "cannot be shown",
                       env->name, mark);
        doctor_remedy(f, "%srm %s", d->daemon ? "venvfs umount --all && " : "", quoted);
    } else {
        f = doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "upper-unreadable",
                       "%s: what was changed inside cannot be read: %s: %s", env->name, folder,
                       strerror(-error));
        if (error == -EACCES)
            doctor_remedy(f, "chmod u+rwx %s", word);
    }
    doctor_about(f, env->name, folder);
}

struct opener {
    struct doctor *d;
    const struct env *env;
};

static int open_image(void *arg, const struct store_image *which, struct image **ret,
                      struct verror *err)
{
    const struct opener *o = arg;
    const struct manifest *m = o->env->manifest;
    for (size_t i = 0; i < m->n_packages; i++) {
        if (m->packages[i].image.number != which->number)
            continue;
        struct image *image = doctor_image(o->d, o->env, &m->packages[i]);
        if (!image)
            break;
        *ret = image_ref(image);
        return 0;
    }
    return verror_set(err, EBADMSG, "image %u cannot be used", which->number);
}

static void count_edits(struct doctor *d, const struct env *env, const char *upper, size_t *edits)
{
    struct opener opener = {d, env};
    const struct view_images images = {.open = open_image, .arg = &opener};
    _cleanup_edits_ struct edits found = {0};
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct view *view;
    int r = view_compose(env->manifest, NULL, &images, &view, &why);
    if (r == 0) {
        r = edits_read(upper, view, &found, &why);
        view_unref(view);
    }
    *edits += found.n;
    if (r < 0)
        doctor_about(doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "upper-unreadable", "%s: %s",
                                env->name, verror_message(&why)),
                     env->name, upper);
}

static void check_upper(struct doctor *d, const struct env *env, bool images, size_t *edits)
{
    _cleanup_free_ char *upper = env_upper(env);
    _cleanup_free_ char *at = NULL;
    int r = read_folders(upper, &at);
    if (r < 0) {
        _cleanup_free_ char *folder = at[0] ? path_join(upper, at) : xstrdup(upper);
        tell_damage(d, env, folder, r);
    } else if (images && edits_any(upper)) {
        count_edits(d, env, upper, edits);
    }
}

/* ---- what killed processes left ---- */

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;
    const struct dirent *de;
    while (dir && (de = readdir(dir)))
        n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

/* While a daemon runs these may be in use. */
static void check_left_by_daemon(struct doctor *d, const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env);
    char *places[] = {path_join(upper, UPPER_WORK), path_join(upper, UPPER_ORPHANS),
                      path_join(env->dir, "trash")};
    static const char *const removers[] = {"start", "start", "commit"};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        size_t n = d->daemon ? 0 : entries(places[i]);
        if (n)
            doctor_about(doctor_add(d, DOCTOR_ENVS, DOCTOR_NOTE, "left-by-daemon",
                                    "%s: %zu entr%s in %s left by a killed daemon; the next %s "
                                    "removes them",
                                    env->name, n, n == 1 ? "y" : "ies", places[i], removers[i]),
                         env->name, places[i]);
        free(places[i]);
    }
}

static void check_aside(struct doctor *d, const struct env *env)
{
    _cleanup_free_ char *path = aside_path(env, env->manifest->generation);
    _cleanup_free_ char *name = print_word(env->name);
    if (!path_exists(path))
        return;
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_WARNING, "edits-aside",
                   "%s: a command was killed that had set edits aside for a change it did not "
                   "make: %s",
                   env->name, path);
    doctor_about(f, env->name, path);
    doctor_remedy(f, "venvfs commit -n %s", name);
}

/* Generations that were written and never made current. */
static void check_generations(struct doctor *d, const struct env *env)
{
    DIR *dir = opendir(env->dir);
    const struct dirent *de;
    size_t n = 0;
    while (dir && (de = readdir(dir))) {
        char *end;
        unsigned long number = strtoul(de->d_name, &end, 10);
        n += end != de->d_name &&
             (strcmp(end, ".json.tmp") == 0 ||
              (strcmp(end, ".json") == 0 && number > env->manifest->generation));
    }
    if (dir)
        closedir(dir);
    if (n)
        doctor_about(doctor_add(d, DOCTOR_ENVS, DOCTOR_NOTE, "unfinished-generation",
                                "%s: %zu manifest%s of generations that a killed command did not "
                                "make current; the next change replaces them",
                                env->name, n, n == 1 ? "" : "s"),
                     env->name, env->dir);
}

/* ---- plain files ---- */

static void check_plain(struct doctor *d, const struct env *env)
{
    _cleanup_plain_ struct plain plain = {.path = NULL};
    if (d->hangs || !plain_read(&d->home, env->name, &plain) ||
        !plain_is_at(&plain, env->manifest->address))
        return;
    d->plain++;
    if (plain.generation == env->manifest->generation)
        return;
    _cleanup_free_ char *name = print_word(env->name);
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "plain-files-stale",
                   "%s: the plain files in %s are those of generation %u, the current one is %u",
                   env->name, plain.path, plain.generation, env->manifest->generation);
    doctor_about(f, env->name, plain.path);
    doctor_remedy(f, "venvfs mount -n %s --fallback", name);
}

void doctor_layer(struct doctor *d, const struct env *env, bool settled, size_t *edits)
{
    bool images = true;
    for (size_t i = 0; i < env->manifest->n_packages; i++)
        images &= doctor_image(d, env, &env->manifest->packages[i]) != NULL;
    check_upper(d, env, images, edits);
    check_left_by_daemon(d, env);
    if (settled) {
        check_aside(d, env);
        check_generations(d, env);
        check_plain(d, env);
    }
}
