/* rehash, shims: a small script in ROOT/shims for each program of each version.
 *
 * A shim says nothing of its program but its own name, so pyenv's and ours are all alike, and those
 * that are there (pyenv's, where it made them) are copied for what is new: a folder has one kind.
 * `rehash --replace` makes all of them ours. The lock is pyenv's: ROOT/shims/.pyenv-shim. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"
#include "cli/pyenv_plugins.h"

enum { MAX_SHIM = 64 * 1024 };

static const char lock_name[] = ".pyenv-shim";
static const char marker[] = "# A shim of venvfs:";

struct names {
    char **v;
    size_t n, alloc;
};

static void names_add(struct names *names, const char *name)
{
    names->v = xgrow(names->v, &names->alloc, names->n + 1, sizeof(*names->v));
    names->v[names->n++] = xstrdup(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each once. */
static void names_sort(struct names *names)
{
    size_t n = 0;
    if (names->n)
        qsort(names->v, names->n, sizeof(*names->v), by_name);
    for (size_t i = 0; i < names->n; i++) {
        if (n && strcmp(names->v[n - 1], names->v[i]) == 0)
            free(names->v[i]);
        else
            names->v[n++] = names->v[i];
    }
    names->n = n;
}

static bool names_has(const struct names *names, const char *name)
{
    return names->n && bsearch(&name, names->v, names->n, sizeof(*names->v), by_name);
}

static void names_release(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i]);
    free(names->v);
    *names = (struct names){0};
}

#define _cleanup_names_ _cleanup_(names_release)

/* ---- the programs of all versions ---- */

/* Names that a Python brings; others of a conda installation (openssl, curl, ...) must not hide the
 * system's from who does not use conda. */
static bool is_of_python(const char *name)
{
    static const char *const starts[] = {"python",     "pip",          "conda", "activate",
                                         "deactivate", "idle",         "pydoc", "2to3",
                                         "wheel",      "easy_install", "mamba"};
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static void add_programs(const struct pyenv_version *version, bool shims, struct names *names)
{
    _cleanup_free_ char *bin = path_join(version->prefix, "bin");
    _cleanup_free_ char *meta = path_join(version->prefix, "conda-meta");
    bool conda = shims && path_exists(meta);
    DIR *dir = opendir(bin);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (conda && !is_of_python(de->d_name)) {
            _cleanup_free_ char *of_system = pyenv_system(de->d_name);
            if (of_system)
                continue;
        }
        names_add(names, de->d_name);
    }
    if (dir)
        closedir(dir);
}

/* shims: environments of venvfs are left out, their programs come and go without a rehash. */
static void all_programs(const struct front *f, bool shims, struct names *names)
{
    _cleanup_pyenv_versions_ struct pyenv_versions list = {0};
    pyenv_versions_list(f->root, &list);
    for (size_t i = 0; i < list.n; i++)
        if (list.v[i].kind != PYENV_ENVIRONMENT)
            add_programs(&list.v[i], shims, names);
    names_sort(names);
}

int pyenv_print_executables(const struct front *f)
{
    _cleanup_names_ struct names names = {0};
    all_programs(f, false, &names);
    for (size_t i = 0; i < names.n; i++)
        front_line("%s", names.v[i]);
    return EXIT_DONE;
}

/* ---- what a shim is ---- */

static void quote(struct strbuf *text, const char *word)
{
    _cleanup_free_ char *quoted = print_word(word);
    strbuf_addstr(text, quoted);
}

static int our_shim(const struct front *f, struct strbuf *text)
{
    _cleanup_free_ char *folder = front_folder();
    if (!folder)
        return front_fail("the folder with venvfs's pyenv is not there; install venvfs first");
    _cleanup_free_ char *front = path_join(folder, "pyenv");
    _cleanup_free_ char *shims = path_join(f->root, "shims");
    strbuf_addf(text,
                "#!/bin/sh\n%s runs the program of its name of the selected version.\n"
                "PYENV_ROOT=",
                marker);
    quote(text, f->root);
    strbuf_addstr(text, "\nexport PYENV_ROOT\nif [ \"${0%/*}\" != ");
    quote(text, shims);
    strbuf_addstr(text, " ]; then\n    _PYENV_SHIM_PATH=${0%/*}\n    export _PYENV_SHIM_PATH\nfi\n"
                        "exec ");
    quote(text, front);
    strbuf_addstr(text, " exec \"${0##*/}\" \"$@\"\n");
    return EXIT_DONE;
}

/* The text of pyenv's shims, when the folder has them; else none. */
static void shim_there(const char *shims, struct strbuf *text)
{
    DIR *dir = opendir(shims);
    for (struct dirent *de; dir && (de = readdir(dir)) && !text->len;) {
        if (de->d_name[0] == '.')
            continue;
        if (io_read_fileat(dirfd(dir), de->d_name, text, MAX_SHIM) < 0 ||
            !strstr(text->buf, " exec \"$program\" \"$@\""))
            strbuf_reset(text);
    }
    if (dir)
        closedir(dir);
}

