/* Which processes use an environment, as far as /proc tells this user. */
#ifndef VENVFS_CLI_IN_USE_H
#define VENVFS_CLI_IN_USE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/home.h"
#include "base/strbuf.h"
#include "env/envs.h"

enum use {
    USE_FOLDER = 1 << 0, /* its working folder or root is in it */
    USE_OPEN = 1 << 1,   /* it has a file of it open */
    USE_MAPPED = 1 << 2, /* it has a file of it mapped: a library, most often */
    USE_PROGRAM = 1 << 3 /* it runs a program of it, or as its Python */
};

struct user {
    pid_t pid;
    unsigned uses; /* enum use */
    char *command; /* its command line, cut to a readable length */
};
struct in_use {
    struct user *v; /* by pid */
    size_t n, alloc;
};

/* Processes other than this one and the daemon's own that use the environment, found by paths below
 * HUB/NAME or its address, in one of the ways of `uses`. A Python is one of the environment's when
 * its first word is a path in it, or when it is the base interpreter called by a mere name where
 * VIRTUAL_ENV names the environment: /proc says no more of it, since bin/python is a link that
 * leads out. Of other users' processes nothing is known (root knows all); without /proc nothing of
 * any. Reads a few files for each process. */
void in_use_find(const struct home *home, const struct env *env, unsigned uses, struct in_use *ret);
void in_use_release(struct in_use *users);
#define _cleanup_in_use_ _cleanup_(in_use_release)

/* "process 12 (python -m app)" or "3 processes: 12 (sh), 14 (make), 15 (python x.py)"; of many the
 * first ones. */
void in_use_describe(const struct in_use *users, struct strbuf *sb);

#endif
