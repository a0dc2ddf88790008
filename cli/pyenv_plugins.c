#include "cli/pyenv_plugins.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool is_this_program(const char *path)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat("/proc/self/exe", &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

/* Is it one of this front's folder: the links there lead to it? */
static bool is_ours(const char *path)
{
    _cleanup_free_ char *folder = front_folder();
    _cleanup_free_ char *front = folder ? path_join(folder, "pyenv") : NULL;
    char a[PATH_MAX], b[PATH_MAX];
    return is_this_program(path) ||
           (front && realpath(path, a) && realpath(front, b) && strcmp(a, b) == 0);
}

/* The first in PATH for which `stop` says nothing; *ours: one of ours came first. */
static char *in_path(const char *name, bool *ours)
{
    const char *path = getenv("PATH");
    *ours = false;
    while (path && *path) {
        size_t n = strcspn(path, ":");
        _cleanup_free_ char *dir = xstrndup(path, n);
        char *program = path_join(dir, name);
        if (n && is_program(program)) {
            if (!is_ours(program))
                return program;
            *ours = true;
        }
        free(program);
        path += n;
        path += *path == ':';
    }
    return NULL;
}

char *pyenv_override(const char *name)
{
    bool ours;
    char *found = in_path(name, &ours);
    if (!ours)
        return found;
    free(found);
    return NULL;
}

/* The folder in which the pyenv of PATH is installed (it has libexec/ and plugins/), or NULL. */
static char *real_pyenv(void)
{
    bool ours;
    char real[PATH_MAX];
    _cleanup_free_ char *program = in_path("pyenv", &ours);
    if (!program || !realpath(program, real))
        return NULL;
    _cleanup_free_ char *dir = path_dirname(real);
    return path_dirname(dir);
}

/* FOLDER/PATTERN for glob(), in which the folder means only itself. */
static char *pattern_in(const char *folder, const char *pattern)
{
    struct strbuf text = STRBUF_INIT;
    for (; *folder; folder++) {
        if (strchr("*?[\\", *folder))
            strbuf_addch(&text, '\\');
        strbuf_addch(&text, *folder);
    }
    strbuf_addf(&text, "/%s", pattern);
    return strbuf_detach(&text, NULL);
}

static char *in_folders(const char *pattern, const char *name)
{
    glob_t found;
    char *program = NULL;
    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && !program; i++) {
        program = path_join(found.gl_pathv[i], name);
        if (!is_program(program) || is_ours(program)) {
            free(program);
            program = NULL;
        }
    }
    globfree(&found);
    return program;
}

char *pyenv_plugin_program(const struct front *f, const char *name)
{
    bool ours;
    char *found = in_path(name, &ours);
    _cleanup_free_ char *installed = found ? NULL : real_pyenv();
    const char *const roots[] = {f->root, installed};
    for (size_t i = 0; i < ARRAY_SIZE(roots) && !found; i++) {
        if (!roots[i])
            continue;
        _cleanup_free_ char *plugins = pattern_in(roots[i], "plugins/*/bin");
        _cleanup_free_ char *libexec = pattern_in(roots[i], "libexec");
        found = in_folders(plugins, name);
        if (!found)
            found = in_folders(libexec, name);
    }
    return found;
}

/* ---- becoming one of them ---- */

static void add_folders(struct strbuf *list, const char *pattern)
{
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        strbuf_addf(list, "%s%s", list->len ? ":" : "", found.gl_pathv[i]);
    globfree(&found);
}

char *pyenv_hook_path(const struct front *f)
{
    static const char system[] =
        "/usr/etc/pyenv.d:/usr/local/etc/pyenv.d:/etc/pyenv.d:/usr/lib/pyenv/hooks";
    const char *set = getenv("PYENV_HOOK_PATH");
    struct strbuf list = STRBUF_INIT;
    _cleanup_free_ char *plugins = pattern_in(f->root, "plugins/*/etc/pyenv.d");
    _cleanup_free_ char *installed = real_pyenv();
    strbuf_addf(&list, "%s%s%s/pyenv.d", set ? set : "", set && *set ? ":" : "", f->root);
    if (installed && strcmp(installed, f->root) != 0)
        strbuf_addf(&list, ":%s/pyenv.d", installed);
    strbuf_addf(&list, ":%s", system);
    add_folders(&list, plugins);
    return strbuf_detach(&list, NULL);
}

/* This front's folder first, then pyenv's own and its plugins'. */
static void set_path(const struct front *f)
{
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    _cleanup_free_ char *folder = front_folder();
    _cleanup_free_ char *installed = real_pyenv();
    const char *const roots[] = {f->root, installed};
    if (folder)
        strbuf_addstr(&path, folder);
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        if (!roots[i] || (i && strcmp(roots[i], f->root) == 0))
            continue;
        _cleanup_free_ char *libexec = pattern_in(roots[i], "libexec");
        _cleanup_free_ char *plugins = pattern_in(roots[i], "plugins/*/bin");
        add_folders(&path, libexec);
        add_folders(&path, plugins);
    }
    const char *before = getenv("PATH");
    if (before && *before)
        strbuf_addf(&path, "%s%s", path.len ? ":" : "", before);
    setenv("PATH", path.buf, 1);
}

int pyenv_become(const struct front *f, const char *program, char **argv)
{
    enum { NOT_RUNNABLE = 126 };
    _cleanup_free_ char *hooks = pyenv_hook_path(f);
    _cleanup_free_ char *here = get_current_dir_name();
    setenv("PYENV_ROOT", f->root, 1);
    setenv("PYENV_HOOK_PATH", hooks, 1);
    if (here)
        setenv("PYENV_DIR", here, 0);
    set_path(f);
    fflush(NULL);
    signal(SIGPIPE, SIG_DFL);
    char *own = argv[0];
    _cleanup_free_ char *copy = xstrdup(program);
    argv[0] = copy;
    execv(program, argv);
    argv[0] = own;
    front_fail("%s: %s", program, strerror(errno));
    return NOT_RUNNABLE;
}

/* ---- what plugins ask ---- */

int pyenv_hooks(const struct front *f, int argc, char **argv)
{
    if (argc != 2 || !*argv[1])
        return front_usage(f);
    _cleanup_free_ char *list = pyenv_hook_path(f);
    for (char *rest = list, *dir; (dir = strsep(&rest, ":"));) {
        _cleanup_free_ char *of_command = path_join(dir, argv[1]);
        _cleanup_free_ char *pattern = pattern_in(of_command, "*.bash");
        glob_t found;
        if (!*dir || glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t i = 0; i < found.gl_pathc; i++) {
            char real[PATH_MAX];
            front_line("%s", realpath(found.gl_pathv[i], real) ? real : found.gl_pathv[i]);
        }
        globfree(&found);
    }
    return EXIT_DONE;
}
