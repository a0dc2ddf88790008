/* Mapped files that shrink or cannot be read.
 *
 * Touching a mapped page that the file no longer has, or that the disk cannot deliver, raises
 * SIGBUS. For watched ranges the handler puts a page of zeros there and marks the range as damaged:
 * the access goes on, and whoever uses the range asks sigbus_damaged() before answering and says
 * EIO. That needs no jump out of code that holds locks. Formats read this way must be safe to walk
 * when any of their pages turns to zeros after it was checked. A SIGBUS elsewhere ends the process
 * as ever, and so does one in a thread that blocks the signal: threads that block all others must
 * leave this one out.
 */
#ifndef VENVFS_BASE_SIGBUS_H
#define VENVFS_BASE_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

struct sigbus_watch;

/* Installs the handler (once per process) and watches [base, base + size), page-aligned as mmap()
 * returned it. Never fails; any thread. */
struct sigbus_watch *sigbus_watch(const void *base, size_t size);
/* Ends the watch, before munmap(). NULL is accepted. */
void sigbus_unwatch(struct sigbus_watch *watch);
/* Has a page of this range been lost? Once true it stays so. */
bool sigbus_damaged(const struct sigbus_watch *watch);

#endif
