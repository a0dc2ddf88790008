/* realm: environments that are made, removed and begun anew from inside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/envs.h"
#include "env/inside.h"
#include "fs/intent.h"
#include "fs/nodeid.h"
#include "fs/realm_internal.h"

enum { NAME_LIMIT = 100 }; /* env_name_ok() */

/* ---- making ---- */

static int check_name(const char *name)
{
    if (strcmp(name, REALM_TAG_NAME) == 0)
        return -EEXIST;
    if (strlen(name) > NAME_LIMIT)
        return -ENAMETOOLONG;
    return env_name_ok(name) ? 0 : -EINVAL;
}

static struct manifest *new_manifest(const struct realm *r, const char *name,
                                     const struct manifest *before)
{
    static const char reason[] = "made from inside the hub";
    _cleanup_free_ char *address = path_join(r->home->hub, name);
    const struct manifest like = {.address = address};
    return manifest_bare(before ? before : &like, reason);
}

/* Most changes take less than a second; nobody waits longer in here. */
static int open_locked(struct realm *r, const char *name, struct env **ret, struct verror *err)
{
    enum { TRIES = 50, PAUSE_NS = 20 * 1000 * 1000 };
    int e = env_open(r->home, name, true, false, ret, err);
    for (int i = 0; i < TRIES && e == -EAGAIN; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        verror_release(err);
        e = env_open(r->home, name, true, false, ret, err);
    }
    return e;
}

/* The environment's record, locked; one that was emptied, or a new one. */
static int take_record(struct realm *r, const char *name, struct env **ret, struct verror *err)
{
    int e = open_locked(r, name, ret, err);
    if (e == -ENOENT) {
        verror_release(err);
        e = env_try_create(r->home, name, ret, err);
    } else if (e == 0 && !(*ret)->emptied) {
        env_free(steal_ptr(*ret));
        e = verror_set(err, EEXIST, "environment %s exists, though the hub does not show it", name);
    }
    return e == -EAGAIN ? -EBUSY : e;
}

static int make_record(struct realm *r, const char *name, struct verror *err)
{
    struct env *disk = NULL;
    int e = take_record(r, name, &disk, err);
    if (e < 0)
        return e;
    e = env_commit(disk, new_manifest(r, name, disk->manifest), err);
    env_free(disk);
    return e;
}

static int set_mode(struct realm *r, const struct place *root, mode_t mode)
{
    const struct overlay_attr attr = {.set_mode = true, .mode = mode};
    _cleanup_place_ struct place place = {0};
    int e = realm_resolve(r, root->nodeid, &place);
    if (e == 0 && place.overlay)
        e = overlay_setattr(&place, &attr);
    return e;
}

/* A predecessor made it for the same request. */
static int find_made(struct realm *r, const char *name, struct place *ret, struct verror *err)
{
    const struct place root = {.nodeid = REALM_ROOT};
    struct place place = {0};
    int e = realm_lookup(r, &root, name, strlen(name), &place, err);
    if (e == 0)
        e = realm_resolve(r, place.nodeid, ret);
    place_release(&place);
    return e;
}

int realm_make(struct realm *r, const char *name, mode_t mode, struct place *ret,
               struct verror *err)
{
    bool found;
    *ret = (struct place){0};
    int e = realm_is_hub(r) ? check_name(name) : -EROFS;
    if (e < 0)
        return e;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, strlen(name), &found);
    found = found && !r->names[i].hidden;
    pthread_mutex_unlock(&r->lock);
    if (found)
        return intent_was_set(NULL) ? find_made(r, name, ret, err) : -EEXIST;
    intent_set(0);
    e = make_record(r, name, err);
    if (e < 0)
        return e;
    realm_show_name(r, name);
    struct place root = {0};
    pthread_mutex_lock(&r->composing);
    e = realm_compose_name(r, name, &root, err);
    pthread_mutex_unlock(&r->composing);
    if (e < 0)
        return e;
    if ((mode & 07777) != 0755)
        e = set_mode(r, &root, mode);
    if (e == 0)
        e = realm_resolve(r, root.nodeid, ret);
    place_release(&root);
    return e;
}

/* ---- what is in view ---- */

/* An environment as a change from inside finds it. */
struct subject {
    struct liveenv *env;
    struct overlay *overlay; /* NULL: its layer is another daemon's */
    struct tree *tree;       /* a reference */
    char *name;
};

static void subject_release(struct subject *s)
{
    tree_unref(s->tree);
    free(s->name);
    *s = (struct subject){0};
}
#define _cleanup_subject_ _cleanup_(subject_release)

/* Under the lock. */
static bool take_subject(struct liveenv *env, struct subject *ret)
{
    if (!env || !env->current)
        return false;
    *ret = (struct subject){.env = env,
                            .overlay = env->overlay,
                            .tree = tree_ref(env->current),
                            .name = xstrdup(env->name)};
    return true;
}

static bool subject_of_name(struct realm *r, const char *name, struct subject *ret)
{
    bool found;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, strlen(name), &found);
    found = found && !r->names[i].hidden && take_subject(r->names[i].env, ret);
    pthread_mutex_unlock(&r->lock);
    return found;
}

