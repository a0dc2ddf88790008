/* version*, local, global: what is selected, and selecting. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"

void front_tell_refused(const struct version_file *file, const char *path)
{
    for (char *const *w = file->refused; *w; w++)
        front_fail("invalid version `%s' ignored in `%s'", *w, path);
}

int front_selected(const struct front *f, struct version_file *ret)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (pyenv_selected(f->root, NULL, ret, &err) < 0)
        return front_error(&err);
    if (ret->path)
        front_tell_refused(ret, ret->path);
    return EXIT_DONE;
}

/* Is -f or --force the next argument? They are taken off, as often as they come. */
static bool take_force(int *argc, char ***argv)
{
    bool force = false;
    while (*argc > 1 && (strcmp((*argv)[1], "-f") == 0 || strcmp((*argv)[1], "--force") == 0)) {
        force = true;
        (*argc)--;
        (*argv)++;
    }
    return force;
}

/* ---- what is selected ---- */

const char *front_without_python(const char *word)
{
    static const char python[] = "python-";
    return strncmp(word, python, sizeof(python) - 1) == 0 ? word + sizeof(python) - 1 : word;
}

int front_names(const struct front *f, const struct version_file *file, bool force, char **ret)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    int code = EXIT_DONE;
    for (char *const *w = file->words; *w; w++) {
        _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
        bool found = pyenv_version_find(f->root, *w, &version);
        if (!found && !force) {
            front_fail("version `%s' is not installed (set by %s)", *w, pyenv_origin(file));
            front_hint_install(f, *w);
            code = EXIT_FAILED;
            continue;
        }
        strbuf_addf(&names, "%s%s", names.len ? ":" : "",
                    found ? version.name : front_without_python(*w));
    }
    if (!file->words[0])
        strbuf_addstr(&names, "system");
    *ret = strbuf_detach(&names, NULL);
    return code;
}

int front_selected_names(const struct front *f, bool force, char **ret)
{
    _cleanup_version_file_ struct version_file file = {0};
    int code = front_selected(f, &file);
    if (code != EXIT_DONE) {
        *ret = xstrdup("");
        return code;
    }
    return front_names(f, &file, force, ret);
}

int pyenv_version_name(const struct front *f, int argc, char **argv)
{
    _cleanup_free_ char *names = NULL;
    bool force = take_force(&argc, &argv);
    int code = front_selected_names(f, force, &names);
    if (*names || f->is_pyenv || code == EXIT_DONE) /* pyenv's scripts read a line in any case */
        front_line("%s", names);
    return code;
}

int pyenv_version(const struct front *f, int argc, char **argv)
{
    bool bare = argc > 1 && strcmp(argv[1], "--bare") == 0;
    if (argc > 1 + bare)
        return front_usage(f);
    _cleanup_version_file_ struct version_file file = {0};
    _cleanup_free_ char *names = NULL;
    int code = front_selected(f, &file);
    if (code == EXIT_DONE)
        code = front_names(f, &file, false, &names);
    for (char *rest = names, *name; (name = rest && *rest ? strsep(&rest, ":") : NULL);)
        if (bare)
            front_line("%s", name);
        else
            front_line("%s (set by %s)", name, pyenv_origin(&file));
    return code;
}

int pyenv_version_origin(const struct front *f, int argc, char **argv)
{
    const char *set = getenv("PYENV_VERSION");
    (void)argv;
    if (argc > 1)
        return front_usage(f);
    if (set && *set) {
        const struct version_file file = {.path = NULL};
        puts(pyenv_origin(&file));
        return EXIT_DONE;
    }
    _cleanup_free_ char *path = pyenv_version_path(f->root, NULL);
    front_line("%s", path);
    return EXIT_DONE;
}

