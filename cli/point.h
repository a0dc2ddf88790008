/* A point in the life of an environment, as a word names it: ENV is now, with what was changed
 * inside; ENV@N is its generation N alone. */
#ifndef VENVFS_CLI_POINT_H
#define VENVFS_CLI_POINT_H

#include <stdbool.h>

#include "cli/session.h"
#include "env/edits.h"

struct point {
    struct env *env;
    struct manifest *manifest; /* of the generation that is meant */
    bool now;
    char *label; /* "NAME" or "NAME@N" */
};
#define POINT_INIT                                                                                 \
    {                                                                                              \
        .env = NULL                                                                                \
    }

/* word NULL: the environment of session_select(). ENV may be a name or a folder; one whose own name
 * ends with @N is meant where there is one. named: it was given with -n, so that it may also be
 * both. -ENOENT, -ENOTUNIQ, -EBADMSG. */
int point_find(const struct session *s, const char *word, bool named, struct point *ret,
               struct verror *err);
/* The environment of another point as it is now. */
int point_now(const struct session *s, const struct point *of, struct point *ret,
              struct verror *err);
void point_release(struct point *point);
#define _cleanup_point_ _cleanup_(point_release)

/* What was changed inside it, against the manifest's view; nothing unless the point is now. Opens
 * and locks the session's store. */
int point_edits(struct session *s, const struct point *point, struct edits *ret,
                struct verror *err);

#endif
