#include "cli/compose.h"

#include <errno.h>

#include "cli/difference.h"

enum { READER_CACHE = 64 << 20 };

static int open_image(void *arg, const struct store_image *which, struct image **ret,
                      struct verror *err)
{
    return store_image_open(arg, which, ret, err);
}

int compose_view(struct store *store, const struct manifest *m, const char *address,
                 struct view **ret, struct verror *err)
{
    const struct view_images images = {.open = open_image, .arg = store};
    return view_compose(m, address, &images, ret, err);
}

/* Reading plain files costs no message to a daemon, so what saves those has no place there. What a
 * tool wrote stays where it is: the files that it made are ours here. */
static struct manifest *to_write(const struct manifest *m)
{
    struct manifest *plain = manifest_copy(m);
    plain->bare = false;
    settings_set_accelerator(plain, false);
    return plain;
}

int write_plain_files(struct session *s, const struct manifest *m,
                      const struct materialize_upper *upper, const char *address, const char *dir,
                      struct verror *err)
{
    struct view *view = NULL;
    struct blob_reader *reader = NULL;
    if (m->bare && !m->target_key) {
        verror_set(err, EINVAL, "%s was made from inside, and nothing of it is in the store",
                   m->address);
        return verror_hint(err, "venvfs commit makes packages of what is installed there"), -EINVAL;
    }
    int r = session_store(s, err);
    if (r == 0)
        r = store_lock_shared(s->store, err);
    struct manifest *plain = to_write(m);
    if (r == 0)
        r = compose_view(s->store, plain, address, &view, err);
    manifest_free(plain);
    if (r == 0)
        r = blob_reader_new(s->store, READER_CACHE, &reader, err);
    if (r == 0)
        r = materialize_over(view, upper, reader, dir, err);
    if (reader)
        blob_reader_free(reader);
    if (view)
        view_unref(view);
    return r;
}
