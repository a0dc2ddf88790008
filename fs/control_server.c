#include "fs/control_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/control.h"
#include "fs/control_wire.h"

#define CLIENTS 64u
#define SEND_SECONDS 5 /* for a client that does not take its answer */

struct client {
    struct control_client who;
    int fd;
    bool greeted;
    struct strbuf in;
};

struct control_server {
    char *path;
    int fd;
    struct client clients[CLIENTS];
    size_t n;
    uint64_t clients_so_far;
};

static int bind_socket(int fd, const char *path, struct verror *err)
{
    struct sockaddr_un address;
    socklen_t size;
    int folder;
    int r = control_address(path, &address, &size, &folder);
    if (r < 0)
        return verror_errno(err, r, "the control socket %s", path);
    (void)io_unlink(path); /* whoever made it does not hold the daemon's lock any more */
    mode_t mask = umask(0177);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, CLIENTS) < 0)
        r = -errno;
    umask(mask);
    if (folder >= 0)
        close(folder);
    return r < 0 ? verror_errno(err, r, "listening at %s", path) : 0;
}

static int new_socket(const char *path, int *ret, struct verror *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return verror_errno(err, errno, "making a socket");
    int r = bind_socket(fd, path, err);
    if (r == 0)
        *ret = steal_fd(&fd);
    return r;
}

int control_listen(const char *path, int fd, struct control_server **ret, struct verror *err)
{
    int r = fd < 0 ? new_socket(path, &fd, err) : 0;
    if (r < 0)
        return r;
    struct control_server *s = xcalloc(1, sizeof(*s));
    s->path = xstrdup(path);
    s->fd = fd;
    *ret = s;
    return 0;
}

int control_server_descriptor(const struct control_server *s)
{
    return s->fd;
}

static void drop(struct control_server *s, const struct control_handler *h, size_t i)
{
    if (h)
        h->gone(h->arg, &s->clients[i].who);
    close(s->clients[i].fd);
    strbuf_release(&s->clients[i].in);
    s->clients[i] = s->clients[--s->n];
}

void control_server_free(struct control_server *s)
{
    if (!s)
        return;
    while (s->n)
        drop(s, NULL, s->n - 1);
    close(s->fd);
    (void)io_unlink(s->path);
    free(s->path);
    free(s);
}

static void take_client(struct control_server *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (s->n == CLIENTS || !control_peer_ok(fd)) {
        close(fd);
        return;
    }
    struct timeval limit = {.tv_sec = SEND_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    s->clients[s->n] = (struct client){
        .who = {.number = ++s->clients_so_far, .pid = control_peer_pid(fd)}, .fd = fd};
    strbuf_init(&s->clients[s->n].in);
    s->n++;
}

static int answer_to(struct client *c, const struct control_handler *h, const json_t *request,
                     json_t *answer, struct verror *err)
{
    const char *verb = json_string_value(json_object_get(request, "do"));
    if (!verb)
        return verror_set(err, EINVAL, "a request names its verb in \"do\"");
    if (strcmp(verb, "hello") == 0) {
        json_int_t protocol = json_integer_value(json_object_get(request, "protocol"));
        if (protocol != CONTROL_PROTOCOL)
            return verror_set(err, EPROTO, "this daemon speaks protocol %d, not %lld",
                              CONTROL_PROTOCOL, (long long)protocol);
        c->greeted = true;
    } else if (!c->greeted) {
        return verror_set(err, EPROTO, "the first request must be hello");
    }
    return h->perform(h->arg, &c->who, verb, request, answer, err);
}

/* Returns false when the client must go. */
static bool answer_one(struct client *c, const struct control_handler *h, const json_t *request)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    json_t *answer = json_object();
    int r = answer_to(c, h, request, answer, &err);
    if (r < 0) {
        json_decref(answer);
        answer = control_error(r, &err);
    } else {
        json_object_set_new(answer, "ok", json_true());
    }
    r = control_encode(answer, &out);
    json_decref(answer);
    size_t done = 0;
    while (r == 0 && done < out.len) {
        ssize_t n = send(c->fd, out.buf + done, out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            r = -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return r == 0;
}

/* Reads what is there and performs the whole requests in it. */
static bool serve_client(struct client *c, const struct control_handler *h)
{
    char buf[16384];
    ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    strbuf_add(&c->in, buf, (size_t)n);
    json_t *request;
    int r;
    while ((r = *h->stop ? -EAGAIN : control_decode(&c->in, &request)) == 0) {
        bool keep = answer_one(c, h, request);
        json_decref(request);
        if (!keep)
            return false;
    }
    return r == -EAGAIN;
}

void control_serve(struct control_server *s, const struct control_handler *h)
{
    struct pollfd fds[3 + CLIENTS];
    while (!*h->stop) {
        size_t n = s->n;
        fds[0] = (struct pollfd){.fd = h->quit, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = h->watched, .events = POLLIN};
        fds[2] = (struct pollfd){.fd = s->fd, .events = POLLIN};
        for (size_t i = 0; i < n; i++)
            fds[3 + i] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
        if (poll(fds, 3 + n, h->tick(h->arg)) < 0)
            continue;
        if (fds[0].revents)
            return;
        if (fds[1].revents)
            h->event(h->arg);
        /* From the end: drop() fills a gap from there. */
        for (size_t i = n; i-- > 0 && !*h->stop;)
            if (fds[3 + i].revents && !serve_client(&s->clients[i], h))
                drop(s, h, i);
        if (fds[2].revents)
            take_client(s);
    }
}
