/* warmer: has the kernel's caches filled with what imports of an environment read before, so that
 * the first one finds them filled.
 *
 * `venvfs warm NAME` walks through the mount, at the lowest priority, along the list that the verb
 * "warm" gives it: the files of the environment's images that imports of any environment read, in
 * the order they did (fs/recorder.h). One process at a time; what is asked for meanwhile waits, and
 * only the latest, so that making many environments costs little more than making one.
 *
 * All functions belong to the control thread.
 */
#ifndef VENVFS_FS_WARMER_H
#define VENVFS_FS_WARMER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/home.h"
#include "fs/errand.h"
#include "fs/realm.h"
#include "fs/recorder.h"

/* Bytes that one walk brings into the page cache at most, and paths of its list. */
#define WARMER_BYTES (512u << 20)
#define WARMER_FILES 50000u

struct warmer {
    bool off;
    struct errand errand;
    char *next; /* environment to be walked, or NULL */
    /* What was walked last, so that a command that only looks starts nothing. */
    char *walked;
    uint32_t slot;
    unsigned generation;
};

/* Reads VENVFS_WARM: "off" or "0". */
void warmer_init(struct warmer *w);
/* An environment's generation has come into view. */
void warmer_want(struct warmer *w, const char *env, uint32_t slot, unsigned generation);
/* Starts what is wanted, also for environments whose imports have begun. Returns as
 * autosettle_tick(). realm: the hub's, or NULL. */
int warmer_tick(struct warmer *w, const struct home *home, struct realm *realm,
                struct recorder *recorder);
/* Ends the process at work, and what was wanted; idempotent. */
void warmer_stop(struct warmer *w);
/* The same when it is for this environment, which goes out of view. */
void warmer_leave(struct warmer *w, const char *env);

/* The list for an environment in view: [[path from its root, slice], ...]; a folder's
 * ends with '/'. A new reference.
 * -ENOENT: not in view. */
int warmer_list(struct realm *realm, const struct home *home, const char *env, json_t **ret,
                struct verror *err);

#endif
