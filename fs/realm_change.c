/* realm: composing, switching and forgetting trees. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/envs.h"
#include "fs/nodeid.h"
#include "fs/realm_internal.h"

void realm_open_overlay(struct realm *r, struct liveenv *env, const struct env *disk)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *path = env_upper(disk);
    if (env->overlay) {
        overlay_moved(env->overlay, path); /* it may have been set aside during a rename */
        return;
    }
    struct overlay *overlay;
    if (overlay_open(path, env->slot, &r->overlays, env->inherited, &overlay, &err) < 0) {
        log_line("environment %s is read-only: %s", env->name, verror_message(&err));
        return;
    }
    pthread_mutex_lock(&r->lock);
    env->overlay = overlay;
    pthread_mutex_unlock(&r->lock);
}

int realm_refuse_emptied(const char *name, struct verror *err)
{
    verror_set(err, ENOENT, "environment %s was emptied from inside: its folder was removed", name);
    return verror_hint(err, "venvfs rollback -n %s brings it back", name), -ENOENT;
}

/* *generation: that was tried. */
static int compose(struct realm *r, const char *name, unsigned *generation,
                   struct liveenv **ret_env, struct tree **ret, struct verror *err)
{
    struct env *disk;
    int e = env_open(r->home, name, false, false, &disk, err);
    if (e < 0)
        return e;
    *generation = disk->manifest->generation;
    if (disk->emptied) {
        env_free(disk);
        return realm_refuse_emptied(name, err);
    }
    if (disk->slot == 0 || disk->slot > NODEID_MASK(NODEID_SLOT_BITS)) {
        e = verror_set(err, EBADMSG, "environment %s has the slot %u, which is out of range", name,
                       disk->slot);
        env_free(disk);
        return e;
    }
    pthread_mutex_lock(&r->lock);
    struct liveenv *env = realm_add_env(r, name, disk->slot);
    if (strcmp(env->name, name) != 0) {
        free(env->name);
        env->name = xstrdup(name);
    }
    pthread_mutex_unlock(&r->lock);
    realm_inherit_env(r, env);
    env->ids.succession = r->overlays.succession;
    env->ids.slot = env->slot;

    struct tree_place place = {
        .slot = disk->slot, .is_mount_root = r->address != NULL, .address = r->address};
    e = tree_compose(disk->manifest, &place, r->images, &env->ids, ret, err);
    if (e == 0 && !r->address)
        realm_open_overlay(r, env, disk);
    env_free(disk);
    if (e < 0)
        return verror_prefix(err, "environment %s", name), e;
    *ret_env = env;
    return 0;
}

int realm_compose(struct realm *r, const char *name, struct liveenv **ret_env, struct tree **ret,
                  struct verror *err)
{
    /* Between the reading of a manifest and the leases of its images another may have become the
     * current one, and the first collected with them: no lock is waited for here. */
    for (unsigned before = 0, generation = 0;; before = generation) {
        _cleanup_verror_ struct verror why = VERROR_INIT;
        int e = compose(r, name, &generation, ret_env, ret, &why);
        if ((e == -ESTALE || e == -ENOENT) && generation != before)
            continue;
        return e < 0 ? verror_move(err, &why) : 0;
    }
}

/* ---- what the kernel holds ---- */

struct need {
    const struct realm *realm;
    const struct tree *newer; /* the current tree, or NULL */
    const struct past *older; /* first of the newer past trees ... */
    const struct past *end;   /* ... up to this one, the tree that is asked about */
};

static bool explained(const struct need *n, uint64_t group)
{
    struct view_node node;
    if (n->newer && tree_resolve(n->newer, group, &node))
        return true;
    for (const struct past *p = n->older; p != n->end; p = p->next)
        if (tree_resolve(p->tree, group, &node))
            return true;
    return false;
}

/* tree_each_group(): goes on while the group is no reason to keep the tree. */
static bool no_reason(void *arg, uint64_t group)
{
    const struct need *n = arg;
    return held_count(&n->realm->held, group) == 0 || explained(n, group);
}

