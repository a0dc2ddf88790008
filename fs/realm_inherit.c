/* realm: going on with what a predecessor had in view. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "env/envs.h"
#include "fs/nodeid.h"
#include "fs/realm_internal.h"

void realm_await(struct realm *r)
{
    succession_read(r->overlays.succession, &r->inheritance);
    for (size_t i = 0; i < r->inheritance.n; i++) {
        const struct inherited_env *from = &r->inheritance.envs[i];
        if (!from->name)
            continue;
        struct liveenv *env = realm_add_env(r, from->name, from->slot);
        env->inherited = from;
        env->counts_unknown = true;
        bool found;
        size_t at = realm_find_name(r, from->name, strlen(from->name), &found);
        if (found) /* else it was removed from disk */
            r->names[at].env = env;
        atomic_fetch_add(&r->n_inherited, 1);
    }
}

static int compose_generation(struct realm *r, struct liveenv *env, const struct env *disk,
                              unsigned generation, struct tree **ret, struct verror *err)
{
    struct manifest *older = NULL;
    const struct manifest *m = disk->manifest;
    int e = 0;
    if (m->generation != generation) {
        e = env_generation(disk, generation, &older, err);
        m = older;
    }
    struct tree_place place = {.slot = env->slot};
    if (e == 0)
        e = tree_compose(m, &place, r->images, &env->ids, ret, err);
    manifest_free(older);
    return e;
}

/* Oldest first; each becomes the current one. */
static void compose_all(struct realm *r, struct liveenv *env, const struct env *disk)
{
    const struct inherited_env *from = env->inherited;
    for (size_t i = 0; i < from->n_generations; i++) {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        struct tree *tree;
        if (compose_generation(r, env, disk, from->generations[i], &tree, &err) < 0) {
            log_line("environment %s: generation %u is not in view any more: %s", env->name,
                     from->generations[i], verror_message(&err));
            continue;
        }
        pthread_mutex_lock(&r->lock);
        liveenv_retire(env);
        env->current = tree;
        pthread_mutex_unlock(&r->lock);
    }
}

static void inherit_layer(struct realm *r, struct liveenv *env, const struct env *disk)
{
    realm_open_overlay(r, env, disk);
    if (!env->overlay || !env->current)
        return;
    struct tree **past;
    size_t n = realm_past(r, env->slot, &past);
    overlay_set_tree(env->overlay, env->current, NULL, NULL);
    overlay_inherit(env->overlay, past, n);
    for (size_t i = 0; i < n; i++)
        tree_unref(past[i]);
    free(past);
}

void realm_inherit_env(struct realm *r, struct liveenv *env)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct env *disk = NULL;
    if (!env->inherited)
        return;
    ids_inherit(&env->ids, env->inherited->ids, env->inherited->n_ids);
    env->ids.succession = r->overlays.succession;
    env->ids.slot = env->slot;
    int e = env_open(r->home, env->name, false, false, &disk, &err);
    /* Its generation on disk is of another layer when it was emptied, and brought back. */
    if (e == 0 && disk->slot == env->slot && !disk->emptied) {
        compose_all(r, env, disk);
        inherit_layer(r, env, disk);
    } else if (e < 0) {
        log_line("environment %s is not in view any more: %s", env->name, verror_message(&err));
    }
    if (e == 0)
        env_free(disk);
    env->inherited = NULL;
    atomic_fetch_sub(&r->n_inherited, 1);
}

void realm_inherit_slot(struct realm *r, uint32_t slot)
{
    if (atomic_load(&r->n_inherited) == 0)
        return;
    pthread_mutex_lock(&r->composing);
    pthread_mutex_lock(&r->lock);
    struct liveenv *env = realm_find_env(r, slot);
    pthread_mutex_unlock(&r->lock);
    if (env)
        realm_inherit_env(r, env);
    pthread_mutex_unlock(&r->composing);
}

void realm_inherit_name(struct realm *r, const char *name, size_t len)
{
    bool found;
    if (atomic_load(&r->n_inherited) == 0)
        return;
    pthread_mutex_lock(&r->composing);
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, len, &found);
    struct liveenv *env = found ? r->names[i].env : NULL;
    pthread_mutex_unlock(&r->lock);
    if (env)
        realm_inherit_env(r, env);
    pthread_mutex_unlock(&r->composing);
}

/* A predecessor that was killed during a switch may not have told all of it. */
static void tell_again(struct realm *r, uint32_t slot, const char *name, tree_change_fn change,
                       void *arg)
{
    struct tree **past, *now = realm_tree(r, name);
    size_t n = realm_past(r, slot, &past);
    for (size_t i = 0; i < n; i++) {
        if (now)
            tree_diff(past[i], now, change, arg);
        tree_unref(past[i]);
    }
    free(past);
    tree_unref(now);
}

void realm_inherit(struct realm *r, tree_change_fn change, void *arg)
{
    for (size_t i = 0; i < r->inheritance.n; i++) {
        const struct inherited_env *from = &r->inheritance.envs[i];
        if (!from->name)
            continue;
        _cleanup_verror_ struct verror err = VERROR_INIT;
        realm_inherit_slot(r, from->slot);
        tell_again(r, from->slot, from->name, change, arg);
        if (realm_attach(r, from->name, change, arg, &err) < 0)
            log_line("environment %s: %s", from->name, verror_message(&err));
    }
    /* Names that came and went meanwhile. */
    change(arg, REALM_ROOT, NULL, 0);
}
