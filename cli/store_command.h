/* What the commands of `venvfs store` share. */
#ifndef VENVFS_CLI_STORE_COMMAND_H
#define VENVFS_CLI_STORE_COMMAND_H

#include "cli/options.h"
#include "cli/session.h"

/* What each sub-command has: parsed options and an open store. */
struct store_command {
    struct session s;
    bool json, fast, no_compile, dry_run;
    const char *python;
    const char *max_age, *max_size;
    size_t jobs, level, keep;
    struct words operands;
};

/* Parses the command line into c and its options, opens the store and acts: an exit code. act()
 * returns an exit code or a negative errno, whose message is printed. */
int store_command_run(const struct command_help *help, const struct option_spec *specs,
                      struct store_command *c, int (*act)(struct store_command *, struct verror *),
                      int argc, char **argv);
/* A line for each damage: into the array, or to standard output where `array` is NULL. */
void store_command_problem(const char *line, void *array);
/* Says that other commands are waited for. */
void store_command_waiting(void *arg);
/* A running daemon has packs open that were removed: their space comes back when it closes them. */
void store_command_tell_daemon(const struct session *s);

/* Images by what a user calls them: the start of a digest (8 digits or more), NAME==VERSION, or
 * NAME. fn is called for each. -ENOENT: none; the message says so. */
int store_command_images(struct store_command *c, const char *word,
                         void (*fn)(const struct store_listing *image, void *arg), void *arg,
                         struct verror *err);

int store_gc_main(int argc, char **argv);
int store_pin_main(int argc, char **argv);
int store_unpin_main(int argc, char **argv);

#endif