static void add_past(struct liveenv *env, struct tree *tree)
{
    struct past *p = xmalloc(sizeof(*p));
    *p = (struct past){.next = env->past, .tree = tree};
    env->past = p;
}

void liveenv_retire(struct liveenv *env)
{
    if (env->current)
        add_past(env, steal_ptr(env->current));
}

/* Another tree of the same generation may be in view. */
static void note_out_of_view(struct realm *r, const struct liveenv *env, unsigned generation)
{
    bool found = env->current && tree_generation(env->current) == generation;
    for (const struct past *p = env->past; p && !found; p = p->next)
        found = tree_generation(p->tree) == generation;
    if (!found)
        succession_note_unview(r->overlays.succession, env->slot, generation);
}

void realm_prune(struct realm *r, struct liveenv *env, struct past **garbage)
{
    struct need need = {.realm = r};
    if (env->counts_unknown)
        return;
    if (env->current && tree_each_group(env->current, no_reason, &need)) {
        /* The kernel holds nothing of it: composed again when it is looked up again. */
        liveenv_retire(env);
    }
    need.newer = env->current;
    struct past **link = &env->past;
    while (*link) {
        struct past *p = *link;
        need.older = env->past;
        need.end = p;
        if (tree_each_group(p->tree, no_reason, &need)) {
            *link = p->next;
            p->next = *garbage;
            *garbage = p;
            note_out_of_view(r, env, tree_generation(p->tree));
        } else {
            link = &p->next;
        }
    }
}

void past_free(struct past *list)
{
    while (list) {
        struct past *next = list->next;
        tree_end_lease(list->tree); /* an overlay may keep it, to compare with */
        tree_unref(list->tree);
        free(list);
        list = next;
    }
}

static bool has_tree(const struct liveenv *env, const struct tree *tree)
{
    bool found = env->current == tree;
    for (const struct past *p = env->past; p && !found; p = p->next)
        found = p->tree == tree;
    return found;
}

void realm_hold(struct realm *r, const struct place *place)
{
    pthread_mutex_lock(&r->lock);
    held_add(&r->held, nodeid_group(place->nodeid));
    /* The tree may have been replaced and given back since it answered this lookup. */
    if (place->tree) {
        struct liveenv *env = realm_find_env(r, tree_slot(place->tree));
        if (env && !has_tree(env, place->tree)) {
            if (!tree_lease(place->tree))
                log_line("environment %s: a file of a generation that was removed is open",
                         env->name);
            add_past(env, tree_ref(place->tree));
        }
    }
    pthread_mutex_unlock(&r->lock);
}

bool realm_is_held(void *realm, uint64_t nodeid)
{
    struct realm *r = realm;
    pthread_mutex_lock(&r->lock);
    const struct liveenv *env = realm_find_env(r, nodeid_slot(nodeid));
    bool held = (env && env->counts_unknown) || held_count(&r->held, nodeid_group(nodeid)) > 0;
    pthread_mutex_unlock(&r->lock);
    return held;
}

struct overlay *realm_overlay(struct realm *r, const char *name)
{
    bool found;
    struct overlay *overlay = NULL;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, strlen(name), &found);
    if (found && !r->names[i].hidden && r->names[i].env && r->names[i].env->current)
        overlay = r->names[i].env->overlay;
    pthread_mutex_unlock(&r->lock);
    return overlay;
}

struct named_overlay {
    char *name;
    struct overlay *overlay;
};

void realm_each_overlay(struct realm *r,
                        void (*fn)(void *arg, const char *name, struct overlay *overlay), void *arg)
{
    pthread_mutex_lock(&r->lock);
    struct named_overlay *list = xcalloc(r->n_names + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < r->n_names; i++) {
        const struct liveenv *env = r->names[i].env;
        if (!r->names[i].hidden && env && env->overlay)
            list[n++] = (struct named_overlay){xstrdup(r->names[i].name), env->overlay};
    }
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < n; i++) {
        fn(arg, list[i].name, list[i].overlay);
        free(list[i].name);
    }
    free(list);
}

