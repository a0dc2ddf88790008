/* session: one FUSE mount with its loop thread. */
#ifndef VENVFS_FS_SESSION_H
#define VENVFS_FS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/pool.h"
#include "base/verror.h"
#include "fs/counters.h"
#include "fs/images.h"
#include "fs/realm.h"
#include "fs/recorder.h"
#include "fs/stubs.h"

struct session;

/* What a session uses; all outlives it. */
struct session_context {
    struct images *images;
    struct pool *workers;      /* run what would block the loop */
    struct counters *counters; /* may be shared by sessions */
    int ended; /* an eventfd, signalled when a session's loop ends by itself; overlays wake it, too
                */
    struct stubs *stubs;           /* of environments made and removed from inside; may be NULL */
    struct recorder *recorder;     /* of what imports read in the hub; may be NULL */
    struct log_memory *told;       /* which packages' damage is in the log; may be NULL */
    struct succession *succession; /* of the hub: what a successor needs goes there; may be NULL */
};

/* Mounts at an existing folder, starts the loop, and returns once the kernel's INIT is answered.
 * Takes the realm over, also when it fails. Errors name the mount point and carry a hint. */
int session_start(const struct session_context *context, struct realm *realm,
                  const char *mountpoint, struct session **ret, struct verror *err);

/* The same with the hub's mount and descriptor, which a predecessor had and left in the succession:
 * nothing is mounted, and the requests that it did not answer are answered first. */
int session_resume(const struct session_context *context, struct realm *realm,
                   const char *mountpoint, struct session **ret, struct verror *err);

const char *session_mountpoint(const struct session *session);
struct realm *session_realm(const struct session *session);
/* Does the loop still run (nobody unmounted it from outside)? */
bool session_alive(const struct session *session);
/* Protocol version of the kernel, "7.38". */
void session_protocol(const struct session *session, unsigned *major, unsigned *minor);

/* Unmounts. lazy: detaches a busy mount, whose users go on until they close it; else -EBUSY. */
int session_unmount(struct session *session, bool lazy, struct verror *err);
/* Waits for the loop, which must have been unmounted, and frees. A loop that serves users of a
 * detached mount goes on instead, and false is returned: the session stays for the process's life.
 */
bool session_free(struct session *session); /* frees the realm, too */

/* What the kernel must forget: collected while a realm changes, sent afterwards by a thread that
 * serves nothing and holds no lock that a request needs. */
struct notices {
    struct notice *list;
    size_t n, alloc;
};
void notices_add(void *notices, uint64_t nodeid, const char *name, size_t len);
/* A node's attributes alone: what the kernel has of its content stays. */
void notices_add_attributes(void *notices, uint64_t nodeid);
/* Sends and empties. Returns how many were sent. Blocks until requests under way in these folders
 * are answered. */
size_t notices_send(struct notices *notices, struct session *session);
void notices_release(struct notices *notices);

#endif
