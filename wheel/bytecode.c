#include "wheel/bytecode.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "wheel/compile-worker.h"

enum {
    MAX_IN_FLIGHT = 16,
    MAX_BYTES_IN_FLIGHT = 128 * 1024, /* little, so that no worker hoards the last files */
    MAX_BYTES_QUEUED = 64 * 1024 * 1024,
    MAX_PYC = 1 << 30,
    PIPE_SIZE = 1 << 20,
    DEFAULT_TIMEOUT_MS = 60 * 1000,
    ANSWER_HEADER = 8,
};

struct feeder {
    struct bytecode *pool;
    size_t index;
    pthread_t thread;
    /* What follows is the thread's alone. */
    struct proc proc;                      /* pid 0: not running */
    struct bytecode_request *head, **tail; /* sent or in `out`, unanswered, in order */
    size_t in_flight, bytes;
    int64_t since; /* when the worker can have begun with the head */
    struct strbuf out;
    size_t out_done; /* bytes of out already written */
    struct strbuf in;
};

struct bytecode {
    const struct wheel_target *target;
    struct bytecode_options options;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t wake;  /* a request was queued, closed or cancelled was set */
    pthread_cond_t room;  /* the queue became shorter */
    struct bytecode_request *head, **tail;
    size_t queued_bytes;
    bool closed, cancelled;
    struct verror error; /* why no worker can be started; sets cancelled */
    size_t n;
    struct feeder feeders[];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_cancelled(struct bytecode *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool cancelled = pool->cancelled;
    pthread_mutex_unlock(&pool->lock);
    return cancelled;
}

void bytecode_cancel(struct bytecode *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->cancelled = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->lock);
}

