#include <string.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "cli/pyenv_front.h"

/* --list-commands and --list-options are venvfs's, for completion. */
static void list_commands(void)
{
    for (const struct pyenv_command *c = pyenv_commands; c->name; c++)
        if (c->place == IN_BOTH || strcmp(c->name, "init") == 0)
            printf("%s\t%s\n", c->name, c->summary);
}

int cmd_pyenv(int argc, char **argv)
{
    _cleanup_free_ char *root = pyenv_root();
    struct front f = {.is_pyenv = true, .root = root};
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "--list-commands") == 0) {
        list_commands();
        return EXIT_DONE;
    }
    if (strcmp(first, "--list-options") == 0)
        return EXIT_DONE;
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        fputs(
            "Usage: venvfs pyenv COMMAND [options]\n\n"
            "The commands of `venvfs python` in pyenv's words and with its exit codes, for people\n"
            "and tools that are used to pyenv; those of its plugins are passed on to them. The\n"
            "program pyenv itself, and pyenv-COMMAND, are links in the folder that `venvfs pyenv\n"
            "front` prints: put it before pyenv's in PATH.\n\n"
            "Commands:\n",
            stdout);
        for (const struct pyenv_command *c = pyenv_commands; c->name; c++)
            if (c->place == IN_BOTH || strcmp(c->name, "init") == 0)
                printf("  %-14s %s\n", c->name, c->summary);
        return EXIT_DONE;
    }
    print_set_program("pyenv");
    if (strcmp(first, "front") == 0 && argc == 2) {
        _cleanup_free_ char *folder = front_folder();
        if (!folder)
            return front_fail("the folder with venvfs's pyenv is not there; install venvfs first");
        front_line("%s", folder);
        return EXIT_DONE;
    }
    return front_pyenv(&f, argc, argv);
}
