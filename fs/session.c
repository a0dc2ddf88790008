#include "fs/session_internal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "fs/announce_internal.h"
#include "fs/intent.h"
#include "fs/mount.h"

#define INIT_SECONDS 20

/* ---- between libfuse and the kernel ---- */

static void begin_request(struct session *s, const void *buf, ssize_t n)
{
    const struct fuse_in_header *in = buf;
    s->raw = buf;
    s->raw_size = (size_t)n;
    counters_count(s->context.counters, in->opcode);
    s->request = in->unique;
    s->request_node = in->nodeid;
    s->request_opcode = in->opcode;
    if (in->opcode == FUSE_INIT &&
        n >= (ssize_t)(sizeof(*in) + offsetof(struct fuse_init_in, flags) + sizeof(uint32_t))) {
        const struct fuse_init_in *init = (const void *)(in + 1);
        s->init_unique = in->unique;
        s->init_flags = init->flags;
        pthread_mutex_lock(&s->lock);
        s->major = init->major;
        s->minor = init->minor;
        pthread_mutex_unlock(&s->lock);
    }
    if (s->succession)
        intent_begin(succession_intent(s->succession), in->unique);
}

static ssize_t counted_read(int fd, void *buf, size_t size, void *userdata)
{
    struct session *s = userdata;
    size_t most = size;
    if (s->succession)
        (void)succession_buffer(s->succession, &most);
    ssize_t n = waiting_read(&s->waiting, fd, buf, size < most ? size : most);
    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return n;
    begin_request(s, buf, n);
    if (s->init_unique && s->succession)
        succession_set_init(s->succession, buf, (size_t)n);
    return n;
}

struct deferred *session_defer(struct session *s)
{
    return s->succession ? succession_defer(s->succession, s->raw, s->raw_size) : NULL;
}

void session_go_on(struct deferred *d)
{
    if (d)
        intent_begin(&d->intent, atomic_load(&d->unique));
}

/* libfuse up to 3.16 believes to ask for PARALLEL_DIROPS but never sends the flag: without it
 * lookups and listings of one folder wait for each other. */
static bool patch_init_reply(struct session *s, struct iovec *iov, int count)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    if (iov[0].iov_len < sizeof(*out) || out->unique != s->init_unique || out->error != 0)
        return false;
    s->init_unique = 0;
    if (count > 1 && iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(uint32_t)) {
        struct fuse_init_out *init = iov[1].iov_base;
        if (init->major == FUSE_KERNEL_VERSION)
            init->flags |= s->init_flags & FUSE_PARALLEL_DIROPS;
    }
    return true;
}

static void set_flag(struct session *s, bool *flag)
{
    pthread_mutex_lock(&s->lock);
    *flag = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static ssize_t total(const struct iovec *iov, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    return (ssize_t)n;
}

static ssize_t patched_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct session *s = userdata;
    if (damage_in_answer(s, iov, count))
        return damage_refuse(s, fd, iov, count);
    bool init = s->init_unique != 0 && patch_init_reply(s, iov, count);
    ssize_t n = s->resuming ? total(iov, count) : writev(fd, iov, count);
    if (s->succession)
        succession_answered(s->succession,
                            ((const struct fuse_out_header *)iov[0].iov_base)->unique);
    if (init && n > 0)
        set_flag(s, &s->ready);
    return n;
}

static const struct fuse_custom_io custom_io = {.read = counted_read, .writev = patched_writev};

/* ---- loop ---- */

static void process(struct session *s, const struct fuse_buf *buf)
{
    uint64_t unique = s->request;
    fuse_session_process_buf(s->fuse, buf);
    if (!s->succession)
        return;
    intent_end();
    succession_done(s->succession, unique);
}

/* What a predecessor had read from the kernel. libfuse finds nothing unusual about it. */
static void process_again(struct session *s, void *request, size_t size)
{
    const struct fuse_buf buf = {.mem = request, .size = size};
    begin_request(s, request, (ssize_t)size);
    process(s, &buf);
}

