/* Which environment is a project's: bound by its .venv link and by the manifest's `project`. */
#ifndef VENVFS_CLI_BINDING_H
#define VENVFS_CLI_BINDING_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/project.h"

struct binding {
    char *name;     /* of the environment */
    bool exists;    /* it has a generation */
    char *moved;    /* the folder it was bound to and that is gone: to be rebound, or NULL */
    char *clone_of; /* the environment that a copied folder's link leads to, or NULL */
};

/* Decides (design 8):
 *   .venv leads to an environment bound to this folder, or to none   that one
 *   ... bound to a folder that is gone or has another .venv          moved: that one, to be rebound
 *   ... bound to a folder that is alive                              copied: a clone of it
 *   no link, or plain files of a fallback     by name, if bound to this folder
 *   a real folder, or a link elsewhere        -EEXIST, unless no_link
 */
int binding_find(const struct home *home, const struct project *project, bool no_link,
                 struct binding *ret, struct verror *err);
void binding_release(struct binding *binding);
#define _cleanup_binding_ _cleanup_(binding_release)

#endif
