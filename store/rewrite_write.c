/* Writing frames: each is put together from where its blobs lie now, compressed and written. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/pool.h"
#include "store/frame_cache.h"
#include "store/pack_format.h"
#include "store/rewrite.h"

enum {
    FRAMES_PER_JOB = 32, /* neighbours, which are read from the same frames */
    SAMPLE = 24,         /* an estimate compresses so many runs of frames of each group, */
    SAMPLE_FRAMES = 4,   /* each of so many */
};
#define CACHE_BYTES ((size_t)128 << 20)

struct rewrite {
    struct plan *plan;
    const struct rewrite_options *options;
    struct written_pack *packs; /* NULL: nothing is written */
    bool sample;                /* only some of the frames */
    uint64_t limit;
    struct frame_cache *cache;
    struct hand *hands; /* one per worker */
    _Atomic uint64_t written, made, kept;
    _Atomic uint64_t sampled_raw[PLAN_GROUPS_MAX], sampled_stored[PLAN_GROUPS_MAX];
    atomic_bool stop;
    pthread_mutex_t lock; /* protects failure */
    struct verror failure;
};

/* What a worker needs, made at its first job. */
struct hand {
    struct rewrite *rewrite;
    ZSTD_CCtx *zstd;
    struct pack_decoder *decoder;
    uint8_t *raw, *compressed;
    size_t compressed_size;
};

struct run_job {
    struct rewrite *rewrite;
    size_t first, count; /* frames */
};

static int need_hand(struct rewrite *w, struct hand *h, struct verror *err)
{
    if (h->rewrite)
        return 0;
    h->zstd = ZSTD_createCCtx();
    h->decoder = pack_decoder_new();
    if (!h->zstd || !h->decoder ||
        ZSTD_isError(ZSTD_CCtx_setParameter(h->zstd, ZSTD_c_compressionLevel, w->options->level)))
        return verror_errno(err, ENOMEM, "cannot compress");
    h->raw = xmalloc(IMAGE_SLICE_SIZE);
    h->compressed_size = ZSTD_compressBound(IMAGE_SLICE_SIZE);
    h->compressed = xmalloc(h->compressed_size);
    h->rewrite = w;
    return 0;
}

static void release_hand(struct hand *h)
{
    (void)ZSTD_freeCCtx(h->zstd);
    pack_decoder_free(h->decoder);
    free(h->raw);
    free(h->compressed);
}

static int load(void *arg, uint32_t number, uint32_t frame, bool nowait, uint8_t **data,
                size_t *size, struct verror *err)
{
    struct hand *h = arg;
    const struct plan_pack *at = plan_find_pack(h->rewrite->plan, number);
    uint32_t raw = pack_frame_size(at->pack, frame);
    if (!raw)
        return verror_set(err, EBADMSG, "pack %u has no frame %u", number, frame);
    _cleanup_free_ uint8_t *buf = xmalloc(raw);
    int r = pack_read_frame(at->pack, h->decoder, frame, nowait, buf, err);
    if (r < 0)
        return r;
    *data = steal_ptr(buf);
    *size = raw;
    return 0;
}

/* Copies size bytes from `start` of a frame. */
static int copy_from(struct hand *h, uint32_t pack, uint32_t number, size_t start, size_t size,
                     uint8_t *to, struct verror *err)
{
    struct frame *frame;
    int r = frame_cache_get(h->rewrite->cache, pack, number, false, load, h, &frame, err);
    if (r < 0)
        return r;
    size_t have;
    const uint8_t *data = frame_data(frame, &have);
    if (start <= have && size <= have - start)
        memcpy(to, data + start, size);
    else
        r = verror_set(err, EBADMSG, "pack %u frame %u is too short", pack, number);
    frame_cache_put(h->rewrite->cache, frame);
    return r;
}

/* A big blob was compared with its SHA-256 as a whole, over the same frames, whose checksums are
 * compared again here. */
static int fill(struct hand *h, const struct plan_frame *f, struct verror *err)
{
    const struct plan *p = h->rewrite->plan;
    const struct plan_blob *first = &p->blobs[p->order[f->first]];
    if (first->size > IMAGE_SLICE_SIZE)
        return copy_from(h, first->from.pack, first->from.frame + f->slice, 0, f->size, h->raw,
                         err);
    size_t at = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        const struct plan_blob *b = &p->blobs[p->order[f->first + i]];
        size_t size = (size_t)b->size;
        int r = copy_from(h, b->from.pack, b->from.frame, b->from.offset, size, h->raw + at, err);
        if (r < 0)
            return r;
        struct sha256 got;
        sha256_of(h->raw + at, size, &got);
        if (!sha256_equal(&got, &b->id))
            return verror_set(err, EBADMSG, "pack %u frame %u was damaged meanwhile", b->from.pack,
                              b->from.frame);
        at += size;
    }
    return 0;
}