int pyenv_version_file(const struct front *f, int argc, char **argv)
{
    bool of_folder = argc > 1 && *argv[1];
    _cleanup_free_ char *path =
        of_folder ? version_file_path(argv[1]) : pyenv_version_path(f->root, NULL);
    if (!path)
        return EXIT_FAILED;
    front_line("%s", path);
    return EXIT_DONE;
}

/* ---- reading files ---- */

/* The words of a file; false when it has none, or is not there. */
static bool read_words(const char *path, struct version_file *ret)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = version_file_read(path, ret, &err);
    if (r < 0) {
        if (r != -ENOENT)
            front_error(&err);
        return false;
    }
    front_tell_refused(ret, path);
    return ret->words[0] != NULL;
}

static void print_words(const struct version_file *file, const char *between)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (char *const *w = file->words; *w; w++) {
        if (text.len && between[0] == '\n') {
            front_line("%s", text.buf);
            strbuf_reset(&text);
        }
        strbuf_addf(&text, "%s%s", text.len ? between : "", *w);
    }
    front_line("%s", text.buf);
}

int pyenv_version_file_read(const struct front *f, int argc, char **argv)
{
    _cleanup_version_file_ struct version_file file = {0};
    (void)f;
    if (argc < 2 || !read_words(argv[1], &file))
        return EXIT_FAILED;
    print_words(&file, ":");
    return EXIT_DONE;
}

/* ---- writing them ---- */

bool front_all_installed(const struct front *f, const char *const *words)
{
    for (; *words; words++) {
        _cleanup_free_ char *prefix = front_prefix(f, *words);
        if (!prefix)
            return false;
    }
    return true;
}

static int write_words(const struct front *f, const char *path, bool force, char **words)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    const char *const *list = (const char *const *)words;
    if (!force && !front_all_installed(f, list))
        return EXIT_FAILED;
    return version_file_write(path, list, &err) < 0 ? front_error(&err) : EXIT_DONE;
}

int pyenv_version_file_write(const struct front *f, int argc, char **argv)
{
    bool force = take_force(&argc, &argv);
    if (argc < 3 || !*argv[1] || !*argv[2])
        return front_usage(f);
    return write_words(f, argv[1], force, argv + 2);
}

static int show_local(const struct front *f)
{
    _cleanup_free_ char *here = get_current_dir_name();
    _cleanup_free_ char *path = here ? version_file_path(here) : NULL;
    _cleanup_version_file_ struct version_file file = {0};
    (void)f;
    if (!path)
        return front_fail("no local version configured for this directory");
    if (!read_words(path, &file))
        return EXIT_FAILED;
    print_words(&file, "\n");
    return EXIT_DONE;
}

int pyenv_local(const struct front *f, int argc, char **argv)
{
    static const char name[] = ".python-version";
    bool force = take_force(&argc, &argv);
    if (argc < 2 || !*argv[1])
        return show_local(f);
    if (strcmp(argv[1], "--unset") == 0) {
        if (unlink(name) < 0 && errno != ENOENT)
            return front_fail("%s: %s", name, strerror(errno));
        return EXIT_DONE;
    }
    return argv[1][0] == '-' ? front_usage(f) : write_words(f, name, force, argv + 1);
}

int pyenv_global(const struct front *f, int argc, char **argv)
{
    static const char *const names[] = {"version", "global", "default"}; /* pyenv's, over time */
    if (argc > 1 && argv[1][0] == '-')
        return front_usage(f);
    if (argc > 1 && *argv[1]) {
        _cleanup_free_ char *path = path_join(f->root, names[0]);
        int r = path_mkdirs(f->root, 0777);
        return r < 0 ? front_fail("%s: %s", f->root, strerror(-r))
                     : write_words(f, path, false, argv + 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path = path_join(f->root, names[i]);
        _cleanup_version_file_ struct version_file file = {0};
        if (read_words(path, &file)) {
            print_words(&file, "\n");
            return EXIT_DONE;
        }
    }
    puts("system");
    return EXIT_DONE;
}
