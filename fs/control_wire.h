/* Messages and addresses of the control socket, for both of its ends. */
#ifndef VENVFS_FS_CONTROL_WIRE_H
#define VENVFS_FS_CONTROL_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/strbuf.h"
#include "base/verror.h"

#define CONTROL_LIMIT (4u << 20) /* bytes of a message */

/* The address of a socket's path, which may be longer than sun_path holds: then through the
 * folder's descriptor, which *folder keeps open until the address was used (-1: none). */
int control_address(const char *path, struct sockaddr_un *address, socklen_t *size, int *folder);
/* Is the other end of this user? */
bool control_peer_ok(int fd);
/* Its pid; 0 when it has none in our pid namespace. */
pid_t control_peer_pid(int fd);

/* Appends a message, its length in front. -EMSGSIZE beyond the limit. */
int control_encode(json_t *message, struct strbuf *sb);
/* Takes one whole message off the front of sb. 0: *ret is it; -EAGAIN: more bytes are needed;
 * -EBADMSG: no message can begin so. */
int control_decode(struct strbuf *sb, json_t **ret);

/* {"ok": false, ...} of an error, and back. */
json_t *control_error(int errnum, const struct verror *err);
int control_result(const json_t *answer, struct verror *err);

#endif
