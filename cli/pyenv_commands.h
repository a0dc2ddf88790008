/* One function for each command of cli/pyenv_front.h's table; argv[0] is the command's name. */
#ifndef VENVFS_CLI_PYENV_COMMANDS_H
#define VENVFS_CLI_PYENV_COMMANDS_H

#include "cli/pyenv_front.h"

int pyenv_version(const struct front *f, int argc, char **argv);
int pyenv_version_name(const struct front *f, int argc, char **argv);
int pyenv_version_origin(const struct front *f, int argc, char **argv);
int pyenv_version_file(const struct front *f, int argc, char **argv);
int pyenv_version_file_read(const struct front *f, int argc, char **argv);
int pyenv_version_file_write(const struct front *f, int argc, char **argv);
int pyenv_local(const struct front *f, int argc, char **argv);
int pyenv_global(const struct front *f, int argc, char **argv);
int pyenv_sh_shell(const struct front *f, int argc, char **argv);
int pyenv_shell(const struct front *f, int argc, char **argv);
int pyenv_versions_cmd(const struct front *f, int argc, char **argv);
int pyenv_latest(const struct front *f, int argc, char **argv);
int pyenv_prefix(const struct front *f, int argc, char **argv);
int pyenv_root_cmd(const struct front *f, int argc, char **argv);
int pyenv_which_cmd(const struct front *f, int argc, char **argv);
int pyenv_whence(const struct front *f, int argc, char **argv);
int pyenv_exec(const struct front *f, int argc, char **argv);
int pyenv_rehash(const struct front *f, int argc, char **argv);
int pyenv_sh_rehash(const struct front *f, int argc, char **argv);
int pyenv_shims(const struct front *f, int argc, char **argv);
int pyenv_init(const struct front *f, int argc, char **argv);
int pyenv_install(const struct front *f, int argc, char **argv);
int pyenv_uninstall(const struct front *f, int argc, char **argv);
int pyenv_commands_cmd(const struct front *f, int argc, char **argv);
int pyenv_completions(const struct front *f, int argc, char **argv);
int pyenv_help(const struct front *f, int argc, char **argv);
int pyenv_hooks(const struct front *f, int argc, char **argv);

#endif