static void process_deferred(void *arg, struct deferred *d)
{
    struct session *s = arg;
    uint64_t unique = atomic_load(&d->unique);
    if (d->size) {
        char request[sizeof(d->bytes)];
        memcpy(request, d->bytes, d->size);
        process_again(s, request, d->size);
        return;
    }
    const struct fuse_out_header refuse = {.len = sizeof(refuse), .error = -EIO, .unique = unique};
    ssize_t ignored = write(fuse_session_fd(s->fuse), &refuse, sizeof(refuse));
    (void)ignored;
    succession_answered(s->succession, unique);
}

/* INIT was answered by a predecessor: only libfuse has to see it. Its requests under way are in
 * memory that reading new ones overwrites, so they come first. */
static void resume(struct session *s)
{
    size_t size;
    char init[1024];
    const void *request = succession_init(s->succession, &size);
    memcpy(init, request, size < sizeof(init) ? size : sizeof(init));
    const struct fuse_buf buf = {.mem = init, .size = size};
    begin_request(s, init, (ssize_t)size);
    fuse_session_process_buf(s->fuse, &buf);
    s->resuming = false;
    void *undone = succession_undone(s->succession, &size);
    if (undone)
        process_again(s, undone, size);
    succession_each_deferred(s->succession, process_deferred, s);
}

static void *loop(void *arg)
{
    struct session *s = arg;
    size_t size;
    struct fuse_buf buf = {.mem = s->succession ? succession_buffer(s->succession, &size) : NULL};
    s->loop = pthread_self();
    waiting_begin(&s->waiting);
    if (s->resuming)
        resume(s);
    while (!fuse_session_exited(s->fuse)) {
        int n = fuse_session_receive_buf(s->fuse, &buf);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            break;
        process(s, &buf);
    }
    if (s->succession)
        succession_set_descriptor(s->succession, SUCCESSION_FUSE, -1);
    else
        free(buf.mem);
    atomic_store(&s->alive, false);
    set_flag(s, &s->ended);
    if (!atomic_load(&s->unmounting)) {
        uint64_t one = 1;
        ssize_t ignored = write(s->context.ended, &one, sizeof(one));
        (void)ignored;
    }
    return NULL;
}

/* ---- life ---- */

