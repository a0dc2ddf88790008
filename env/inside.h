/* inside: what a tool (venv, virtualenv, uv) wrote in an environment that it made from inside the
 * hub. Read from the writable layer on disk, so that no daemon is needed. */
#ifndef VENVFS_ENV_INSIDE_H
#define VENVFS_ENV_INSIDE_H

#include "env/envs.h"
#include "env/view.h"

/* Fills in the interpreter, the prompt and system_site_packages of the environment's manifest where
 * a tool wrote a pyvenv.cfg: always when it is bare, else when that names another interpreter. What
 * cannot be read changes nothing. Asks an interpreter that nobody has asked before. */
void inside_read(const struct home *home, struct env *env);
/* The same for another generation, which was shown under `upper` (a path). */
void inside_read_upper(const struct home *home, const char *upper, struct manifest *m);
/* Is all there was of it files that a tool wrote, so that nothing is left to bring back once they
 * are removed: no generation with anything of the store, no project and no options? */
bool inside_only(const struct env *env);
/* Does the layer `upper` hide all that is in the view's root, and have nothing there itself? So it
 * is when everything was removed, and not the folder. */
bool inside_hides_all(const char *upper, const struct view *view);
/* "python3.11", malloc'ed, or NULL: the current generation's, or what the tool made. Runs nothing.
 */
char *inside_python_dir(const struct env *env);

#endif
