/* private: an environment mounted for one command, where this user may not mount for all to see.
 *
 * DESIGN. The command's process enters a user namespace, in which it may mount, and a mount
 * namespace; there HUB is a small tmpfs with one folder, the mount point. It opens /dev/fuse itself
 * (the kernel takes only a descriptor of the mount's own user namespace), mounts, and hands the
 * descriptor to a process that was forked before and stayed outside. So the kernel unmounts when
 * the last process that can see the mount is gone, the command's children included, and the server
 * learns it from its descriptor and ends. It is no child of the command, which may wait for all it
 * has, and belongs to no terminal.
 *
 * The server has no socket and no lock: any number of them may run, beside the user's daemon even,
 * which knows nothing of them. What it shows is the generation that was current, to the end.
 */
#ifndef VENVFS_FS_PRIVATE_H
#define VENVFS_FS_PRIVATE_H

#include "base/home.h"
#include "base/verror.h"

/* Takes this process, which must have one thread only, into namespaces of its own with the
 * environment at HUB/NAME; `address` is the path that its files name. User and group keep their
 * numbers, all other appear as nobody; what is executed later has no privilege it had not before.
 * 0, or a negative errno: then nothing of this process may be relied on but to say so and end.
 * -EPERM: not permitted here, and why. Blocks until the server answers, 30 s at most. */
int private_mount(const struct home *home, const char *name, const char *address,
                  struct verror *err);

/* The server: fuse is the descriptor of a mount that waits for its first answer. ready: as
 * daemon_run(). Returns when the mount is gone or SIGTERM came. */
int private_serve(const struct home *home, const char *name, const char *address, int fuse,
                  int ready, struct verror *err);

#endif
