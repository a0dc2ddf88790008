#include "fs/succession_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- life ---- */

static struct succession *map(int fd)
{
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    struct succession *s = xcalloc(1, sizeof(*s));
    s->shared = memory;
    s->fd = fd;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

int succession_new(struct succession **ret, struct verror *err)
{
    int fd = memfd_create("venvfs-succession", MFD_CLOEXEC);
    if (fd < 0)
        return verror_errno(err, errno, "making shared memory");
    struct succession *s = ftruncate(fd, sizeof(struct shared)) < 0 ? NULL : map(fd);
    if (!s) {
        int e = errno;
        close(fd);
        return verror_errno(err, e, "making shared memory");
    }
    s->shared->magic = SUCCESSION_MAGIC;
    s->shared->version = SUCCESSION_VERSION;
    succession_set_descriptor(s, SUCCESSION_MEMORY, fd);
    *ret = s;
    return 0;
}

static void close_over_exec(int32_t fd_plus_1)
{
    if (fd_plus_1)
        (void)fcntl(fd_plus_1 - 1, F_SETFD, FD_CLOEXEC);
}

int succession_open(int fd, struct succession **ret, struct verror *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return verror_errno(err, errno, "what the last daemon left");
    if (st.st_size != (off_t)sizeof(struct shared))
        return verror_set(err, EPROTO, "what the last daemon left is of another version");
    struct succession *s = map(fd);
    if (!s)
        return verror_errno(err, errno, "what the last daemon left");
    if (s->shared->magic != SUCCESSION_MAGIC || s->shared->version != SUCCESSION_VERSION) {
        s->fd = -1; /* the caller's */
        succession_free(s);
        return verror_set(err, EPROTO, "what the last daemon left is of another version");
    }
    for (size_t i = 0; i < MAX_DEFERRED; i++)
        if (s->shared->deferred[i].unique)
            atomic_fetch_add(&s->n_deferred, 1);
    for (size_t i = 0; i < SUCCESSION_ROLES; i++)
        close_over_exec(atomic_load(&s->shared->roles[i]));
    for (size_t i = 0; i < MAX_KEPT; i++)
        close_over_exec(atomic_load(&s->shared->kept[i]));
    *ret = s;
    return 0;
}

void succession_free(struct succession *s)
{
    if (!s)
        return;
    munmap(s->shared, sizeof(*s->shared));
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- descriptors ---- */

void succession_set_descriptor(struct succession *s, enum succession_role role, int fd)
{
    atomic_store(&s->shared->roles[role], fd + 1);
}

int succession_descriptor(const struct succession *s, enum succession_role role)
{
    return atomic_load(&s->shared->roles[role]) - 1;
}

bool succession_keep(struct succession *s, int fd)
{
    for (size_t i = 0; i < MAX_KEPT; i++) {
        int32_t free_place = 0;
        if (atomic_compare_exchange_strong(&s->shared->kept[i], &free_place, fd + 1))
            return true;
    }
    return false;
}

void succession_drop(struct succession *s, int fd)
{
    for (size_t i = 0; i < MAX_KEPT; i++) {
        int32_t there = fd + 1;
        if (atomic_compare_exchange_strong(&s->shared->kept[i], &there, 0))
            return;
    }
}

void succession_end(struct succession *s)
{
    atomic_store(&s->shared->ended, true);
}

bool succession_has_ended(const struct succession *s)
{
    return atomic_load(&s->shared->ended);
}

static void leave_open(int32_t fd_plus_1)
{
    if (fd_plus_1)
        (void)fcntl(fd_plus_1 - 1, F_SETFD, 0);
}

void succession_open_over_exec(const struct succession *s)
{
    for (size_t i = 0; i < SUCCESSION_ROLES; i++)
        leave_open(atomic_load(&s->shared->roles[i]));
    for (size_t i = 0; i < MAX_KEPT; i++)
        leave_open(atomic_load(&s->shared->kept[i]));
}

bool succession_may_go_on(struct succession *s)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t *oldest = &s->shared->deaths[atomic_fetch_add(&s->shared->n_deaths, 1) % MAX_DEATHS];
    bool often = *oldest != 0 && now.tv_sec - *oldest < (int64_t)DEATH_SECONDS;
    *oldest = now.tv_sec ? now.tv_sec : 1;
    return !often;
}

/* ---- requests ---- */

void succession_set_init(struct succession *s, const void *request, size_t size)
{
    if (size > sizeof(s->shared->init))
        size = sizeof(s->shared->init); /* what is behind is for later protocols than libfuse's */
    memcpy(s->shared->init, request, size);
    struct fuse_in_header *in = (void *)s->shared->init;
    in->len = (uint32_t)size;
    s->shared->init_size = (uint32_t)size;
}

const void *succession_init(const struct succession *s, size_t *size)
{
    *size = s->shared->init_size <= sizeof(s->shared->init) ? s->shared->init_size : 0;
    return s->shared->init;
}

void *succession_buffer(struct succession *s, size_t *size)
{
    *size = sizeof(s->shared->buffer);
    return s->shared->buffer;
}

struct intent *succession_intent(struct succession *s)
{
    return &s->shared->intent;
}

void succession_done(struct succession *s, uint64_t unique)
{
    atomic_store_explicit(&s->shared->done, unique, memory_order_release);
}

void *succession_undone(struct succession *s, size_t *size)
{
    const struct fuse_in_header *in = (const void *)s->shared->buffer;
    if (in->unique == 0 || in->unique == atomic_load(&s->shared->done))
        return NULL;
    for (size_t i = 0; i < MAX_DEFERRED; i++)
        if (s->shared->deferred[i].unique == in->unique)
            return NULL;
    if (in->len < sizeof(*in) || in->len > BUFFER_SIZE)
        return NULL;
    *size = in->len;
    return s->shared->buffer;
}

void succession_reset(struct succession *s)
{
    memset(s->shared->buffer, 0, sizeof(struct fuse_in_header));
    atomic_store(&s->shared->done, 0);
    for (size_t i = 0; i < MAX_DEFERRED; i++)
        atomic_store(&s->shared->deferred[i].unique, 0);
    atomic_store(&s->n_deferred, 0);
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->shared->logs[atomic_load(&s->shared->log) & 1].used, 0);
    pthread_mutex_unlock(&s->lock);
}

