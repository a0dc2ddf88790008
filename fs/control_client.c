/* control: the commands' end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/control.h"
#include "fs/control_wire.h"
#include "venvfs-config.h"

#define ANSWER_SECONDS 120 /* a switch waits for requests under way; longer means a hung system */

struct control {
    int fd;
    struct strbuf in;
};

/* The socket's path out of HOME/daemon.json; NULL: no daemon left one. */
static char *find_socket(const struct home *home)
{
    _cleanup_free_ char *path = path_join(home->root, "daemon.json");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(path, &text, CONTROL_LIMIT) < 0)
        return NULL;
    json_t *facts = json_loadb(text.buf, text.len, 0, NULL);
    const char *socket = json_string_value(json_object_get(facts, "socket"));
    char *copy = socket ? xstrdup(socket) : NULL;
    json_decref(facts);
    return copy;
}

static int connect_to(const char *path, int *ret, struct verror *err)
{
    struct sockaddr_un address;
    socklen_t size;
    int folder;
    int r = control_address(path, &address, &size, &folder);
    if (r < 0)
        return verror_errno(err, r, "the control socket %s", path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
        r = -errno;
    if (folder >= 0)
        close(folder);
    if (r == -ECONNREFUSED || r == -ENOENT || r == -ENOTDIR)
        return verror_set(err, ENOENT, "no daemon runs");
    if (r < 0)
        return verror_errno(err, r, "connecting to the daemon at %s", path);
    if (!control_peer_ok(fd))
        return verror_set(err, EPERM, "the control socket %s belongs to another user's process",
                          path);
    *ret = steal_fd(&fd);
    return 0;
}

static int greet(struct control *c, struct verror *err)
{
    json_t *answer;
    int r = control_call(c,
                         json_pack("{s:s, s:i, s:s}", "do", "hello", "protocol", CONTROL_PROTOCOL,
                                   "version", VENVFS_VERSION),
                         &answer, err);
    if (r < 0)
        return r;
    json_int_t protocol = json_integer_value(json_object_get(answer, "protocol"));
    json_decref(answer);
    if (protocol == CONTROL_PROTOCOL)
        return 0;
    verror_set(err, EPROTO, "the running daemon speaks protocol %lld, this program %d",
               (long long)protocol, CONTROL_PROTOCOL);
    return verror_hint(err, "stop it with the venvfs that started it"), -EPROTO;
}

int control_connect(const struct home *home, struct control **ret, struct verror *err)
{
    _cleanup_free_ char *path = find_socket(home);
    if (!path)
        return verror_set(err, ENOENT, "no daemon runs");
    int fd = -1;
    int r = connect_to(path, &fd, err);
    if (r < 0)
        return r;
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    struct control *c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    strbuf_init(&c->in);
    r = greet(c, err);
    if (r == -ECONNRESET || r == -EPIPE) /* it was dying when it still seemed to listen */
        r = verror_set(err, ENOENT, "no daemon runs");
    if (r < 0) {
        control_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_close(struct control *c)
{
    if (!c)
        return;
    close(c->fd);
    strbuf_release(&c->in);
    free(c);
}

static int send_all(int fd, const struct strbuf *sb)
{
    size_t done = 0;
    while (done < sb->len) {
        ssize_t n = send(fd, sb->buf + done, sb->len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int receive(struct control *c, json_t **ret)
{
    char buf[16384];
    for (;;) {
        int r = control_decode(&c->in, ret);
        if (r != -EAGAIN)
            return r;
        ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n > 0)
            strbuf_add(&c->in, buf, (size_t)n);
    }
}

int control_call(struct control *c, json_t *request, json_t **ret, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    json_t *answer = NULL;
    int r = control_encode(request, &out);
    json_decref(request);
    if (r == 0)
        r = send_all(c->fd, &out);
    if (r == 0)
        r = receive(c, &answer);
    if (r < 0)
        return verror_errno(err, r, "talking to the daemon");
    r = control_result(answer, err);
    if (r < 0 || !ret)
        json_decref(answer);
    else
        *ret = answer;
    return r;
}
