/* Settling an environment: what pip or uv wrote into it becomes packages of a new generation
 * (env/settle.h), and what a change takes out is set aside. */
#ifndef VENVFS_CLI_SETTLE_H
#define VENVFS_CLI_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/session.h"

struct settled {
    struct manifest *before;         /* NULL: no new generation was needed */
    size_t files;                    /* gave way */
    uint64_t bytes;                  /* of them */
    struct settle_problem *problems; /* left as they are */
    size_t n_problems;
    bool unfinished; /* `wait`: an installation is under way, and nothing was done */
};
void settled_release(struct settled *settled);
#define _cleanup_settled_ _cleanup_(settled_release)

struct settle_options {
    bool dry_run; /* before and problems are filled; nothing is changed */
    bool due;     /* nothing is done when the daemon knows that no package was touched */
    bool wait;    /* leave everything when an installation is unfinished */
    bool quiet;   /* no progress */
    size_t jobs;
};

/* The caller holds the environment's lock; env->manifest is the new generation afterwards. Starts
 * the daemon when the upper holds something. Where the daemon is unwanted (daemon_unwanted()) or
 * there is no FUSE, nothing can have been written, and nothing is done. */
int settle_env(struct session *s, struct env *env, const struct settle_options *options,
               struct settled *ret, struct verror *err);

/* May packages have been touched inside since the last settling? A running daemon knows; of an
 * environment that is not in view the layer on disk tells. Starts none. */
bool settle_pending(const struct home *home, const struct env *env);
/* Is it the reason of a generation that settling made? */
bool settle_is_reason(const char *reason);

/* For people: what a settling before another change did, and left. */
void settled_tell(const struct env *env, const struct settled *settled);
/* Marks of the upper layer that say nothing any more go, after the tree below has changed. Nothing
 * to do where no daemon is wanted or nothing is in the upper. */
int settle_sweep(struct session *s, const struct env *env, struct verror *err);

/* Makes images of distributions that an installer has just written, so that a later settling finds
 * them. Nothing else changes; what is not whole is passed over. The caller need not hold the
 * environment's lock. dist_infos: names of folders. */
int settle_ahead(struct session *s, const struct env *env, char *const *dist_infos, size_t n,
                 struct verror *err);

#endif
