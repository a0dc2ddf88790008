/* Programs of pyenv itself and of its plugins, where there is a pyenv, and what they expect. */
#ifndef VENVFS_CLI_PYENV_PLUGINS_H
#define VENVFS_CLI_PYENV_PLUGINS_H

#include "cli/pyenv_front.h"

/* A program of that name in PATH, in ROOT's plugins or in those of the pyenv that is in PATH; never
 * one of ours. malloc'ed, or NULL. */
char *pyenv_plugin_program(const struct front *f, const char *name);
/* A program of that name that PATH has before this front's folder: a plugin puts itself in the
 * place of a command so. malloc'ed, or NULL. */
char *pyenv_override(const char *name);
/* Becomes `program` with pyenv's variables set; argv[0] is put in its place. Returns only when that
 * fails, with the exit code. */
int pyenv_become(const struct front *f, const char *program, char **argv);

/* Folders of shell scripts that pyenv sources: PYENV_HOOK_PATH, completed. malloc'ed. */
char *pyenv_hook_path(const struct front *f);
/* The names of all programs of all versions, sorted, each once, on standard output. */
int pyenv_print_executables(const struct front *f);

#endif