/* The bytes that the frame will have in its pack; they are the hand's. */
static int make(struct hand *h, const struct plan_frame *f, const void **data, size_t *size,
                struct verror *err)
{
    struct rewrite *w = h->rewrite;
    const struct plan_blob *first = &w->plan->blobs[w->plan->order[f->first]];
    if (f->kept) {
        const struct plan_pack *at = plan_find_pack(w->plan, first->from.pack);
        w->kept++;
        return pack_read_stored(at->pack, h->decoder, first->from.frame + f->slice, false, data,
                                size, err);
    }
    int r = fill(h, f, err);
    if (r < 0)
        return r;
    *size = ZSTD_compress2(h->zstd, h->compressed, h->compressed_size, h->raw, f->size);
    if (ZSTD_isError(*size))
        return verror_set(err, ENOMEM, "cannot compress: %s", ZSTD_getErrorName(*size));
    *data = h->compressed;
    w->made++;
    return 0;
}

static int write_one(struct hand *h, const struct plan_frame *f, struct verror *err)
{
    struct rewrite *w = h->rewrite;
    const void *data;
    size_t size;
    int r = make(h, f, &data, &size, err);
    if (r < 0)
        return r;
    w->sampled_raw[f->group] += f->size;
    w->sampled_stored[f->group] += size;
    if (!w->packs)
        return 0;
    if (atomic_fetch_add(&w->written, size) + size > w->limit)
        return verror_set(err, E2BIG, "the packs would not become smaller");
    return pack_writer_frame(w->packs[f->group].writer, f->number, data, size, f->size, err);
}

static void write_run(void *arg, size_t worker)
{
    struct run_job *job = arg;
    struct rewrite *w = job->rewrite;
    struct hand *h = &w->hands[worker];
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (atomic_load(&w->stop))
        return;
    const struct plan_blob *first =
        &w->plan->blobs[w->plan->order[w->plan->frames[job->first].first]];
    if (first->dist)
        progress_item(w->options->progress, first->dist);
    int r = need_hand(w, h, &err);
    for (size_t i = 0; r == 0 && i < job->count; i++) {
        const struct plan_frame *f = &w->plan->frames[job->first + i];
        r = write_one(h, f, &err);
        progress_advance(w->options->progress, 0, f->size);
    }
    if (r == 0)
        return;
    atomic_store(&w->stop, true);
    pthread_mutex_lock(&w->lock);
    if (!w->failure.errnum)
        (void)verror_move(&w->failure, &err);
    pthread_mutex_unlock(&w->lock);
}

/* The frames from `first` on that one job writes: neighbours of one group. */
static size_t run_length(const struct plan *p, size_t first)
{
    size_t n = 1;
    while (n < FRAMES_PER_JOB && first + n < p->frame_count &&
           p->frames[first + n].group == p->frames[first].group)
        n++;
    return n;
}

/* Is the run part of the sample? They are spread evenly over each group. */
static bool is_sampled(const struct plan *p, const struct run_job *job)
{
    const struct plan_frame *f = &p->frames[job->first];
    size_t step = (p->group_frames[f->group] / FRAMES_PER_JOB + 1) / SAMPLE;
    return step < 2 || f->number / FRAMES_PER_JOB % step == 0;
}

/* Runs that end before they are full, since another group follows. */
static size_t runs_more(const struct plan *p)
{
    size_t n = 1;
    for (size_t i = 1; i < p->frame_count; i++)
        n += p->frames[i].group != p->frames[i - 1].group;
    return n;
}

/* Over all frames, or over a sample. */
static int run_all(struct rewrite *w, struct verror *err)
{
    const struct plan *p = w->plan;
    struct pool *pool = pool_new(w->options->jobs);
    if (!pool)
        return verror_errno(err, errno, "cannot start threads");
    size_t threads = pool_threads(pool), jobs = 0;
    w->hands = xcalloc(threads, sizeof(*w->hands));
    w->cache = frame_cache_new(CACHE_BYTES);
    pthread_mutex_init(&w->lock, NULL);
    _cleanup_free_ struct run_job *list =
        xcalloc(p->frame_count / FRAMES_PER_JOB + runs_more(p) + 1, sizeof(*list));
    for (size_t first = 0, n; first < p->frame_count; first += n) {
        n = run_length(p, first);
        struct run_job job = {.rewrite = w, .first = first, .count = n};
        if (w->sample && !is_sampled(p, &job))
            continue;
        if (w->sample && job.count > SAMPLE_FRAMES)
            job.count = SAMPLE_FRAMES;
        for (size_t i = 0; i < job.count; i++)
            progress_add_total(w->options->progress, 0, p->frames[first + i].size);
        list[jobs++] = job;
    }
    for (size_t i = 0; i < jobs; i++)
        pool_submit(pool, write_run, &list[i]);
    pool_free(pool);
    for (size_t i = 0; i < threads; i++)
        release_hand(&w->hands[i]);
    free(w->hands);
    frame_cache_free(w->cache);
    pthread_mutex_destroy(&w->lock);
    return w->failure.errnum ? verror_move(err, &w->failure) : 0;
}

