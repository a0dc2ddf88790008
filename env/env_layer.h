/* env_layer: the writable layers of an environment, of which its manifest names the one on top.
 *
 *   ENVS/NAME/                      layer 0, that the environment was made with
 *   ENVS/NAME/uppers/N/             a later one; N: the generation that began it
 *     upper/                        what was written (env/upper_read.h)
 *     upper.lock                    held by the daemon that writes to it
 *     slot                          its slot number in nodeids
 *     emptied                       the generation whose folder was removed from inside
 *
 * A generation is shown under the layer that it was written to with. Removing an environment's
 * folder from inside the hub says so in `emptied`, and touches nothing else: what was shown then,
 * and all before it in this layer, comes back only with a layer of its own. So no generation ever
 * shows under whiteouts, or under the files of a tool, that were not meant for it.
 *
 * A layer of its own has a slot of its own: the kernel remembers of a folder that it removed that
 * nothing can be made in it, by nodeid.
 */
#ifndef VENVFS_ENV_ENV_LAYER_H
#define VENVFS_ENV_ENV_LAYER_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/envs.h"

/* The folder of a layer of the environment in `dir`. malloc'ed. */
char *layer_folder(const char *dir, unsigned upper);

/* The last generation that the layer can show no more; 0: it can show all. */
unsigned layer_ended(const char *dir, unsigned upper);
/* Says so. The caller holds the environment's lock. Durable. */
int layer_end(const char *dir, unsigned upper, unsigned generation, struct verror *err);

int layer_slot(const char *dir, unsigned upper, unsigned *slot, struct verror *err);
/* Makes layer `upper` (above 0) with a new slot, in place of what a killed process left. Durable
 * with the folder `dir`. */
int layer_make(const char *dir, unsigned upper, unsigned *slot, struct verror *err);
/* Removes what an ended layer still has on disk, unless a daemon uses it. */
void layer_drop(const char *dir, unsigned upper);

#endif
