/* Paths that two packages of an environment ship with different bytes. */
#ifndef VENVFS_CLI_CONFLICTS_H
#define VENVFS_CLI_CONFLICTS_H

#include "env/manifest.h"
#include "store/store.h"

/* A warning for each. Composing a view opens every image, so the answer is kept in the store's
 * cache by the set of images; a view that cannot be composed is the daemon's to report. */
void conflicts_warn(struct store *store, const struct manifest *m);

#endif
