/* Running a program with an environment: what run, shell and tool run have in common. */
#ifndef VENVFS_CLI_ENTER_H
#define VENVFS_CLI_ENTER_H

#include "base/verror.h"
#include "cli/options.h"
#include "cli/session.h"

/* Makes an environment visible to this process, in a user namespace of its own where this user may
 * not mount. Plain files of the current generation are used as they are; stale ones are replaced,
 * for which the environment is opened again, locked: *env is another then. *address: where it is to
 * be seen from here on; malloc'ed. No FUSE: the hint names the command that writes plain files. */
int enter_show(struct session *s, struct env **env, char **address, struct verror *err);

/* PATH, VIRTUAL_ENV, VIRTUAL_ENV_PROMPT, UV_LINK_MODE and PYTHONHOME of this process as
 * bin/activate leaves them. */
void enter_activated(const struct env *env, const char *address);
/* Only that its programs are found, and its Python its library. */
void enter_path(const char *address);

/* Becomes the command, which is looked up in PATH. Returns only what to exit with when it cannot:
 * 127 when there is no such command, 126 when it cannot be run; said on standard error. */
int enter_execute(const struct words *argv);

#endif
