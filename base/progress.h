/* Progress of anything that takes over a second: one redrawn line on a terminal, plain lines every
 * few seconds otherwise (base/progress_line.h has their form). Safe from several threads. */
#ifndef VENVFS_BASE_PROGRESS_H
#define VENVFS_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

/* title: what is done ("installing"). Draws on standard error; `quiet` draws nothing. NULL is a
 * valid progress for all functions below and draws nothing. Colour only on terminals without
 * NO_COLOR. */
struct progress *progress_new(const char *title, bool quiet);
/* Totals may grow while work is found. Rate and time left count from the first call on. */
void progress_add_total(struct progress *p, uint64_t items, uint64_t bytes);
/* The item being worked on (a package's name). */
void progress_item(struct progress *p, const char *name);
void progress_advance(struct progress *p, uint64_t items, uint64_t bytes);
/* Clears the line and frees; when the work took over a second, leaves one summary line. */
void progress_finish(struct progress *p);

#endif
