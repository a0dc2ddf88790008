#include "env/roots.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/env_layer.h"
#include "env/manifest_check.h"
#include "store/lease.h"

struct reading {
    const struct home *home;
    struct store *store;
    unsigned keep;
    int (*add)(void *arg, const struct store_image *image, const char *what, struct verror *err);
    void *arg;
    struct roots *roots;
};

static char *manifest_path(const struct env *env, unsigned number)
{
    return xasprintf("%s/%u.json", env->dir, number);
}

static int add_generation(const struct reading *rd, const struct env *env, unsigned number,
                          const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *what = xasprintf("environment %s, generation %u,", env->name, number);
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_packages; i++)
        r = rd->add(rd->arg, &m->packages[i].image, what, err);
    rd->roots->n_generations += r == 0;
    return r;
}

/* ---- old generations ---- */

/* Does a mounted view show it? One that cannot be read can be shown no more. */
static int is_shown(const struct reading *rd, const struct env *env, const struct manifest *m,
                    bool *ret, struct verror *err)
{
    unsigned slot;
    *ret = false;
    if (!m || layer_slot(env->dir, m->upper, &slot, NULL) < 0)
        return 0;
    return store_is_leased(rd->store, lease_of_generation(slot, m->generation), ret, err);
}

static void note_old(struct roots *roots, size_t env, const char *path, unsigned number,
                     const struct manifest *m)
{
    struct stat st;
    roots->old = xgrow(roots->old, &roots->alloc_old, roots->n_old + 1, sizeof(*roots->old));
    struct old_generation *old = &roots->old[roots->n_old++];
    *old = (struct old_generation){.env = env, .number = number};
    old->bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    roots->bytes += old->bytes;
    if (!m)
        return;
    old->n_images = m->n_packages;
    old->images = xcalloc(m->n_packages + 1, sizeof(*old->images));
    for (size_t i = 0; i < m->n_packages; i++)
        old->images[i] = m->packages[i].image;
}

/* env: the environment with its lock, index its place in roots.envs. */
static int weigh_old(const struct reading *rd, const struct env *env, size_t index, unsigned number,
                     struct verror *err)
{
    struct manifest *m = NULL;
    _cleanup_free_ char *path = manifest_path(env, number);
    bool shown;
    int r = env_generation(env, number, &m, NULL);
    if (r < 0 && r != -EBADMSG)
        return verror_errno(err, r, "reading %s", path);
    r = is_shown(rd, env, m, &shown, err);
    if (r == 0 && shown)
        r = add_generation(rd, env, number, m, err);
    else if (r == 0)
        note_old(rd->roots, index, path, number, m);
    manifest_free(m);
    return r;
}

/* ---- an environment ---- */

static int add_read(const struct reading *rd, const struct env *env, unsigned number,
                    struct verror *err)
{
    struct manifest *m;
    if (number == env->manifest->generation)
        return add_generation(rd, env, number, env->manifest, err);
    int r = env_generation(env, number, &m, err);
    if (r < 0)
        return r;
    r = add_generation(rd, env, number, m, err);
    manifest_free(m);
    return r;
}

static int read_generations(const struct reading *rd, const struct env *env, size_t index,
                            bool locked, struct verror *err)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    int r = env_generations(env, &numbers, &n, err);
    size_t old = locked && rd->keep && n > rd->keep ? n - rd->keep : 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = i < old ? weigh_old(rd, env, index, numbers[i], err)
                    : add_read(rd, env, numbers[i], err);
    return r;
}

static void note_busy(struct roots *roots, const char *name)
{
    roots->busy = xgrow(roots->busy, &roots->alloc_busy, roots->n_busy + 1, sizeof(*roots->busy));
    roots->busy[roots->n_busy++] = xstrdup(name);
}

/* Its lock is not waited for: its holder may wait for the store's. */
static int open_env(const struct reading *rd, const char *name, struct env **ret, bool *locked,
                    struct verror *err)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    *locked = false;
    if (rd->keep) {
        int r = env_open(rd->home, name, true, false, ret, &why);
        *locked = r == 0;
        if (r != -EAGAIN)
            return r < 0 ? verror_move(err, &why) : 0;
        note_busy(rd->roots, name);
    }
    return env_open(rd->home, name, false, false, ret, err);
}

/* An environment's `current` is there; *ret. Only ENOENT says that it is not. */
static int has_current(const struct home *home, const char *name, bool *ret, struct verror *err)
{
    _cleanup_free_ char *dir = path_join(home->envs, name);
    _cleanup_free_ char *current = path_join(dir, "current");
    struct stat st;
    *ret = lstat(current, &st) == 0;
    if (*ret || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return verror_errno(err, errno, "reading %s", current);
}

/* A folder without a current generation: a killed command made it, or the link was lost, which
 * nobody can tell apart. Its manifests count, until the folder is removed. */
static int read_headless(const struct reading *rd, const char *name, struct verror *err)
{
    struct env env = {.name = (char *)(uintptr_t)name, .lock = -1, .manifest = manifest_new()};
    _cleanup_free_ char *dir = path_join(rd->home->envs, name);
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    env.dir = dir;
    env.manifest->generation = MANIFEST_MAX_GENERATION;
    int r = env_generations(&env, &numbers, &n, err);
    if (r == -ENOENT || r == -ENOTDIR)
        r = 0; /* removed meanwhile, or no folder */
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct manifest *m;
        r = env_generation(&env, numbers[i], &m, err);
        if (r < 0)
            break;
        r = add_generation(rd, &env, numbers[i], m, err);
        manifest_free(m);
    }
    manifest_free(env.manifest);
    return r;
}

