/* What the store's own files share: the open store and its catalog connection. */
#ifndef VENVFS_STORE_STORE_PRIVATE_H
#define VENVFS_STORE_STORE_PRIVATE_H

#include <pthread.h>
#include <sys/types.h>

#include "store/catalog.h"
#include "store/store.h"

struct store {
    char *root;
    unsigned flags;
    bool foreign;         /* owned by someone else: images are copied, not mapped */
    pthread_mutex_t lock; /* protects lock_fd and the making of lease_fd */
    int lock_fd;          /* the store's lock, or -1 */
    int lease_fd;         /* STORE/leases, or -1 (store/lease.h) */
    pthread_mutex_t
        catalog_lock;        /* protects catalog and its use; innermost but for pack_writer's */
    struct catalog *catalog; /* NULL until first needed */
    pid_t catalog_pid;       /* the process that opened it */
};

/* The catalog, opened if need be, for the caller alone until store_catalog_done(). */
int store_catalog(struct store *store, struct catalog **ret, struct verror *err);
void store_catalog_done(struct store *store);

/* Paths within the store, malloc'ed. */
char *store_path(const struct store *store, const char *name);
char *store_pack_path(const struct store *store, uint32_t number);
char *store_where_path(const struct store *store, const struct store_image *image);
/* The file of all where files that `store optimize` gathered (store/where.h). */
char *store_gathered_path(const struct store *store);

/* Adds the sizes of a folder's files to *total; calls fn, if any, with each. */
int store_each_file(const struct store *store, const char *folder,
                    void (*fn)(const char *path, const char *name, uint64_t size, void *arg),
                    void *arg, uint64_t *total, struct verror *err);
uint64_t store_file_size(const struct store *store, const char *name); /* 0: there is none */

/* Makes the lock that store_lock_shared() took exclusive: everyone else who uses or adds has ended,
 * and waits from now on. waiting() is called once when that takes over a second; may be NULL. */
int store_lock_exclusive(struct store *store, void (*waiting)(void *arg), void *arg,
                         struct verror *err);
void store_unlock_exclusive(struct store *store); /* makes it shared again */
/* The right to take the lock exclusively, and to make packs anew, which one process has at a time.
 * Returns a descriptor to close. -EBUSY. -EROFS: the store was opened for reading only. */
int store_claim_rewriting(struct store *store, struct verror *err);

/* The highest number that starts a name in STORE/folder; 0 when there is none. */
int store_highest_number(const struct store *store, const char *folder, uint32_t *ret,
                         struct verror *err);

/* Is this statfs() type a network file system on which SQLite's WAL is not safe? */
bool store_is_network_fs(unsigned long f_type);

#endif
