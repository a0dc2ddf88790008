/* linked_folder: an ordinary folder at an environment's address, with links into the hub in it, for
 * tools that take no link for an environment's folder, or remove it with what is in it.
 *
 *   DIR/bin include share etc pyvenv.cfg   -> HUB/NAME/...
 *   DIR/lib/pythonX.Y                      -> HUB/NAME/lib/pythonX.Y
 *   DIR/lib64                              -> lib
 *   DIR/.gitignore                         a file: git follows no link to one
 *
 * pyvenv.cfg is what makes it one: it is made last and removed first. Whatever else is in the
 * folder is its user's. share and etc are there for what packages bring besides modules; the view
 * has both (env/view.h) when the manifest's setting "linked_folder" is true.
 */
#ifndef VENVFS_CLI_LINKED_FOLDER_H
#define VENVFS_CLI_LINKED_FOLDER_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/envs.h"

/* Is there one at this path, or the beginning of one that was cut short? */
bool linked_folder_is(const char *path);
/* Makes it at the environment's address, or makes its links lead to the environment's name and
 * Python as they are now. -EEXIST: something else has one of its names. */
int linked_folder_make(const struct home *home, const struct env *env, struct verror *err);
/* Removes links to HUB/NAME at `path`, and the folder when nothing else is in it. Returns whether
 * it was one of that environment. */
bool linked_folder_remove(const struct home *home, const char *path, const char *env_name);

#endif
