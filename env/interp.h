/* Interpreters: finding them and knowing what matters about them.
 *
 * Facts come from the interpreter itself (python/facts.py, run once with -I) and are cached in
 * HOME/interpreters/, keyed by the real executable's path, size and mtime, so the usual path starts
 * no Python at all.
 */
#ifndef VENVFS_ENV_INTERP_H
#define VENVFS_ENV_INTERP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/home.h"
#include "base/verror.h"
#include "wheel/target.h"

struct interp {
    char *executable;      /* as found: absolute, links not resolved ("/usr/bin/python3") */
    char *base_executable; /* real path of the base interpreter (never one inside an environment) */
    char *home; /* pyvenv.cfg's "home": folder of the base executable, as venv computes it */
    char *implementation; /* "cpython" */
    char *version;        /* "3.11.7" */
    unsigned major, minor, micro;
    char *platlibdir; /* "lib" or "lib64" */
    bool is_64bit;
    char *soabi;
    json_t *markers; /* PEP 508 environment, as a JSON object of strings */
    char *pip_wheel; /* ensurepip's bundled pip, a path, or NULL */
    char
        *setuptools_wheel; /* what `python -m venv` would seed besides pip (before 3.12), or NULL */
    char **tags;           /* owned, in one piece that starts at tags[0]; also target.tags */
    struct wheel_target target; /* points into this struct */
};

/* Asks (or takes from the cache) the facts of one executable. A Python inside an environment
 * answers with its base. -ENOENT, -ENOEXEC (it did not run, or is no CPython 3.6+: the message
 * says), ... */
int interp_load(const struct home *home, const char *executable, struct interp **ret,
                struct verror *err);
void interp_free(struct interp *interp); /* NULL is accepted */

/* Finds by a spec as virtualenv and uv take it: a path, "3", "3.11", "3.11.7", "python3.12",
 * "cpython3.12", ">=3.10,<3.13". NULL: python3 on PATH, else the newest found. `start` is the
 * folder whose
 * `.python-version` counts when spec is NULL (upwards; pyenv's rules; NULL: do not look). Looks at
 * PATH (a shim of pyenv is resolved to the version it would run), pyenv's versions, uv's, /usr/bin
 * and /usr/local/bin. -ENOENT names what was asked (and the .python-version file that asked), what
 * there is, and how to install it. */
int interp_find(const struct home *home, const char *spec, const char *start, struct interp **ret,
                struct verror *err);

/* Is the interpreter what a spec asks for? A path or another word that names no version: is it the
 * same base interpreter, or called so? */
bool interp_is(const struct interp *interp, const char *spec);

/* All interpreters found, newest first, one per base executable; broken ones are left out. */
int interp_list(const struct home *home, struct interp ***ret, size_t *n, struct verror *err);
void interp_list_free(struct interp **list, size_t n);

/* Does version satisfy a comma-separated range of >=, >, <=, <, ==, !=, ~= over X[.Y[.Z]]? Returns
 * 1, 0, or -EINVAL when it is not such a range. */
int interp_version_matches(const char *version, const char *range);

#endif
