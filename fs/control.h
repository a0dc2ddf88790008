/* control: how commands talk to the daemon.
 *
 * A SOCK_STREAM unix socket in the runtime folder, mode 0600 in a 0700 folder; both sides check the
 * peer's uid (SO_PEERCRED). Messages are JSON objects behind a u32 length (little-endian, at most 4
 * MiB): requests {"do": VERB, ...}, answers {"ok": true, ...} or {"ok": false, "errno": N, "error":
 * TEXT}. The first exchange is
 * {"do": "hello", "protocol": 1, "version": "0.1.0"}.
 *
 * Verbs: hello, attach (env: show its current generation; "announce":
 * true when who asks is about to announce what changes), detach (env; "removed": true when it is
 * about to be removed: its stubs go too), rename (env: the name it had, to: the one it
 * has on disk; shown as attach does), mount (env, dir: explicit,
 * read-only), umount (dir, or all), announce (fs/announce.h), repacked (the
 * store has removed packs: close them), status, stop,
 * warm (env: the answer's "files" are what imports read before, [path from its root, slice]), and
 * settle: one step on the upper layer of env, which is in view (fs/overlay_settle.h), by what the
 * request has: "due": true (the answer's "due" says whether a package was touched), "begin": true,
 * or false to give it up, "hide": paths, "unhide": paths, "give-way": [[path, inode, size, mtime,
 * ctime, same bytes], ...] with "images": numbers of those that were installed there, "set-aside":
 * paths with "generation", "absorb": digests of images, "sweep": true. Paths that stayed as they
 * are come back as "kept": [[path, why], ...].
 *
 * The daemon is found through HOME/daemon.lock, which it holds exclusively while it lives, and
 * HOME/daemon.json {"pid", "socket", "version", "hub"}, because XDG_RUNTIME_DIR vanishes at logout.
 */
#ifndef VENVFS_FS_CONTROL_H
#define VENVFS_FS_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"

#define CONTROL_PROTOCOL 1

struct control; /* a connection */

/* Connects to the running daemon. -ENOENT: none runs. -EPROTO: it speaks another protocol. */
int control_connect(const struct home *home, struct control **ret, struct verror *err);
/* Connects, starting the daemon first when none runs (own session, no inherited descriptors, cwd
 * /), waiting on its readiness pipe and healing stale mounts on the way. -ENODEV: no /dev/fuse;
 * -EACCES/-EPERM: not permitted; the hint says what to do. */
int control_start(const struct home *home, struct control **ret, struct verror *err);
void control_close(struct control *c); /* NULL is accepted */
/* One request, one answer. Takes `request` over. An answer with ok false becomes its errno and
 * message. */
int control_call(struct control *c, json_t *request, json_t **answer, struct verror *err);

/* Is FUSE usable here? 0, or -ENODEV / -EACCES / -EPERM with message and hint. */
int fuse_usable(struct verror *err);
/* Unmounts mount points of ours that answer ENOTCONN: the hub, and explicit ones listed in
 * HOME/mounts.json. Returns how many, or a negative errno. */
int heal_stale_mounts(const struct home *home, struct verror *err);
/* The same when the last daemon died without unmounting; else it costs a few system calls, none of
 * which touches a mount. A daemon that starts meanwhile waits for the end of it. */
int heal_after_death(const struct home *home, struct verror *err);

#endif
