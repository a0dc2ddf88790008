/* The packages that a new environment begins with, as venv and virtualenv name them. */
#ifndef VENVFS_CLI_FRONT_SEED_H
#define VENVFS_CLI_FRONT_SEED_H

#include "cli/apply.h"

/* For each: "bundle" (what the interpreter brings in ensurepip; "embed" is the same), "none" or a
 * version. NULL: "bundle" for pip; for setuptools what `python -m venv` does (before Python 3.12
 * only); "none" for wheel, which no interpreter brings. */
struct front_seed {
    const char *pip, *setuptools, *wheel;
    bool newest; /* the newest of the index instead of what the interpreter brings */
};

/* Adds them to the next manifest. What it has already stays, unless a version or "latest" is asked
 * for. May download; blocks. Errors of lock_fulfil(). */
int front_seed_apply(struct apply *a, const struct front_seed *seed, struct verror *err);

#endif
