/* The commands, and what their helps say. */
#include "cli/pyenv_commands.h"

#include <string.h>

#define SELECT_RULES                                                                               \
    "A version is a name that `versions` lists, or a prefix of one (3.11 is the newest 3.11.x), "  \
    "or\n"                                                                                         \
    "\"system\". Several are searched in their order."

const struct pyenv_command pyenv_commands[] = {
    {"versions", "list the versions there are, the selected ones marked",
     "[--bare] [--json] [--skip-aliases] [--skip-envs]",
     "Lists pyenv's installations and the virtual environments in them, uv's installations, and\n"
     "the environments of venvfs.\n\n"
     "  --bare            the names alone, without \"system\"\n"
     "  --json            name, kind, prefix and selected of each, and what selects\n"
     "  --skip-aliases    without links to other versions and to virtual environments\n"
     "  --skip-envs       without virtual environments",
     "--bare --json --skip-aliases --skip-envs", OFFER_NOTHING, IN_BOTH, pyenv_versions_cmd},
    {"version", "show the selected versions and what selects them", "[--bare]",
     "PYENV_VERSION selects, else the nearest .python-version upwards from PYENV_DIR or the\n"
     "current folder, else the global version, else the system's Python.",
     "--bare", OFFER_NOTHING, IN_BOTH, pyenv_version},
    {"version-name", "show the names of the selected versions", "[-f|--force]",
     "  -f, --force    a version that is not there is printed as it was asked for", "--force",
     OFFER_NOTHING, IN_BOTH, pyenv_version_name},
    {"version-origin", "show what selects the version", "", NULL, NULL, OFFER_NOTHING, IN_BOTH,
     pyenv_version_origin},
    {"version-file", "show the file that selects the version", "[<dir>]",
     "With a folder: the nearest .python-version upwards from it, exit 1 when there is none.", NULL,
     OFFER_NOTHING, IN_BOTH, pyenv_version_file},
    {"local", "select versions for a folder, or show what is selected",
     "[-f|--force] [<version> [...]]\n--unset",
     "Writes .python-version, which counts in this folder and below: for the shims, for exec, and\n"
     "for `venvfs mount`.\n\n" SELECT_RULES "\n\n"
     "  -f, --force    also a version that is not installed\n"
     "  --unset        remove .python-version",
     "--force --unset", OFFER_ALL_VERSIONS, IN_BOTH, pyenv_local},
    {"global", "select the versions that count elsewhere, or show them", "[<version> [...]]",
     "Writes PYENV_ROOT/version.\n\n" SELECT_RULES, NULL, OFFER_ALL_VERSIONS, IN_BOTH,
     pyenv_global},
    {"shell", "select versions for this shell, or show them", "<version> [...]\n-\n--unset",
     "Sets PYENV_VERSION, which comes before every file. \"-\" brings back what was selected "
     "before.\n"
     "It needs the function that shell-init (or pyenv init) gives the shell.",
     "--unset", OFFER_ALL_VERSIONS, IN_BOTH, pyenv_shell},
    {"exec", "run a program of the selected version", "<command> [arg1 arg2...]",
     "The version's bin/ comes first in PATH meanwhile. After `pip install` and `pip uninstall`\n"
     "the shims are brought up to date.",
     NULL, OFFER_SHIMS, IN_BOTH, pyenv_exec},
    {"which", "show the program that exec runs", "<command> [--nosystem] [--skip-advice]",
     "  --nosystem       only in the selected versions\n"
     "  --skip-advice    do not tell which other versions have it",
     "--nosystem --skip-advice", OFFER_SHIMS, IN_BOTH, pyenv_which_cmd},
    {"whence", "list the versions that have a program", "[--path] <command>",
     "  --path    their paths", "--path", OFFER_SHIMS, IN_BOTH, pyenv_whence},
    {"prefix", "show the folders of versions", "[<version>...]",
     "Of the selected ones without an operand; ':' between several.", NULL, OFFER_ALL_VERSIONS,
     IN_BOTH, pyenv_prefix},
    {"root", "show the folder of pyenv's versions and shims", "", NULL, NULL, OFFER_NOTHING,
     IN_BOTH, pyenv_root_cmd},
    {"latest", "show the newest version with a prefix", "[-k|--known] <prefix>",
     "  -k, --known     of those that python-build can install\n"
     "  -b, --bypass    print the prefix when there is none, and fail\n"
     "  -f, --force     the same, without failing",
     "--known --bypass --force", OFFER_VERSIONS, IN_BOTH, pyenv_latest},
    {"install", "install a version by pyenv's python-build or uv",
     "[-f] [-k] [-s] [-v] <version>...\n-l|--list",
     "Done by pyenv's `install` where pyenv is (all its options are passed on), else by uv.\n\n"
     "  -l, --list             list what can be installed\n"
     "  -f, --force            also what is installed already\n"
     "  -s, --skip-existing    no error for what is installed already\n"
     "  -k, --keep             keep the sources (pyenv)\n"
     "  -v, --verbose          show what the build says",
     "--list --force --skip-existing --keep --verbose", OFFER_NOTHING, IN_BOTH, pyenv_install},
    {"uninstall", "remove an installed version", "[-f|--force] <version>",
     "  -f, --force    without asking, and when environments use it", "--force", OFFER_VERSIONS,
     IN_BOTH, pyenv_uninstall},
    {"rehash", "bring the shims up to date", "[--replace]",
     "Makes a shim in PYENV_ROOT/shims for each program of each version, and removes those whose\n"
     "program is gone. Shims that pyenv made are copied for new ones.\n\n"
     "  --replace    replace pyenv's shims by those of venvfs, which start no bash",
     "--replace", OFFER_NOTHING, IN_BOTH, pyenv_rehash},
    {"shims", "list the shims", "[--short]", "  --short    their names alone", "--short",
     OFFER_NOTHING, IN_BOTH, pyenv_shims},
    {"sh-shell", "print what `shell` evaluates", "<version>...\n-\n--unset", NULL, "--unset",
     OFFER_ALL_VERSIONS, IN_BOTH_HIDDEN, pyenv_sh_shell},
    {"sh-rehash", "print what `rehash` evaluates", "", NULL, NULL, OFFER_NOTHING, IN_PYENV,
     pyenv_sh_rehash},
    {"version-file-read", "print the versions that a file names", "<file>", NULL, NULL,
     OFFER_NOTHING, IN_PYENV, pyenv_version_file_read},
    {"version-file-write", "write a file that selects", "[-f|--force] <file> <version> [...]",
     "  -f, --force    also versions that are not installed", "--force", OFFER_NOTHING, IN_PYENV,
     pyenv_version_file_write},
    {"init", "print what sets up a shell", "[-|--path] [--no-push-path] [--no-rehash] [<shell>]",
     "For the start file of bash, zsh, ksh, fish and pwsh:\n\n"
     "  eval \"$(pyenv init - bash)\"\n\n"
     "  --path            the shims in PATH alone\n"
     "  --no-push-path    leave PATH as it is when it has the shims\n"
     "  --no-rehash       without bringing the shims up to date",
     "--path --no-push-path --no-rehash", OFFER_NOTHING, IN_PYENV, pyenv_init},
    {"hooks", "list the hooks of a command", "<command>",
     "They are for pyenv's own shell scripts; nothing here runs them.", NULL, OFFER_NOTHING,
     IN_PYENV, pyenv_hooks},
    {"commands", "list the commands", "[--sh|--no-sh]", NULL, "--sh --no-sh", OFFER_NOTHING,
     IN_PYENV, pyenv_commands_cmd},
    {"completions", "list what may follow a command", "<command> [arg1 arg2...]", NULL, NULL,
     OFFER_NOTHING, IN_PYENV, pyenv_completions},
    {"help", "show the help of a command", "[--usage] <command>", NULL, "--usage", OFFER_NOTHING,
     IN_PYENV, pyenv_help},
    {NULL, NULL, NULL, NULL, NULL, OFFER_NOTHING, IN_BOTH, NULL},
};

const struct pyenv_command *pyenv_command_find(const char *name)
{
    for (const struct pyenv_command *c = pyenv_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
