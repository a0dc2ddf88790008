/* What people and programs see: the only file that writes to standard output and error.
 *
 * Standard output carries results only (a path, a table, JSON); notes, warnings and errors go to
 * standard error, each on one line: control characters in it are written as \x1b. Colour only on a
 * terminal, never with NO_COLOR.
 */
#ifndef VENVFS_CLI_PRINT_H
#define VENVFS_CLI_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/verror.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The name that errors begin with, "venvfs" until somebody says another. Not copied. */
void print_set_program(const char *name);

/* --quiet: notes are not printed (errors and warnings are). */
void print_set_quiet(void);
bool print_quiet(void);

/* "venvfs: MESSAGE" and, when there is one, "hint: ...". Returns EXIT_FAILED, or EXIT_USAGE for
 * ENOTUNIQ: a word of the command line that means two things. */
int print_error(const struct verror *err);
/* "venvfs COMMAND: MESSAGE" and the hint to ask for help. Returns EXIT_USAGE. */
int print_usage_error(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void print_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* For wheel_options.warn: a line that begins with "warning: ". */
void print_wheel_warning(const char *line, void *arg);
void print_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Something worth knowing; silent with --quiet. */
void print_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A result that may quote what others wrote: one line on standard output. */
void print_out_line(const char *text);

/* Indented, in insertion order, with a newline. Takes value over. Returns EXIT_DONE. */
int print_json(json_t *value);

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };
/* The escape sequence to switch to a style on this stream, or "" where there is no colour. */
const char *print_style(FILE *stream, enum style style);

#define PRINT_BYTES_SIZE 24
/* "1.5 MiB". Returns buf. */
const char *print_bytes(uint64_t bytes, char buf[PRINT_BYTES_SIZE]);

/* A word as a shell takes it, quoted where it must be, for commands in hints. malloc'ed. */
char *print_word(const char *word);

/* Rows of text in columns, padded to the widest cell. Cells are copied. */
struct table;
struct table *table_new(size_t columns);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints to standard output, the first row as a heading on terminals, and frees. */
void table_print(struct table *t);
void table_free(struct table *t); /* without printing */

/* Flushes standard output; EXIT_FAILED with a line when that (or an earlier write) failed. */
int print_finish(int exit_code);

#endif
