#include "store/frame_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

enum { BUCKETS = 256 };

struct frame {
    uint64_t key;
    struct frame *next_hash;
    struct frame *newer, *older; /* in order of use; only frames that nobody holds */
    unsigned refs;
    bool loading;
    bool hashed; /* still to be found */
    int result;  /* of loading */
    uint8_t *data;
    size_t size;
    _Atomic uint64_t checksum;
    atomic_bool checksum_known;
};

struct frame_cache {
    pthread_mutex_t lock; /* protects all below and all of the frames but data once loaded */
    pthread_cond_t loaded;
    struct frame *buckets[BUCKETS];
    struct frame *newest, *oldest;
    uint64_t bytes, limit, hits, misses;
};

struct frame_cache *frame_cache_new(size_t limit)
{
    struct frame_cache *cache = xcalloc(1, sizeof(*cache));
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->loaded, NULL);
    cache->limit = limit;
    return cache;
}

static struct frame **bucket(struct frame_cache *cache, uint64_t key)
{
    return &cache->buckets[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
}

static void frame_free(struct frame *f)
{
    free(f->data);
    free(f);
}

/* ---- under the lock ---- */

static struct frame *find(struct frame_cache *cache, uint64_t key)
{
    struct frame *f = *bucket(cache, key);
    while (f && f->key != key)
        f = f->next_hash;
    return f;
}

static void unhash(struct frame_cache *cache, struct frame *f)
{
    struct frame **p = bucket(cache, f->key);
    while (*p != f)
        p = &(*p)->next_hash;
    *p = f->next_hash;
    f->hashed = false;
}

static void use_unlink(struct frame_cache *cache, struct frame *f)
{
    *(f->newer ? &f->newer->older : &cache->newest) = f->older;
    *(f->older ? &f->older->newer : &cache->oldest) = f->newer;
}

static void use_push(struct frame_cache *cache, struct frame *f)
{
    f->newer = NULL;
    f->older = cache->newest;
    *(f->older ? &f->older->newer : &cache->oldest) = f;
    cache->newest = f;
}

static void evict(struct frame_cache *cache)
{
    while (cache->bytes > cache->limit && cache->oldest) {
        struct frame *f = cache->oldest;
        use_unlink(cache, f);
        unhash(cache, f);
        cache->bytes -= f->size;
        frame_free(f);
    }
}

static void release(struct frame_cache *cache, struct frame *f)
{
    if (--f->refs)
        return;
    if (f->hashed)
        use_push(cache, f);
    else
        frame_free(f);
    evict(cache);
}

/* A frame that is found, loading or loaded, now held; NULL when there is none. */
static struct frame *hold(struct frame_cache *cache, uint64_t key)
{
    struct frame *f = find(cache, key);
    if (!f)
        return NULL;
    if (f->refs++ == 0)
        use_unlink(cache, f);
    return f;
}

static struct frame *insert(struct frame_cache *cache, uint64_t key)
{
    struct frame *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->key = key;
    f->refs = 1;
    f->loading = f->hashed = true;
    struct frame **head = bucket(cache, key);
    f->next_hash = *head;
    *head = f;
    cache->misses++;
    return f;
}

/* ---- */

static int fill(struct frame_cache *cache, struct frame *f, bool nowait, frame_load load, void *arg,
                struct verror *err)
{
    pthread_mutex_unlock(&cache->lock);
    uint8_t *data = NULL;
    size_t size = 0;
    int r = load(arg, (uint32_t)(f->key >> 32), (uint32_t)f->key, nowait, &data, &size, err);
    pthread_mutex_lock(&cache->lock);
    f->loading = false;
    f->result = r;
    if (r == 0) {
        f->data = data;
        f->size = size;
        cache->bytes += size;
        evict(cache);
    } else {
        unhash(cache, f);
        if (r == -EAGAIN)
            cache->misses--; /* nothing was decoded */
    }
    pthread_cond_broadcast(&cache->loaded);
    return r;
}

int frame_cache_get(struct frame_cache *cache, uint32_t pack, uint32_t number, bool nowait,
                    frame_load load, void *arg, struct frame **ret, struct verror *err)
{
    uint64_t key = (uint64_t)pack << 32 | number;
    struct frame *f;
    int r;
    pthread_mutex_lock(&cache->lock);
    for (;;) {
        f = hold(cache, key);
        if (!f) {
            f = insert(cache, key);
            r = f ? fill(cache, f, nowait, load, arg, err)
                  : verror_errno(err, ENOMEM, "cannot read pack %u", pack);
            break;
        }
        if (nowait && f->loading) {
            r = -EAGAIN;
            break;
        }
        bool waited = f->loading;
        while (f->loading)
            pthread_cond_wait(&cache->loaded, &cache->lock);
        r = f->result;
        cache->hits += r == 0;
        if (!waited || r == 0)
            break;
        /* The other thread failed: fail for a reason of our own (it may not have been willing to
         * wait for the disk). */
        release(cache, f);
    }
    if (r < 0 && f)
        release(cache, f);
    pthread_mutex_unlock(&cache->lock);
    if (r == 0)
        *ret = f;
    return r;
}

void frame_cache_put(struct frame_cache *cache, struct frame *frame)
{
    pthread_mutex_lock(&cache->lock);
    release(cache, frame);
    pthread_mutex_unlock(&cache->lock);
}

void frame_cache_free(struct frame_cache *cache)
{
    if (!cache)
        return;
    cache->limit = 0;
    evict(cache);
    pthread_cond_destroy(&cache->loaded);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

const uint8_t *frame_data(const struct frame *frame, size_t *size)
{
    *size = frame->size;
    return frame->data;
}

uint64_t frame_checksum(struct frame *frame)
{
    if (!atomic_load_explicit(&frame->checksum_known, memory_order_acquire)) {
        /* Two threads may both compute it: they store the same value. */
        atomic_store_explicit(&frame->checksum, checksum_of(frame->data, frame->size),
                              memory_order_relaxed);
        atomic_store_explicit(&frame->checksum_known, true, memory_order_release);
    }
    return atomic_load_explicit(&frame->checksum, memory_order_relaxed);
}

void frame_cache_stats(struct frame_cache *cache, struct blob_reader_stats *ret)
{
    pthread_mutex_lock(&cache->lock);
    *ret = (struct blob_reader_stats){
        .cache_bytes = cache->bytes,
        .cache_limit = cache->limit,
        .hits = cache->hits,
        .misses = cache->misses,
    };
    pthread_mutex_unlock(&cache->lock);
}
