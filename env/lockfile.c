/* lockfile: from a lock's text to images in the store. */
#include "env/lockfile.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"

void lock_result_release(struct lock_result *result)
{
    for (size_t i = 0; i < result->n_packages; i++) {
        free(result->packages[i].name);
        free(result->packages[i].version);
        free(result->packages[i].direct_url);
    }
    free(result->packages);
    for (size_t i = 0; i < result->n_editables; i++) {
        free(result->editables[i].name);
        free(result->editables[i].path);
    }
    free(result->editables);
    free(result->lock_text);
    *result = (struct lock_result){0};
}

/* ---- which pins are stored ---- */

/* The wheels of the store where they are few, so that most of a lock's hashes need no look-up. */
struct known_wheels {
    struct sha256 *ids; /* sorted; NULL: not known */
    size_t n;
};

static int compare_ids(const void *a, const void *b)
{
    return sha256_cmp(a, b);
}

static bool may_be_stored(const struct known_wheels *known, const struct sha256 *wheel)
{
    return !known->ids ||
           (known->n && bsearch(wheel, known->ids, known->n, sizeof(*wheel), compare_ids));
}

/* The image of one wheel, if the wheel fits the target. *rank: the lower the better. */
static int stored_image(const struct lock_job *job, const struct sha256 *wheel,
                        struct lock_found *ret, int *rank, struct verror *err)
{
    struct store_made made;
    int r = store_find_made(job->store, wheel, job->target_key, &made, err);
    if (r < 0)
        return r;
    *rank = wheel_target_rank(&job->interp->target, made.wheel_filename);
    if (*rank >= 0)
        *ret = (struct lock_found){.known = true, .wheel = *wheel, .image = made.image};
    store_made_release(&made);
    return *rank < 0 ? -ENOENT : 0;
}

/* A wheel that pip once chose or built for this very pin. */
static int stored_choice(const struct lock_job *job, const struct lock_pin *pin,
                         struct lock_found *ret)
{
    struct sha256 key, wheel;
    _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
    lock_choice_key(job, pin, &key);
    if (!pin->n_hashes || store_cache_get(job->store, &key, &value, NULL) < 0 ||
        value.len != SHA256_SIZE)
        return -ENOENT;
    memcpy(wheel.bytes, value.buf, SHA256_SIZE);
    int rank;
    return stored_image(job, &wheel, ret, &rank, NULL);
}

static int find_stored(const struct lock_job *job, const struct known_wheels *known,
                       const struct lock_pin *pin, struct lock_found *ret, struct verror *err)
{
    int best = -1;
    for (size_t i = 0; i < pin->n_hashes && !pin->no_binary; i++) {
        const char *hash = pin->hashes[i];
        struct sha256 wheel;
        struct lock_found found;
        int rank, r;
        if (strncmp(hash, "sha256:", 7) != 0 ||
            !sha256_from_hex(hash + 7, strlen(hash + 7), &wheel) || !may_be_stored(known, &wheel))
            continue;
        r = stored_image(job, &wheel, &found, &rank, err);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0 && (best < 0 || rank < best)) {
            best = rank;
            *ret = found;
        }
    }
    if (best < 0)
        (void)stored_choice(job, pin, ret);
    return 0;
}

static int find_all_stored(const struct lock_job *job, const struct lock_plan *plan,
                           struct lock_found *found, struct verror *err)
{
    struct known_wheels known = {.ids = NULL};
    size_t hashes = 0;
    int r = store_reading_begin(job->store, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < plan->n_pins; i++)
        hashes += plan->pins[i].n_hashes;
    r = store_wheel_ids(job->store, hashes, &known.ids, &known.n, err);
    if (r == -E2BIG)
        r = 0;
    for (size_t i = 0; i < plan->n_pins && r == 0; i++)
        r = find_stored(job, &known, &plan->pins[i], &found[i], err);
    store_reading_end(job->store);
    free(known.ids);
    return r;
}

static int find_all(struct lock_job *job, const struct lock_plan *plan, struct lock_found *found,
                    struct verror *err)
{
    _cleanup_free_ size_t *wanted = xcalloc(plan->n_pins + 1, sizeof(*wanted));
    size_t n = 0;
    int r = find_all_stored(job, plan, found, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < plan->n_pins; i++)
        if (!found[i].known)
            wanted[n++] = i;
    verror_release(err);
    return n ? lock_fetch(job, plan, wanted, n, found, err) : 0;
}

/* ---- the result ---- */

static int by_name(const void *a, const void *b)
{
    const struct lock_package *x = a, *y = b;
    return dist_name_compare(x->name, y->name);
}

