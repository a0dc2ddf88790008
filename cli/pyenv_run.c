/* which, exec: the program that is selected, and running it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"
#include "cli/pyenv_plugins.h"

enum { NOT_RUNNABLE = 126, NOT_FOUND = 127 };

/* An environment of venvfs that is selected and not in view: the daemon is started. */
static void bring_into_view(const struct front *f, const struct version_file *file)
{
    for (char *const *w = file->words; *w; w++) {
        _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
        if (!pyenv_version_find(f->root, *w, &version) || version.kind != PYENV_ENVIRONMENT ||
            path_exists(version.prefix))
            continue;
        _cleanup_free_ char *venvfs = front_venvfs();
        _cleanup_verror_ struct verror err = VERROR_INIT;
        const char *const argv[] = {venvfs, "up", NULL};
        int status;
        if (proc_run(argv, &(struct proc_options){0}, &status, &err) < 0)
            front_error(&err);
        return;
    }
}

static void tell_advice(const struct front *f, const char *name)
{
    _cleanup_pyenv_versions_ struct pyenv_versions list = {0};
    bool told = false;
    pyenv_versions_list(f->root, &list);
    for (size_t i = 0; i < list.n; i++) {
        _cleanup_free_ char *program = pyenv_program_in(&list.v[i], name);
        if (!program)
            continue;
        if (!told)
            fprintf(stderr, "\nThe `%s' command exists in these Python versions:\n", name);
        told = true;
        fprintf(stderr, "  %s\n", list.v[i].name);
    }
    if (told)
        fprintf(stderr,
                "\nNote: See '%s global' for tips on allowing multiple\n"
                "      Python versions to be found at the same time.\n",
                f->is_pyenv ? "pyenv help" : "venvfs help python");
}

/* The program, or NULL after what there is to say. */
static char *find_program(const struct front *f, const struct version_file *file, const char *name,
                          bool system, bool advice)
{
    const char **missing = NULL;
    bring_into_view(f, file);
    char *program = pyenv_program(f->root, file, name, system, &missing);
    if (!program) {
        for (const char **w = missing; *w; w++)
            front_fail("version `%s' is not installed (set by %s)",
                       file->path ? front_without_python(*w) : *w, pyenv_origin(file));
        front_fail("%s: command not found", name);
        if (advice)
            tell_advice(f, name);
    }
    free(missing);
    return program;
}

int pyenv_which_cmd(const struct front *f, int argc, char **argv)
{
    bool system = true, advice = true;
    const char *name = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--nosystem") == 0)
            system = false;
        else if (strcmp(argv[i], "--skip-advice") == 0)
            advice = false;
        else if (!name)
            name = argv[i];
    }
    if (!name || !*name)
        return front_usage(f);
    _cleanup_version_file_ struct version_file file = {0};
    int code = front_selected(f, &file);
    if (code != EXIT_DONE)
        return code;
    _cleanup_free_ char *program = find_program(f, &file, name, system, advice);
    if (!program)
        return NOT_FOUND;
    front_line("%s", program);
    return EXIT_DONE;
}

/* ---- exec ---- */

/* A shim that was called by a link in another folder says so: that folder is left out when the
 * program looks for its own name, else two kinds of shims would call each other for ever. */
static void remember_shim_path(const char *name)
{
    const char *folder = getenv("_PYENV_SHIM_PATH");
    if (!folder || !*folder)
        return;
    _cleanup_free_ char *variable = pyenv_shim_variable(name);
    const char *others = getenv(variable);
    _cleanup_free_ char *list =
        others && *others ? xasprintf("%s:%s", folder, others) : xstrdup(folder);
    setenv(variable, list, 1);
    unsetenv("_PYENV_SHIM_PATH");
}

/* A version's bin/ comes first in PATH; what the system has is found there already. */
static void put_first_in_path(const struct front *f, const struct version_file *file,
                              const char *program)
{
    _cleanup_free_ char *bin = path_dirname(program);
    const char *path = getenv("PATH");
    for (char *const *w = file->words; *w; w++) {
        _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
        if (!pyenv_version_find(f->root, *w, &version) || version.kind == PYENV_SYSTEM)
            continue;
        _cleanup_free_ char *of_version = path_join(version.prefix, "bin");
        if (strcmp(of_version, bin) != 0)
            continue;
        _cleanup_free_ char *longer = xasprintf("%s%s%s", bin, path ? ":" : "", path ? path : "");
        setenv("PATH", longer, 1);
        return;
    }
}

/* Does it bring or remove programs, for which there are shims then: pip install, python -m pip
 * install, conda install? */
static bool changes_programs(const char *name, int argc, char **argv)
{
    static const char *const tools[] = {"pip", "easy_install", "conda"};
    bool tool = false, changes = strncmp(name, "easy_install", 12) == 0;
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        size_t n = strlen(tools[i]);
        tool |= strncmp(name, tools[i], n) == 0 && !name[n + strspn(name + n, "0123456789.")];
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-m") == 0 && i + 1 < argc)
            tool |= strcmp(argv[i + 1], "pip") == 0;
        changes |= strcmp(argv[i], "install") == 0 || strcmp(argv[i], "uninstall") == 0;
    }
    return tool && changes;
}

static int run(const char *program, char **argv)
{
    fflush(NULL);
    signal(SIGPIPE, SIG_DFL);
    execv(program, argv);
    int e = errno;
    front_fail("%s: %s", program, strerror(e));
    return e == ENOENT ? NOT_FOUND : NOT_RUNNABLE;
}

/* As run(), and the shims are brought up to date behind it. */
static int run_and_rehash(const struct front *f, const char *program, char **argv)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return run(program, argv);
    if (pid == 0)
        _exit(run(program, argv));
    /* The terminal sends these to both; the program decides what they mean. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int code = proc_wait(pid);
    char name[] = "rehash", *args[] = {name, NULL};
    int rehashed = pyenv_rehash(f, 1, args);
    return code ? code : rehashed;
}

int pyenv_exec(const struct front *f, int argc, char **argv)
{
    _cleanup_version_file_ struct version_file file = {0};
    _cleanup_free_ char *names = NULL;
    if (argc < 2 || !*argv[1])
        return front_usage(f);
    int code = front_selected(f, &file);
    if (code == EXIT_DONE)
        code = front_names(f, &file, true, &names);
    if (code != EXIT_DONE)
        return code;
    remember_shim_path(argv[1]);
    _cleanup_free_ char *program = find_program(f, &file, argv[1], true, true);
    if (!program)
        return NOT_FOUND;
    _cleanup_free_ char *name = xstrdup(argv[1]);
    _cleanup_free_ char *shims = path_join(f->root, "shims");
    setenv("PYENV_VERSION", names, 1);
    put_first_in_path(f, &file, program);
    argv[1] = program;
    if (changes_programs(name, argc - 1, argv + 1) && (f->is_pyenv || path_exists(shims)))
        return run_and_rehash(f, program, argv + 1);
    return run(program, argv + 1);
}
