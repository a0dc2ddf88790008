/* Facts as JSON, the same wherever a command prints them (documented in venvfs(1)). */
#ifndef VENVFS_CLI_FACTS_H
#define VENVFS_CLI_FACTS_H

#include <jansson.h>

#include "base/home.h"
#include "env/envs.h"
#include "env/interp.h"

/* Nanoseconds since 1970 as "2026-01-31T12:00:00Z" */
json_t *facts_of_time(int64_t ns);
/* name, address, path (in the hub), generation, python, executable, packages (a number), project.
 * n_packages: those of its manifest. */
json_t *facts_of_env(const struct home *home, const struct env *env, size_t n_packages);
/* The packages: name, version, requested, seed, wheel (SHA-256), direct_url where there is one. */
json_t *facts_of_packages(const struct manifest *m);
/* version, executable, base_executable, implementation, bits */
json_t *facts_of_interp(const struct interp *interp);

#endif
