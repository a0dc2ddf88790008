/* front: environments made in the words of venv and virtualenv. What they make is what create
 * makes; the words say where, of which interpreter and with which seed. */
#ifndef VENVFS_CLI_FRONT_H
#define VENVFS_CLI_FRONT_H

#include <stdbool.h>

#include "cli/front_seed.h"
#include "cli/options.h"
#include "cli/session.h"

struct front {
    const char *tool;         /* "venv": the reason of the generations it makes */
    struct words pythons;     /* specs, of which the first that is found counts; none: as
                                 interp_find() without one */
    struct words tried_first; /* executables, taken where they are what a spec asks for */
    const char *prompt;     /* "." is the current folder's name; NULL: the environment's folder's */
    struct front_seed seed; /* of a new or cleared one, and where versions are asked for */
    bool system_site_packages;
    bool folder;             /* DIR becomes a linked folder (cli/linked_folder.h), and no link */
    bool clear;              /* what is there goes; a rollback brings its packages back */
    bool upgrade;            /* there must be one: its Python is looked at anew, the rest stays */
    bool show_to_git;        /* no .gitignore, and the checkout's info/exclude stays as it is */
    bool virtualenv;         /* pyvenv.cfg and .gitignore as virtualenv leaves them */
    struct words activators; /* virtualenv's names; none: all */
};

/* Makes the environment whose address is `dir`, or makes the one that is there anew. *made: a
 * malloc'ed "CPython3.11.7-64 in DIR". Errors of front_place_find(), interp_find() and
 * apply.h. */
int front_make(struct session *s, const struct front *f, const char *dir, char **made,
               struct verror *err);

#endif
