/* venv: an environment that venv, virtualenv or uv made, as found on disk; it may have been moved,
 * or have lost its interpreter (PEP 405). Only read. */
#ifndef VENVFS_ENV_VENV_H
#define VENVFS_ENV_VENV_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/interp.h"

struct venv {
    char *root;       /* absolute, links not resolved */
    char *python_dir; /* "python3.11": the folder in lib/ */
    unsigned major, minor;
    /* Paths that its scripts may name it by: the root, its real path, and where its activation
     * script and pyvenv.cfg say it is. NULL-terminated. */
    char **names;
    char *prompt;  /* of pyvenv.cfg, or NULL */
    char *version; /* of pyvenv.cfg ("3.11.7"), or NULL */
    bool system_site_packages;
    char **interpreters; /* paths where its base interpreter may be, best first; NULL-terminated */
};

/* -EINVAL: it is no such environment; the message says what it lacks. */
int venv_read(const char *path, struct venv *ret, struct verror *err);
void venv_release(struct venv *venv);
#define _cleanup_venv_ _cleanup_(venv_release)

/* The interpreter for the environment: what `spec` finds (as in interp_find()), else its own, else
 * another of the same minor version. *own: it is its own. -EINVAL: `spec` is of another minor
 * version than the environment's packages; -ENOENT as interp_find(). */
int venv_interp(const struct home *home, const struct venv *venv, const char *spec,
                struct interp **ret, bool *own, struct verror *err);

#endif
