/* What `venvfs mount PROJECT` does, each decision as design 8 lists it. */
#ifndef VENVFS_CLI_MOUNT_PROJECT_H
#define VENVFS_CLI_MOUNT_PROJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/from_lock.h"
#include "cli/session.h"

struct mount_options {
    const char *lock, *python;
    struct lock_choice choice; /* groups and extras; the files are the project's */
    bool locked, refresh, with_project, no_project, no_link, accelerator, no_accelerator;
    bool fallback, offline, no_wait;
    size_t jobs;
};

/* Makes or updates the environment of the project in folder `dir` and shows it. name and address
 * malloc'ed. A failure to make one leaves nothing behind. */
int mount_project(struct session *s, const struct mount_options *o, const char *dir, char **name,
                  char **address, struct verror *err);

#endif