/* ---- packs ---- */

static int open_writers(const struct plan *plan, const char *dir, struct written_pack *packs,
                        struct verror *err)
{
    int r = 0;
    for (size_t g = 0; r == 0 && g < PLAN_GROUPS_MAX; g++) {
        if (!plan->group_frames[g])
            continue;
        uint32_t first;
        packs[g].path = xasprintf("%s/%zu.pack", dir, g);
        r = pack_writer_new(packs[g].path, &packs[g].writer, err);
        if (r == 0)
            r = pack_writer_reserve(packs[g].writer, plan->group_frames[g], &first, err);
    }
    return r;
}

static int finish_pack(const struct plan *plan, size_t group, struct written_pack *pack,
                       struct verror *err)
{
    _cleanup_free_ struct pack_blob *blobs = xcalloc(plan->blob_count + 1, sizeof(*blobs));
    size_t count = 0;
    for (size_t i = 0; i < plan->blob_count; i++) {
        const struct plan_blob *b = &plan->blobs[i];
        if (b->group == group && plan_moves(b))
            blobs[count++] = (struct pack_blob){
                .id = b->id, .frame = b->to.frame, .offset = b->to.offset, .size = b->size};
    }
    return pack_writer_finish(pack->writer, blobs, count, &pack->bytes, err);
}

int rewrite_write(struct plan *plan, const struct rewrite_options *options, const char *dir,
                  uint64_t limit, struct written_pack *packs, struct rewrite_counts *counts,
                  struct verror *err)
{
    struct rewrite w = {.plan = plan, .options = options, .packs = packs, .limit = limit};
    int r = open_writers(plan, dir, packs, err);
    if (r == 0)
        r = run_all(&w, err);
    uint64_t bytes = 0;
    for (size_t g = 0; r == 0 && g < PLAN_GROUPS_MAX; g++) {
        if (packs[g].writer)
            r = finish_pack(plan, g, &packs[g], err);
        bytes += packs[g].bytes;
    }
    if (r == 0 && bytes > limit)
        r = verror_set(err, E2BIG, "the packs would not become smaller");
    *counts = (struct rewrite_counts){.made = w.made, .kept = w.kept};
    return r;
}

/* What a pack takes besides its frames. */
static uint64_t index_bytes(const struct plan *plan)
{
    uint64_t packs = 0;
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++)
        packs += plan->group_frames[g] > 0;
    return packs * (PACK_HEADER_SIZE + PACK_TRAILER_SIZE) + plan->frame_count * PACK_FRAME_SIZE +
           plan->order_count * PACK_BLOB_SIZE;
}

int rewrite_measure(struct plan *plan, const struct rewrite_options *options, uint64_t *bytes,
                    struct verror *err)
{
    struct rewrite w = {.plan = plan, .options = options};
    int r = run_all(&w, err);
    if (r < 0)
        return r;
    *bytes = index_bytes(plan);
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++)
        *bytes += w.sampled_stored[g];
    return 0;
}

int rewrite_estimate(struct plan *plan, const struct rewrite_options *options, uint64_t *bytes,
                     struct verror *err)
{
    struct rewrite w = {.plan = plan, .options = options, .sample = true};
    int r = run_all(&w, err);
    if (r < 0)
        return r;
    double raw[PLAN_GROUPS_MAX] = {0};
    for (size_t i = 0; i < plan->frame_count; i++)
        raw[plan->frames[i].group] += plan->frames[i].size;
    *bytes = index_bytes(plan);
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++)
        if (w.sampled_raw[g])
            *bytes += (uint64_t)(raw[g] * (double)w.sampled_stored[g] / (double)w.sampled_raw[g]);
    return 0;
}

void rewrite_release(struct written_pack *packs)
{
    for (size_t g = 0; g < PLAN_GROUPS_MAX; g++) {
        pack_writer_free(packs[g].writer);
        free(packs[g].path);
    }
}
