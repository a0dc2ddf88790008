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
    pthread_mutex_t lock; /* protects lock_fd */
    int lock_fd;          /* the store's lock, or -1 */
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

/* The highest number that starts a name in STORE/folder; 0 when there is none. */
int store_highest_number(const struct store *store, const char *folder, uint32_t *ret,
                         struct verror *err);

/* Is this statfs() type a network file system on which SQLite's WAL is not safe? */
bool store_is_network_fs(unsigned long f_type);

#endif
