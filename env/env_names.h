/* Names of environments that look like one which does not exist. */
#ifndef VENVFS_ENV_ENV_NAMES_H
#define VENVFS_ENV_ENV_NAMES_H

#include "base/home.h"
#include "base/verror.h"

/* Records -ENOENT for the environment `name`, with similar names, or what to do, as the hint. */
int env_unknown(const struct home *home, const char *name, struct verror *err);

#endif
