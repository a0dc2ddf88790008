/* What settle.c and settle_compare.c share. */
#ifndef VENVFS_ENV_SETTLE_INTERNAL_H
#define VENVFS_ENV_SETTLE_INTERNAL_H

#include "env/settle.h"

/* NULL: the upper has no file there. */
struct settle_file *settle_file_at(const struct settle *s, const char *path);

#endif
