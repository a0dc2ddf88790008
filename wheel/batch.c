#include "wheel/batch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "wheel/assemble.h"
#include "wheel/unpack.h"

/* Members of about so many bytes are unpacked by one job. */
#define PART_BYTES (UINT64_C(24) << 20)

struct batch {
    const struct batch_options *options;
    struct store_put *put;
    struct wheel_job *jobs;
    size_t n;
    struct put_stream **streams; /* one per thread of the pool, then one per bytecode worker */
    size_t n_streams;
    struct unpack unpack;
    atomic_bool stop;
    pthread_mutex_t lock; /* protects what follows, and serialises warnings */
    struct verror error;
    size_t error_wheel, error_member;
};

struct wheel_job {
    struct wheel_plan plan; /* first, so that a plan leads back here */
    struct batch *batch;
    const struct wheel_file *file; /* NULL: it is planned already */
    size_t wheel;                  /* position among the items */
    size_t index;                  /* of the image in the put */
    struct store_image *image;
};

struct part {
    struct wheel_job *job;
    size_t first, end; /* members */
};

static void failed(struct batch *b, size_t wheel, size_t member, struct verror *err)
{
    pthread_mutex_lock(&b->lock);
    if (!b->error.errnum || wheel < b->error_wheel ||
        (wheel == b->error_wheel && member < b->error_member)) {
        verror_move(&b->error, err);
        b->error_wheel = wheel;
        b->error_member = member;
    }
    pthread_mutex_unlock(&b->lock);
    verror_release(err);
    atomic_store(&b->stop, true);
    if (b->unpack.bytecode)
        bytecode_cancel(b->unpack.bytecode);
}

static void warn(void *arg, const char *line)
{
    struct batch *b = arg;
    const struct wheel_options *o = b->options->wheel;
    if (!o->warn)
        return;
    pthread_mutex_lock(&b->lock);
    o->warn(line, o->warn_arg);
    pthread_mutex_unlock(&b->lock);
}

/* ---- planning ---- */

static void plan_job(void *arg, size_t worker)
{
    (void)worker;
    struct wheel_job *job = arg;
    struct verror err = VERROR_INIT;
    if (wheel_plan_make(job->file, job->batch->options->target, &job->plan, &err) < 0)
        failed(job->batch, job->wheel, 0, &err);
}

static void tell_newer(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct wheel_plan *plan = &b->jobs[i].plan;
        if (!plan->newer_minor)
            continue;
        _cleanup_free_ char *line =
            xasprintf("warning: %s: Wheel-Version %s is newer than 1.0; what it adds is not used",
                      plan->label, plan->newer_minor);
        warn(b, line);
    }
}

static int plan_all(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->jobs[i].file)
            pool_submit(b->options->pool, plan_job, &b->jobs[i]);
    pool_wait(b->options->pool);
    if (atomic_load(&b->stop))
        return -1;
    tell_newer(b);
    return 0;
}

/* ---- unpacking ---- */

static void assemble_job(void *arg, size_t worker)
{
    struct wheel_job *job = arg;
    struct batch *b = job->batch;
    if (!atomic_load(&b->stop)) {
        struct verror err = VERROR_INIT;
        int r = assemble_image(&job->plan, b->options->target->cache_tag, b->options->key, b->put,
                               b->streams[worker], &job->index, &err);
        if (r < 0)
            failed(b, job->wheel, SIZE_MAX, &err);
    }
    wheel_plan_release(&job->plan);
}

/* A package counts as done when its files are: the images are all assembled at the end, behind the
 * last part in the pool's queue. */
static void one_done(struct wheel_job *job)
{
    if (atomic_fetch_sub(&job->plan.open, 1) == 1) {
        progress_advance(job->batch->unpack.progress, 1, 0);
        pool_submit(job->batch->options->pool, assemble_job, job);
    }
}

static void unpack_job(void *arg, size_t worker)
{
    struct part *part = arg;
    struct wheel_job *job = part->job;
    struct batch *b = job->batch;
    if (!atomic_load(&b->stop)) {
        struct verror err = VERROR_INIT;
        size_t at;
        progress_item(b->unpack.progress, job->plan.dist_name);
        if (unpack_members(&b->unpack, &job->plan, part->first, part->end, b->streams[worker], &at,
                           &err) < 0)
            failed(b, job->wheel, at, &err);
    }
    free(part);
    one_done(job);
}

static void pyc_done(void *arg, size_t worker, struct bytecode_request *request, const void *data,
                     size_t size)
{
    struct batch *b = arg;
    struct plan_pyc *pyc = (struct plan_pyc *)request;
    struct wheel_job *job = (struct wheel_job *)pyc->plan;
    struct verror err = VERROR_INIT;
    struct put_stream *stream = b->streams[pool_threads(b->options->pool) + worker];
    if (unpack_take_pyc(&b->unpack, pyc, data, size, stream, &err) < 0)
        failed(b, job->wheel, SIZE_MAX, &err);
    one_done(job);
}

