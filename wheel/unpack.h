/* unpack: the members of a wheel become blobs, its sources requests for bytecode. */
#ifndef VENVFS_WHEEL_UNPACK_H
#define VENVFS_WHEEL_UNPACK_H

#include <stdatomic.h>

#include "base/progress.h"
#include "wheel/plan.h"

struct unpack {
    struct bytecode *bytecode; /* NULL: make none */
    unsigned levels;           /* bit N: optimisation level N */
    const char *cache_tag;
    struct progress *progress;
    atomic_bool *stop; /* another part failed: leave off */
};

/* Reads members [first, end) of the plan, checks each against RECORD and stores it through
 * `stream`. Members of one plan may be unpacked by several threads, each range by one; plan->open
 * is raised for each request for bytecode. *at: the member at fault. -EBADMSG: a damaged member or
 * one that differs from RECORD; -ESTALE: the file was changed since the plan was made. The message
 * names wheel and member. */
int unpack_members(const struct unpack *unpack, struct wheel_plan *plan, size_t first, size_t end,
                   struct put_stream *stream, size_t *at, struct verror *err);

/* Stores what a worker answered (pyc NULL: nothing) and lets go of the source. */
int unpack_take_pyc(const struct unpack *unpack, struct plan_pyc *pyc, const void *data,
                    size_t size, struct put_stream *stream, struct verror *err);

/* DIR/__pycache__/NAME.TAG[.opt-N].pyc for DIR/NAME.py (PEP 3147, PEP 488); malloc'ed, NULL when a
 * name of that length cannot be. */
char *unpack_pyc_path(const char *source, const char *cache_tag, unsigned level);

#endif
