/* The daemon's one context struct; all of it belongs to the control thread. */
#ifndef VENVFS_FS_DAEMON_INTERNAL_H
#define VENVFS_FS_DAEMON_INTERNAL_H

#include <jansson.h>
#include <time.h>

#include "fs/autosettle.h"
#include "fs/control_server.h"
#include "fs/daemon.h"
#include "fs/session.h"
#include "fs/stubs.h"
#include "fs/succession.h"
#include "fs/warmer.h"

/* An explicit mount: one generation of an environment, read-only, at a folder of the user's. */
struct explicit_mount {
    char *env;
    char *dir;
    unsigned generation;
    bool made_dir;
    struct session *session;
};

struct daemon {
    const struct home *home;
    struct session_context context;
    struct counters counters;
    struct session *hub; /* NULL: unmounted from outside; mounted again when a command comes */
    struct explicit_mount *mounts;
    size_t n_mounts, alloc_mounts;
    struct stubs *stubs;
    pid_t guardian; /* 0: none */
    struct autosettle autosettle;
    struct warmer warmer;
    json_t *notices; /* strings for the user: what was moved from beneath the hub */
    time_t started;
    struct control_client client; /* of the request in work */
    bool stop;
    bool kept; /* a detached mount still serves its users, for the rest of this process's life */
};

#define DAEMON_FRAME_CACHE_BYTES (8u << 20)
#define DAEMON_WORKERS 2 /* they wait for the disk more than for a CPU */

/* What every process that serves begins with. Standard error becomes HOME/daemon.log. */
int daemon_open_log(const struct home *home, struct verror *err);
/* SIGTERM, SIGINT and SIGHUP are blocked in every thread; the first two come by the descriptor. */
int daemon_quit_descriptor(struct verror *err);
void daemon_limit_memory(void);
/* Writes 0 or the error to the readiness pipe and closes it, once. */
void daemon_tell(int *ready, int result, const struct verror *err);

/* Mounts the hub. */
int daemon_mount_hub(struct daemon *d, struct verror *err);
/* Goes on with the hub's mount of a predecessor. */
int daemon_resume_hub(struct daemon *d, struct verror *err);
/* Makes the predecessor's other mounts anew; who uses them meets ENOTCONN once. */
void daemon_resume_mounts(struct daemon *d);
/* One request of a command; see control_handler. */
int daemon_perform(void *daemon, const struct control_client *client, const char *verb,
                   const json_t *request, json_t *answer, struct verror *err);
/* A command has gone, or its connection. */
void daemon_client_gone(void *daemon, const struct control_client *client);
/* The verb "settle": one step of it. The hub is mounted. */
int daemon_settle(struct daemon *daemon, const json_t *request, json_t *answer, struct verror *err);
/* A session ended though nobody here unmounted it. */
void daemon_session_ended(void *daemon);
/* Unmounts everything, detaching what is busy; sets `kept`. Idempotent. Returns 0 or the error of
 * the first mount that stayed. */
int daemon_unmount_all(struct daemon *d, struct verror *err);

/* Fills answer with what `venvfs status` shows. */
void daemon_status(const struct daemon *d, json_t *answer);

#endif