struct deferred *succession_defer(struct succession *s, const void *request, size_t size)
{
    const struct fuse_in_header *in = request;
    for (size_t i = 0; atomic_load(&s->n_deferred) && i < MAX_DEFERRED; i++)
        if (atomic_load(&s->shared->deferred[i].unique) == in->unique)
            return &s->shared->deferred[i];
    for (size_t i = 0; i < MAX_DEFERRED; i++) {
        struct deferred *d = &s->shared->deferred[i];
        if (atomic_load(&d->unique) != 0)
            continue;
        d->size = size <= sizeof(d->bytes) ? (uint32_t)size : 0;
        memcpy(d->bytes, request, d->size);
        d->intent = (struct intent){0};
        atomic_fetch_add(&s->n_deferred, 1);
        atomic_store(&d->unique, in->unique);
        return d;
    }
    return NULL;
}

void succession_answered(struct succession *s, uint64_t unique)
{
    if (atomic_load(&s->n_deferred) == 0)
        return;
    for (size_t i = 0; i < MAX_DEFERRED; i++) {
        uint64_t there = unique;
        if (atomic_compare_exchange_strong(&s->shared->deferred[i].unique, &there, 0)) {
            atomic_fetch_sub(&s->n_deferred, 1);
            return;
        }
    }
}

void succession_each_deferred(struct succession *s, void (*fn)(void *arg, struct deferred *d),
                              void *arg)
{
    for (size_t i = 0; i < MAX_DEFERRED; i++)
        if (s->shared->deferred[i].unique)
            fn(arg, &s->shared->deferred[i]);
}
