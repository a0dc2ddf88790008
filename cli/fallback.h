/* Where there is no FUSE: the environment as plain files at its address (--fallback). */
#ifndef VENVFS_CLI_FALLBACK_H
#define VENVFS_CLI_FALLBACK_H

#include "base/verror.h"
#include "cli/session.h"
#include "env/envs.h"

/* Writes the current generation at the environment's address, replacing what an earlier fallback
 * wrote there (env/plain.h), our link, or stubs. Anything else at the address: -EEXIST. Nothing to
 * do when that generation is there already. The caller holds the environment's lock. */
int fallback_write(struct session *s, const struct env *env, struct verror *err);
/* Is the folder at this path one that a fallback of the environment wrote? */
bool fallback_owns(const struct home *home, const char *env_name, const char *path);
/* Are there plain files of the current generation at the environment's address? */
bool fallback_current(const struct home *home, const struct env *env);
/* Where there is FUSE again: what a fallback wrote at the address gives way to the link to HUB/NAME
 * (in the hub, the daemon saw to that at its start). Nothing to do when there is none. The caller
 * holds the environment's lock. */
int fallback_retire(const struct home *home, const struct env *env, struct verror *err);

#endif
