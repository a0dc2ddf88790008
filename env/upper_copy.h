/* upper_copy: a second upper layer with what one has. */
#ifndef VENVFS_ENV_UPPER_COPY_H
#define VENVFS_ENV_UPPER_COPY_H

#include <stdbool.h>

#include "base/verror.h"

/* Copies the layer `from` to `to`, which must not exist: files by reflink where the file system can
 * (FICLONE), else their bytes with their holes; links among them stay links; modes, owners where
 * permitted, times, and the mode that is shown. Work and orphans are left out; no layer, or nothing
 * else in it: `to` is not made.
 *
 * A daemon may be writing to `from`: files are copied as they are, and what vanishes meanwhile is
 * passed over. stop, when not NULL, is asked before each file: true ends with -EINTR. On failure
 * `to` is half made, and the caller removes it. What was copied is durable at the end; on file
 * systems that order names (io_orders_names()) its names are with the next fsync of any folder. */
int upper_copy(const char *from, const char *to, bool (*stop)(void), struct verror *err);

#endif
