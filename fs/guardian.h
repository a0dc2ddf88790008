/* guardian: a process that has the daemon's descriptors and does nothing until it dies.
 *
 * It is made by clone(CLONE_FILES): every descriptor that the daemon opens is the guardian's, too,
 * so that none is closed when the daemon is killed: not that of /dev/fuse, nor what keeps a removed
 * file. Then it becomes the successor by execve(), to which those pass that are registered in the
 * succession. One thread, no allocation; its memory is shared with the daemon until that changes
 * it.
 */
#ifndef VENVFS_FS_GUARDIAN_H
#define VENVFS_FS_GUARDIAN_H

#include <sys/types.h>

#include "base/home.h"
#include "base/verror.h"
#include "fs/succession.h"

/* Starts one for this process, which must have one thread. Returns its pid. */
pid_t guardian_start(const struct home *home, struct succession *s, struct verror *err);
/* This process ends in order: the guardian is ended, and has been when this returns, so that no
 * lock is held by it any more. */
void guardian_stop(pid_t guardian, struct succession *s);

#endif
