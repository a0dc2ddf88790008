#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/lock.h"
#include "store/store_private.h"

/* The descriptor whose locks are this opening's. */
static int lease_file(struct store *store, struct verror *err)
{
    pthread_mutex_lock(&store->lock);
    int fd = store->lease_fd;
    if (fd < 0) {
        _cleanup_free_ char *path = store_path(store, "leases");
        fd = io_open(path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            (void)verror_errno(err, fd, "cannot open %s", path);
        store->lease_fd = fd;
    }
    pthread_mutex_unlock(&store->lock);
    return fd;
}

static int failed(const struct store *store, int r, struct verror *err)
{
    return verror_errno(err, r, "cannot lock %s/leases", store->root);
}

int store_lease(struct store *store, uint64_t lease, struct verror *err)
{
    int fd = lease_file(store, err);
    if (fd < 0)
        return fd;
    int r = lock_byte_of(fd, lease, LOCK_SHARED);
    if (r == -EAGAIN)
        return verror_set(err, ESTALE, "it is being removed from the store");
    return r < 0 ? failed(store, r, err) : 0;
}

void store_lease_end(struct store *store, uint64_t lease)
{
    if (store->lease_fd >= 0)
        unlock_byte_of(store->lease_fd, lease);
}

int store_is_leased(struct store *store, uint64_t lease, bool *ret, struct verror *err)
{
    int fd = lease_file(store, err);
    if (fd < 0)
        return fd;
    int r = lock_byte_is_held(fd, lease);
    if (r < 0)
        return failed(store, r, err);
    *ret = r > 0;
    return 0;
}

int store_lease_refuse(struct store *store, uint64_t lease, bool *ret, struct verror *err)
{
    int fd = lease_file(store, err);
    if (fd < 0)
        return fd;
    int r = lock_byte_of(fd, lease, LOCK_EXCLUSIVE);
    *ret = r == 0;
    return r < 0 && r != -EAGAIN ? failed(store, r, err) : 0;
}
