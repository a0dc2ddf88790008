/* The commands of pyenv, in two voices: `venvfs python CMD`, and `pyenv CMD` with pyenv's own words
 * and exit codes, as people and tools that call it expect. Nothing here needs the store, so they
 * also are a small program of their own (cli/pyenv_main.c), called `pyenv` or `pyenv-CMD`. */
#ifndef VENVFS_CLI_PYENV_FRONT_H
#define VENVFS_CLI_PYENV_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"
#include "env/pyenv.h"

struct front;

/* What completion offers beside the options. */
enum pyenv_offer { OFFER_NOTHING, OFFER_VERSIONS, OFFER_ALL_VERSIONS, OFFER_SHIMS };
enum pyenv_place {
    IN_BOTH,
    IN_BOTH_HIDDEN, /* what our own shell functions call */
    IN_PYENV, /* of the front alone: what pyenv's plugins call, or what venvfs has elsewhere */
};
struct pyenv_command {
    const char *name, *summary;
    const char *synopsis; /* what follows the name; more lines are more forms */
    const char *about;    /* paragraphs, or NULL: the summary says it all */
    const char *options;  /* with spaces between, or NULL */
    enum pyenv_offer offer;
    enum pyenv_place place;
    int (*run)(const struct front *f, int argc, char **argv);
};
/* NULL: there is none. */
const struct pyenv_command *pyenv_command_find(const char *name);
/* All of them, ends with one that has no name. */
extern const struct pyenv_command pyenv_commands[];

struct front {
    bool is_pyenv; /* its voice: pyenv's words, not venvfs's */
    char *root;    /* PYENV_ROOT */
    const struct pyenv_command *command;
    /* May ROOT/versions/X or another installation go? Says why not. NULL: nobody is asked. */
    int (*may_go)(const char *prefix, struct verror *err);
};

/* Runs one: argv[0] is its name. Returns the exit code. */
int front_run(struct front *f, const struct pyenv_command *command, int argc, char **argv);
/* As `pyenv` with these arguments, argv[1] being the command; 1 for any misuse, as pyenv has it. */
int front_pyenv(struct front *f, int argc, char **argv);

/* ---- for the commands ---- */

/* "pyenv: ..." or "venvfs: ..." on standard error; 1. */
int front_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int front_error(const struct verror *err);
/* How to get a version that is not there; pyenv says nothing of it. */
void front_hint_install(const struct front *f, const char *word);
/* How the command is used, on standard error; pyenv's exit code 1, or 2. */
int front_usage(const struct front *f);
/* A line that quotes what a file or a name said, its control characters made visible. */
void front_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What is selected; the words that were refused are told on standard error. */
int front_selected(const struct front *f, struct version_file *ret);
void front_tell_refused(const struct version_file *file, const char *path);
/* The names of the versions that these words mean, ':' between; "system" when there are none. Words
 * that mean no version are told and left out (1), or (`force`) taken as they are. malloc'ed. */
int front_names(const struct front *f, const struct version_file *file, bool force, char **ret);
/* The same of what is selected. */
int front_selected_names(const struct front *f, bool force, char **ret);
/* Do all these words mean versions? Tells the first that does not. */
bool front_all_installed(const struct front *f, const char *const *words);
/* The folder of a version, for "system" the one above the bin/ that has PATH's Python. Told when
 * there is none. malloc'ed, or NULL. */
char *front_prefix(const struct front *f, const char *word);
/* A word without "python-" before it. */
const char *front_without_python(const char *word);
/* The name of the shell that evaluates what is printed: PYENV_SHELL, else SHELL. */
const char *front_shell(void);

/* The folder of the links pyenv and pyenv-CMD; PATH's or the one beside the program. malloc'ed, or
 * NULL. */
char *front_folder(void);
/* The program venvfs itself. malloc'ed. */
char *front_venvfs(void);

#endif