static bool subject_of_root(struct realm *r, uint64_t nodeid, struct subject *ret)
{
    if (!realm_is_hub(r) || !nodeid_is_table(nodeid) || nodeid_index(nodeid) != NODEID_TABLE_ROOT ||
        nodeid_slot(nodeid) == 0)
        return false;
    pthread_mutex_lock(&r->lock);
    bool found = take_subject(realm_find_env(r, nodeid_slot(nodeid)), ret);
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* The record of what is in view, locked. A command may have made a newer generation, which is not
 * in view yet: then nothing may be said of the current one. */
static int open_record(struct realm *r, const struct subject *s, struct env **ret,
                       struct verror *err)
{
    int e = open_locked(r, s->name, ret, err);
    if (e < 0)
        return e == -EAGAIN ? -EBUSY : e;
    if ((*ret)->slot == tree_slot(s->tree) &&
        (*ret)->manifest->generation == tree_generation(s->tree))
        return 0;
    env_free(steal_ptr(*ret));
    return verror_set(err, EBUSY, "environment %s was changed meanwhile", s->name);
}

/* ---- removing ---- */

/* In view, so that what it shows can be looked at. */
static int bring_into_view(struct realm *r, const char *name, struct verror *err)
{
    struct place root = {.nodeid = REALM_ROOT}, place;
    int e = realm_lookup(r, &root, name, strlen(name), &place, err);
    bool file = e == 0 && !place.tree;
    place_release(&place);
    return file ? -ENOTDIR : e;
}

/* The kernel tells a moment later what it has forgotten. */
static bool becomes_unused(struct overlay *overlay)
{
    enum { TRIES = 10, PAUSE_NS = 2 * 1000 * 1000 };
    for (int i = 0; i < TRIES && !overlay_is_unused(overlay); i++)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return overlay_is_unused(overlay);
}

/* A record of nothing goes, too: who makes and removes folders with a tool leaves none behind. */
static void drop_record(struct env *disk, struct overlay *overlay)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (inside_only(disk) && becomes_unused(overlay) && env_remove(disk, &err) < 0)
        log_line("%s", verror_message(&err));
}

int realm_remove(struct realm *r, const char *name, struct verror *err)
{
    _cleanup_subject_ struct subject s = {.env = NULL};
    struct env *disk = NULL;
    bool found;
    int e = realm_is_hub(r) ? bring_into_view(r, name, err) : -EROFS;
    if (e == -ENOENT && intent_was_set(NULL))
        return 0; /* a predecessor removed it for the same request */
    if (e == 0 && !subject_of_name(r, name, &s))
        e = -ENOENT;
    if (e == 0 && !s.overlay)
        e = -EROFS;
    if (e == 0 && !overlay_shows_nothing(s.overlay))
        e = -ENOTEMPTY;
    if (e == 0)
        e = open_record(r, &s, &disk, err);
    if (e == 0) {
        intent_set(0);
        e = env_empty(disk, err);
    }
    if (e == 0) {
        pthread_mutex_lock(&r->lock);
        struct liveenv *env = realm_hide_name(r, name, &found);
        if (env)
            liveenv_retire(env);
        pthread_mutex_unlock(&r->lock);
        overlay_abandon(s.overlay);
        drop_record(disk, s.overlay);
    }
    env_free(disk);
    return e;
}

/* ---- beginning anew ---- */

bool realm_was_emptied(struct realm *r, uint64_t nodeid)
{
    _cleanup_subject_ struct subject s = {.env = NULL};
    return subject_of_root(r, nodeid, &s) && s.overlay && overlay_hides_all(s.overlay);
}

static int commit_anew(struct env *disk, struct verror *err)
{
    int e = env_empty(disk, err);
    if (e < 0)
        return e;
    static const char reason[] = "emptied and begun anew from inside";
    return env_commit_over(disk, manifest_bare(disk->manifest, reason), err);
}

/* Nothing that the kernel knows changes: what is below was hidden, and now is not there. */
static int show_anew(struct realm *r, const struct subject *s, struct verror *err)
{
    struct liveenv *env;
    struct tree *fresh;
    pthread_mutex_lock(&r->composing);
    int e = realm_compose(r, s->name, &env, &fresh, err);
    if (e == 0) {
        tree_ref(fresh);
        realm_swap_tree(r, s->name, env, fresh);
        overlay_set_tree(s->overlay, fresh, NULL, NULL);
        overlay_clear(s->overlay);
        tree_unref(fresh);
    }
    pthread_mutex_unlock(&r->composing);
    realm_settle(r);
    return e;
}

int realm_begin_anew(struct realm *r, uint64_t nodeid, struct verror *err)
{
    _cleanup_subject_ struct subject s = {.env = NULL};
    struct env *disk = NULL;
    if (!subject_of_root(r, nodeid, &s) || !s.overlay || !overlay_hides_all(s.overlay))
        return 0;
    int e = open_record(r, &s, &disk, err);
    if (e == 0)
        e = commit_anew(disk, err);
    if (e == 0)
        e = show_anew(r, &s, err);
    env_free(disk);
    return e;
}
