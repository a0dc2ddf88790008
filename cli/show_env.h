/* Making an environment's current generation visible at its address. */
#ifndef VENVFS_CLI_SHOW_ENV_H
#define VENVFS_CLI_SHOW_ENV_H

#include <stdbool.h>

#include "cli/session.h"

/* VENVFS_NO_DAEMON is set: commands change what is on disk only. */
bool daemon_unwanted(void);

enum show {
    SHOW,             /* the address must lead to the environment already */
    SHOW_AND_LINK,    /* where nothing is at the address, the link is made again */
    SHOW_OR_FALLBACK, /* the same, and without FUSE plain files are written there (--fallback) */
};
/* Makes the current generation answer at the environment's address. With FUSE through the daemon,
 * started when none runs; plain files that a fallback wrote there give way to the link. Without
 * FUSE as plain files, also where a fallback wrote some before: they would be stale otherwise.
 * Where the daemon is unwanted only such plain files are brought up to date.
 *
 * The caller holds the environment's lock, unless `how` is SHOW and fallback_owns() says no.
 * -ENODEV, -EACCES or -EPERM: no FUSE here (see no_fuse()). -ESTALE: address_check(). */
int show_env(struct session *s, const struct env *env, enum show how, struct verror *err);
struct control;
/* Makes a running daemon show the current generation, which must show the same as what is in view:
 * nobody who watches is told. -EIO: whatever the reason, FUSE works. */
int attach_env(struct control *control, const char *name, struct verror *err);
/* Can the environment be seen in the hub from here? After attach_env(). */
int look_at_env(const struct home *home, const char *name, struct verror *err);
/* Tells a running daemon to forget it; starts none. removed: it is about to be removed, and what
 * lies beneath the hub for it goes as well. */
int hide_env(const struct home *home, const char *name, bool removed, struct verror *err);
/* Tells a running daemon that an environment has another name on disk; starts none. */
int rename_shown(const struct home *home, const char *from, const char *to, struct verror *err);
/* What programs wrote through mappings of an environment's files reaches its upper layer. Nothing
 * to do where it is not in view; starts no daemon. */
void flush_env(const struct home *home, const char *name);
/* Is this error of show_env() one that plain files would help against? */
bool no_fuse(int error);
/* Adds the command that writes plain files to the hint of such an error (fs/ says why there is no
 * FUSE). */
void no_fuse_hint(struct verror *err, const char *env_name);

#endif
