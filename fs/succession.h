/* succession: what a daemon leaves to the one that goes on with the hub's mount when it died.
 *
 * Memory that both share (a memfd) and descriptors that outlive the daemon (fs/guardian.h). In it:
 * the request in work, which the kernel waits for an answer to and asks nobody again; requests that
 * workers have; and a log of what a nodeid that the kernel holds means, as far as neither the store
 * nor the upper layers say it. Writing it costs no system call. It lives as long as the mount: a
 * machine that stops needs none of it.
 *
 * LOCKS: a leaf of its own, in this process; a dead one's counts for nothing. Each record is whole
 * before it counts, so that a daemon may die at any instruction.
 */
#ifndef VENVFS_FS_SUCCESSION_H
#define VENVFS_FS_SUCCESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "fs/intent.h"

struct succession;

/* ---- life ---- */

int succession_new(struct succession **ret, struct verror *err);
/* A predecessor's. -EPROTO: of a version that lays it out otherwise. The descriptor is taken over
 * when it succeeds. */
int succession_open(int fd, struct succession **ret, struct verror *err);
/* Unmaps; the descriptor is closed. NULL is accepted. */
void succession_free(struct succession *s);

/* ---- descriptors ---- */

/* What they are for. */
enum succession_role {
    SUCCESSION_MEMORY,  /* the memory itself */
    SUCCESSION_FUSE,    /* of the hub */
    SUCCESSION_LOCK,    /* on HOME/daemon.lock */
    SUCCESSION_CONTROL, /* the listening socket */
    SUCCESSION_BENEATH, /* the folder beneath the hub's mount */
    SUCCESSION_ROLES
};
/* fd -1: there is none any more. */
void succession_set_descriptor(struct succession *s, enum succession_role role, int fd);
int succession_descriptor(const struct succession *s, enum succession_role role);
/* Others that must outlive the daemon; false: there are too many. */
bool succession_keep(struct succession *s, int fd);
void succession_drop(struct succession *s, int fd);

/* The hub is mounted anew: the kernel holds nothing. */
void succession_reset(struct succession *s);

/* For who ends in order: there is nothing to go on with. And is that so? */
void succession_end(struct succession *s);
bool succession_has_ended(const struct succession *s);

/* For the guardian, between clone() and execve(), so async-signal-safe. Leaves all descriptors that
 * are registered open over execve(). */
void succession_open_over_exec(const struct succession *s);
/* Counts a death; false: there were so many of late that another successor would die, too. */
bool succession_may_go_on(struct succession *s);

/* ---- requests ---- */

/* The hub's INIT request, which a successor's libfuse has to see. */
void succession_set_init(struct succession *s, const void *request, size_t size);
const void *succession_init(const struct succession *s, size_t *size);
/* Requests of the hub are read to this place. */
void *succession_buffer(struct succession *s, size_t *size);
/* How far the loop's request has got. */
struct intent *succession_intent(struct succession *s);
/* The request in the buffer is answered, or a worker's. */
void succession_done(struct succession *s, uint64_t unique);
/* The request in the buffer when it is none of these, else NULL. */
void *succession_undone(struct succession *s, size_t *size);

/* A request that a worker will answer, remembered until then. */
struct deferred {
    _Atomic uint64_t unique; /* 0: free */
    uint32_t size;           /* 0: it was too long to be remembered: EIO for who waits */
    struct intent intent;
    char bytes[1024];
};
/* The loop's own. One that a predecessor had is the same again, with its intent. NULL: too many are
 * under way. */
struct deferred *succession_defer(struct succession *s, const void *request, size_t size);
/* By any thread, when it is answered. */
void succession_answered(struct succession *s, uint64_t unique);
/* Calls for those that wait, in no order. */
void succession_each_deferred(struct succession *s, void (*fn)(void *arg, struct deferred *d),
                              void *arg);

/* ---- what nodeids mean ---- */

/* An index of an environment's table (fs/ids.h). */
void succession_note_id(struct succession *s, uint32_t slot, const uint64_t key[2], uint32_t index);
/* The kernel may hold the nodeid of a file or folder of the upper layer with that inode. */
void succession_note_node(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t ino);
/* The same of a removed file, in the orphans' folder (serial) or kept by a descriptor (else -1). */
void succession_note_orphan(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t serial,
                            int fd);
/* The same of what has a nodeid of its own and its bytes where the tree calls it `below`. */
void succession_note_lower(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t below);
/* Nobody holds the nodeid any more. */
void succession_note_gone(struct succession *s, uint32_t slot, uint64_t nodeid);
/* A generation is in view under the name, and the newest of its environment there. */
void succession_note_view(struct succession *s, uint32_t slot, unsigned generation,
                          const char *name);
void succession_note_unview(struct succession *s, uint32_t slot, unsigned generation);

/* What a predecessor noted. */
struct inherited_id {
    uint64_t key[2];
    uint32_t index;
};
struct inherited_node {
    uint64_t nodeid;
    uint64_t ino;    /* 0: one of the other three */
    uint64_t serial; /* of a removed file in the orphans' folder, else 0 */
    uint64_t below;  /* of what has its bytes in the tree, else 0 */
    int fd;          /* of a removed file that it keeps, else -1 */
};
struct inherited_env {
    uint32_t slot;
    char *name;            /* NULL: not in view */
    unsigned *generations; /* in view, oldest first */
    size_t n_generations, alloc_generations;
    struct inherited_id *ids; /* sorted by index */
    size_t n_ids, alloc_ids;
    uint64_t
        highest; /* nodeid that was ever noted: the kernel may hold it though nobody else does */
    struct inherited_node *nodes; /* sorted by ino, then nodeid */
    size_t n_nodes, alloc_nodes;
};
struct inheritance {
    struct inherited_env *envs; /* sorted by slot */
    size_t n, alloc;
};
void succession_read(const struct succession *s, struct inheritance *ret);
void inheritance_release(struct inheritance *inheritance);

#endif
