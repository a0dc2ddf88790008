/* The facts of one interpreter as JSON: asked from it once, then from HOME/interpreters/. */
#ifndef VENVFS_ENV_INTERP_FACTS_H
#define VENVFS_ENV_INTERP_FACTS_H

#include <jansson.h>

#include "base/home.h"
#include "base/verror.h"

/* The answer of python/facts.py for `path`, which must be a real path (no link in it). A cached
 * answer counts while path, size, mtime and inode of the executable, the C library and the version
 * of the helper are the same. Starts a process only when there is none. A new reference. -ENOENT;
 * -ENOEXEC: it did not run, or venvfs does not support it. */
int interp_facts(const struct home *home, const char *path, json_t **ret, struct verror *err);
/* The version of a cached answer, still valid, or NULL. Never starts a process. malloc'ed. */
char *interp_facts_version(const struct home *home, const char *path);

#endif
