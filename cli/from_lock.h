/* An environment's packages from its locks, with the options that are remembered for next time. */
#ifndef VENVFS_CLI_FROM_LOCK_H
#define VENVFS_CLI_FROM_LOCK_H

#include <stdbool.h>

#include "cli/apply.h"

/* What the command line says. Groups and extras that are not given are those remembered. Locks that
 * are remembered are always read in place: the answer may not hang on where a command was called.
 */
struct lock_choice {
    struct words files; /* none: those remembered */
    struct words groups, extras;
    bool no_dev;
    bool in_place; /* relative paths start at the lock's folder, not at the current one */
};
void lock_choice_release(struct lock_choice *choice);

/* Makes the next manifest hold exactly what the locks say, the seed aside, and remembers the
 * choice. Editables are noted as wanted: apply_editables() comes next. What pip had to resolve is
 * said with its date, and kept as resolved.txt in the environment's folder by apply_commit().
 * -ENOENT: no lock is given or remembered. */
int apply_locks(struct apply *a, const struct lock_choice *choice, struct verror *err);

#endif
