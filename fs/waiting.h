/* waiting: how a loop waits for the kernel's next request.
 *
 * A thread that sleeps in read() is woken across CPUs, which costs 30 to 150 us on a virtual
 * machine, more than the answer. Who asked is likely to ask again at once: so the loop asks for the
 * next request for a moment before it sleeps. It gives its CPU away meanwhile to whoever wants it,
 * and when somebody did, it sleeps at once for a while, and
 * longer each time: many callers at once keep both busy anyway.
 * Costs at most WAITING_POLL_NS of an idle CPU a request, and nothing on a machine with one.
 */
#ifndef VENVFS_FS_WAITING_H
#define VENVFS_FS_WAITING_H

#include <stdbool.h>
#include <sys/types.h>

#define WAITING_POLL_NS 50000

struct waiting {
    bool never;               /* there is one CPU */
    bool blocking;            /* the descriptor's reads sleep now */
    unsigned rest, next_rest; /* requests to come that are slept for; the same of the next time */
};

void waiting_begin(struct waiting *waiting);

/* read() of /dev/fuse, which sleeps until there is a request. Sets O_NONBLOCK of fd's description
 * as it likes. Returns as read(), never with EAGAIN. One thread calls. */
ssize_t waiting_read(struct waiting *waiting, int fd, void *buf, size_t size);

#endif
