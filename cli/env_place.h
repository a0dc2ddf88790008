/* Where a new environment goes, as create and clone take it: NAME or DIR. */
#ifndef VENVFS_CLI_ENV_PLACE_H
#define VENVFS_CLI_ENV_PLACE_H

#include <stdbool.h>

#include "base/verror.h"
#include "cli/session.h"

struct env_place {
    char *name, *address;
    char *prompt; /* NULL: the address's last component */
    bool link;    /* to be made at the address */
};

/* NAME is a folder of the hub; DIR (is_folder_word()) becomes a link to one. -EINVAL: a name or
 * folder that cannot be used; -EEXIST: something is at DIR. */
int env_place_find(const struct session *s, const char *word, struct env_place *ret,
                   struct verror *err);
/* Can this be the name of an environment? -EINVAL, with what a name is as the hint. */
int env_place_check_name(const char *name, struct verror *err);
void env_place_release(struct env_place *p);
#define _cleanup_env_place_ _cleanup_(env_place_release)
/* For an -EEXIST of the environment: how to show it and how to be rid of it. */
void env_place_hint_existing(const struct env_place *p, bool fallback, struct verror *err);

#endif
