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

static int ingest(struct apply *a, const char *path, const struct sha256 *digest,
                  struct store_image *ret, struct verror *err)
{
    int r = store_find_image(a->session->store, digest, a->next->target_key, ret, err);
    if (r != -ENOENT)
        return r;
    verror_release(err);
    struct progress *progress = progress_new("installing", print_quiet());
    struct wheel_options options = {
        .compile = {.enabled = a->compile, .levels = a->levels ? a->levels : 1},
        .jobs = a->jobs,
        .progress = progress,
    };
    struct wheel_source source = {.path = path, .expect = digest};
    r = wheel_ingest(a->session->store, &a->interp->target, &source, 1, &options, ret, err);
    progress_finish(progress);
    return r;
}

static int seed_one(struct apply *a, const char *path, struct verror *err)
{
    struct wheel_name name;
    int r = wheel_name_parse(path_basename(path), &name, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *normalised = dist_name_normalise(name.dist);
    struct sha256 digest;
    struct store_image image;
    if (manifest_package_named(a->next, normalised)) /* the lock names it */
        goto out;
    r = wheel_digest(a->session->store, path, &digest, err);
    if (r == 0)
        r = ingest(a, path, &digest, &image, err);
    if (r < 0)
        goto out;
    struct manifest_package *p = manifest_add(a->next, normalised);
    free(p->version);
    p->version = xstrdup(name.version);
    p->image = image;
    p->wheel = digest;
    p->seed = true;
out:
    wheel_name_release(&name);
    return r;
}

int apply_seed(struct apply *a, struct verror *err)
{
    if (!a->interp->pip_wheel) {
        print_warning("%s has no bundled pip (ensurepip); the environment is made without",
                      a->interp->executable);
        return 0;
    }
    int r = seed_one(a, a->interp->pip_wheel, err);
    if (r == 0 && a->interp->setuptools_wheel)
        r = seed_one(a, a->interp->setuptools_wheel, err);
    if (r < 0)
        return verror_prefix(err, "pip bundled with %s", a->interp->executable);
    return 0;
}
