/* One way to read a command line: a table of options, its --help made from the same table. */
#ifndef VENVFS_CLI_OPTIONS_H
#define VENVFS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* A growing list of strings that belong to argv. */
struct words {
    const char **v; /* NULL-terminated once something was added */
    size_t n, alloc;
};
void words_add(struct words *w, const char *s);
void words_release(struct words *w);
#define _cleanup_words_ _cleanup_(words_release)

enum option_kind {
    OPTION_FLAG,   /* bool *: set to true */
    OPTION_STRING, /* const char **: the last one counts */
    OPTION_WORDS,  /* struct words *: repeatable */
    OPTION_NUMBER, /* size_t *: 0 .. 1024 */
    OPTION_BITS,   /* unsigned *: sets bit N, 0 .. 2 */
};

struct option_spec {
    char short_name;  /* 0: none */
    const char *name; /* NULL ends the table */
    enum option_kind kind;
    void *value;
    const char *argument; /* its name in help texts; NULL for a flag */
    const char *help;     /* one or more lines; NULL: not shown */
};
#define OPTIONS_END                                                                                \
    {                                                                                              \
        0, NULL, OPTION_FLAG, NULL, NULL, NULL                                                     \
    }

struct command_help {
    const char *name;     /* "store add" */
    const char *synopsis; /* what follows the name; more lines are more forms */
    const char *about;    /* paragraphs */
    bool stop_at_operand; /* what follows the first operand is not ours (run) */
    size_t min, max;      /* operands */
};
#define OPERANDS_ANY ((size_t)-1)

/* Parses argv (argv[0] is the command's name), sets the values and collects the operands.
 * -h/--help and -q/--quiet are known to every command. Returns OPTIONS_GO, or the exit code to end
 * with: 0 after --help, 2 after a line about wrong usage. */
#define OPTIONS_GO (-1)
int options_parse(const struct command_help *help, const struct option_spec *specs, int argc,
                  char **argv, struct words *operands);

/* The one of the NULL-terminated candidates that `word` was probably meant to be, or NULL. */
const char *options_near(const char *word, const char *const *candidates);

#endif
