/* What succession.c and succession_log.c share: how the memory is laid out. */
#ifndef VENVFS_FS_SUCCESSION_INTERNAL_H
#define VENVFS_FS_SUCCESSION_INTERNAL_H

#include <pthread.h>

#include "fs/succession.h"

#define SUCCESSION_MAGIC UINT64_C(0x4343555353464e56) /* "VNFSSUCC" */
#define SUCCESSION_VERSION 1u /* goes up with every change of what follows */

#define MAX_KEPT 1024u
#define MAX_DEFERRED 128u
#define MAX_DEATHS 8u /* within DEATH_SECONDS */
#define DEATH_SECONDS 10u
#define BUFFER_SIZE ((1u << 20) + (64u << 10)) /* libfuse reads 1 MiB and a page at most */
#define LOG_SIZE (64u << 20)

/* Pages that nobody has touched take no memory. */
struct shared_log {
    _Atomic uint64_t used;
    char records[LOG_SIZE];
};

struct shared {
    uint64_t magic;
    uint32_t version;
    atomic_bool ended;
    _Atomic int32_t roles[SUCCESSION_ROLES]; /* descriptor + 1; 0: none */
    _Atomic int32_t kept[MAX_KEPT];          /* likewise */
    _Atomic uint32_t n_deaths;
    int64_t deaths[MAX_DEATHS]; /* seconds of the monotonic clock */

    uint32_t init_size;
    char init[512];
    _Atomic uint64_t done;
    struct intent intent;
    struct deferred deferred[MAX_DEFERRED];
    _Alignas(4096) char buffer[BUFFER_SIZE];

    _Atomic uint32_t log; /* which of both counts */
    struct shared_log logs[2];
};

struct succession {
    struct shared *shared;
    int fd;
    atomic_uint n_deferred;
    pthread_mutex_t lock; /* of writers */
};

#endif
