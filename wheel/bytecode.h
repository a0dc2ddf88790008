/* Bytecode, compiled once by the interpreter it is for (design 5).
 *
 * DESIGN. One thread per worker process feeds it from a shared queue and hands its answers on, so
 * that whatever is done with an answer (hashing, compressing) runs on as many threads as there are
 * workers. Each worker has several requests in its pipe: it never waits for its thread. A worker
 * answers in order; so when it dies or is silent for 60 s, the first unanswered request is the one
 * to blame: that file goes without bytecode, the others are sent again to a new worker. Workers
 * start when there is something to compile. */
#ifndef VENVFS_WHEEL_BYTECODE_H
#define VENVFS_WHEEL_BYTECODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "wheel/target.h"

struct bytecode_request {
    struct bytecode_request *next; /* the queue's */
    const char *path;              /* becomes co_filename; not owned */
    const void *source;            /* not owned */
    size_t size;
    uint32_t mtime; /* of the source, for the header of the pyc */
    unsigned level; /* of optimisation */
};

struct bytecode_options {
    size_t workers;
    unsigned timeout_ms; /* for one file; 0: 60 s */
    /* Called once for each request, on the thread of worker number `worker`, also when everything
     * was cancelled. pyc NULL: there is none. The request is the caller's again. */
    void (*done)(void *arg, size_t worker, struct bytecode_request *request, const void *pyc,
                 size_t size);
    /* A file that took too long or crashed the interpreter; any thread. */
    void (*warn)(void *arg, const char *line);
    void *arg;
};

struct bytecode;

/* target must outlive it. Returns 0 or a negative errno. */
int bytecode_new(const struct wheel_target *target, const struct bytecode_options *options,
                 struct bytecode **ret, struct verror *err);
/* Queues a request; blocks while more than 64 MiB of sources wait. */
void bytecode_submit(struct bytecode *bytecode, struct bytecode_request *request);
/* Answers what is queued and running with "no pyc" as fast as possible; any thread. */
void bytecode_cancel(struct bytecode *bytecode);
/* Waits for all answers and ends the workers; nothing may be submitted any more. Returns 0, or the
 * error of a worker that could not be started (then no request has got a pyc since). */
int bytecode_finish(struct bytecode *bytecode, struct verror *err);
void bytecode_free(struct bytecode *bytecode); /* after bytecode_finish(); NULL is accepted */

#endif
