/* The commands of the program: one file each, cmd_NAME.c. argv[0] is the command's own name; the
 * result is the exit code (0 done, 1 failed or damaged, 2 wrong usage, `run`: the command's own).
 */
#ifndef VENVFS_CLI_COMMANDS_H
#define VENVFS_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    bool hidden;
};

/* Runs the one that argv[1] names. `prefix`: "" or the command that has these sub-commands, with a
 * space behind it. Unknown: a near miss is suggested, 2. */
int commands_dispatch(const struct command *commands, size_t n, const char *prefix, int argc,
                      char **argv);
/* The same for a command that only has sub-commands, with its own --help. */
int commands_group(const char *name, const char *about, const struct command *commands, size_t n,
                   int argc, char **argv);

int cmd_create(int argc, char **argv);
int cmd_venv(int argc, char **argv);
int cmd_pyvenv(int argc, char **argv);
int cmd_virtualenv(int argc, char **argv);
int cmd_adopt(int argc, char **argv);
int cmd_install(int argc, char **argv);
int cmd_uninstall(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_rollback(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_commit(int argc, char **argv);
int cmd_settle(int argc, char **argv);
int cmd_warm(int argc, char **argv);
int cmd_rename(int argc, char **argv);
int cmd_remove(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_tool(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_python(int argc, char **argv);
int cmd_pyenv(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_materialize(int argc, char **argv);
int cmd_shell_init(int argc, char **argv);
/* `tool run` by its short name, a link to the program. */
int cmd_venvfsx(int argc, char **argv);
int cmd_daemon(int argc, char **argv);
int cmd_up(int argc, char **argv);

#endif
