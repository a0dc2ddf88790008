/* The store, and the images that environments need. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/doctor.h"
#include "store/image.h"

/* ---- the store ---- */

static void damaged(const char *line, void *arg)
{
    struct doctor *d = arg;
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_STORE, DOCTOR_PROBLEM, "store-damaged", "%s", line);
    doctor_about(f, NULL, d->home.store);
    doctor_remedy(f, "venvfs store verify");
}

static void look(struct doctor *d)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct store_look found;
    int r = store_look(d->store, damaged, d, &found, &why);
    if (r < 0)
        damaged(verror_message(&why), d);
    doctor_summary(d, DOCTOR_STORE, "%" PRIu64 " image%s in %" PRIu64 " pack%s", found.images,
                   found.images == 1 ? "" : "s", found.packs, found.packs == 1 ? "" : "s");
}

void doctor_store(struct doctor *d)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    int r = store_open(d->home.store, 0, &d->store, &why);
    if (r == 0) {
        look(d);
        return;
    }
    doctor_summary(d, DOCTOR_STORE, "none yet");
    if (r == -ENOENT)
        return; /* what environments need of it is told with them */
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_STORE, DOCTOR_PROBLEM, "store-unusable", "%s", verror_message(&why));
    doctor_about(f, NULL, d->home.store);
    if (why.hint)
        doctor_remedy(f, "%s", why.hint);
    doctor_summary(d, DOCTOR_STORE, "cannot be used");
}

/* ---- images ---- */

enum { BUCKETS = 4096, NAMED = 3 };

struct needed {
    struct needed *next; /* in its bucket */
    struct store_image which;
    struct image *image; /* NULL: it cannot be used */
    char *package, *why;
    char *envs[NAMED]; /* the first that need it */
    size_t n_envs;
};

struct doctor_images {
    struct needed *buckets[BUCKETS];
    const struct needed **broken; /* in the order in which they were found */
    size_t n_broken, alloc;
};

static struct needed *open_needed(struct doctor *d, const struct manifest_package *p)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct needed *n = xcalloc(1, sizeof(*n));
    n->which = p->image;
    n->package = xasprintf("%s %s", p->name, p->version);
    if (!d->store) {
        n->why = xstrdup("there is no store");
    } else if (store_image_open(d->store, &p->image, &n->image, &why) < 0) {
        n->image = NULL;
        n->why = xstrdup(verror_message(&why));
    }
    return n;
}

static struct needed *find_needed(struct doctor *d, const struct manifest_package *p)
{
    if (!d->images)
        d->images = xcalloc(1, sizeof(*d->images));
    struct needed **bucket = &d->images->buckets[p->image.number % BUCKETS];
    for (struct needed *n = *bucket; n; n = n->next)
        if (n->which.number == p->image.number && sha256_equal(&n->which.id, &p->image.id))
            return n;
    struct needed *n = open_needed(d, p);
    n->next = *bucket;
    *bucket = n;
    if (!n->image) {
        struct doctor_images *im = d->images;
        im->broken = xgrow(im->broken, &im->alloc, im->n_broken + 1, sizeof(*im->broken));
        im->broken[im->n_broken++] = n;
    }
    return n;
}

struct image *doctor_image(struct doctor *d, const struct env *env,
                           const struct manifest_package *package)
{
    struct needed *n = find_needed(d, package);
    if (!n->image && n->n_envs++ < NAMED)
        n->envs[n->n_envs - 1] = xstrdup(env->name);
    return n->image;
}

static void tell_broken(struct doctor *d, const struct needed *n)
{
    _cleanup_strbuf_ struct strbuf users = STRBUF_INIT;
    for (size_t i = 0; i < n->n_envs && i < NAMED; i++)
        strbuf_addf(&users, "%s%s", i ? ", " : "", n->envs[i]);
    if (n->n_envs > NAMED)
        strbuf_addf(&users, " and %zu more", n->n_envs - NAMED);
    struct doctor_finding *f = doctor_add(
        d, DOCTOR_STORE, DOCTOR_PROBLEM, "image-unusable", "%s (image %u), which %s need%s: %s",
        n->package, n->which.number, users.buf, n->n_envs == 1 ? "s" : "", n->why);
    _cleanup_free_ char *path = d->store ? store_image_path(d->store, &n->which) : NULL;
    doctor_about(f, n->envs[0], path ? path : d->home.store);
    doctor_remedy(f, "venvfs store verify");
}

/* A store that cannot be opened is one thing that is wrong, not one for each package. */
void doctor_images_tell(struct doctor *d)
{
    size_t n = d->images ? d->images->n_broken : 0;
    bool told = false;
    for (size_t i = 0; i < d->n; i++)
        told |= strcmp(d->v[i].code, "store-unusable") == 0;
    if (d->store) {
        for (size_t i = 0; i < n; i++)
            tell_broken(d, d->images->broken[i]);
    } else if (n && !told) {
        struct doctor_finding *f = doctor_add(
            d, DOCTOR_STORE, DOCTOR_PROBLEM, "store-missing",
            "there is no store at %s, and environments need %zu packages of it", d->home.store, n);
        doctor_about(f, NULL, d->home.store);
        doctor_remedy(f, "bring the folder back, or venvfs remove the environments and make them "
                         "again");
        doctor_summary(d, DOCTOR_STORE, "missing");
    }
}

void doctor_images_free(struct doctor_images *images)
{
    for (size_t i = 0; images && i < BUCKETS; i++)
        while (images->buckets[i]) {
            struct needed *n = images->buckets[i];
            images->buckets[i] = n->next;
            image_unref(n->image);
            for (size_t k = 0; k < NAMED; k++)
                free(n->envs[k]);
            free(n->package);
            free(n->why);
            free(n);
        }
    if (images)
        free(images->broken);
    free(images);
}
