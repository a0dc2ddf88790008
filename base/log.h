/* Lines for the daemon's log. Libraries report errors to their caller; only the daemon logs. */
#ifndef VENVFS_BASE_LOG_H
#define VENVFS_BASE_LOG_H

/* Writes "TIME PID MESSAGE\n" to standard error in one write(2); safe from any thread. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