/* ---- the lock ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int take_lock(const char *shims, const char *lock)
{
    enum { DEFAULT_TIMEOUT = 60, PAUSE_NS = 100 * 1000 * 1000 };
    const char *set = getenv("PYENV_REHASH_TIMEOUT");
    long timeout = set && *set ? strtol(set, NULL, 10) : DEFAULT_TIMEOUT;
    double end = seconds() + (double)timeout;
    for (;;) {
        int fd = io_open(lock, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd >= 0) {
            (void)close(fd);
            return EXIT_DONE;
        }
        if (fd != -EEXIST)
            return front_fail("cannot rehash: %s isn't writable", shims);
        if (seconds() > end)
            return front_fail("cannot rehash: couldn't acquire lock %s for %ld seconds. Last error "
                              "message:\n%s: cannot overwrite existing file",
                              lock, timeout, lock);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
}

/* ---- rehash ---- */

static bool has_text(int dir, const char *name, const struct strbuf *text)
{
    _cleanup_strbuf_ struct strbuf there = STRBUF_INIT;
    return io_read_fileat(dir, name, &there, MAX_SHIM) == 0 && there.len == text->len &&
           memcmp(there.buf, text->buf, text->len) == 0;
}

/* By rename: somebody may be running the old one. */
static int write_shim(const char *shims, const char *name, const struct strbuf *text)
{
    _cleanup_free_ char *path = path_join(shims, name);
    int r = io_write_file_atomic(path, text->buf, text->len, 0777, false);
    return r < 0 ? front_fail("writing %s: %s", path, strerror(-r)) : EXIT_DONE;
}

static int install(const char *shims, const struct names *names, const struct strbuf *text)
{
    DIR *dir = opendir(shims);
    if (!dir)
        return front_fail("%s: %s", shims, strerror(errno));
    int code = EXIT_DONE;
    for (size_t i = 0; i < names->n && code == EXIT_DONE; i++)
        if (!has_text(dirfd(dir), names->v[i], text))
            code = write_shim(shims, names->v[i], text);
    for (struct dirent *de; code == EXIT_DONE && (de = readdir(dir));)
        if (de->d_name[0] != '.' && !names_has(names, de->d_name))
            (void)io_unlinkat(dirfd(dir), de->d_name, 0);
    closedir(dir);
    return code;
}

int pyenv_rehash(const struct front *f, int argc, char **argv)
{
    bool replace = argc > 1 && strcmp(argv[1], "--replace") == 0;
    if (argc > 1 + replace)
        return front_usage(f);
    _cleanup_free_ char *shims = path_join(f->root, "shims");
    _cleanup_free_ char *lock = path_join(shims, lock_name);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_names_ struct names names = {0};
    if (path_mkdirs(shims, 0777) < 0 || access(shims, W_OK) < 0)
        return front_fail("cannot rehash: %s isn't writable", shims);
    if (!replace)
        shim_there(shims, &text);
    int code = text.len ? EXIT_DONE : our_shim(f, &text);
    if (code == EXIT_DONE)
        code = take_lock(shims, lock);
    if (code != EXIT_DONE)
        return code;
    all_programs(f, true, &names);
    code = install(shims, &names, &text);
    (void)unlink(lock);
    return code;
}

int pyenv_sh_rehash(const struct front *f, int argc, char **argv)
{
    const char *shell = front_shell();
    (void)argv;
    if (argc > 1)
        return front_usage(f);
    if (strcmp(shell, "pwsh") == 0)
        puts("& (get-command pyenv -commandtype application) rehash");
    else
        puts("command pyenv rehash");
    if (strcmp(shell, "pwsh") != 0 && strcmp(shell, "fish") != 0)
        puts("hash -r 2>/dev/null || true");
    return EXIT_DONE;
}

int pyenv_shims(const struct front *f, int argc, char **argv)
{
    bool is_short = argc > 1 && strcmp(argv[1], "--short") == 0;
    if (argc > 1 + is_short)
        return front_usage(f);
    _cleanup_free_ char *shims = path_join(f->root, "shims");
    _cleanup_names_ struct names names = {0};
    DIR *dir = opendir(shims);
    for (struct dirent *de; dir && (de = readdir(dir));)
        if (de->d_name[0] != '.')
            names_add(&names, de->d_name);
    if (dir)
        closedir(dir);
    names_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        if (is_short)
            front_line("%s", names.v[i]);
        else
            front_line("%s/%s", shims, names.v[i]);
    }
    return EXIT_DONE;
}
