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

/* The image of one wheel, if the wheel fits the target. *rank: the lower the better. */
static int stored_image(const struct lock_job *job, const struct sha256 *wheel,
                        struct lock_found *ret, int *rank, struct verror *err)
{
    struct lock_found found = {.known = true, .wheel = *wheel};
    int r = store_find_image(job->store, wheel, job->target_key, &found.image, err);
    if (r < 0)
        return r;
    struct store_wheel known;
    r = store_find_wheel(job->store, wheel, &known, err);
    if (r < 0)
        return r;
    *rank = wheel_target_rank(&job->interp->target, known.filename);
    store_wheel_release(&known);
    if (*rank < 0)
        return -ENOENT;
    *ret = found;
    return 0;
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

static int find_stored(const struct lock_job *job, const struct lock_pin *pin,
                       struct lock_found *ret, struct verror *err)
{
    int best = -1;
    for (size_t i = 0; i < pin->n_hashes && !pin->no_binary; i++) {
        const char *hash = pin->hashes[i];
        struct sha256 wheel;
        struct lock_found found;
        int rank, r;
        if (strncmp(hash, "sha256:", 7) != 0 ||
            !sha256_from_hex(hash + 7, strlen(hash + 7), &wheel))
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

static int find_all(struct lock_job *job, const struct lock_plan *plan, struct lock_found *found,
                    struct verror *err)
{
    _cleanup_free_ size_t *wanted = xcalloc(plan->n_pins + 1, sizeof(*wanted));
    size_t n = 0;
    for (size_t i = 0; i < plan->n_pins; i++) {
        int r = find_stored(job, &plan->pins[i], &found[i], err);
        if (r < 0)
            return r;
        if (!found[i].known)
            wanted[n++] = i;
    }
    verror_release(err);
    return n ? lock_fetch(job, plan, wanted, n, found, err) : 0;
}

/* ---- the result ---- */

static int by_name(const void *a, const void *b)
{
    const struct lock_package *x = a, *y = b;
    _cleanup_free_ char *m = dist_name_normalise(x->name), *n = dist_name_normalise(y->name);
    return strcmp(m, n);
}

static int make_package(const struct lock_job *job, const struct lock_pin *pin,
                        const struct lock_found *found, struct lock_package *ret,
                        struct verror *err)
{
    struct image *image;
    int r = store_image_open(job->store, &found->image, &image, err);
    if (r < 0)
        return r;
    *ret = (struct lock_package){
        .name = xstrdup(image_dist_name(image)),
        .version = xstrdup(image_dist_version(image)),
        .requested = pin->requested,
        .wheel = found->wheel,
        .image = found->image,
        .direct_url = pin->direct_url ? xstrdup(pin->direct_url) : NULL,
    };
    image_unref(image);
    return 0;
}

static int make_result(const struct lock_job *job, struct lock_plan *plan,
                       const struct lock_found *found, struct lock_result *ret, struct verror *err)
{
    ret->packages = xcalloc(plan->n_pins + 1, sizeof(*ret->packages));
    for (size_t i = 0; i < plan->n_pins; i++) {
        int r = make_package(job, &plan->pins[i], &found[i], &ret->packages[i], err);
        if (r < 0)
            return r;
        ret->n_packages++;
    }
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

/* The way through Python, and through pip as far as needed. */
static int work_out(struct lock_job *job, const struct sha256 *key, struct lock_result *ret,
                    struct verror *err)
{
    struct lock_plan plan = {0};
    struct lock_result result = {0};
    struct lock_found *found = NULL;
    int r = lock_read(job, &plan, err);
    bool resolve = r == 0 && !plan.complete;
    if (resolve) {
        result.resolved = true;
        result.resolved_ns = now_ns();
        r = lock_resolve(job, &plan, err);
    }
    if (r == 0) {
        found = xcalloc(plan.n_pins + 1, sizeof(*found));
        r = find_all(job, &plan, found, err);
    }
    if (r == 0)
        r = make_result(job, &plan, found, &result, err);
    if (r == 0 && resolve)
        result.lock_text = lock_plan_text(&plan);
    if (r == 0 && !plan.is_volatile)
        r = lock_cache_save(job, key, &plan, &result, err);
    free(found);
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
    struct sha256 key;
    r = lock_cache_key(&job, &key, e);
    if (r == 0) {
        r = request->refresh || request->upgrade ? -ENOENT : lock_cache_load(&job, &key, ret, e);
        if (r == -ENOENT) {
            verror_release(e);
            r = work_out(&job, &key, ret, e);
        }
    }
    lock_job_release(&job);
    return r;
}
