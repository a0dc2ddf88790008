/* private: the server's side. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/daemon_internal.h"
#include "fs/private.h"

struct server {
    struct session_context context;
    struct counters counters;
    struct session *session;
    int quit;
};

static int prepare(struct server *s, const struct home *home, struct verror *err)
{
    umask(077);
    daemon_limit_memory();
    if (chdir("/") < 0)
        return verror_errno(err, errno, "/");
    int r = daemon_open_log(home, err);
    if (r == 0)
        r = s->quit = daemon_quit_descriptor(err);
    if (r < 0)
        return r;
    s->context.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->context.workers = pool_new(DAEMON_WORKERS);
    s->context.images = images_new(home->store, DAEMON_FRAME_CACHE_BYTES);
    s->context.counters = &s->counters;
    s->context.told = log_memory_new();
    if (s->context.ended < 0 || !s->context.workers)
        return verror_errno(err, errno, "starting the server's threads");
    return 0;
}

/* libfuse takes a descriptor whose mount is made already by this name. */
static int start(struct server *s, const struct home *home, const char *name, const char *address,
                 int fuse, struct verror *err)
{
    _cleanup_free_ char *mounted = xasprintf("/dev/fd/%d", fuse);
    struct realm *realm;
    int r = realm_new_single(home, s->context.images, name, address, &realm, err);
    if (r == 0)
        r = session_start(&s->context, realm, mounted, &s->session, err);
    return r;
}

static void wait_for_the_end(const struct server *s)
{
    struct pollfd fds[] = {{.fd = s->context.ended, .events = POLLIN},
                           {.fd = s->quit, .events = POLLIN}};
    while (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno == EINTR)
        ;
}

int private_serve(const struct home *home, const char *name, const char *address, int fuse,
                  int ready, struct verror *err)
{
    struct server *s = xcalloc(1, sizeof(*s));
    s->quit = -1;
    int r = prepare(s, home, err);
    if (r == 0)
        r = start(s, home, name, address, fuse, err);
    if (r < 0)
        log_line("environment %s is not served to one command: %s", name, verror_message(err));
    daemon_tell(&ready, r, err);
    if (r == 0)
        wait_for_the_end(s);
    /* Its threads may still answer: everything goes with the process. */
    return r;
}