static uint64_t root_of(const struct liveenv *env)
{
    return nodeid_of_table(env->slot, NODEID_TABLE_ROOT);
}

size_t realm_past(struct realm *r, uint32_t slot, struct tree ***ret)
{
    size_t n = 0, alloc = 0;
    *ret = NULL;
    pthread_mutex_lock(&r->lock);
    const struct liveenv *env = realm_find_env(r, slot);
    for (const struct past *p = env ? env->past : NULL; p; p = p->next) {
        *ret = xgrow(*ret, &alloc, n + 1, sizeof(struct tree *));
        (*ret)[n++] = tree_ref(p->tree);
    }
    pthread_mutex_unlock(&r->lock);
    return n;
}

void realm_settle(struct realm *r)
{
    struct past *garbage = NULL;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_envs; i++)
        if (r->envs[i]->past)
            realm_prune(r, r->envs[i], &garbage);
    pthread_mutex_unlock(&r->lock);
    past_free(garbage);
}

void realm_forget(struct realm *r, uint64_t nodeid, uint64_t count)
{
    struct past *garbage = NULL;
    if (nodeid == REALM_ROOT)
        return;
    struct overlay *overlay = NULL;
    pthread_mutex_lock(&r->lock);
    if (held_sub(&r->held, nodeid_group(nodeid), count) == 0) {
        struct liveenv *env = realm_find_env(r, nodeid_slot(nodeid));
        overlay = env && !(env->counts_unknown && !overlay_is_since(env->overlay, nodeid))
                      ? env->overlay
                      : NULL;
        if (env && (env->past || held_count(&r->held, root_of(env)) == 0))
            realm_prune(r, env, &garbage);
    }
    pthread_mutex_unlock(&r->lock);
    past_free(garbage);
    if (overlay)
        overlay_forget(overlay, nodeid);
}

/* ---- switching ---- */

static void list_changed(struct realm *r)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    bool later = now.tv_sec > r->changed.tv_sec ||
                 (now.tv_sec == r->changed.tv_sec && now.tv_nsec > r->changed.tv_nsec);
    if (later) {
        r->changed = now;
    } else if (++r->changed.tv_nsec == 1000000000) {
        r->changed.tv_sec++;
        r->changed.tv_nsec = 0;
    }
}

struct tree *realm_tree(struct realm *r, const char *name)
{
    struct tree *tree = NULL;
    bool found;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, strlen(name), &found);
    if (found && r->names[i].env && r->names[i].env->current)
        tree = tree_ref(r->names[i].env->current);
    pthread_mutex_unlock(&r->lock);
    return tree;
}

static int check_exists(struct realm *r, const char *name, struct verror *err)
{
    struct env *disk;
    int e = env_open(r->home, name, false, false, &disk, err);
    if (e < 0)
        return e;
    e = disk->emptied ? realm_refuse_emptied(name, err) : 0;
    env_free(disk);
    return e;
}

bool realm_swap_tree(struct realm *r, const char *name, struct liveenv *env, struct tree *fresh)
{
    pthread_mutex_lock(&r->lock);
    struct realm_name *n = realm_add_name(r, name, strlen(name));
    struct liveenv *old = n->env;
    if (old && old != env) /* removed and made again: another slot */
        liveenv_retire(old);
    liveenv_retire(env);
    env->current = fresh;
    n->env = env;
    pthread_mutex_unlock(&r->lock);
    succession_note_view(r->overlays.succession, env->slot, tree_generation(fresh), name);
    return old == env;
}

static int switch_tree(struct realm *r, const char *name, const struct tree *before,
                       tree_change_fn change, void *arg, struct verror *err)
{
    struct liveenv *env;
    struct tree *fresh;
    pthread_mutex_lock(&r->composing);
    int e = realm_compose(r, name, &env, &fresh, err);
    bool same = false;
    if (e == 0) {
        tree_ref(fresh); /* for the comparison */
        same = realm_swap_tree(r, name, env, fresh);
        if (env->overlay)
            overlay_set_tree(env->overlay, fresh, same ? change : NULL, arg);
    }
    pthread_mutex_unlock(&r->composing);
    if (e < 0)
        return e;
    if (same)
        tree_diff(before, fresh, change, arg);
    else
        change(arg, REALM_ROOT, name, strlen(name));
    tree_unref(fresh);
    return 0;
}

