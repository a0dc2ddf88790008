/* variables: where an option that is not on the command line comes from: a variable PREFIX_NAME,
 * else a section of an ini file. */
#ifndef VENVFS_CLI_VARIABLES_H
#define VENVFS_CLI_VARIABLES_H

#include "base/verror.h"
#include "cli/options.h"

struct variables {
    const char *prefix;  /* "VIRTUALENV": the option --no-seed is VIRTUALENV_NO_SEED */
    const char *section; /* of the ini file */
    char *ini;           /* its text, owned; NULL: there is none */
    char **owned;        /* what values point to */
    size_t n_owned, alloc;
};
void variables_release(struct variables *v);
#define _cleanup_variables_ _cleanup_(variables_release)

/* Reads the ini file; one that is missing is none. */
int variables_read(struct variables *v, const char *path, struct verror *err);
/* Sets each option of the table that has a help text and is not set (a flag that is false, a string
 * that is NULL, words that are none). A flag is 1, yes, true or on, or their opposites; any other
 * value is a warning. Words are separated by newlines, else by commas (those within a range of
 * versions are not), and by colons. Values live as long as *v. */
void variables_apply(struct variables *v, const struct option_spec *specs);
/* Adds the words of a text (NULL: none), separated as above. */
void variables_split(struct variables *v, const char *text, struct words *ret);

#endif
