/* progress_line: the text of a progress, apart from when and where it is drawn. */
#ifndef VENVFS_BASE_PROGRESS_LINE_H
#define VENVFS_BASE_PROGRESS_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct progress_state {
    const char *title, *item; /* item may be "" */
    uint64_t items, items_total, bytes, bytes_total;
    double seconds; /* since the work began that the figures count */
};

/* "installing [####....] numpy  3/12  10.0/40.0 MB  5.0 MB/s  6 s left". columns: the terminal's
 * width, which the line does not exceed: of what is too long the item gives way first, then the
 * bar. 0: no terminal, so no bar and nothing cut. What nobody knows is left out; a line without
 * any figures tells the time that passed. */
void progress_line(const struct progress_state *s, size_t columns, struct strbuf *ret);

/* "installing: 12 packages, 40.0 MB in 8.1 s" */
void progress_summary(const struct progress_state *s, struct strbuf *ret);

#endif
