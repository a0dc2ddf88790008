/* Making an environment's current generation visible through the daemon. */
#ifndef VENVFS_CLI_SHOW_ENV_H
#define VENVFS_CLI_SHOW_ENV_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"

/* VENVFS_NO_DAEMON is set: commands change what is on disk only. */
bool daemon_unwanted(void);

/* Tells the daemon (started when none runs) to show the environment, and looks through this
 * process's own eyes that it answers at `address`, which must lead to HUB/NAME. -ENODEV, -EACCES or
 * -EPERM: no FUSE here (see no_fuse()). 0 at once where the daemon is unwanted. */
int show_env(const struct home *home, const char *name, const char *address, struct verror *err);
/* Tells a running daemon to forget it; starts none. removed: it is about to be removed, and what
 * lies beneath the hub for it goes as well. */
int hide_env(const struct home *home, const char *name, bool removed, struct verror *err);
/* Is this error of show_env() one that plain files would help against? */
bool no_fuse(int error);
/* Adds how to get plain files to the hint of such an error (fs/ says why there is no FUSE). */
void no_fuse_hint(struct verror *err, const char *env_name);

#endif
