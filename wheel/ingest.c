#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "wheel/batch.h"
#include "wheel/wheel.h"

enum state { UNKNOWN, DONE, CLAIMED, ELSEWHERE };

struct item {
    const struct wheel_source *source;
    struct wheel_file file;
    struct verror error; /* of reading the file */
    struct item *same;   /* an earlier item of the same digest, or NULL */
    enum state state;
    int claim; /* descriptor, or -1 */
    struct store_image image;
};

struct ingest {
    struct store *store;
    const struct wheel_options *options;
    struct batch_options batch;
    struct item *items;
    size_t n;
};

static void identify(void *arg, size_t worker)
{
    (void)worker;
    struct item *item = arg;
    (void)wheel_file_identify(item->source->path, item->source->expect, &item->file, &item->error);
}

static int by_digest(const void *a, const void *b)
{
    const struct item *const *ia = a, *const *ib = b;
    int c = sha256_cmp(&(*ia)->file.digest, &(*ib)->file.digest);
    return c ? c : (*ia > *ib) - (*ia < *ib);
}

static void find_same(struct ingest *in)
{
    _cleanup_free_ struct item **order = xcalloc(in->n, sizeof(*order));
    for (size_t i = 0; i < in->n; i++)
        order[i] = &in->items[i];
    qsort(order, in->n, sizeof(*order), by_digest);
    for (size_t i = 1; i < in->n; i++) {
        struct item *before = order[i - 1];
        if (sha256_equal(&before->file.digest, &order[i]->file.digest))
            order[i]->same = before->same ? before->same : before;
    }
}

static int identify_all(struct ingest *in, struct verror *err)
{
    for (size_t i = 0; i < in->n; i++)
        pool_submit(in->batch.pool, identify, &in->items[i]);
    pool_wait(in->batch.pool);
    for (size_t i = 0; i < in->n; i++)
        if (in->items[i].error.errnum)
            return verror_move(err, &in->items[i].error);
    find_same(in);
    return 0;
}

static int look(struct ingest *in, struct item *item, struct verror *err)
{
    int r = store_find_image(in->store, &item->file.digest, in->batch.key, &item->image, err);
    if (r == 0)
        item->state = DONE;
    return r == -ENOENT ? 0 : r;
}

static void let_go(struct item *item)
{
    if (item->claim >= 0)
        (void)close(item->claim);
    item->claim = -1;
}

/* Takes the claim and looks again: whoever held it before may have made the image. */
static int claim(struct ingest *in, struct item *item, bool wait, struct verror *err)
{
    int fd = store_claim(in->store, &item->file.digest, in->batch.key, wait, err);
    if (fd == -EAGAIN && !wait) {
        item->state = ELSEWHERE;
        return 0;
    }
    if (fd < 0)
        return fd;
    item->claim = fd;
    item->state = CLAIMED;
    int r = look(in, item, err);
    if (r < 0 || item->state == DONE)
        let_go(item);
    return r;
}

static int claim_missing(struct ingest *in, struct verror *err)
{
    for (size_t i = 0; i < in->n; i++) {
        struct item *item = &in->items[i];
        if (item->same)
            continue;
        int r = look(in, item, err);
        if (r == 0 && item->state != DONE)
            r = claim(in, item, false, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Ingests what is claimed, in one put, and lets go of the claims. */
static int ingest_claimed(struct ingest *in, struct verror *err)
{
    _cleanup_free_ struct batch_item *batch = xcalloc(in->n, sizeof(*batch));
    size_t n = 0;
    for (size_t i = 0; i < in->n; i++)
        if (in->items[i].state == CLAIMED)
            batch[n++] =
                (struct batch_item){.file = &in->items[i].file, .image = &in->items[i].image};
    int r = batch_ingest(in->store, batch, n, &in->batch, err);
    for (size_t i = 0; i < in->n; i++) {
        let_go(&in->items[i]);
        if (r == 0 && in->items[i].state == CLAIMED)
            in->items[i].state = DONE;
    }
    return r;
}

/* One at a time, holding no other claim: two processes that wait for each other never end. */
static int wait_for_others(struct ingest *in, struct verror *err)
{
    for (size_t i = 0; i < in->n; i++) {
        struct item *item = &in->items[i];
        if (item->state != ELSEWHERE)
            continue;
        progress_item(in->options->progress, item->file.filename);
        int r = claim(in, item, true, err);
        if (r == 0 && item->state == CLAIMED)
            r = ingest_claimed(in, err); /* the other process gave up */
        if (r < 0)
            return r;
    }
    return 0;
}

static int run(struct ingest *in, struct verror *err)
{
    int r = identify_all(in, err);
    if (r == 0)
        r = store_lock_shared(in->store, err);
    if (r == 0)
        r = claim_missing(in, err);
    if (r == 0)
        r = ingest_claimed(in, err);
    return r < 0 ? r : wait_for_others(in, err);
}

int wheel_ingest(struct store *store, const struct wheel_target *target,
                 const struct wheel_source *wheels, size_t n, const struct wheel_options *options,
                 struct store_image *images, struct verror *err)
{
    if (!n)
        return 0;
    struct ingest in = {.store = store, .options = options, .n = n};
    in.batch =
        (struct batch_options){.target = target, .wheel = options, .pool = pool_new(options->jobs)};
    if (!in.batch.pool)
        return verror_errno(err, errno, "starting threads");
    _cleanup_free_ char *key = wheel_target_key(target, &options->compile);
    in.batch.key = key;
    in.items = xcalloc(n, sizeof(*in.items));
    for (size_t i = 0; i < n; i++) {
        in.items[i].source = &wheels[i];
        in.items[i].claim = -1;
    }
    int r = run(&in, err);
    for (size_t i = 0; i < n; i++) {
        let_go(&in.items[i]);
        verror_release(&in.items[i].error);
        if (r == 0)
            images[i] = in.items[i].same ? in.items[i].same->image : in.items[i].image;
    }
    free(in.items);
    pool_free(in.batch.pool);
    return r;
}
