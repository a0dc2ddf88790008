/* announce: lets those who watch with inotify see a switch.
 *
 * DESIGN. No invalidation makes an event; only system calls on the mount do. So a process of
 * the command that asked for a switch, the announcer, calls for each changed name what would have
 * changed it: it removes what has gone, makes what has come, touches what has other bytes. The
 * daemon knows it by the pid in the requests and answers as if it did so, while nothing is done: a
 * name to be removed is shown to the announcer alone, as a phantom that nobody else ever gets; one
 * to be made is missing for it, and what it makes is the node that is there. So watchers get
 * IN_DELETE, IN_CREATE and IN_MODIFY with the right names, no layer is written, and what the kernel
 * remembers afterwards is what is there.
 *
 * Who watches a folder of a package, or a file, watches the inode of the version that was there
 * when he began. Such inodes are held, and are reached again: in steps of the announcement its
 * names lead the announcer, and nobody else, to what they led to in an older generation.
 *
 * Who watches a whole tree learns of a new folder in it, and then begins to watch that, too late
 * for the files in it. He lists it when he does so; what lies in new folders that are listed
 * meanwhile is touched as well. Bytecode is not told of, but for its folder.
 *
 * While it goes on the kernel remembers none of the announced names, so that the announcer's calls
 * ask for them.
 *
 * Invariants:
 *  1. a change that the announcer asks for is never carried out, whatever it is;
 *  2. a removal is answered with success only when the kernel removes what was shown to the
 *     announcer for it: that lookup is the announcer's request before it, so the kernel holds the
 *     folder's lock from one to the other; or when it is a file in a folder that was replaced;
 *  3. no folder of an image is ever removed: its inode would be dead when a rollback shows it
 * again. A file's is as before once it is looked up.
 *
 * LOCKS: one per session, a leaf. The loop takes it; the control thread does for short.
 */
#ifndef VENVFS_FS_ANNOUNCE_H
#define VENVFS_FS_ANNOUNCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/session.h"

/* The most calls of one announcement: above that, packages are told of and not all their files. A
 * queue of inotify holds 16,384 events. */
#define ANNOUNCE_CALLS 2048u

/* A name that is in the environment's root for its announcer only: so it knows that its requests
 * are recognised, before it makes the first. */
#define ANNOUNCE_PROBE ".wh..wh..announce"

/* ---- the control thread ---- */

struct announcement;

/* Before a switch: remembers what is in view. NULL when nothing is: then nobody watches it. */
struct announcement *announce_prepare(struct session *session, const char *env_name);
void announcement_free(struct announcement *a); /* NULL is accepted */
/* After the switch and before its invalidations are sent. Takes `a` over. client: a number of the
 * announcer's connection; pid: as the daemon sees it. False: there is nothing to announce. */
bool announce_begin(struct announcement *a, uint64_t client, pid_t pid);
/* The next step, after the invalidations were sent. False: it is over. answer gets "calls", an
 * array of [call, path in the environment, type]: "touch", "remove" or "make" a "file", "folder" or
 * "link"; and "wait", milliseconds that watchers should get the processor before the step after it.
 */
bool announce_step(struct session *session, uint64_t client, json_t *answer);
/* The announcer will call nothing more. */
void announce_end(struct session *session, uint64_t client);

#endif
