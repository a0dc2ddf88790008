#include "env/env_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/env_number.h"
#include "env/manifest_check.h"

char *layer_folder(const char *dir, unsigned upper)
{
    return upper ? xasprintf("%s/uppers/%u", dir, upper) : xstrdup(dir);
}

char *env_upper(const struct env *env)
{
    unsigned upper = env->manifest ? env->manifest->upper : 0;
    _cleanup_free_ char *folder = layer_folder(env->dir, upper);
    return path_join(folder, "upper");
}

unsigned layer_ended(const char *dir, unsigned upper)
{
    _cleanup_free_ char *folder = layer_folder(dir, upper);
    _cleanup_free_ char *path = path_join(folder, "emptied");
    unsigned generation = 0;
    if (upper && !path_exists(folder))
        return UINT_MAX; /* dropped */
    return number_read(path, "", MANIFEST_MAX_GENERATION, &generation) == 0 ? generation : 0;
}

int layer_end(const char *dir, unsigned upper, unsigned generation, struct verror *err)
{
    _cleanup_free_ char *folder = layer_folder(dir, upper);
    _cleanup_free_ char *path = path_join(folder, "emptied");
    int r = number_write(path, generation, "");
    if (r == 0)
        r = io_fsync_dir(folder);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

int layer_slot(const char *dir, unsigned upper, unsigned *slot, struct verror *err)
{
    _cleanup_free_ char *folder = layer_folder(dir, upper);
    _cleanup_free_ char *path = path_join(folder, "slot");
    int r = number_read(path, "", SLOT_MAX, slot);
    if (r < 0)
        return verror_errno(err, r == -ENOENT ? -EBADMSG : r, "reading the slot number %s", path);
    return 0;
}

int layer_make(const char *dir, unsigned upper, unsigned *slot, struct verror *err)
{
    _cleanup_free_ char *uppers = path_join(dir, "uppers");
    _cleanup_free_ char *folder = layer_folder(dir, upper);
    _cleanup_free_ char *path = path_join(folder, "slot");
    _cleanup_free_ char *envs = path_dirname(dir);
    int r = path_remove_tree(folder);
    if (r == 0)
        r = path_mkdirs(folder, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", folder);
    unsigned number = 0;
    r = slot_next(envs, &number, err);
    if (r < 0)
        return r;
    r = number_write(path, number, "");
    if (r == 0)
        r = io_fsync_dir(folder);
    if (r == 0)
        r = io_fsync_dir(uppers);
    if (r == 0)
        r = io_fsync_dir(envs); /* the counter of slots */
    if (r < 0)
        return verror_errno(err, r, "writing %s", path);
    *slot = number;
    return 0;
}

void layer_drop(const char *dir, unsigned upper)
{
    _cleanup_free_ char *folder = layer_folder(dir, upper);
    _cleanup_free_ char *lock_path = path_join(folder, "upper.lock");
    _cleanup_free_ char *files = path_join(folder, "upper");
    _cleanup_close_ int lock = -1;
    if (path_exists(lock_path) && (lock = lock_file(lock_path, LOCK_EXCLUSIVE, false)) < 0)
        return;
    (void)path_remove_tree(upper ? folder : files);
}
