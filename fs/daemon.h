/* daemon: one per user; the hub's mount, explicit mounts, and the control socket. */
#ifndef VENVFS_FS_DAEMON_H
#define VENVFS_FS_DAEMON_H

#include "base/home.h"
#include "base/verror.h"

/* Runs the daemon in this process until it is told to stop or gets SIGTERM. ready: a descriptor on
 * which one JSON line, {"ok": true} or the error, is written once the hub answers (or failed to);
 * closed then. Returns 0 or a negative errno after everything is unmounted. */
int daemon_run(const struct home *home, int ready, struct verror *err);

/* The same for a daemon that died without unmounting, whose guardian (fs/guardian.h) this process
 * was. succession: the descriptor of what it left. */
int daemon_succeed(const struct home *home, int succession, struct verror *err);

#endif
