#include "wheel/ingest.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "wheel/wheel.h"

struct ingest {
    struct store *store;
    const struct batch_options *options;
    struct ingest_item *items;
    size_t n;
};

static int by_id(const void *a, const void *b)
{
    const struct ingest_item *const *ia = a, *const *ib = b;
    int c = sha256_cmp(&(*ia)->id, &(*ib)->id);
    return c ? c : (*ia > *ib) - (*ia < *ib);
}

static void find_same(struct ingest *in)
{
    _cleanup_free_ struct ingest_item **order = xcalloc(in->n, sizeof(*order));
    for (size_t i = 0; i < in->n; i++)
        order[i] = &in->items[i];
    qsort(order, in->n, sizeof(*order), by_id);
    for (size_t i = 1; i < in->n; i++) {
        struct ingest_item *before = order[i - 1];
        if (sha256_equal(&before->id, &order[i]->id))
            order[i]->same = before->same ? before->same : before;
    }
}

static int look(struct ingest *in, struct ingest_item *item, struct verror *err)
{
    int r = store_find_image(in->store, &item->id, in->options->key, &item->image, err);
    if (r == 0)
        item->state = INGEST_DONE;
    return r == -ENOENT ? 0 : r;
}

static void let_go(struct ingest_item *item)
{
    if (item->claim >= 0)
        (void)close(item->claim);
    item->claim = -1;
}

/* Takes the claim and looks again: whoever held it before may have made the image. */
static int claim(struct ingest *in, struct ingest_item *item, bool wait, struct verror *err)
{
    int fd = store_claim(in->store, &item->id, in->options->key, wait, err);
    if (fd == -EAGAIN && !wait) {
        item->state = INGEST_ELSEWHERE;
        return 0;
    }
    if (fd < 0)
        return fd;
    item->claim = fd;
    item->state = INGEST_CLAIMED;
    int r = look(in, item, err);
    if (r < 0 || item->state == INGEST_DONE)
        let_go(item);
    return r;
}

static int claim_missing(struct ingest *in, struct verror *err)
{
    for (size_t i = 0; i < in->n; i++) {
        struct ingest_item *item = &in->items[i];
        if (item->same)
            continue;
        int r = look(in, item, err);
        if (r == 0 && item->state != INGEST_DONE)
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
    for (size_t i = 0; i < in->n; i++) {
        struct ingest_item *item = &in->items[i];
        if (item->state == INGEST_CLAIMED)
            batch[n++] =
                (struct batch_item){.file = item->file, .plan = item->plan, .image = &item->image};
    }
    int r = batch_ingest(in->store, batch, n, in->options, err);
    for (size_t i = 0; i < in->n; i++) {
        let_go(&in->items[i]);
        if (r == 0 && in->items[i].state == INGEST_CLAIMED)
            in->items[i].state = INGEST_DONE;
    }
    return r;
}

/* One at a time, holding no other claim: two processes that wait for each other never end. */
static int wait_for_others(struct ingest *in, struct verror *err)
{
    for (size_t i = 0; i < in->n; i++) {
        struct ingest_item *item = &in->items[i];
        if (item->state != INGEST_ELSEWHERE)
            continue;
        progress_item(in->options->wheel->progress, item->label);
        int r = claim(in, item, true, err);
        if (r == 0 && item->state == INGEST_CLAIMED)
            r = ingest_claimed(in, err); /* the other process gave up */
        if (r < 0)
            return r;
    }
    return 0;
}

int ingest_items(struct store *store, const struct batch_options *options,
                 struct ingest_item *items, size_t n, struct verror *err)
{
    struct ingest in = {.store = store, .options = options, .items = items, .n = n};
    for (size_t i = 0; i < n; i++)
        items[i].claim = -1;
    find_same(&in);
    int r = store_lock_shared(store, err);
    if (r == 0)
        r = claim_missing(&in, err);
    if (r == 0)
        r = ingest_claimed(&in, err);
    if (r == 0)
        r = wait_for_others(&in, err);
    for (size_t i = 0; i < n; i++) {
        let_go(&items[i]);
        if (r == 0 && items[i].same)
            items[i].image = items[i].same->image;
    }
    return r;
}

/* ---- wheels ---- */

struct source {
    const struct wheel_source *wheel;
    struct wheel_file file;
    struct verror error; /* of reading the file */
};

static void identify(void *arg, size_t worker)
{
    (void)worker;
    struct source *s = arg;
    (void)wheel_file_identify(s->wheel->path, s->wheel->expect, &s->file, &s->error);
}

static int identify_all(struct pool *pool, struct source *sources, struct ingest_item *items,
                        size_t n, struct verror *err)
{
    for (size_t i = 0; i < n; i++)
        pool_submit(pool, identify, &sources[i]);
    pool_wait(pool);
    for (size_t i = 0; i < n; i++) {
        if (sources[i].error.errnum)
            return verror_move(err, &sources[i].error);
        const struct wheel_file *file = &sources[i].file;
        items[i] = (struct ingest_item){.id = file->digest, .label = file->filename, .file = file};
    }
    return 0;
}

int wheel_ingest(struct store *store, const struct wheel_target *target,
                 const struct wheel_source *wheels, size_t n, const struct wheel_options *options,
                 struct store_image *images, struct verror *err)
{
    if (!n)
        return 0;
    _cleanup_free_ char *key = wheel_target_key(target, &options->compile);
    struct batch_options batch = {
        .target = target, .key = key, .wheel = options, .pool = pool_new(options->jobs)};
    if (!batch.pool)
        return verror_errno(err, errno, "starting threads");
    struct source *sources = xcalloc(n, sizeof(*sources));
    struct ingest_item *items = xcalloc(n, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        sources[i].wheel = &wheels[i];
    int r = identify_all(batch.pool, sources, items, n, err);
    if (r == 0)
        r = ingest_items(store, &batch, items, n, err);
    for (size_t i = 0; i < n; i++) {
        verror_release(&sources[i].error);
        if (r == 0)
            images[i] = items[i].image;
    }
    free(items);
    free(sources);
    pool_free(batch.pool);
    return r;
}
