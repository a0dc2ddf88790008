/* roots: what environments need of the store, and which of their generations are old.
 *
 * Every generation that is kept is a root: its packages' images. With a number of generations to
 * keep, older ones go, except those that a mounted view shows (store/lease.h) and those of an
 * environment that another process is changing. A manifest that cannot be read ends it all: it is
 * never taken for an empty one, and a folder whose `current` is missing counts with all manifests.
 */
#ifndef VENVFS_ENV_ROOTS_H
#define VENVFS_ENV_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/envs.h"
#include "store/store.h"

struct old_generation {
    size_t env;                 /* index in roots.envs */
    unsigned number;            /* of the generation */
    uint64_t bytes;             /* of its manifest */
    struct store_image *images; /* NULL: its manifest cannot be read */
    size_t n_images;
};

struct roots {
    struct env **envs; /* those that have old generations, locked */
    size_t n_envs, alloc_envs;
    struct old_generation *old;
    size_t n_old, alloc_old;
    char **busy; /* names of environments that are being changed and so keep their generations */
    size_t n_busy, alloc_busy;
    uint64_t bytes;       /* of all old manifests */
    size_t n_generations; /* that stay, of all environments */
};

/* Calls add() with each image of each generation that stays. `keep`: so many of each environment's
 * newest generations, the current one included; 0: all. The caller holds the store's lock
 * exclusively, so no environment gets a generation with packages, or another name, meanwhile. */
int roots_read(const struct home *home, struct store *store, unsigned keep,
               int (*add)(void *arg, const struct store_image *image, const char *what,
                          struct verror *err),
               void *arg, struct roots *ret, struct verror *err);
/* Removes the old generations, durably. Edits and upper layers that they had stay. */
int roots_drop_old(struct roots *roots, struct store *store, struct verror *err);
void roots_release(struct roots *roots);

/* Says which generations have an image, for messages: "environment web, generation 3" or
 * "environment web, generations 2, 3"; malloc'ed, NULL: none. At most `most` environments are
 * named. */
char *roots_holders(const struct home *home, const struct store_image *image, size_t most,
                    struct verror *err);

#endif