void bytecode_submit(struct bytecode *pool, struct bytecode_request *request)
{
    request->next = NULL;
    pthread_mutex_lock(&pool->lock);
    while (pool->queued_bytes > MAX_BYTES_QUEUED && !pool->cancelled)
        pthread_cond_wait(&pool->room, &pool->lock);
    *pool->tail = request;
    pool->tail = &request->next;
    pool->queued_bytes += request->size;
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* The next request; NULL when there is none now (or, with `wait`, none will come any more). */
static struct bytecode_request *take(struct bytecode *pool, bool wait)
{
    pthread_mutex_lock(&pool->lock);
    while (wait && !pool->head && !pool->closed)
        pthread_cond_wait(&pool->wake, &pool->lock);
    struct bytecode_request *request = pool->head;
    if (request) {
        pool->head = request->next;
        if (!pool->head)
            pool->tail = &pool->head;
        pool->queued_bytes -= request->size;
        pthread_cond_broadcast(&pool->room);
    }
    pthread_mutex_unlock(&pool->lock);
    return request;
}

/* ---- one worker process ---- */

static void stop_worker(struct feeder *f, bool now)
{
    if (!f->proc.pid)
        return;
    if (now)
        (void)kill(f->proc.pid, SIGKILL);
    (void)close(f->proc.to);
    (void)close(f->proc.from);
    (void)proc_wait(f->proc.pid);
    f->proc = (struct proc){0};
}

/* Reads the worker's hello and compares its magic number with the one the images are keyed by. */
static int greet(struct feeder *f, struct verror *err)
{
    const struct wheel_target *t = f->pool->target;
    uint8_t magic[4];
    size_t n = 0;
    int64_t deadline = now_ms() + DEFAULT_TIMEOUT_MS;
    while (n < sizeof(magic)) {
        struct pollfd p = {.fd = f->proc.from, .events = POLLIN};
        int64_t left = deadline - now_ms();
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t got = ready > 0 ? read(f->proc.from, magic + n, sizeof(magic) - n) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return verror_set(err, EIO, "%s: does not start as a bytecode compiler", t->executable);
        n += (size_t)got;
    }
    if (wire_load32(magic) != t->magic)
        return verror_set(err, EIO,
                          "%s: has magic number %u now, not %u; the interpreter was replaced",
                          t->executable, wire_load16(magic), (unsigned)(t->magic & 0xffff));
    return 0;
}

static int start_worker(struct feeder *f, struct verror *err)
{
    /* Isolated as by -I, which cannot be used: it would ignore PYTHONHASHSEED too, on which the
     * order of a frozenset in the bytecode depends. */
    static const char *const unset[] = {"PYTHON*", "SOURCE_DATE_EPOCH", NULL};
    static const char *const set[] = {"PYTHONHASHSEED=0", NULL};
    static const struct proc_options options = {.cwd = "/", .unset = unset, .set = set};
    _cleanup_free_ char *size = xasprintf("%zu", sizeof(compile_worker) - 1);
    const char *argv[] = {f->pool->target->executable,
                          "-s",
                          "-S",
                          "-B",
                          "-W",
                          "ignore",
                          "-c",
                          "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))",
                          size,
                          NULL};
    int r = proc_spawn(argv, &options, &f->proc, err);
    if (r < 0) {
        f->proc = (struct proc){0};
        return r;
    }
    /* Bigger pipes let the worker run further ahead; the usual size works too. */
    (void)fcntl(f->proc.to, F_SETPIPE_SZ, PIPE_SIZE);
    (void)fcntl(f->proc.from, F_SETPIPE_SZ, PIPE_SIZE);
    /* What does not read this does not answer either. */
    (void)io_write_all(f->proc.to, compile_worker, sizeof(compile_worker) - 1);
    r = greet(f, err);
    if (r < 0) {
        stop_worker(f, true);
        return r;
    }
    (void)fcntl(f->proc.to, F_SETFL, O_NONBLOCK);
    (void)fcntl(f->proc.from, F_SETFL, O_NONBLOCK);
    return 0;
}

/* ---- requests in flight ---- */

static void encode(struct feeder *f, const struct bytecode_request *request)
{
    uint8_t header[16];
    size_t path_len = strlen(request->path);
    wire_store32(header, request->level);
    wire_store32(header + 4, request->mtime);
    wire_store32(header + 8, (uint32_t)path_len);
    wire_store32(header + 12, (uint32_t)request->size);
    strbuf_add(&f->out, header, sizeof(header));
    strbuf_add(&f->out, request->path, path_len);
    strbuf_add(&f->out, request->source, request->size);
}

static void append(struct feeder *f, struct bytecode_request *request)
{
    request->next = NULL;
    *f->tail = request;
    f->tail = &request->next;
    if (!f->in_flight++)
        f->since = now_ms();
    f->bytes += request->size;
    encode(f, request);
}

/* Ends the head's flight. */
static void deliver(struct feeder *f, const void *pyc, size_t size)
{
    struct bytecode_request *request = f->head;
    f->head = request->next;
    if (!f->head)
        f->tail = &f->head;
    f->in_flight--;
    f->bytes -= request->size;
    f->since = now_ms();
    f->pool->options.done(f->pool->options.arg, f->index, request, pyc, size);
}

static void deliver_none(struct feeder *f)
{
    while (f->head)
        deliver(f, NULL, 0);
}

/* The worker died or is stuck: its first file is given up, the others go to the next worker. */
static void give_up_head(struct feeder *f, const char *why)
{
    stop_worker(f, true);
    strbuf_reset(&f->in);
    strbuf_reset(&f->out);
    f->out_done = 0;
    if (!f->head)
        return;
    if (f->pool->options.warn) {
        _cleanup_free_ char *line =
            xasprintf("warning: %s: %s; it goes without bytecode", f->head->path, why);
        f->pool->options.warn(f->pool->options.arg, line);
    }
    deliver(f, NULL, 0);
    for (struct bytecode_request *q = f->head; q; q = q->next)
        encode(f, q);
}

static void send_some(struct feeder *f)
{
    ssize_t n = write(f->proc.to, f->out.buf + f->out_done, f->out.len - f->out_done);
    if (n > 0)
        f->out_done += (size_t)n;
    if (f->out_done == f->out.len) {
        strbuf_reset(&f->out);
        f->out_done = 0;
    }
    /* An error here is a worker that died; reading will find its end. */
}

/* Delivers the complete answers in f->in. Returns false when it holds nonsense. */
static bool take_answers(struct feeder *f)
{
    size_t at = 0;
    while (f->in.len - at >= ANSWER_HEADER) {
        uint32_t status = wire_load32(f->in.buf + at), size = wire_load32(f->in.buf + at + 4);
        if (status > 1 || size > MAX_PYC || !f->head)
            return false;
        if (f->in.len - at - ANSWER_HEADER < size)
            break;
        const char *data = f->in.buf + at + ANSWER_HEADER;
        deliver(f, status == 0 ? data : NULL, status == 0 ? size : 0);
        at += ANSWER_HEADER + size;
    }
    memmove(f->in.buf, f->in.buf + at, f->in.len - at);
    strbuf_truncate(&f->in, f->in.len - at);
    return true;
}

static void receive_some(struct feeder *f)
{
    enum { CHUNK = 256 * 1024 };
    strbuf_grow(&f->in, CHUNK);
    ssize_t n = read(f->proc.from, f->in.buf + f->in.len, CHUNK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        give_up_head(f, "the interpreter crashed compiling it");
        return;
    }
    f->in.len += (size_t)n;
    f->in.buf[f->in.len] = '\0';
    if (!take_answers(f))
        give_up_head(f, "the interpreter answered nonsense");
}

/* Waits for the worker, but looks up now and then whether all is cancelled. */
static void pump(struct feeder *f)
{
    enum { LOOK_UP_MS = 200 };
    unsigned timeout = f->pool->options.timeout_ms;
    int64_t left = f->since + (timeout ? timeout : DEFAULT_TIMEOUT_MS) - now_ms();
    if (left <= 0) {
        give_up_head(f, "compiling it takes too long");
        return;
    }
    struct pollfd p[2] = {{.fd = f->proc.from, .events = POLLIN},
                          {.fd = f->out.len ? f->proc.to : -1, .events = POLLOUT}};
    if (poll(p, 2, left < LOOK_UP_MS ? (int)left : LOOK_UP_MS) < 0)
        return;
    if (p[1].revents)
        send_some(f);
    if (p[0].revents)
        receive_some(f);
}

/* ---- the thread of a worker ---- */

static void fail(struct bytecode *pool, struct verror *err)
{
    pthread_mutex_lock(&pool->lock);
    if (!pool->error.errnum)
        verror_move(&pool->error, err);
    pthread_mutex_unlock(&pool->lock);
    bytecode_cancel(pool);
}

static void feed(struct feeder *f)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    for (;;) {
        struct bytecode_request *request;
        while (f->in_flight < MAX_IN_FLIGHT && f->bytes < MAX_BYTES_IN_FLIGHT &&
               (request = take(f->pool, !f->in_flight)))
            append(f, request);
        if (!f->in_flight)
            return;
        if (!is_cancelled(f->pool) && !f->proc.pid) {
            if (start_worker(f, &err) < 0)
                fail(f->pool, &err);
            f->since = now_ms();
        }
        if (is_cancelled(f->pool)) {
            stop_worker(f, true);
            strbuf_reset(&f->in);
            strbuf_reset(&f->out);
            f->out_done = 0;
            deliver_none(f);
        } else {
            pump(f);
        }
    }
}

