/* plain: the folder of plain files that stands for an environment where there is no FUSE.
 *
 * ENVS/NAME/fallback.json says which folder that is and which generation it has. The folder is
 * known by its inode, so one that a user put in its place is never taken for ours.
 */
#ifndef VENVFS_ENV_PLAIN_H
#define VENVFS_ENV_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/home.h"
#include "base/verror.h"

struct plain {
    char *path;
    uint64_t dev, ino;
    unsigned generation;
};
void plain_release(struct plain *plain);
#define _cleanup_plain_ _cleanup_(plain_release)

/* What the record says; false: none was ever written, or it cannot be read. */
bool plain_read(const struct home *home, const char *env_name, struct plain *ret);
/* Records that the folder at `path` holds this generation. */
int plain_record(const struct home *home, const char *env_name, const char *path,
                 unsigned generation, struct verror *err);
void plain_forget(const struct home *home, const char *env_name);

/* Is the folder at `path` the one of the record? */
bool plain_is_at(const struct plain *plain, const char *path);

#endif
