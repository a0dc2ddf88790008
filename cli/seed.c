/* pip (and setuptools) from the wheels that the interpreter carries in ensurepip.
 *
 * They are packages of the store like any other. A warm create must not hash the wheel file again,
 * so the store's cache remembers path, size and mtime -> digest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/difference.h"
#include "cli/print.h"

static void cache_key(const char *path, const struct stat *st, struct sha256 *ret)
{
    _cleanup_free_ char *text =
        xasprintf("seed wheel\n%s\n%lld\n%lld.%09ld\n", path, (long long)st->st_size,
                  (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    sha256_of(text, strlen(text), ret);
}

/* The wheel's digest, from the cache when the file is unchanged. */
static int wheel_digest(struct store *store, const char *path, struct sha256 *ret,
                        struct verror *err)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return verror_errno(err, fd < 0 ? fd : errno, "%s", path);
    struct sha256 key;
    cache_key(path, &st, &key);
    _cleanup_strbuf_ struct strbuf value = STRBUF_INIT;
    int r = store_cache_get(store, &key, &value, err);
    if (r == 0 && value.len == SHA256_SIZE) {
        memcpy(ret->bytes, value.buf, SHA256_SIZE);
        return 0;
    }
    if (r < 0 && r != -ENOENT)
        return r;
    verror_release(err);
    r = sha256_of_fd(fd, ret);
    if (r < 0)
        return verror_errno(err, r, "%s", path);
    return store_cache_put(store, &key, ret->bytes, SHA256_SIZE, err);
}

struct seed {
    const char *path;
    struct wheel_name name;
    struct sha256 digest;
    struct store_image image;
    bool stored;
};
enum { MAX_SEEDS = 2 };

static void seed_release(struct seed *seed)
{
    wheel_name_release(&seed->name);
}

/* What is known about one wheel without opening it. */
static int seed_find(struct apply *a, const char *path, struct seed *ret, struct verror *err)
{
    ret->path = path;
    int r = wheel_name_parse(path_basename(path), &ret->name, err);
    if (r == 0)
        r = wheel_digest(a->session->store, path, &ret->digest, err);
    if (r == 0)
        r = store_find_image(a->session->store, &ret->digest, a->next->target_key, &ret->image,
                             err);
    ret->stored = r == 0;
    if (r == -ENOENT && ret->name.dist && path_exists(path)) {
        verror_release(err);
        r = 0;
    }
    return r;
}

/* Those that the store lacks, together. */
static int seeds_ingest(struct apply *a, struct seed *seeds, size_t n, struct verror *err)
{
    struct wheel_source sources[MAX_SEEDS];
    struct store_image images[MAX_SEEDS];
    size_t missing = 0;
    for (size_t i = 0; i < n; i++)
        if (!seeds[i].stored)
            sources[missing++] =
                (struct wheel_source){.path = seeds[i].path, .expect = &seeds[i].digest};
    if (!missing)
        return 0;
    struct progress *progress = progress_new("installing", print_quiet());
    struct wheel_options options = {
        .compile = {.enabled = a->compile, .levels = a->levels ? a->levels : 1},
        .jobs = a->jobs,
        .progress = progress,
    };
    int r = wheel_ingest(a->session->store, &a->interp->target, sources, missing, &options, images,
                         err);
    progress_finish(progress);
    for (size_t i = 0, j = 0; r == 0 && i < n; i++)
        if (!seeds[i].stored)
            seeds[i].image = images[j++];
    return r;
}

static void seed_add(struct manifest *m, const struct seed *seed)
{
    struct manifest_package *p = manifest_add(m, seed->name.dist);
    free(p->version);
    p->version = xstrdup(seed->name.version);
    p->image = seed->image;
    p->wheel = seed->digest;
    p->seed = true;
    p->requested = true; /* ensurepip asks for them by name */
}

static bool is_there(const struct apply *a, const char *dist)
{
    _cleanup_free_ char *name = dist_name_normalise(dist);
    return manifest_package_named(a->next, name) != NULL;
}

int apply_seed(struct apply *a, struct verror *err)
{
    const char *paths[MAX_SEEDS] = {a->interp->pip_wheel, a->interp->setuptools_wheel};
    struct seed seeds[MAX_SEEDS] = {{.path = NULL}};
    size_t n = 0;
    int r = 0;
    if (!paths[0]) {
        print_warning("%s has no bundled pip (ensurepip); the environment is made without",
                      a->interp->executable);
        return 0;
    }
    for (size_t i = 0; r == 0 && i < MAX_SEEDS && paths[i]; i++) {
        r = seed_find(a, paths[i], &seeds[n], err);
        if (r == 0 && !is_there(a, seeds[n].name.dist)) /* else the lock names it */
            n++;
        else
            seed_release(&seeds[n]);
    }
    if (r == 0)
        r = seeds_ingest(a, seeds, n, err);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            seed_add(a->next, &seeds[i]);
        seed_release(&seeds[i]);
    }
    if (r < 0)
        return verror_prefix(err, "pip bundled with %s", a->interp->executable);
    return 0;
}
