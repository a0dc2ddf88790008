/* An error for people: a negative errno for the caller's decision, a sentence for the reader.
 *
 * Functions that can fail for a reason worth telling take a `struct verror *err` last (it may be
 * NULL) and return a negative errno. The message is built where the facts are known ("what failed,
 * on which file, why"); callers above add context with verror_prefix(). Only cli/ prints it.
 */
#ifndef VENVFS_BASE_VERROR_H
#define VENVFS_BASE_VERROR_H

#include <stdarg.h>

#include "base/cleanup.h"

struct verror {
    int errnum;    /* positive errno, 0 when no error is recorded */
    char *message; /* owned; NULL when no error is recorded */
    char *hint;    /* owned; what the user can do about it, or NULL */
};

#define VERROR_INIT                                                                                \
    {                                                                                              \
        0, NULL, NULL                                                                              \
    }

/* Records errnum (positive or negative) and a message without a trailing newline; replaces what was
 * recorded. Returns -abs(errnum), so a function can end with `return verror_set(...)`. */
int verror_set(struct verror *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As verror_set(), with ": " and strerror(errnum) appended. */
int verror_errno(struct verror *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before the recorded message. Returns -err->errnum (or -EIO when none is
 * recorded). */
int verror_prefix(struct verror *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets the hint, a second line printed as "hint: ...". Returns -err->errnum. */
int verror_hint(struct verror *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Moves src into dst (replacing it); src is empty afterwards. Returns -errnum. */
int verror_move(struct verror *dst, struct verror *src);

/* The message, or "unknown error"; never NULL. Valid until err changes. */
const char *verror_message(const struct verror *err);

void verror_release(struct verror *err);

#define _cleanup_verror_ _cleanup_(verror_release)

#endif
