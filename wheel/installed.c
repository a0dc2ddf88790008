#include "wheel/installed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "wheel/content.h"
#include "wheel/ingest.h"
#include "wheel/tree_plan.h"
#include "wheel/version.h"

struct installed {
    struct tree_source source; /* points into what follows */
    int root;
    char *path, *site;
    const struct wheel_target *target;
    struct installed_dist *dists;
    size_t n;
};

/* ---- the tree ---- */

static char *site_of(const struct installed_tree *tree, const struct wheel_target *target)
{
    return tree->site ? xstrdup(tree->site) : xasprintf("lib/%s/site-packages", target->python_dir);
}

static int open_root(const char *path, struct verror *err)
{
    int fd = io_open(path, O_RDONLY | O_DIRECTORY, 0);
    return fd < 0 ? verror_errno(err, fd, "%s", path) : fd;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_dist_infos(DIR *dir, char ***names, size_t *n)
{
    size_t alloc = 0;
    const struct dirent *de;
    errno = 0;
    while ((de = readdir(dir))) {
        if (path_has_suffix(de->d_name, ".dist-info")) {
            *names = xgrow(*names, &alloc, *n + 1, sizeof(**names));
            (*names)[(*n)++] = xstrdup(de->d_name);
        }
        errno = 0;
    }
    if (errno)
        return -errno;
    if (*n)
        qsort(*names, *n, sizeof(**names), by_string);
    return 0;
}

int installed_scan(const struct installed_tree *tree, const struct wheel_target *target,
                   char ***names, size_t *n, struct verror *err)
{
    _cleanup_free_ char *site = site_of(tree, target);
    _cleanup_close_ int root = open_root(tree->root, err);
    *names = NULL;
    *n = 0;
    if (root < 0)
        return root;
    int fd = io_open_beneath(root, site, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return verror_errno(err, fd, "%s/%s", tree->root, site);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return verror_errno(err, ENOMEM, "%s/%s", tree->root, site);
    }
    int r = list_dist_infos(dir, names, n);
    closedir(dir);
    if (r == 0)
        return 0;
    installed_scan_free(*names, *n);
    *names = NULL;
    *n = 0;
    return verror_errno(err, r, "reading %s/%s", tree->root, site);
}

void installed_scan_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* ---- reading ---- */

struct read_job {
    const struct tree_source *source;
    struct installed_dist *dist;
    struct progress *progress;
};

static void drop_plan(struct installed_dist *d)
{
    if (d->plan)
        wheel_plan_release(d->plan);
    free(d->plan);
    d->plan = NULL;
}

static void read_one(void *arg, size_t worker)
{
    (void)worker;
    struct read_job *job = arg;
    struct installed_dist *d = job->dist;
    bool editable;
    d->plan = xcalloc(1, sizeof(*d->plan));
    progress_item(job->progress, d->dist_info);
    int r = tree_plan_make(job->source, d, d->plan, &editable, &d->error);
    if (r < 0)
        verror_prefix(&d->error, "%s", d->dist_info);
    d->state = r < 0 ? INSTALLED_REFUSED : editable ? INSTALLED_EDITABLE : INSTALLED_PACKAGE;
    uint64_t bytes = d->plan->bytes;
    if (d->state != INSTALLED_PACKAGE)
        drop_plan(d);
    progress_add_total(job->progress, 0, bytes);
    progress_advance(job->progress, 1, bytes);
}

static int read_all(struct installed *in, const struct wheel_options *options, struct verror *err)
{
    struct pool *pool = pool_new(options->jobs);
    if (!pool)
        return verror_errno(err, errno, "starting threads");
    struct read_job *jobs = xcalloc(in->n + 1, sizeof(*jobs));
    progress_add_total(options->progress, in->n, 0);
    for (size_t i = 0; i < in->n; i++) {
        jobs[i] = (struct read_job){
            .source = &in->source, .dist = &in->dists[i], .progress = options->progress};
        pool_submit(pool, read_one, &jobs[i]);
    }
    pool_free(pool);
    free(jobs);
    return 0;
}

int installed_read(const struct installed_tree *tree, const struct wheel_target *target,
                   const char *const *dist_infos, size_t n, const struct wheel_options *options,
                   struct installed **ret, struct verror *err)
{
    int root = open_root(tree->root, err);
    if (root < 0)
        return root;
    struct installed *in = xcalloc(1, sizeof(*in));
    in->root = root;
    in->path = xstrdup(tree->root);
    in->site = site_of(tree, target);
    in->target = target;
    in->source = (struct tree_source){
        .root = root, .path = in->path, .site = in->site, .names = tree->names, .target = target};
    in->dists = xcalloc(n + 1, sizeof(*in->dists));
    in->n = n;
    for (size_t i = 0; i < n; i++)
        in->dists[i].dist_info = xstrdup(dist_infos[i]);
    int r = read_all(in, options, err);
    in->source.names = NULL; /* the caller's, and not needed any more */
    if (r < 0) {
        installed_free(in);
        return r;
    }
    *ret = in;
    return 0;
}

size_t installed_count(const struct installed *in)
{
    return in->n;
}

struct installed_dist *installed_dist(struct installed *in, size_t i)
{
    return &in->dists[i];
}

static void dist_release(struct installed_dist *d)
{
    drop_plan(d);
    verror_release(&d->error);
    free(d->dist_info);
    free(d->name);
    free(d->version);
    free(d->installer);
    free(d->direct_url);
    for (size_t i = 0; i < d->n_edits; i++)
        free(d->edits[i].path);
    free(d->edits);
    for (size_t i = 0; i < d->n_owned; i++)
        free(d->owned[i]);
    free(d->owned);
}

void installed_free(struct installed *in)
{
    if (!in)
        return;
    for (size_t i = 0; i < in->n; i++)
        dist_release(&in->dists[i]);
    free(in->dists);
    free(in->path);
    free(in->site);
    close(in->root);
    free(in);
}

bool installed_owns(const struct installed_dist *d, const char *path)
{
    return d->n_owned && bsearch(&path, d->owned, d->n_owned, sizeof(*d->owned), by_string);
}

static int by_edit(const void *a, const void *b)
{
    return strcmp(((const struct installed_edit *)a)->path,
                  ((const struct installed_edit *)b)->path);
}

const struct installed_edit *installed_edit_at(const struct installed_dist *d, const char *path)
{
    const struct installed_edit key = {.path = (char *)(uintptr_t)path};
    return d->n_edits ? bsearch(&key, d->edits, d->n_edits, sizeof(key), by_edit) : NULL;
}

/* ---- images that the store has ---- */

/* An image for the target. Some distributions of a tree may have its content. */
struct candidate {
    char *name, *version;
    struct store_image image;
    struct sha256 wheel;
};

struct candidates {
    struct candidate *list;
    size_t n, alloc;
    const char *key;
};

static int add_candidate(const struct store_listing *entry, void *arg)
{
    struct candidates *c = arg;
    if (strcmp(entry->target, c->key) != 0)
        return 0;
    c->list = xgrow(c->list, &c->alloc, c->n + 1, sizeof(*c->list));
    c->list[c->n++] = (struct candidate){.name = dist_name_normalise(entry->name),
                                         .version = xstrdup(entry->version),
                                         .image = entry->image,
                                         .wheel = entry->wheel};
    return 0;
}

static void candidates_release(struct candidates *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->list[i].name);
        free(c->list[i].version);
    }
    free(c->list);
}

