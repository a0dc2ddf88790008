/* venvfs: the program. One table of commands; each lives in a file of its own. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/version.h"

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command commands[] = {
    {"create", "make an environment, empty or from a lock", cmd_create, false},
    {"venv", "make environments with the options of python -m venv", cmd_venv, false},
    {"virtualenv", "make an environment with the options of virtualenv", cmd_virtualenv, false},
    {"pyvenv", "the old name of venv", cmd_pyvenv, true},
    {"adopt", "make an environment of an existing venv", cmd_adopt, false},
    {"install", "install packages into an environment", cmd_install, false},
    {"uninstall", "take packages out of an environment", cmd_uninstall, false},
    {"sync", "make an environment match its lock exactly", cmd_sync, false},
    {"mount", "make a project's environment ready to use", cmd_mount, false},
    {"umount", "take a project's environment or a mount out of view", cmd_umount, false},
    {"list", "list environments", cmd_list, false},
    {"show", "show an environment and its packages", cmd_show, false},
    {"history", "list the generations of an environment", cmd_history, false},
    {"rollback", "bring an earlier generation back", cmd_rollback, false},
    {"commit", "make packages of what was installed inside", cmd_commit, false},
    {"diff", "show what differs between environments or generations", cmd_diff, false},
    {"clone", "make a second environment with what one has", cmd_clone, false},
    {"rename", "give an environment another name", cmd_rename, false},
    {"remove", "remove environments", cmd_remove, false},
    {"run", "run a command in an environment", cmd_run, false},
    {"shell", "start a shell in an environment", cmd_shell, false},
    {"tool", "run a program of a package without installing it", cmd_tool, false},
    {"status", "show the daemon and its mounts", cmd_status, false},
    {"doctor", "say what is wrong and what mends it", cmd_doctor, false},
    {"store", "add to, list and verify the store", cmd_store, false},
    {"python", "list, find, select and install interpreters", cmd_python, false},
    {"pyenv", "the commands of pyenv", cmd_pyenv, false},
    {"materialize", "write an environment out as plain files", cmd_materialize, false},
    {"export", "write an environment's packages down", cmd_export, false},
    {"shell-init", "print the completion of a shell", cmd_shell_init, false},
    {"help", "show the help of a command", cmd_help, false},
    {"version", "show the versions of venvfs and its libraries", cmd_version, true},
    {"daemon", "serve the mounts", cmd_daemon, true},
    {"up", "start the daemon unless it runs", cmd_up, true},
    {"settle", "commit in the background", cmd_settle, true},
    {"warm", "fill caches in the background", cmd_warm, true},
};

static void print_overview(FILE *stream)
{
    fputs("Usage: venvfs COMMAND [options]\n\n"
          "Python environments from one content-addressed store: nothing is copied.\n\n"
          "Commands:\n",
          stream);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!commands[i].hidden)
            fprintf(stream, "  %-13s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`venvfs COMMAND --help` explains one; `venvfs --version` names the libraries.\n",
          stream);
}

/* For completions. */
static void print_list(const struct command *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!table[i].hidden)
            printf("%s\t%s\n", table[i].name, table[i].summary);
}

static int unknown_command(const struct command *table, size_t n, const char *prefix,
                           const char *word)
{
    const char **names = xcalloc(n + 1, sizeof(*names));
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (!table[i].hidden)
            names[used++] = table[i].name;
    const char *near = options_near(word, names);
    free(names);
    _cleanup_free_ char *parent = xstrndup(prefix, strcspn(prefix, " "));
    if (near)
        return print_usage_error(parent, "there is no command \"%s\"; did you mean %s%s?", word,
                                 prefix, near);
    return print_usage_error(parent, "there is no command \"%s\"", word);
}

int commands_dispatch(const struct command *table, size_t n, const char *prefix, int argc,
                      char **argv)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(argv[1], table[i].name) == 0)
            return table[i].run(argc - 1, argv + 1);
    return unknown_command(table, n, prefix, argv[1]);
}

static void print_group(FILE *stream, const char *name, const char *about,
                        const struct command *table, size_t n)
{
    fprintf(stream, "Usage: venvfs %s COMMAND [options]\n\n%s\n\nCommands:\n", name, about);
    for (size_t i = 0; i < n; i++)
        if (!table[i].hidden)
            fprintf(stream, "  %-14s %s\n", table[i].name, table[i].summary);
}

int commands_group(const char *name, const char *about, const struct command *table, size_t n,
                   int argc, char **argv)
{
    if (argc < 2) {
        print_group(stderr, name, about, table, n);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_group(stdout, name, about, table, n);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--list-commands") == 0) {
        print_list(table, n);
        return EXIT_DONE;
    }
    _cleanup_free_ char *prefix = xasprintf("%s ", name);
    return commands_dispatch(table, n, prefix, argc, argv);
}

static int cmd_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_overview(stdout);
        return EXIT_DONE;
    }
    char flag[] = "--help", *args[4] = {argv[0], argv[1], NULL, NULL};
    int n = 2;
    if (argc > 2)
        args[n++] = argv[2];
    char **with_flag = xcalloc((size_t)n + 2, sizeof(*with_flag));
    memcpy(with_flag, args, (size_t)n * sizeof(*args));
    with_flag[n] = flag;
    int r = commands_dispatch(commands, ARRAY_SIZE(commands), "", n + 1, with_flag);
    free(with_flag);
    return r;
}

static int cmd_version(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "version", .synopsis = "", .about = "Names venvfs and the libraries it runs with."};
    _cleanup_words_ struct words operands = {0};
    static const struct option_spec specs[] = {OPTIONS_END};
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    version_print();
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    if (argc && strcmp(path_basename(argv[0]), "venvfsx") == 0)
        return cmd_venvfsx(argc, argv);
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        version_print();
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--list-commands") == 0) {
        print_list(commands, ARRAY_SIZE(commands));
        return EXIT_DONE;
    }
    if (argv[1][0] == '-')
        return print_usage_error("", "unknown option %s", argv[1]);
    return commands_dispatch(commands, ARRAY_SIZE(commands), "", argc, argv);
}

/* Called venvfs-COMMAND, through a link, it is that command. */
static int run_as(int argc, char **argv)
{
    static const char prefix[] = "venvfs-";
    const char *name = argc ? path_basename(argv[0]) : "";
    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return run(argc, argv);
    name += sizeof(prefix) - 1;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc, argv);
    return unknown_command(commands, ARRAY_SIZE(commands), "", name);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    /* A closed pipe is an error of write(), not the end of a command that holds a claim. */
    signal(SIGPIPE, SIG_IGN);
    return print_finish(run_as(argc, argv));
}
