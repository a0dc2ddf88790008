/* Lines for the daemon's log. Libraries report errors to their caller; only the daemon logs. */
#ifndef VENVFS_BASE_LOG_H
#define VENVFS_BASE_LOG_H

#include <stdint.h>

/* Writes "TIME PID MESSAGE\n" to standard error in one write(2); safe from any thread. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What was logged already, so that a damaged package that is read again and again is one line.
 * Holds the last few hundred subjects; thread-safe. */
struct log_memory;
struct log_memory *log_memory_new(void);
void log_memory_free(struct log_memory *memory); /* NULL is accepted */
/* log_line(), unless this subject was logged with this errno before. memory NULL: always. */
void log_once(struct log_memory *memory, const char *subject, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
