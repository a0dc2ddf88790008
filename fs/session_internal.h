/* What session.c, ops.c, reads.c, damage.c and notices.c share. */
#ifndef VENVFS_FS_SESSION_INTERNAL_H
#define VENVFS_FS_SESSION_INTERNAL_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "fs/session.h"
#include "fs/succession.h"
#include "fs/waiting.h"

/* About 30 years: the kernel remembers until it is told otherwise. */
#define FOREVER 1e9

struct session {
    struct session_context context;
    struct realm *realm;
    char *mountpoint;
    struct fuse_session *fuse;
    pthread_t thread;
    atomic_bool alive;
    atomic_bool unmounting;
    pthread_t loop; /* set by itself before the first request */

    /* The loop thread's own. */
    struct waiting waiting;
    uint64_t request; /* the request in work: what it is, and of which node */
    uint64_t request_node;
    uint32_t request_opcode;
    uint64_t init_unique; /* of the kernel's INIT request; 0: answered or not seen */
    uint32_t init_flags;  /* offered by the kernel */
    char *buffer;         /* for answers to READ */
    size_t buffer_size;
    struct succession *succession; /* the context's, when this is the hub; or NULL */
    const void *raw;               /* the request in work as the kernel wrote it */
    size_t raw_size;
    bool resuming; /* the kernel does not wait for the answer to INIT */

    pthread_mutex_t lock; /* the rest; leaf */
    pthread_cond_t changed;
    bool ready, ended;
    unsigned major, minor;

    atomic_uint announcing;        /* announcements under way: without one the lock is not taken */
    pthread_mutex_t announce_lock; /* leaf */
    struct announcement *announcements;
    uint64_t phantoms; /* the loop's own: phantoms made so far */
};

/* The loop's: its request in work will be answered by a worker, which begins with
 * session_go_on(what this returned). */
struct deferred *session_defer(struct session *session);
/* The worker's: until intent_end(). */
void session_go_on(struct deferred *deferred);

/* Answers that rest on images whose files lost bytes (damage.c). */
/* Does this one, of the loop to its request in work? */
bool damage_in_answer(struct session *session, const struct iovec *iov, int count);
/* Sends EIO in its place and gives back the lookup counts that it carried. Returns as writev(). */
ssize_t damage_refuse(struct session *session, int fd, const struct iovec *iov, int count);

extern const struct fuse_lowlevel_ops session_ops;

/* Answers a READ of a regular file, from the loop when nothing has to be waited for. */
void read_file(struct session *session, fuse_req_t req, const struct place *file, uint64_t offset,
               size_t size);

#endif
