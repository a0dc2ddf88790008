/* What lay in a folder before an environment was made there: venv and virtualenv leave it there. */
#ifndef VENVFS_CLI_FRONT_KEEP_H
#define VENVFS_CLI_FRONT_KEEP_H

#include "cli/apply.h"

/* Copies all files below `dir` to the writable layer of a generation that is committed and not in
 * view yet, but for those that the environment itself has, as venv would write over them.
 * -EOPNOTSUPP: a socket, a device; -ELOOP: deeper than anybody nests folders. */
int front_keep_files(struct apply *a, const char *dir, struct verror *err);

#endif
