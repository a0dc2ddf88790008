/* intent: how far a change has got that a request asks for, so that a successor of the daemon which
 * was killed between doing and answering does it once and answers right.
 *
 * A request is checked first; the step that makes a change count is one system call on disk. Before
 * that step the intent is set. Who finds it set by a predecessor and what should be there already
 * there, or what should go already gone, knows that it was this request that did it.
 */
#ifndef VENVFS_FS_INTENT_H
#define VENVFS_FS_INTENT_H

#include <stdbool.h>
#include <stdint.h>

/* In memory that outlives the daemon. */
struct intent {
    uint64_t unique; /* of the request that has checked everything; 0: none has */
    uint64_t ino;    /* what it moves, where that tells whether it was done */
};

/* This thread works on the request from now on; intent NULL: one that nobody will have to do again.
 */
void intent_begin(struct intent *intent, uint64_t unique);
void intent_end(void);
/* The next step makes the change. */
void intent_set(uint64_t ino);
/* Did a predecessor come that far with this request? */
bool intent_was_set(uint64_t *ino);

#endif
