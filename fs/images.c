#include "fs/images.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/lease.h"

struct shared_image {
    struct shared_image *next; /* in its bucket */
    struct store_image which;
    struct image *image;
    unsigned refs;                       /* images->lock */
    bool listed;                         /* images->lock; in its bucket */
    atomic_bool told;                    /* of its damage */
    _Atomic(struct image_where *) where; /* NULL until the first read; set once */
};

#define BUCKETS 1024u  /* some hundred images are open at a time */
#define LEASE_SHIFT 54 /* leaves the bits that number the buckets */

/* A lease of this process, which the kernel does not count. */
struct counted_lease {
    struct counted_lease *next; /* in its bucket */
    uint64_t lease;
    unsigned count;
};

struct images {
    /* Leaf locks: nothing else is locked while one is held, and `opening` is never held together
     * with `lock`. */
    pthread_mutex_t lock;    /* buckets, refs, open, leases */
    pthread_mutex_t opening; /* store, reader and every image's where while they are made */
    char *store_root;
    size_t cache_bytes;
    struct store *store;
    _Atomic(struct blob_reader *) reader; /* set once, after store */
    size_t open;
    struct shared_image *buckets[BUCKETS];
    struct counted_lease *leases[BUCKETS];
};

struct images *images_new(const char *store_root, size_t cache_bytes)
{
    struct images *im = xcalloc(1, sizeof(*im));
    pthread_mutex_init(&im->lock, NULL);
    pthread_mutex_init(&im->opening, NULL);
    im->store_root = xstrdup(store_root);
    im->cache_bytes = cache_bytes;
    return im;
}

void images_free(struct images *im)
{
    if (!im)
        return;
    if (im->reader)
        blob_reader_free(im->reader);
    store_close(im->store);
    pthread_mutex_destroy(&im->lock);
    pthread_mutex_destroy(&im->opening);
    free(im->store_root);
    free(im);
}

static int need_reader(struct images *im, struct verror *err)
{
    if (atomic_load(&im->reader))
        return 0;
    pthread_mutex_lock(&im->opening);
    int r = 0;
    if (!im->store)
        r = store_open(im->store_root, 0, &im->store, err);
    if (r == 0 && !im->reader) {
        struct blob_reader *reader;
        r = blob_reader_new(im->store, im->cache_bytes, &reader, err);
        if (r == 0)
            atomic_store(&im->reader, reader);
    }
    pthread_mutex_unlock(&im->opening);
    return r;
}

void images_forget_removed(struct images *im)
{
    struct blob_reader *reader = atomic_load(&im->reader);
    if (reader)
        blob_reader_forget_removed(reader);
}

/* ---- leases ---- */

static struct counted_lease **find_lease(struct images *im, uint64_t lease)
{
    struct counted_lease **p = &im->leases[(lease * UINT64_C(0x9E3779B97F4A7C15)) >> LEASE_SHIFT];
    while (*p && (*p)->lease != lease)
        p = &(*p)->next;
    return p;
}

/* There is a reader, hence a store. */
static int take_lease(struct images *im, uint64_t lease, struct verror *err)
{
    pthread_mutex_lock(&im->lock);
    struct counted_lease **p = find_lease(im, lease);
    int r = *p ? 0 : store_lease(im->store, lease, err);
    if (r == 0 && !*p) {
        *p = xmalloc(sizeof(**p));
        **p = (struct counted_lease){.lease = lease};
    }
    if (r == 0)
        (*p)->count++;
    pthread_mutex_unlock(&im->lock);
    return r;
}

/* Under the lock. */
static void drop_lease(struct images *im, uint64_t lease)
{
    struct counted_lease **p = find_lease(im, lease), *gone = *p;
    if (!gone || --gone->count)
        return;
    *p = gone->next;
    free(gone);
    store_lease_end(im->store, lease);
}

static void end_lease(struct images *im, uint64_t lease)
{
    pthread_mutex_lock(&im->lock);
    drop_lease(im, lease);
    pthread_mutex_unlock(&im->lock);
}

/* One that is open already may have been removed since it was leased last. */
int images_lease(struct images *im, const struct store_image *which, struct verror *err)
{
    int r = need_reader(im, err);
    if (r == 0)
        r = take_lease(im, lease_of_image(which->number), err);
    if (r < 0)
        return r;
    _cleanup_free_ char *path = store_image_path(im->store, which);
    if (path_exists(path))
        return 0;
    end_lease(im, lease_of_image(which->number));
    return verror_set(err, ESTALE, "%s is missing", path);
}

void images_end_lease(struct images *im, uint32_t number)
{
    end_lease(im, lease_of_image(number));
}

int images_lease_generation(struct images *im, uint32_t slot, unsigned generation,
                            struct verror *err)
{
    int r = need_reader(im, err);
    return r < 0 ? r : take_lease(im, lease_of_generation(slot, generation), err);
}

void images_end_lease_of_generation(struct images *im, uint32_t slot, unsigned generation)
{
    end_lease(im, lease_of_generation(slot, generation));
}

/* ---- images ---- */

static struct shared_image **bucket(struct images *im, uint32_t number)
{
    return &im->buckets[number % BUCKETS];
}

