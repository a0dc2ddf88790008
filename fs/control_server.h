/* The daemon's end of the control socket: one thread, requests in turn. */
#ifndef VENVFS_FS_CONTROL_SERVER_H
#define VENVFS_FS_CONTROL_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/verror.h"

struct control_server;

/* Listens at path (0600; a dead daemon's socket is replaced). */
/* fd: a predecessor's socket, which listens there already; or -1. */
int control_listen(const char *path, int fd, struct control_server **ret, struct verror *err);
/* The socket that listens; borrowed. */
int control_server_descriptor(const struct control_server *server);
void control_server_free(struct control_server *server); /* NULL is accepted; removes the socket */

/* Who asks. */
struct control_client {
    uint64_t number; /* of the connection; never 0, never used again */
    pid_t pid;       /* 0: of another pid namespace */
};

struct control_handler {
    /* Performs one request: fills answer, an object, and returns 0, or a negative errno. */
    int (*perform)(void *arg, const struct control_client *client, const char *verb,
                   const json_t *request, json_t *answer, struct verror *err);
    void (*gone)(void *arg, const struct control_client *client);
    void (*event)(void *arg); /* `watched` became readable */
    int (*tick)(void *arg);   /* after each of these; returns the milliseconds to the next, or -1 */
    void *arg;
    int watched;      /* a descriptor */
    int quit;         /* a descriptor: readable means stop */
    const bool *stop; /* set by perform(): stop after the answer */
};
/* Serves until told to stop. A client that stalls or sends nonsense is dropped. */
void control_serve(struct control_server *server, const struct control_handler *handler);

#endif
