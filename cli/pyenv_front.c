#include "cli/pyenv_front.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"
#include "cli/pyenv_plugins.h"
#include "env/pyversion.h"
#include "venvfs-config.h"

/* The pyenv whose behaviour this is. */
#define PYENV_RELEASE "2.6.30"

int front_error(const struct verror *err)
{
    (void)print_error(err);
    return EXIT_FAILED;
}

int front_fail(const char *fmt, ...)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    va_end(ap);
    verror_set(&err, EINVAL, "%s", text);
    return front_error(&err);
}

void front_hint_install(const struct front *f, const char *word)
{
    struct pyversion version;
    if (f->is_pyenv)
        return;
    if (pyversion_parse(word, &version))
        print_hint("venvfs python install %s", word);
    else
        print_hint("venvfs python versions lists what there is");
}

void front_line(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    va_end(ap);
    print_out_line(text);
}

/* ---- helps ---- */

static void print_usage(FILE *stream, bool is_pyenv, const struct pyenv_command *c)
{
    const char *line = c->synopsis, *lead = "Usage:";
    while (line) {
        int len = (int)strcspn(line, "\n");
        fprintf(stream, "%s %s %s%s%.*s\n", lead, is_pyenv ? "pyenv" : "venvfs python", c->name,
                len ? " " : "", len, line);
        lead = "      ";
        line = line[len] ? line + len + 1 : NULL;
    }
}

int front_usage(const struct front *f)
{
    print_usage(stderr, f->is_pyenv, f->command);
    return f->is_pyenv ? EXIT_FAILED : EXIT_USAGE;
}

static void print_summary(const struct pyenv_command *c)
{
    printf("%c%s.\n", c->summary[0] - 'a' + 'A', c->summary + 1);
}

static int print_command_help(bool is_pyenv, const struct pyenv_command *c)
{
    print_usage(stdout, is_pyenv, c);
    putchar('\n');
    print_summary(c);
    if (c->about)
        printf("\n%s\n", c->about);
    return EXIT_DONE;
}

static void print_overview(FILE *stream)
{
    fputs("Usage: pyenv <command> [<args>]\n\nSome useful pyenv commands are:\n", stream);
    for (const struct pyenv_command *c = pyenv_commands; c->name; c++)
        if (c->place == IN_BOTH)
            fprintf(stream, "   %-14s %s\n", c->name, c->summary);
    fputs("\n`pyenv help <command>' explains one.\n", stream);
}

static void print_release(FILE *stream)
{
    fprintf(stream, "pyenv " PYENV_RELEASE " (venvfs " VENVFS_VERSION ")\n");
}

int pyenv_help(const struct front *f, int argc, char **argv)
{
    bool usage = argc > 1 && strcmp(argv[1], "--usage") == 0;
    if (argc < 2 + usage) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    const char *name = argv[1 + usage];
    const struct pyenv_command *c = pyenv_command_find(name);
    if (c && usage)
        print_usage(stdout, true, c);
    if (c)
        return usage ? EXIT_DONE : print_command_help(true, c);
    _cleanup_free_ char *plugin = xasprintf("pyenv-%s", name);
    _cleanup_free_ char *program = pyenv_plugin_program(f, plugin);
    _cleanup_free_ char *reader = program ? pyenv_plugin_program(f, "pyenv-help") : NULL;
    if (reader) /* it reads the first lines of scripts */
        return pyenv_become(f, reader, argv);
    if (program)
        return front_fail("`%s' is %s, which explains itself in its first lines", name, program);
    return front_fail("no such command `%s'", name);
}

/* ---- completion ---- */

int pyenv_commands_cmd(const struct front *f, int argc, char **argv)
{
    static const char sh[] = "sh-";
    bool only_sh = argc > 1 && strcmp(argv[1], "--sh") == 0;
    bool no_sh = argc > 1 && strcmp(argv[1], "--no-sh") == 0;
    if (argc > 1 + (only_sh || no_sh))
        return front_usage(f);
    for (const struct pyenv_command *c = pyenv_commands; c->name; c++) {
        bool is_sh = strncmp(c->name, sh, sizeof(sh) - 1) == 0;
        if (only_sh ? is_sh : !is_sh && !(no_sh && strcmp(c->name, "shell") == 0))
            puts(is_sh ? c->name + sizeof(sh) - 1 : c->name);
    }
    return EXIT_DONE;
}