/* Under the lock. */
static struct shared_image *find(struct images *im, uint32_t number)
{
    struct shared_image *s = *bucket(im, number);
    while (s && s->which.number != number)
        s = s->next;
    return s;
}

static void shared_image_free(struct shared_image *s)
{
    image_where_free(atomic_load(&s->where));
    image_unref(s->image);
    free(s);
}

static int check_same(const struct shared_image *s, const struct store_image *which,
                      struct verror *err)
{
    if (sha256_equal(&s->which.id, &which->id))
        return 0;
    return verror_set(err, EBADMSG, "image number %u is named with two identities", which->number);
}

/* A reference to an image that is open already; *ret stays NULL when it is not. */
static int get_open(struct images *im, const struct store_image *which, struct shared_image **ret,
                    struct verror *err)
{
    int r = 0;
    pthread_mutex_lock(&im->lock);
    struct shared_image *s = find(im, which->number);
    if (s)
        r = check_same(s, which, err);
    if (s && r == 0) {
        s->refs++;
        *ret = s;
    }
    pthread_mutex_unlock(&im->lock);
    return r;
}

/* Takes an image out of its bucket; it goes when its users have gone. */
static void unlist(struct images *im, struct shared_image *s)
{
    if (!s->listed)
        return;
    struct shared_image **p = bucket(im, s->which.number);
    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    s->listed = false;
}

bool images_damaged(struct images *im, struct shared_image *s)
{
    if (!image_damaged(s->image))
        return false;
    if (!atomic_exchange(&s->told, true)) {
        _cleanup_free_ char *path = store_image_path(im->store, &s->which);
        log_line("%s: became shorter, or the disk fails; what is in it gets EIO", path);
    }
    return true;
}

/* A reference to an open image that is whole; *ret stays NULL when there is none. */
static int get_whole(struct images *im, const struct store_image *which, struct shared_image **ret,
                     struct verror *err)
{
    struct shared_image *s = NULL;
    int r = get_open(im, which, &s, err);
    if (s && images_damaged(im, s)) { /* the file may have been repaired since */
        pthread_mutex_lock(&im->lock);
        unlist(im, s);
        pthread_mutex_unlock(&im->lock);
        images_put(im, s);
        s = NULL;
    }
    *ret = s;
    return r;
}

int images_get(struct images *im, const struct store_image *which, struct shared_image **ret,
               struct verror *err)
{
    struct shared_image *s = NULL;
    int r = get_whole(im, which, &s, err);
    if (r == 0 && !s)
        r = need_reader(im, err);
    if (r < 0)
        return r;
    if (s) {
        *ret = s;
        return 0;
    }
    struct image *image;
    r = store_image_open(im->store, which, &image, err);
    if (r < 0)
        return r;
    struct shared_image *fresh = xcalloc(1, sizeof(*fresh));
    fresh->which = *which;
    fresh->image = image;
    fresh->refs = 1;

    pthread_mutex_lock(&im->lock);
    s = find(im, which->number); /* another thread may have been faster */
    if (!s) {
        fresh->next = *bucket(im, which->number);
        *bucket(im, which->number) = fresh;
        fresh->listed = true;
        im->open++;
        *ret = steal_ptr(fresh);
    } else if ((r = check_same(s, which, err)) == 0) {
        s->refs++;
        *ret = s;
    }
    pthread_mutex_unlock(&im->lock);
    if (fresh)
        shared_image_free(fresh);
    return r;
}

void images_put(struct images *im, struct shared_image *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&im->lock);
    bool last = --s->refs == 0;
    if (last) {
        unlist(im, s);
        im->open--;
    }
    pthread_mutex_unlock(&im->lock);
    if (last)
        shared_image_free(s);
}

struct image *shared_image_image(const struct shared_image *s)
{
    return s->image;
}

static int need_where(struct images *im, struct shared_image *s, struct verror *err)
{
    pthread_mutex_lock(&im->opening);
    int r = 0;
    if (!atomic_load(&s->where)) {
        struct image_where *where;
        r = image_where_open(im->reader, &s->which, s->image, &where, err);
        if (r == 0)
            atomic_store(&s->where, where);
    }
    pthread_mutex_unlock(&im->opening);
    return r;
}

ssize_t images_read(struct images *im, struct shared_image *s, uint32_t blob, uint64_t offset,
                    void *buf, size_t size, bool nowait, struct verror *err)
{
    if (!atomic_load(&s->where)) {
        if (nowait)
            return -EAGAIN;
        int r = need_where(im, s, err);
        if (r < 0)
            return r;
    }
    return blob_reader_read(atomic_load(&im->reader), atomic_load(&s->where), s->image, blob,
                            offset, buf, size, nowait, err);
}

void images_stats(struct images *im, struct images_stats *ret)
{
    *ret = (struct images_stats){.reader = {.cache_limit = im->cache_bytes}};
    pthread_mutex_lock(&im->lock);
    ret->open = im->open;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct shared_image *s = im->buckets[i]; s; s = s->next)
            ret->located += atomic_load(&s->where) != NULL;
    pthread_mutex_unlock(&im->lock);
    struct blob_reader *reader = atomic_load(&im->reader);
    if (reader)
        blob_reader_stats(reader, &ret->reader);
}
