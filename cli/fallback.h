/* Where there is no FUSE: the environment as plain files at its address (--fallback). */
#ifndef VENVFS_CLI_FALLBACK_H
#define VENVFS_CLI_FALLBACK_H

#include "base/verror.h"
#include "cli/session.h"
#include "env/envs.h"

/* Writes the current generation at the environment's address, replacing what an earlier fallback
 * wrote there (ENVS/NAME/fallback.json remembers which folder that was) or our link. Anything else
 * at the address: -EEXIST. Nothing to do when that generation is there already. */
int fallback_write(struct session *s, const struct env *env, struct verror *err);
/* Is the folder at this path one that a fallback of the environment wrote? */
bool fallback_owns(const struct home *home, const char *env_name, const char *path);

#endif
