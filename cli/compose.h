/* A view in this process, for commands that look at a tree without the daemon. */
#ifndef VENVFS_CLI_COMPOSE_H
#define VENVFS_CLI_COMPOSE_H

#include "cli/session.h"
#include "env/materialize.h"
#include "env/view.h"

/* address NULL: the manifest's. */
int compose_view(struct store *store, const struct manifest *m, const char *address,
                 struct view **ret, struct verror *err);
/* Writes the manifest's tree as plain files to dir (missing or empty), made for `address`. upper:
 * what is written over it, or NULL. Opens and locks the session's store. All or nothing. */
int write_plain_files(struct session *s, const struct manifest *m,
                      const struct materialize_upper *upper, const char *address, const char *dir,
                      struct verror *err);

#endif
