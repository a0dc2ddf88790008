/* What a version's name means: pyenv's installations, and under the same rules uv's and the
 * environments of venvfs. A name that several have is the first's, in this order. */
#ifndef VENVFS_ENV_PYENV_VERSIONS_H
#define VENVFS_ENV_PYENV_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum pyenv_kind {
    PYENV_INSTALLED,   /* ROOT/versions/NAME */
    PYENV_VIRTUALENV,  /* ROOT/versions/V/envs/X, its name "V/envs/X" */
    PYENV_UV,          /* an installation of uv */
    PYENV_ENVIRONMENT, /* an environment of venvfs */
    PYENV_SYSTEM,      /* "system": what PATH gives */
};
struct pyenv_version {
    enum pyenv_kind kind;
    char *name;
    char *prefix; /* the folder that has bin/; NULL for PYENV_SYSTEM */
    char *target; /* what its link says, or NULL where it is none; for uv's and venvfs's: prefix */
};
struct pyenv_versions {
    struct pyenv_version *v;
    size_t n, alloc;
};

/* All but "system", sorted as `sort --version-sort` does, each one's virtual environments behind
 * it; uv's and venvfs's follow where pyenv has no version of that name. */
void pyenv_versions_list(const char *root, struct pyenv_versions *ret);
void pyenv_versions_release(struct pyenv_versions *list);
#define _cleanup_pyenv_versions_ _cleanup_(pyenv_versions_release)

/* Is it a link to another version of pyenv's, or to a virtual environment in one? */
bool pyenv_version_is_alias(const char *root, const struct pyenv_version *version);

/* The version that a word means: itself, or the newest of its prefix ("3.11" is "3.11.7"), with or
 * without "python-" before it; "system". False when there is none. */
bool pyenv_version_find(const char *root, const char *word, struct pyenv_version *ret);
void pyenv_version_release(struct pyenv_version *version);
#define _cleanup_pyenv_version_ _cleanup_(pyenv_version_release)

/* The newest of the names that a prefix stands for: "3.11" -> "3.11.7", "3.13t" -> "3.13.1t"; no
 * pre-release, no development build. An element of `names`, or NULL. */
const char *pyenv_newest(const char *prefix, const char *const *names, size_t n);

#endif
