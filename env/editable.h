/* Editable installs: built by pip, kept in the manifest (manifest_editable.h). */
#ifndef VENVFS_ENV_EDITABLE_H
#define VENVFS_ENV_EDITABLE_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/interp.h"
#include "env/manifest.h"

/* What decides how a project in this folder is installed: its path, pyproject.toml, setup.py,
 * setup.cfg and the kind of interpreter. Another key: build it again. */
void editable_key(const char *folder, const struct interp *interp, struct sha256 *ret);

struct editable_options {
    bool offline, quiet;
    void (*warn)(const char *line, void *arg); /* may be NULL */
    void *warn_arg;
};
/* Has pip install the project into a private environment, and reads what appeared there. Build
 * requirements come from where pip takes them; the project's own are not looked at. The build runs
 * in the project's folder, since what backends make there (extension modules, _version.py) belongs
 * to the install; NAME.egg-info and build/ that were not there before are removed unless an
 * installed file names them. *ret is untouched on failure. -EIO: the build failed, with what pip
 * said; -ENETUNREACH and others as lock_fulfil(). Blocks, on the network too. */
int editable_build(const struct home *home, const struct interp *interp, const char *folder,
                   const struct editable_options *options, struct manifest_editable *ret,
                   struct verror *err);

#endif
