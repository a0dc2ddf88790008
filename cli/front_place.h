/* Where venv and virtualenv, as venvfs has them, put an environment: at a folder, whatever the word
 * looks like. */
#ifndef VENVFS_CLI_FRONT_PLACE_H
#define VENVFS_CLI_FRONT_PLACE_H

#include <stdbool.h>

#include "cli/env_place.h"

struct front_place {
    struct env_place to;
    bool exists;  /* there is such an environment */
    bool removed; /* it was, and the link to it is gone: its user has removed it */
    bool replace; /* another tool's environment is there, and --clear is given */
    bool folder;  /* a linked folder is there or asked for, or the folder there has to stay */
};

/* Looks, and changes nothing. folder: a new one is to be a linked folder (cli/linked_folder.h).
 * -EINVAL: a path that cannot be one; -EEXIST: something is there that venvfs neither replaces nor
 * takes along. */
int front_place_find(const struct session *s, const char *dir, bool clear, bool folder,
                     struct front_place *ret, struct verror *err);
void front_place_release(struct front_place *p);
#define _cleanup_front_place_ _cleanup_(front_place_release)

#endif
