/* What realm.c and realm_change.c share. */
#ifndef VENVFS_FS_REALM_INTERNAL_H
#define VENVFS_FS_REALM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/held.h"
#include "fs/ids.h"
#include "fs/realm.h"

struct past {
    struct past *next; /* older */
    struct tree *tree;
};

/* An environment that is or was in view. */
struct liveenv {
    char *name;
    uint32_t slot;
    struct ids ids;          /* realm->composing */
    struct overlay *overlay; /* set once, with the realm's lock; NULL: shown read-only */
    struct tree *current;    /* realm->lock; NULL: not composed, or detached */
    struct past *past;       /* realm->lock; newest first */
    /* What a predecessor had of it; realm->composing. NULL: nothing, or it is taken over. */
    const struct inherited_env *inherited;
    /* realm->lock: it was taken over, and how often the kernel was given its nodeids is not known.
     * What it may hold is held. */
    bool counts_unknown;
};

/* A name in the hub. */
struct realm_name {
    uint64_t cookie; /* 62-bit hash of the name: the order and the offset of directory entries */
    char *name;
    struct liveenv *env; /* NULL until first looked up */
    bool hidden;         /* detached, though it may be on disk */
};

struct realm {
    const struct home *home; /* outlives the realm */
    struct images *images;
    char *address; /* explicit mounts; NULL: the hub */
    struct overlay_context overlays;
    struct inheritance inheritance;
    atomic_size_t n_inherited; /* environments that are still to be taken over */

    pthread_mutex_t composing;
    pthread_mutex_t lock;     /* everything below */
    struct realm_name *names; /* sorted by cookie, then name */
    size_t n_names, alloc_names, n_hidden;
    struct liveenv **envs; /* sorted by slot */
    size_t n_envs, alloc_envs;
    struct held held;
    struct timespec changed; /* of the list of names */
};

#define REALM_TAG_NAME "CACHEDIR.TAG" /* the one name in the hub that is no environment's */

static inline bool realm_is_hub(const struct realm *realm)
{
    return !realm->address;
}

/* The hub's own folder? */
static inline bool realm_is_root(const struct place *place)
{
    return !place->tree && place->nodeid == REALM_ROOT;
}

/* All under the lock. */
size_t realm_find_name(const struct realm *realm, const char *name, size_t len, bool *found);
struct realm_name *realm_add_name(struct realm *realm, const char *name, size_t len);
struct liveenv *realm_find_env(const struct realm *realm, uint32_t slot);
struct liveenv *realm_add_env(struct realm *realm, const char *name, uint32_t slot);
/* Drops trees that nothing held needs; *garbage gets them, to be released without the lock. */
void realm_prune(struct realm *realm, struct liveenv *env, struct past **garbage);
void past_free(struct past *list);
/* Moves the current tree to the past, where realm_prune() decides. */
void liveenv_retire(struct liveenv *env);

/* Takes a name out of the hub; returns what was in view under it, or NULL. */
struct liveenv *realm_hide_name(struct realm *realm, const char *name, bool *found);

/* Without the lock: makes the name visible; returns whether it was already. */
bool realm_show_name(struct realm *realm, const char *name);
/* Without the lock, with `composing` held: puts `fresh` (taken over) in the place of what was in
 * view under the name. Returns whether it is the same environment, so that its root keeps its
 * nodeid. */
bool realm_swap_tree(struct realm *realm, const char *name, struct liveenv *env,
                     struct tree *fresh);
/* With `composing` held and without the lock: composes the environment of a name and puts it in
 * view. ret: its root. -ENOENT, -EIO. */
int realm_compose_name(struct realm *realm, const char *name, struct place *ret,
                       struct verror *err);
/* Of a new realm: reads what there is to take over. */
void realm_await(struct realm *realm);
/* Without any lock: what a predecessor had in view under the name, or of the slot, is again. */
void realm_inherit_name(struct realm *realm, const char *name, size_t len);
void realm_inherit_slot(struct realm *realm, uint32_t slot);
/* The same with `composing` held. */
void realm_inherit_env(struct realm *realm, struct liveenv *env);
/* The writable layer of an environment in the hub. Where it cannot be had the environment is shown
 * read-only: a write says EROFS then, and the log why. With `composing` held. */
struct env;
void realm_open_overlay(struct realm *realm, struct liveenv *env, const struct env *disk);
/* With `composing` held and without the lock: composes the current generation on disk. */
int realm_compose(struct realm *realm, const char *name, struct liveenv **env, struct tree **ret,
                  struct verror *err);

#endif
