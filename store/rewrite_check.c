/* Comparing every blob with its SHA-256 before it is moved. A job is a pack, read in the order in
 * which it lies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/pool.h"
#include "store/rewrite.h"

struct check {
    struct plan *plan;
    const struct rewrite_options *options;
    pthread_mutex_t lock; /* protects calls of problem(), damaged and failure */
    uint64_t damaged;
    struct verror failure; /* the first: not damage, but no memory */
};

struct pack_job {
    struct check *check;
    struct pack *pack;
    uint32_t *blobs; /* those in it, in the order in which they lie */
    size_t count;
    struct pack_decoder *decoder;
    uint8_t *raw; /* the frame decoded last */
    uint32_t frame;
    bool decoded;
};

static void tell(struct check *c, const char *line)
{
    pthread_mutex_lock(&c->lock);
    c->options->problem(line, c->options->arg);
    pthread_mutex_unlock(&c->lock);
}

static int by_offset(const void *pa, const void *pb, void *arg)
{
    const struct plan_blob *blobs = arg;
    const struct pack_location *a = &blobs[*(const uint32_t *)pa].from;
    const struct pack_location *b = &blobs[*(const uint32_t *)pb].from;
    if (a->pack != b->pack)
        return a->pack < b->pack ? -1 : 1;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int decode(struct pack_job *job, uint32_t frame, struct verror *err)
{
    if (job->decoded && job->frame == frame)
        return 0;
    job->decoded = false;
    if (!pack_frame_size(job->pack, frame))
        return verror_set(err, EBADMSG, "pack %u has no frame %u", pack_number(job->pack), frame);
    int r = pack_read_frame(job->pack, job->decoder, frame, false, job->raw, err);
    job->decoded = r == 0;
    job->frame = frame;
    return r;
}

static int hash_blob(struct pack_job *job, const struct plan_blob *b, struct sha256 *ret,
                     struct verror *err)
{
    bool big = b->size > IMAGE_SLICE_SIZE;
    struct sha256_state *hash = sha256_begin();
    uint64_t done = 0;
    int r = 0;
    for (uint32_t frame = b->from.frame; r == 0 && done < b->size; frame++) {
        r = decode(job, frame, err);
        if (r < 0)
            break;
        size_t start = big ? 0 : b->from.offset, size = pack_frame_size(job->pack, frame);
        uint64_t rest = b->size - done;
        uint64_t n = rest < IMAGE_SLICE_SIZE ? rest : IMAGE_SLICE_SIZE;
        if (start > size || n > size - start || (big && n != size)) {
            r = verror_set(err, EBADMSG, "pack %u frame %u is too short", pack_number(job->pack),
                           frame);
            break;
        }
        sha256_update(hash, job->raw + start, (size_t)n);
        done += n;
    }
    sha256_end(hash, ret);
    return r;
}

static void mark_damaged(struct check *c, struct plan_blob *b, const char *why)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&b->id, hex);
    _cleanup_free_ char *line =
        b->path ? xasprintf("%s of %s %s stays in pack %u, damaged: %s", b->path, b->dist,
                            b->version, b->from.pack, why)
                : xasprintf("%s stays in pack %u, damaged: %s", hex, b->from.pack, why);
    b->damaged = true;
    pthread_mutex_lock(&c->lock);
    c->damaged++;
    pthread_mutex_unlock(&c->lock);
    tell(c, line);
}

static int check_blob(struct pack_job *job, struct plan_blob *b, struct verror *err)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct sha256 got;
    int r = hash_blob(job, b, &got, &why);
    if (r == 0 && !sha256_equal(&got, &b->id))
        r = verror_set(&why, EBADMSG, "it is not what its SHA-256 says");
    if (r == -EBADMSG || r == -EIO) {
        mark_damaged(job->check, b, verror_message(&why));
        return 0;
    }
    return r < 0 ? verror_move(err, &why) : 0;
}

static void check_pack(void *arg, size_t worker)
{
    (void)worker;
    struct pack_job *job = arg;
    struct check *c = job->check;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    job->decoder = pack_decoder_new();
    job->raw = xmalloc(IMAGE_SLICE_SIZE);
    int r = job->decoder ? 0 : verror_errno(&err, ENOMEM, "cannot read packs");
    for (size_t i = 0; r == 0 && i < job->count; i++) {
        struct plan_blob *b = &c->plan->blobs[job->blobs[i]];
        r = check_blob(job, b, &err);
    }
    pack_decoder_free(job->decoder);
    free(job->raw);
    if (r == 0)
        return;
    pthread_mutex_lock(&c->lock);
    if (!c->failure.errnum)
        (void)verror_move(&c->failure, &err);
    pthread_mutex_unlock(&c->lock);
}

int rewrite_check(struct plan *plan, const struct rewrite_options *options, uint64_t *damaged,
                  struct verror *err)
{
    struct check c = {.plan = plan, .options = options};
    _cleanup_free_ uint32_t *order = xcalloc(plan->blob_count + 1, sizeof(*order));
    _cleanup_free_ struct pack_job *jobs = xcalloc(plan->pack_count + 1, sizeof(*jobs));
    struct pool *pool = pool_new(options->jobs);
    if (!pool)
        return verror_errno(err, errno, "cannot start threads");
    pthread_mutex_init(&c.lock, NULL);
    progress_item(options->progress, "checking");
    size_t count = 0, at = 0;
    for (uint32_t i = 0; i < plan->blob_count; i++) {
        if (plan->blobs[i].damaged)
            c.damaged++;
        else if (plan_moves(&plan->blobs[i]))
            order[count++] = i;
    }
    qsort_r(order, count, sizeof(*order), by_offset, plan->blobs);
    for (size_t i = 0; i < plan->pack_count; i++) {
        size_t first = at;
        while (at < count && plan->blobs[order[at]].from.pack == plan->packs[i].number)
            at++;
        jobs[i] = (struct pack_job){
            .check = &c, .pack = plan->packs[i].pack, .blobs = order + first, .count = at - first};
        if (at > first)
            pool_submit(pool, check_pack, &jobs[i]);
    }
    pool_free(pool);
    pthread_mutex_destroy(&c.lock);
    *damaged = c.damaged;
    return c.failure.errnum ? verror_move(err, &c.failure) : 0;
}