static int content_of(struct store *store, const struct store_image *which, struct sha256 *ret,
                      struct verror *err)
{
    struct image *image;
    int r = store_image_open(store, which, &image, err);
    if (r < 0)
        return r;
    content_of_image(image, ret);
    r = image_damaged(image) ? verror_set(err, EBADMSG, "image %u is damaged", which->number) : 0;
    image_unref(image);
    return r;
}

static void take_image(struct installed_dist *d, const struct candidate *c)
{
    d->image = c->image;
    d->wheel = c->wheel;
    d->found = true;
}

/* The image of what RECORD says comes first: it has every file, and edits lie over it. A damaged
 * image is none: `store verify` tells of it. */
static void find_by_content(struct store *store, const struct candidates *c,
                            struct installed_dist *d)
{
    _cleanup_free_ char *name = dist_name_normalise(d->name);
    for (size_t i = 0; i < c->n; i++) {
        const struct candidate *one = &c->list[i];
        struct sha256 content;
        if (strcmp(one->name, name) != 0 || !version_equal(one->version, d->version) ||
            content_of(store, &one->image, &content, NULL) < 0)
            continue;
        if (sha256_equal(&content, &d->recorded)) {
            take_image(d, one);
            return;
        }
        if (!d->found && sha256_equal(&content, &d->content))
            take_image(d, one);
    }
}

