/* pyenv: the program. Called pyenv it takes a command, called pyenv-CMD (by a link) it is that one:
 * scripts and pyenv's plugins call both. It links nothing that venvfs's store or mount needs, so it
 * starts in a third of venvfs's time. */
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "cli/print.h"
#include "cli/pyenv_front.h"

int main(int argc, char **argv)
{
    static const char prefix[] = "pyenv-";
    print_set_program("pyenv");
    _cleanup_free_ char *root = pyenv_root();
    struct front f = {.is_pyenv = true, .root = root};
    const char *name = argc ? path_basename(argv[0]) : "";
    const struct pyenv_command *command = NULL;
    if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
        command = pyenv_command_find(name + sizeof(prefix) - 1);
    return print_finish(command ? front_run(&f, command, argc, argv) : front_pyenv(&f, argc, argv));
}
