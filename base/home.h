/* Where a user's venvfs lives. */
#ifndef VENVFS_BASE_HOME_H
#define VENVFS_BASE_HOME_H

#include "base/verror.h"

struct home {
    char *root;    /* VENVFS_HOME, default $XDG_DATA_HOME/venvfs or ~/.local/share/venvfs */
    char *hub;     /* VENVFS_HUB, default ~/.venvfs: where the hub is mounted */
    char *runtime; /* VENVFS_RUNTIME_DIR, default $XDG_RUNTIME_DIR/venvfs, else ROOT/run */
    /* Within root: */
    char *store;        /* store/ */
    char *envs;         /* envs/: one folder per environment */
    char *interpreters; /* interpreters/: cached facts */
    char *tools;        /* tools/: venvfs's own helpers */
};

/* Reads the environment and makes absolute paths; creates nothing. HOME unset or not writable: a
 * folder of the user's, 0700, in the temporary folder (design 8). Returns 0 or a negative errno. */
int home_locate(struct home *ret, struct verror *err);
/* Creates root (0700) and the folders in it, refusing a root that is owned by or writable for
 * others
 * (-EPERM). Idempotent. */
int home_create(const struct home *home, struct verror *err);
void home_release(struct home *home);

#define _cleanup_home_ _cleanup_(home_release)

#endif
