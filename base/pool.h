/* A fixed set of threads that run queued jobs. */
#ifndef VENVFS_BASE_POOL_H
#define VENVFS_BASE_POOL_H

#include <stddef.h>

struct pool;
typedef void (*pool_fn)(void *arg, size_t worker); /* worker: 0..threads-1 */

/* threads 0: one per available CPU (sched_getaffinity). Returns NULL with errno. */
struct pool *pool_new(size_t threads);
size_t pool_threads(const struct pool *pool);
/* Queues a job; never blocks, never fails (memory aside). */
void pool_submit(struct pool *pool, pool_fn fn, void *arg);
/* Blocks until every job submitted so far has run. */
void pool_wait(struct pool *pool);
/* Waits for all jobs, ends the threads, frees. NULL is accepted. */
void pool_free(struct pool *pool);
/* CPUs this process may run on, at least 1. */
size_t pool_cpus(void);

#endif
