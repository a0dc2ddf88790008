/* pyenv's rules: which versions are selected, by what, and which program that is. What `pyenv
 * which` would run is found without starting pyenv (100 ms). */
#ifndef VENVFS_ENV_PYENV_H
#define VENVFS_ENV_PYENV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"
#include "env/pyenv_versions.h"
#include "env/version_file.h"

/* $PYENV_ROOT, else ~/.pyenv. malloc'ed, or NULL. */
char *pyenv_root(void);
/* Is this file one of $PYENV_ROOT/shims? */
bool pyenv_is_shim(const char *path);
/* The program that the shim `name` would start from folder `dir` (NULL: the current one), and when
 * nothing selected has it, the newest finished version's. *ret is malloc'ed. -ENOENT with the
 * reason. */
int pyenv_which(const char *name, const char *dir, char **ret, struct verror *err);

/* The program that PATH gives without pyenv's shims and the folders that _PYENV_SHIM_PATHS_NAME
 * lists for it; pyenv calls it "system". malloc'ed, or NULL. */
char *pyenv_system(const char *name);
/* _PYENV_SHIM_PATHS_NAME: the variable that lists folders of shims in which `name` must not be
 * found again. malloc'ed. */
char *pyenv_shim_variable(const char *name);

/* ---- what is selected ---- */

/* The file that counts in folder `dir` (NULL: PYENV_DIR, then the current one), else ROOT/version,
 * which need not exist. malloc'ed. */
char *pyenv_version_path(const char *root, const char *dir);
/* The words that select: PYENV_VERSION's, else that file's; none means "system". A file that is not
 * there has none. */
int pyenv_selected(const char *root, const char *dir, struct version_file *ret, struct verror *err);
/* For "(set by ...)": the file's path, or PYENV_VERSION. Borrowed from file. */
const char *pyenv_origin(const struct version_file *file);

/* The program `name` of the first selected version that has it, else (`system`) PATH's.
 * malloc'ed, or NULL. *missing (or NULL): the words that mean no version, in a new NULL-terminated
 * array that borrows them from file. */
char *pyenv_program(const char *root, const struct version_file *file, const char *name,
                    bool system, const char ***missing);
/* The file `name` in a version's bin/, if it can be run. malloc'ed, or NULL. */
char *pyenv_program_in(const struct pyenv_version *version, const char *name);

#endif