bool realm_show_name(struct realm *r, const char *name)
{
    bool found;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, strlen(name), &found);
    bool visible = found && !r->names[i].hidden;
    if (found && !visible) {
        r->names[i].hidden = false;
        r->n_hidden--;
    } else if (!found) {
        realm_add_name(r, name, strlen(name));
    }
    if (!visible)
        list_changed(r);
    pthread_mutex_unlock(&r->lock);
    return visible;
}

int realm_attach(struct realm *r, const char *name, tree_change_fn change, void *arg,
                 struct verror *err)
{
    realm_inherit_name(r, name, strlen(name));
    struct tree *before = realm_tree(r, name);
    if (before) {
        int e = switch_tree(r, name, before, change, arg, err);
        tree_unref(before);
        return e;
    }
    int e = check_exists(r, name, err);
    if (e < 0)
        return e;
    bool known = realm_show_name(r, name);
    change(arg, REALM_ROOT, name, strlen(name)); /* the kernel may remember that it was missing */
    if (!known)
        change(arg, REALM_ROOT, NULL, 0);
    return 0;
}

struct liveenv *realm_hide_name(struct realm *r, const char *name, bool *found)
{
    size_t i = realm_find_name(r, name, strlen(name), found);
    *found = *found && !r->names[i].hidden;
    if (!*found)
        return NULL;
    struct liveenv *env = r->names[i].env;
    r->names[i].env = NULL;
    r->names[i].hidden = true;
    r->n_hidden++;
    list_changed(r);
    return env;
}

int realm_detach(struct realm *r, const char *name, tree_change_fn change, void *arg,
                 struct verror *err)
{
    bool found;
    pthread_mutex_lock(&r->lock);
    struct liveenv *env = realm_hide_name(r, name, &found);
    if (env)
        liveenv_retire(env);
    pthread_mutex_unlock(&r->lock);
    if (!found)
        return verror_set(err, ENOENT, "the hub shows no environment named %s", name);
    change(arg, REALM_ROOT, name, strlen(name));
    change(arg, REALM_ROOT, NULL, 0);
    return 0;
}

/* One of the new name may have been removed while no daemon was asked: it gives way. */
static void move_name(struct realm *r, struct liveenv *env, const char *to)
{
    struct realm_name *n = realm_add_name(r, to, strlen(to));
    if (n->env && n->env != env)
        liveenv_retire(n->env);
    n->env = env;
    free(env->name);
    env->name = xstrdup(to);
}

/* Also of one that is not in view: its layer may be open. With `composing` held. */
static void move_upper(struct realm *r, const char *to)
{
    struct env *disk;
    if (env_open(r->home, to, false, false, &disk, NULL) < 0)
        return;
    _cleanup_free_ char *path = env_upper(disk);
    pthread_mutex_lock(&r->lock);
    const struct liveenv *env = realm_find_env(r, disk->slot);
    struct overlay *overlay = env ? env->overlay : NULL;
    pthread_mutex_unlock(&r->lock);
    env_free(disk);
    if (overlay)
        overlay_moved(overlay, path);
}

int realm_rename(struct realm *r, const char *from, const char *to, tree_change_fn change,
                 void *arg, struct verror *err)
{
    bool found;
    pthread_mutex_lock(&r->composing);
    pthread_mutex_lock(&r->lock);
    struct liveenv *env = realm_hide_name(r, from, &found);
    if (env)
        move_name(r, env, to);
    pthread_mutex_unlock(&r->lock);
    move_upper(r, to);
    pthread_mutex_unlock(&r->composing);
    if (found)
        change(arg, REALM_ROOT, from, strlen(from));
    change(arg, REALM_ROOT, to, strlen(to));
    change(arg, REALM_ROOT, NULL, 0);
    realm_show_name(r, to);
    return realm_attach(r, to, change, arg, err);
}
