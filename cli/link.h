/* The symlink DIR -> HUB/NAME of an environment that is reached by another path than the hub's. */
#ifndef VENVFS_CLI_LINK_H
#define VENVFS_CLI_LINK_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"

/* May a link be made at this path? Yes when there is nothing, or a link of ours that leads to an
 * environment that is gone. -EEXIST otherwise. */
int link_free(const struct home *home, const char *path, struct verror *err);
/* Makes or replaces the link, by rename, and the folders above it. */
int link_make(const struct home *home, const char *path, const char *env_name, struct verror *err);
/* Removes it when it is a link to HUB/NAME, or a linked folder of that environment. Returns whether
 * it did. */
bool link_remove(const struct home *home, const char *path, const char *env_name);

#endif
