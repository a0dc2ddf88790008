#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct job {
    struct job *next;
    pool_fn fn;
    void *arg;
};

struct pool {
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t wake;  /* a job was queued, or closing was set */
    pthread_cond_t idle;  /* pending became 0 */
    struct job *head, **tail;
    size_t pending; /* queued and running */
    bool closing;
    size_t threads;
    struct worker {
        struct pool *pool;
        size_t index;
        pthread_t thread;
    } workers[];
};

size_t pool_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (size_t)CPU_COUNT(&set);
    return 1;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct job *job = pool->head;
        if (!job) {
            if (pool->closing)
                break;
            pthread_cond_wait(&pool->wake, &pool->lock);
            continue;
        }
        pool->head = job->next;
        if (!pool->head)
            pool->tail = &pool->head;
        pthread_mutex_unlock(&pool->lock);
        job->fn(job->arg, w->index);
        free(job);
        pthread_mutex_lock(&pool->lock);
        if (--pool->pending == 0)
            pthread_cond_broadcast(&pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct pool *pool_new(size_t threads)
{
    if (!threads)
        threads = pool_cpus();
    struct pool *pool = xcalloc(1, sizeof(*pool) + threads * sizeof(pool->workers[0]));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    pool->tail = &pool->head;

    /* Signals stay with the thread that asked for them. */
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* of the thread that touches a lost page: see base/sigbus.h */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; pool->threads < threads; pool->threads++) {
        struct worker *w = &pool->workers[pool->threads];
        *w = (struct worker){.pool = pool, .index = pool->threads};
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!pool->threads) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

size_t pool_threads(const struct pool *pool)
{
    return pool->threads;
}

void pool_submit(struct pool *pool, pool_fn fn, void *arg)
{
    struct job *job = xmalloc(sizeof(*job));
    *job = (struct job){.fn = fn, .arg = arg};
    pthread_mutex_lock(&pool->lock);
    *pool->tail = job;
    pool->tail = &job->next;
    pool->pending++;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

void pool_wait(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->pending)
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
