#include "base/verror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int positive(int errnum)
{
    return errnum < 0 ? -errnum : errnum;
}

static void record(struct verror *err, int errnum, char *message)
{
    char *old = err->message;
    err->errnum = positive(errnum);
    err->message = message;
    free(old);
    free(err->hint);
    err->hint = NULL;
}

int verror_set(struct verror *err, int errnum, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        record(err, errnum, xvasprintf(fmt, ap));
        va_end(ap);
    }
    return -positive(errnum);
}

int verror_errno(struct verror *err, int errnum, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        _cleanup_free_ char *what = xvasprintf(fmt, ap);
        va_end(ap);
        record(err, errnum, xasprintf("%s: %s", what, strerror(positive(errnum))));
    }
    return -positive(errnum);
}

int verror_prefix(struct verror *err, const char *fmt, ...)
{
    if (!err)
        return -EIO;
    va_list ap;
    va_start(ap, fmt);
    _cleanup_free_ char *prefix = xvasprintf(fmt, ap);
    va_end(ap);
    char *joined = xasprintf("%s: %s", prefix, verror_message(err));
    free(err->message);
    err->message = joined;
    if (!err->errnum)
        err->errnum = EIO;
    return -err->errnum;
}

int verror_hint(struct verror *err, const char *fmt, ...)
{
    if (!err)
        return -EIO;
    va_list ap;
    va_start(ap, fmt);
    char *hint = xvasprintf(fmt, ap);
    va_end(ap);
    free(err->hint);
    err->hint = hint;
    return -err->errnum;
}

int verror_move(struct verror *dst, struct verror *src)
{
    int errnum = src->errnum;
    if (dst) {
        verror_release(dst);
        *dst = *src;
        *src = (struct verror)VERROR_INIT;
    } else {
        verror_release(src);
    }
    return -errnum;
}

const char *verror_message(const struct verror *err)
{
    return err && err->message ? err->message : "unknown error";
}

void verror_release(struct verror *err)
{
    free(err->message);
    free(err->hint);
    *err = (struct verror)VERROR_INIT;
}