static int make_package(const struct lock_job *job, const struct lock_pin *pin,
                        const struct lock_found *found, struct lock_package *ret,
                        struct verror *err)
{
    struct store_made made;
    int r = store_find_made(job->store, &found->wheel, job->target_key, &made, err);
    if (r < 0)
        return r == -ENOENT ? verror_set(err, EBADMSG, "%s: the catalog lost the image of %s",
                                         pin->where, pin->name)
                            : r;
    *ret = (struct lock_package){
        .name = steal_ptr(made.name),
        .version = steal_ptr(made.version),
        .requested = pin->requested,
        .wheel = found->wheel,
        .image = found->image,
        .direct_url = pin->direct_url ? xstrdup(pin->direct_url) : NULL,
    };
    store_made_release(&made);
    return 0;
}

static int make_packages(const struct lock_job *job, const struct lock_plan *plan,
                         const struct lock_found *found, struct lock_result *ret,
                         struct verror *err)
{
    int r = store_reading_begin(job->store, err);
    if (r < 0)
        return r;
    ret->packages = xcalloc(plan->n_pins + 1, sizeof(*ret->packages));
    for (size_t i = 0; i < plan->n_pins && r == 0; i++) {
        r = make_package(job, &plan->pins[i], &found[i], &ret->packages[i], err);
        ret->n_packages += r == 0;
    }
    store_reading_end(job->store);
    return r;
}

static int make_result(const struct lock_job *job, struct lock_plan *plan,
                       const struct lock_found *found, struct lock_result *ret, struct verror *err)
{
    int r = make_packages(job, plan, found, ret, err);
    if (r < 0)
        return r;
    if (ret->n_packages)
        qsort(ret->packages, ret->n_packages, sizeof(*ret->packages), by_name);
    ret->editables = steal_ptr(plan->editables);
    ret->n_editables = plan->n_editables;
    plan->n_editables = 0;
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* From a plan to images in the store; pip resolves and fetches as far as that is needed. */
static int carry_out(struct lock_job *job, struct lock_plan *plan, struct lock_result *ret,
                     struct verror *err)
{
    int r = 0;
    if (!plan->complete) {
        ret->resolved = true;
        ret->resolved_ns = now_ns();
        r = lock_resolve(job, plan, err);
    }
    struct lock_found *found = xcalloc(plan->n_pins + 1, sizeof(*found));
    if (r == 0)
        r = find_all(job, plan, found, err);
    if (r == 0)
        r = make_result(job, plan, found, ret, err);
    if (r == 0 && ret->resolved)
        ret->lock_text = lock_plan_text(plan);
    free(found);
    return r;
}

/* Through an answer of lock.py, the one that is kept or a new one. */
static int ask(struct lock_job *job, struct lock_plan *plan, struct lock_result *ret,
               struct verror *err)
{
    const struct lock_request *q = job->request;
    struct sha256 key;
    int r = lock_cache_key(job, &key, err);
    if (r < 0)
        return r;
    r = q->refresh || q->upgrade ? -ENOENT : lock_cache_load(job, &key, ret, err);
    if (r != -ENOENT)
        return r;
    verror_release(err);
    r = lock_read(job, plan, err);
    if (r == 0)
        r = carry_out(job, plan, ret, err);
    if (r == 0 && !plan->is_volatile)
        r = lock_cache_save(job, &key, plan, ret, err);
    return r;
}

/* No answer is kept for a plain lock: reading it again costs less than finding the answer, and a
 * machine that sees a new lock each day keeps nothing of it. */
static int work_out(struct lock_job *job, struct lock_result *ret, struct verror *err)
{
    struct lock_plan plan = {0};
    struct lock_result result = {0};
    int r = lock_plain_read(job, &plan) ? carry_out(job, &plan, &result, err)
                                        : ask(job, &plan, &result, err);
    lock_plan_release(&plan);
    if (r < 0) {
        lock_result_release(&result);
        return r;
    }
    *ret = result;
    return 0;
}

void lock_job_release(struct lock_job *job)
{
    lock_tmp_remove(job);
    lock_copies_release(job);
    free(job->target_key);
    free(job->cwd);
    if (job->interps)
        interp_list_free(job->interps, job->n_interps);
    free(job->pip);
    free(job->pip_version);
}

int lock_fulfil(const struct home *home, struct store *store, const struct interp *interp,
                const struct lock_request *request, const struct wheel_options *wheel,
                struct lock_result *ret, struct verror *err)
{
    _cleanup_verror_ struct verror local = VERROR_INIT;
    struct verror *e = err ? err : &local;
    int r = store_lock_shared(store, e);
    if (r < 0)
        return r;
    struct lock_job job = {
        .home = home,
        .store = store,
        .interp = interp,
        .request = request,
        .wheel = wheel,
        .target_key = wheel_target_key(&interp->target, &wheel->compile),
        .cwd = path_absolute(request->base ? request->base : "."),
        .tmp_lock = -1,
    };
    if (!job.cwd)
        job.cwd = xstrdup("/");
    r = work_out(&job, ret, e);
    lock_job_release(&job);
    return r;
}
