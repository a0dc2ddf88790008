/* Numbers kept as the target of a symlink: replaced by rename, so a reader finds the old one or the
 * new, and no file has to be written. */
#ifndef VENVFS_ENV_ENV_NUMBER_H
#define VENVFS_ENV_ENV_NUMBER_H

#include "base/home.h"
#include "base/verror.h"

/* The number that a symlink's target starts with, `suffix` behind it. 0 or a negative errno:
 * -ENOENT; -EBADMSG when it is no number from 1 to max. */
int number_read(const char *path, const char *suffix, long max, unsigned *ret);
/* Makes or replaces the symlink; the caller holds the lock under which it changes. */
int number_write(const char *path, unsigned number, const char *suffix);

enum { SLOT_MAX = (1 << 23) - 1 }; /* nodeids have 23 bits for it */
/* A slot number that nobody had. Waits for others who take one. -ENOSPC: all were used. */
int slot_next(const char *envs, unsigned *ret, struct verror *err);

#endif