static void print_options(const struct pyenv_command *c)
{
    for (const char *o = c->options; o && *o;
         o += o[strcspn(o, " ")] ? strcspn(o, " ") + 1 : strlen(o))
        printf("%.*s\n", (int)strcspn(o, " "), o);
}

/* What may follow a command beside its options. */
static int print_offers(const struct front *f, const struct pyenv_command *c)
{
    char versions[] = "versions", bare[] = "--bare", shims[] = "shims", names[] = "--short";
    char *list_versions[] = {versions, bare, NULL}, *list_shims[] = {shims, names, NULL};
    switch (c->offer) {
    case OFFER_NOTHING:
        return EXIT_DONE;
    case OFFER_ALL_VERSIONS:
        puts("system");
        return pyenv_versions_cmd(f, 2, list_versions);
    case OFFER_VERSIONS:
        return pyenv_versions_cmd(f, 2, list_versions);
    case OFFER_SHIMS:
        return pyenv_shims(f, 2, list_shims);
    }
    return EXIT_DONE;
}

int pyenv_completions(const struct front *f, int argc, char **argv)
{
    if (argc < 2)
        return front_usage(f);
    const struct pyenv_command *c = pyenv_command_find(argv[1]);
    puts("--help");
    if (!c)
        return EXIT_DONE;
    print_options(c);
    return print_offers(f, c);
}

/* ---- running one ---- */

int front_run(struct front *f, const struct pyenv_command *command, int argc, char **argv)
{
    f->command = command;
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "--help") == 0 || (!f->is_pyenv && strcmp(first, "-h") == 0))
        return print_command_help(f->is_pyenv, command);
    if (strcmp(first, "--complete") == 0 ||
        (!f->is_pyenv && strcmp(first, "--list-options") == 0)) {
        print_options(command);
        return strcmp(first, "--complete") == 0 ? print_offers(f, command) : EXIT_DONE;
    }
    if (!f->root)
        return front_fail("neither PYENV_ROOT nor HOME is set");
    return command->run(f, argc, argv);
}

static bool check_folder(void)
{
    struct stat st;
    const char *dir = getenv("PYENV_DIR");
    if (!dir || !*dir || (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
        return true;
    front_fail("cannot change working directory to `%s'", dir);
    return false;
}

int front_pyenv(struct front *f, int argc, char **argv)
{
    if (argc < 2) {
        print_release(stderr);
        print_overview(stderr);
        return EXIT_FAILED;
    }
    const char *name = argv[1];
    if (strcmp(name, "-v") == 0 || strcmp(name, "--version") == 0) {
        print_release(stdout);
        return EXIT_DONE;
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    if (!check_folder())
        return EXIT_FAILED;
    const struct pyenv_command *c = pyenv_command_find(name);
    if (c && c->run == pyenv_shell && (argc < 3 || strcmp(argv[2], "--help") != 0))
        return front_fail("shell integration not enabled. Run `pyenv init' for instructions.");
    if (c)
        return front_run(f, c, argc - 1, argv + 1);
    _cleanup_free_ char *plugin = xasprintf("pyenv-%s", name);
    _cleanup_free_ char *program = f->root ? pyenv_plugin_program(f, plugin) : NULL;
    if (program)
        return pyenv_become(f, program, argv + 1);
    return front_fail("no such command `%s'", name);
}

/* ---- where things are ---- */

static char *own_folder(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n < 0)
        return NULL;
    exe[n] = '\0';
    return path_dirname(exe);
}

/* The first of these that is a program, seen from the program's own folder; without its dots. */
static char *first_program(const char *const *names, size_t n)
{
    _cleanup_free_ char *folder = own_folder();
    for (size_t i = 0; folder && i < n; i++) {
        _cleanup_free_ char *path = path_join(folder, names[i]);
        if (access(path, X_OK) == 0)
            return path_absolute(path);
    }
    return NULL;
}

char *front_folder(void)
{
    /* This program itself; of an installed venvfs; of one where it was built. */
    static const char *const names[] = {"pyenv", "../libexec/venvfs/pyenv/pyenv",
                                        "pyenv-front/pyenv"};
    _cleanup_free_ char *program = first_program(names, ARRAY_SIZE(names));
    return program ? path_dirname(program) : NULL;
}

char *front_venvfs(void)
{
    static const char *const names[] = {"venvfs", "../../../bin/venvfs", "../venvfs"};
    char *program = first_program(names, ARRAY_SIZE(names));
    return program ? program : xstrdup("venvfs");
}