static void *run(void *arg)
{
    struct feeder *f = arg;
    feed(f);
    stop_worker(f, false);
    strbuf_release(&f->in);
    strbuf_release(&f->out);
    return NULL;
}

static void join_all(struct bytecode *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->n; i++)
        pthread_join(pool->feeders[i].thread, NULL);
}

void bytecode_free(struct bytecode *pool)
{
    if (!pool)
        return;
    pthread_cond_destroy(&pool->wake);
    pthread_cond_destroy(&pool->room);
    pthread_mutex_destroy(&pool->lock);
    verror_release(&pool->error);
    free(pool);
}

int bytecode_new(const struct wheel_target *target, const struct bytecode_options *options,
                 struct bytecode **ret, struct verror *err)
{
    struct bytecode *pool = xcalloc(1, sizeof(*pool) + options->workers * sizeof(pool->feeders[0]));
    pool->target = target;
    pool->options = *options;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->room, NULL);
    pool->tail = &pool->head;

    /* All signals blocked: they stay with the thread that asked for them, and writing to a worker
     * that died must be an error, not SIGPIPE. */
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* see base/sigbus.h */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = 0;
    for (; pool->n < options->workers; pool->n++) {
        struct feeder *f = &pool->feeders[pool->n];
        *f = (struct feeder){.pool = pool, .index = pool->n, .out = STRBUF_INIT, .in = STRBUF_INIT};
        f->tail = &f->head;
        failed = pthread_create(&f->thread, NULL, run, f);
        if (failed)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!pool->n) {
        bytecode_free(pool);
        return verror_errno(err, failed, "starting a thread");
    }
    *ret = pool;
    return 0;
}

int bytecode_finish(struct bytecode *pool, struct verror *err)
{
    join_all(pool);
    return pool->error.errnum ? verror_move(err, &pool->error) : 0;
}