__attribute__((format(printf, 2, 0))) static void log_libfuse(enum fuse_log_level level,
                                                              const char *fmt, va_list ap)
{
    if (level > FUSE_LOG_WARNING)
        return;
    _cleanup_free_ char *line = xvasprintf(fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    _cleanup_free_ char *whole = xasprintf("%s\n", line);
    (void)io_write_all(STDERR_FILENO, whole, strlen(whole));
}

static void session_release(struct session *s)
{
    announce_release(s);
    realm_free(s->realm);
    pthread_mutex_destroy(&s->announce_lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->mountpoint);
    free(s->buffer);
    free(s);
}

static struct session *session_new(const struct session_context *context, const char *mountpoint)
{
    struct session *s = xcalloc(1, sizeof(*s));
    s->context = *context;
    s->mountpoint = xstrdup(mountpoint);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->announce_lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    atomic_init(&s->alive, true);
    return s;
}

/* The kernel checks modes by attributes, of which it forgets a folder's with each change in it: a
 * GETATTR for every file that is made or removed. Only the user of the daemon gets past the mount,
 * and to root modes say nothing but whether a file can be executed, which the kernel checks without
 * the option as well, and op_access() for who asks. */
static const char *permissions(void)
{
    return geteuid() == 0 ? "" : "default_permissions,";
}

static int new_fuse(struct session *s, struct verror *err)
{
    char name[] = "venvfs";
    _cleanup_free_ char *options =
        xasprintf("-o%s,nosuid,nodev,%sfsname=venvfs,subtype=venvfs",
                  realm_is_writable(s->realm) ? "rw" : "ro", permissions());
    char *argv[] = {name, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    fuse_set_log_func(log_libfuse);
    s->fuse = fuse_session_new(&args, &session_ops, sizeof(session_ops), s);
    fuse_opt_free_args(&args);
    if (!s->fuse)
        return verror_set(err, EINVAL, "libfuse %s refused the mount options", fuse_pkgversion());
    return 0;
}

static int adopt_descriptor(struct session *s, int fd, struct verror *err)
{
    int r = fuse_session_custom_io(s->fuse, &custom_io, fd);
    if (r == 0 && s->succession)
        succession_set_descriptor(s->succession, SUCCESSION_FUSE, fd);
    return r == 0 ? 0 : verror_errno(err, r, "taking over the descriptor of %s", s->mountpoint);
}

static int mount_fuse(struct session *s, struct verror *err)
{
    int r = new_fuse(s, err);
    if (r < 0)
        return r;
    struct mount_words catcher;
    mount_words_begin(&catcher);
    errno = 0;
    int failed = fuse_session_mount(s->fuse, s->mountpoint), errnum = errno;
    _cleanup_free_ char *words = mount_words_end(&catcher);
    if (failed) {
        r = mount_explain(s->mountpoint, errnum, words, err);
        fuse_session_destroy(s->fuse);
        return r;
    }
    if (s->succession)
        succession_reset(s->succession);
    r = adopt_descriptor(s, fuse_session_fd(s->fuse), err);
    if (r == 0)
        return 0;
    fuse_session_unmount(s->fuse);
    fuse_session_destroy(s->fuse);
    return r;
}

static int resume_fuse(struct session *s, struct verror *err)
{
    int fd = succession_descriptor(s->succession, SUCCESSION_FUSE);
    int r = new_fuse(s, err);
    if (r < 0)
        return r;
    r = adopt_descriptor(s, fd, err);
    if (r < 0)
        fuse_session_destroy(s->fuse);
    s->resuming = r == 0;
    return r;
}

static bool wait_for(struct session *s, const bool *flag, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&s->lock);
    int r = 0;
    while (!*flag && !s->ended && r == 0)
        r = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    bool set = *flag;
    pthread_mutex_unlock(&s->lock);
    return set;
}

static int start(const struct session_context *context, struct realm *realm, const char *mountpoint,
                 int (*get_fuse)(struct session *s, struct verror *err), struct session **ret,
                 struct verror *err)
{
    struct session *s = session_new(context, mountpoint);
    s->realm = realm;
    s->succession = realm_is_writable(realm) ? context->succession : NULL;
    int r = get_fuse(s, err);
    if (r < 0) {
        session_release(s);
        return r;
    }
    r = pthread_create(&s->thread, NULL, loop, s);
    if (r != 0) {
        fuse_session_unmount(s->fuse);
        fuse_session_destroy(s->fuse);
        session_release(s);
        return verror_errno(err, r, "starting a thread for %s", mountpoint);
    }
    if (!wait_for(s, &s->ready, INIT_SECONDS)) {
        r = verror_set(err, EIO, "the kernel did not open the connection for %s", mountpoint);
        session_unmount(s, true, NULL);
        session_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int session_start(const struct session_context *context, struct realm *realm,
                  const char *mountpoint, struct session **ret, struct verror *err)
{
    return start(context, realm, mountpoint, mount_fuse, ret, err);
}

int session_resume(const struct session_context *context, struct realm *realm,
                   const char *mountpoint, struct session **ret, struct verror *err)
{
    return start(context, realm, mountpoint, resume_fuse, ret, err);
}

const char *session_mountpoint(const struct session *s)
{
    return s->mountpoint;
}

struct realm *session_realm(const struct session *s)
{
    return s->realm;
}

bool session_alive(const struct session *s)
{
    return atomic_load(&s->alive);
}

void session_protocol(const struct session *s, unsigned *major, unsigned *minor)
{
    *major = s->major; /* written once, before session_start() returned */
    *minor = s->minor;
}

int session_unmount(struct session *s, bool lazy, struct verror *err)
{
    atomic_store(&s->unmounting, true);
    if (!session_alive(s))
        return 0;
    /* Not fuse_session_unmount(): it closes the descriptor the loop is reading from. */
    int r = unmount_path(s->mountpoint, false, err);
    if (r == -EBUSY && lazy)
        r = unmount_path(s->mountpoint, true, err);
    if (r == -EBUSY)
        atomic_store(&s->unmounting, false);
    return r;
}

bool session_free(struct session *s)
{
    /* The kernel ends the connection of a mount without users at once. */
    if (!wait_for(s, &s->ended, 1))
        return false;
    pthread_join(s->thread, NULL);
    pool_wait(s->context.workers); /* answers under way use the session */
    fuse_session_unmount(s->fuse); /* finds the connection ended, and only closes it */
    fuse_session_destroy(s->fuse);
    session_release(s);
    return true;
}