/* One that was made from a tree of this content: found without opening images. */
static int find_made(struct store *store, const char *key, struct installed_dist *d,
                     struct verror *err)
{
    if (sha256_equal(&d->content, &d->recorded)) {
        struct candidate c = {.wheel = d->content};
        int r = store_find_image(store, &d->content, key, &c.image, err);
        if (r == 0)
            take_image(d, &c);
        return r == -ENOENT ? 0 : r;
    }
    return 0;
}

static int find_images(struct installed *in, struct store *store, const char *key,
                       struct verror *err)
{
    struct candidates c = {.key = key};
    int r = 0;
    size_t missing = 0;
    for (size_t i = 0; r == 0 && i < in->n; i++) {
        struct installed_dist *d = &in->dists[i];
        if (d->state != INSTALLED_PACKAGE)
            continue;
        r = find_made(store, key, d, err);
        missing += !d->found;
    }
    if (r == 0 && missing)
        r = store_list(store, add_candidate, &c, err);
    for (size_t i = 0; r == 0 && i < in->n; i++)
        if (in->dists[i].state == INSTALLED_PACKAGE && !in->dists[i].found)
            find_by_content(store, &c, &in->dists[i]);
    candidates_release(&c);
    return r;
}

/* ---- images that are made ---- */

static int make_images(struct installed *in, struct store *store,
                       const struct batch_options *options, struct verror *err)
{
    struct ingest_item *items = xcalloc(in->n + 1, sizeof(*items));
    struct installed_dist **owners = xcalloc(in->n + 1, sizeof(*owners));
    size_t n = 0;
    for (size_t i = 0; i < in->n; i++) {
        struct installed_dist *d = &in->dists[i];
        if (d->state != INSTALLED_PACKAGE || d->found)
            continue;
        items[n] = (struct ingest_item){.id = d->content, .label = d->dist_info, .plan = d->plan};
        owners[n++] = d;
    }
    int r = n ? ingest_items(store, options, items, n, err) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        owners[i]->image = items[i].image;
        owners[i]->wheel = items[i].id;
    }
    free(items);
    free(owners);
    return r;
}

int installed_ingest(struct installed *in, struct store *store, const struct wheel_options *options,
                     struct verror *err)
{
    _cleanup_free_ char *key = wheel_target_key(in->target, &options->compile);
    int r = store_lock_shared(store, err);
    if (r == 0)
        r = find_images(in, store, key, err);
    if (r < 0)
        return r;
    struct batch_options batch = {
        .target = in->target, .key = key, .wheel = options, .pool = pool_new(options->jobs)};
    if (!batch.pool)
        return verror_errno(err, errno, "starting threads");
    r = make_images(in, store, &batch, err);
    pool_free(batch.pool);
    for (size_t i = 0; i < in->n; i++)
        drop_plan(&in->dists[i]);
    return r;
}