static int read_with_current(const struct reading *rd, const char *name, struct verror *err)
{
    struct roots *roots = rd->roots;
    struct env *env;
    bool locked, there = true;
    int r = open_env(rd, name, &env, &locked, err);
    if (r == -ENOENT) {
        int e = has_current(rd->home, name, &there, err);
        if (e < 0 || !there)
            return e; /* removed meanwhile */
    }
    if (r < 0)
        return r;
    size_t index = roots->n_envs, old = roots->n_old;
    r = read_generations(rd, env, index, locked, err);
    if (roots->n_old == old) {
        env_free(env);
        return r;
    }
    roots->envs = xgrow(roots->envs, &roots->alloc_envs, index + 1, sizeof(struct env *));
    roots->envs[roots->n_envs++] = env;
    return r;
}

static int read_env(const struct reading *rd, const char *name, struct verror *err)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    bool current;
    int r = has_current(rd->home, name, &current, &why);
    if (r == 0)
        r = current ? read_with_current(rd, name, &why) : read_headless(rd, name, &why);
    if (r == 0)
        return 0;
    (void)verror_move(err, &why);
    verror_prefix(err, "environment %s", name);
    return verror_hint(err, "nothing was removed; venvfs doctor says how to mend it"), r;
}

int roots_read(const struct home *home, struct store *store, unsigned keep,
               int (*add)(void *arg, const struct store_image *image, const char *what,
                          struct verror *err),
               void *arg, struct roots *ret, struct verror *err)
{
    struct reading rd = {
        .home = home, .store = store, .keep = keep, .add = add, .arg = arg, .roots = ret};
    *ret = (struct roots){.envs = NULL};
    DIR *dir = opendir(home->envs);
    if (!dir)
        return verror_errno(err, errno, "reading %s", home->envs);
    int r = 0;
    errno = 0;
    for (struct dirent *de; r == 0 && (de = readdir(dir)); errno = 0)
        if (env_name_ok(de->d_name))
            r = read_env(&rd, de->d_name, err);
    if (r == 0 && errno)
        r = verror_errno(err, errno, "reading %s", home->envs);
    closedir(dir);
    return r;
}

/* ---- removing ---- */

int roots_drop_old(struct roots *roots, struct store *store, struct verror *err)
{
    for (size_t i = 0; i < roots->n_old; i++) {
        const struct old_generation *old = &roots->old[i];
        _cleanup_free_ char *path = manifest_path(roots->envs[old->env], old->number);
        int r = io_unlink(path);
        if (r < 0 && r != -ENOENT)
            return verror_errno(err, r, "removing %s", path);
        for (size_t k = 0; k < old->n_images; k++)
            store_image_touch(store, &old->images[k]);
    }
    for (size_t i = 0; i < roots->n_envs; i++) {
        int r = io_fsync_dir(roots->envs[i]->dir);
        if (r < 0)
            return verror_errno(err, r, "writing %s", roots->envs[i]->dir);
    }
    return 0;
}

void roots_release(struct roots *roots)
{
    for (size_t i = 0; i < roots->n_envs; i++)
        env_free(roots->envs[i]);
    for (size_t i = 0; i < roots->n_old; i++)
        free(roots->old[i].images);
    for (size_t i = 0; i < roots->n_busy; i++)
        free(roots->busy[i]);
    free(roots->envs);
    free(roots->old);
    free(roots->busy);
    *roots = (struct roots){.envs = NULL};
}

/* ---- holders ---- */

static bool has_image(const struct manifest *m, const struct store_image *image)
{
    for (size_t i = 0; i < m->n_packages; i++)
        if (sha256_equal(&m->packages[i].image.id, &image->id))
            return true;
    return false;
}

/* Adds ", 3" for each generation that has it. */
static int list_generations(const struct env *env, const struct store_image *image,
                            struct strbuf *sb, size_t *count, struct verror *err)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    int r = env_generations(env, &numbers, &n, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct manifest *m;
        r = env_generation(env, numbers[i], &m, err);
        if (r < 0)
            break;
        if (has_image(m, image))
            strbuf_addf(sb, "%s%u", (*count)++ ? ", " : "", numbers[i]);
        manifest_free(m);
    }
    return r;
}

char *roots_holders(const struct home *home, const struct store_image *image, size_t most,
                    struct verror *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    char **names;
    size_t n, named = 0;
    if (env_list(home, &names, &n, err) < 0)
        return NULL;
    for (size_t i = 0; i < n && named < most; i++) {
        _cleanup_strbuf_ struct strbuf numbers = STRBUF_INIT;
        struct env *env;
        size_t count = 0;
        if (env_open(home, names[i], false, false, &env, NULL) < 0)
            continue;
        (void)list_generations(env, image, &numbers, &count, NULL);
        env_free(env);
        if (!count)
            continue;
        strbuf_addf(&sb, "%senvironment %s, generation%s %s", named++ ? "; " : "", names[i],
                    count > 1 ? "s" : "", numbers.buf);
    }
    env_list_free(names, n);
    return named ? xstrdup(sb.buf) : NULL;
}