static void submit_parts(struct wheel_job *job)
{
    struct wheel_plan *plan = &job->plan;
    /* One for ourselves, so that the image is not assembled before all parts are on their way. */
    atomic_store(&plan->open, 1);
    for (size_t first = 0; first < plan->n;) {
        size_t end = first;
        for (uint64_t bytes = 0; end < plan->n && bytes < PART_BYTES; end++)
            bytes += plan->members[end].size;
        struct part *part = xmalloc(sizeof(*part));
        *part = (struct part){.job = job, .first = first, .end = end};
        atomic_fetch_add(&plan->open, 1);
        pool_submit(job->batch->options->pool, unpack_job, part);
        first = end;
    }
    one_done(job);
}

static int by_size(const void *a, const void *b)
{
    const struct wheel_job *const *ja = a, *const *jb = b;
    uint64_t sa = (*ja)->plan.bytes, sb = (*jb)->plan.bytes;
    if (sa != sb)
        return sa < sb ? 1 : -1;
    return ((*ja)->wheel > (*jb)->wheel) - ((*ja)->wheel < (*jb)->wheel);
}

static void submit_all(struct batch *b)
{
    _cleanup_free_ struct wheel_job **order = xcalloc(b->n, sizeof(*order));
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->n; i++) {
        order[i] = &b->jobs[i];
        bytes += b->jobs[i].plan.bytes;
    }
    qsort(order, b->n, sizeof(*order), by_size);
    progress_add_total(b->unpack.progress, b->n, bytes);
    for (size_t i = 0; i < b->n; i++)
        submit_parts(order[i]);
}

static int start_bytecode(struct batch *b, struct verror *err)
{
    const struct wheel_compile *compile = &b->options->wheel->compile;
    if (!compile->enabled || !compile->levels)
        return 0;
    struct bytecode_options options = {
        .workers = pool_threads(b->options->pool), .done = pyc_done, .warn = warn, .arg = b};
    return bytecode_new(b->options->target, &options, &b->unpack.bytecode, err);
}

static int unpack_all(struct batch *b, struct verror *err)
{
    int r = start_bytecode(b, err);
    if (r < 0)
        return r;
    submit_all(b);
    pool_wait(b->options->pool);
    if (b->unpack.bytecode) {
        struct verror why = VERROR_INIT;
        if (bytecode_finish(b->unpack.bytecode, &why) < 0)
            failed(b, 0, 0, &why);
        pool_wait(b->options->pool); /* the last answers have started the last assemblies */
        bytecode_free(b->unpack.bytecode);
        b->unpack.bytecode = NULL;
    }
    return 0;
}

/* ---- all of it ---- */

static void open_streams(struct batch *b)
{
    b->n_streams = 2 * pool_threads(b->options->pool);
    b->streams = xcalloc(b->n_streams, sizeof(*b->streams));
    for (size_t i = 0; i < b->n_streams; i++)
        b->streams[i] = put_stream_new(b->put);
}

static void close_streams(struct batch *b)
{
    for (size_t i = 0; i < b->n_streams; i++)
        put_stream_free(b->streams[i]);
    free(b->streams);
    b->streams = NULL;
    b->n_streams = 0;
}

static void batch_init(struct batch *b, const struct batch_item *items, size_t n,
                       const struct batch_options *options)
{
    *b = (struct batch){.options = options, .n = n, .error = VERROR_INIT};
    pthread_mutex_init(&b->lock, NULL);
    b->jobs = xcalloc(n, sizeof(*b->jobs));
    for (size_t i = 0; i < n; i++) {
        if (items[i].plan) {
            b->jobs[i].plan = *items[i].plan;
            *items[i].plan = (struct wheel_plan){0};
        }
        b->jobs[i].file = items[i].file;
        b->jobs[i].batch = b;
        b->jobs[i].wheel = i;
        b->jobs[i].image = items[i].image;
    }
    b->unpack = (struct unpack){.levels = options->wheel->compile.levels,
                                .cache_tag = options->target->cache_tag,
                                .progress = options->wheel->progress,
                                .stop = &b->stop};
}

static void batch_release(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        wheel_plan_release(&b->jobs[i].plan);
    free(b->jobs);
    pthread_mutex_destroy(&b->lock);
    verror_release(&b->error);
}

static int run(struct batch *b, struct verror *err)
{
    open_streams(b);
    int r = unpack_all(b, err);
    close_streams(b);
    if (r < 0 || atomic_load(&b->stop))
        return r;
    r = store_put_commit(b->put, err);
    for (size_t i = 0; r == 0 && i < b->n; i++)
        *b->jobs[i].image = store_put_result(b->put, b->jobs[i].index);
    return r;
}

int batch_ingest(struct store *store, const struct batch_item *items, size_t n,
                 const struct batch_options *options, struct verror *err)
{
    struct batch b;
    if (!n)
        return 0;
    batch_init(&b, items, n, options);
    int r = 0;
    if (plan_all(&b) == 0) {
        r = store_put_begin(store, &b.put, err);
        if (r == 0)
            r = run(&b, err);
        store_put_free(b.put);
    }
    if (b.error.errnum)
        r = verror_move(err, &b.error);
    batch_release(&b);
    return r;
}
