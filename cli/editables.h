/* The editable installs of an environment: which its locks and its project want, built when due. */
#ifndef VENVFS_CLI_EDITABLES_H
#define VENVFS_CLI_EDITABLES_H

#include "cli/apply.h"

/* Adds a folder to those wanted (apply_locks() does so for its locks), or takes it out. */
void editables_want(struct apply *a, const char *folder);
void editables_leave_out(struct apply *a, const char *folder);
/* Is this folder installed as an ordinary package, as "." in a requirements file asks for? */
bool editables_is_package(const struct manifest *m, const char *folder);

/* Makes the next manifest hold exactly the editables that are wanted. What is there and was built
 * from the same settings stays as it is, with no program started; the others are built (said with a
 * note). An ordinary package of the same name leaves. Blocks. -EIO and others of editable_build(),
 * with a hint. */
int apply_editables(struct apply *a, struct verror *err);

#endif
