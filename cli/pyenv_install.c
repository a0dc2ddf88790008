/* install, uninstall: what builds and removes Pythons is pyenv's or uv's. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"
#include "cli/pyenv_plugins.h"

static char **new_argv(size_t n)
{
    return xcalloc(n + 1, sizeof(char *));
}

/* uv's words for pyenv install's. */
static int install_with_uv(const struct front *f, const char *uv, int argc, char **argv)
{
    static char python[] = "python", install[] = "install", list[] = "list",
                all[] = "--all-versions", reinstall[] = "--reinstall", verbose[] = "--verbose";
    char **args = new_argv((size_t)argc + 3);
    size_t n = 0;
    bool only_list = false, versions = false;
    args[n++] = python; /* replaced by the program's path */
    args[n++] = python;
    args[n++] = install;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-l") == 0 || strcmp(argv[i], "--list") == 0) {
            only_list = true;
        } else if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--force") == 0) {
            args[n++] = reinstall;
        } else if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "--verbose") == 0) {
            args[n++] = verbose;
        } else if (strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--skip-existing") == 0) {
            continue; /* uv's own way */
        } else if (argv[i][0] == '-') {
            free(args);
            return front_fail("%s: uv, which is what installs here, has no such option", argv[i]);
        } else {
            versions = true;
            args[n++] = argv[i];
        }
    }
    int code;
    if (only_list) {
        args[2] = list;
        args[3] = all;
        args[4] = NULL;
        code = pyenv_become(f, uv, args);
    } else {
        code = versions ? pyenv_become(f, uv, args) : front_usage(f);
    }
    free(args);
    return code;
}

int pyenv_install(const struct front *f, int argc, char **argv)
{
    if (argc < 2)
        return front_usage(f);
    _cleanup_free_ char *builder = pyenv_plugin_program(f, "pyenv-install");
    if (builder)
        return pyenv_become(f, builder, argv);
    _cleanup_free_ char *uv = proc_which("uv");
    if (uv)
        return install_with_uv(f, uv, argc, argv);
    front_fail("nothing here installs Pythons: neither pyenv's python-build nor uv is there");
    print_hint("install pyenv (git clone of pyenv/pyenv to %s) or uv (pip install uv), or take "
               "your system's packages (apt install python3)",
               f->root);
    return EXIT_FAILED;
}

/* ---- uninstall ---- */

static bool agreed(const char *prefix)
{
    char line[16];
    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "remove %s? (y/N) ", prefix);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static int uninstall_of_uv(const struct front *f, const char *name)
{
    static char python[] = "python", uninstall[] = "uninstall";
    _cleanup_free_ char *uv = proc_which("uv");
    _cleanup_free_ char *version = xstrdup(name);
    if (!uv)
        return front_fail("version `%s' is uv's, and uv is not in PATH", name);
    char *args[] = {python, python, uninstall, version, NULL};
    return pyenv_become(f, uv, args);
}

static int uninstall_of_pyenv(const struct front *f, const struct pyenv_version *version,
                              bool force)
{
    char own[] = "uninstall", flag[] = "-f", rehash[] = "rehash", *rehash_args[] = {rehash, NULL};
    char *with_force[] = {own, flag, version->name, NULL};
    char *asking[] = {own, version->name, NULL};
    _cleanup_free_ char *remover = pyenv_plugin_program(f, "pyenv-uninstall");
    if (remover)
        return pyenv_become(f, remover, force ? with_force : asking);
    if (!force && !agreed(version->prefix)) {
        front_fail("version `%s' was not removed", version->name);
        print_hint("-f removes it without asking");
        return EXIT_FAILED;
    }
    int r = path_remove_tree(version->prefix);
    if (r < 0)
        return front_fail("removing %s: %s", version->prefix, strerror(-r));
    return pyenv_rehash(f, 1, rehash_args);
}

int pyenv_uninstall(const struct front *f, int argc, char **argv)
{
    bool force = argc > 1 && (strcmp(argv[1], "-f") == 0 || strcmp(argv[1], "--force") == 0);
    _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (argc != 2 + force || argv[1 + force][0] == '-')
        return front_usage(f);
    const char *word = argv[1 + force];
    if (!pyenv_version_find(f->root, word, &version))
        return front_fail("version `%s' not installed", word);
    if (version.kind == PYENV_SYSTEM)
        return front_fail("`system' is what your system's packages install");
    if (strcmp(version.name, word) != 0) /* too much to guess */
        return front_fail("version `%s' not installed; `%s' is", word, version.name);
    if (version.kind == PYENV_ENVIRONMENT) {
        front_fail("`%s' is an environment of venvfs", word);
        print_hint("venvfs remove %s", word);
        return EXIT_FAILED;
    }
    if (!force && f->may_go && f->may_go(version.prefix, &err) < 0)
        return front_error(&err);
    return version.kind == PYENV_UV ? uninstall_of_uv(f, version.name)
                                    : uninstall_of_pyenv(f, &version, force);
}
