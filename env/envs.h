/* envs: the environments of a user on disk.
 *
 *   ENVS/NAME/N.json     manifest of generation N, immutable
 *   ENVS/NAME/current    a symlink to the current one, replaced by rename
 *   ENVS/NAME/slot       the slot number in nodeids, persisted, never reused (ENVS/.slots counts)
 *   ENVS/NAME/lock       held exclusively by whoever changes the environment
 *   ENVS/NAME/upper/     the private writable layer (env/upper_read.h), and ENVS/NAME/uppers/
 *                        later ones (env/env_layer.h)
 *   ENVS/NAME/trash/     what left it when it was settled, being removed
 *   ENVS/NAME/edits/N/   what left it because its packages left after generation N
 */
#ifndef VENVFS_ENV_ENVS_H
#define VENVFS_ENV_ENVS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/interp.h"
#include "env/manifest.h"

/* Names: 1..100 bytes, path_component_ok(), not starting with '.' or '-'. */
bool env_name_ok(const char *name);

struct env {
    char *name;
    char *dir;                 /* ENVS/NAME */
    uint32_t slot;             /* 1 .. 2^23-1 */
    bool emptied;              /* its folder was removed from inside: the hub does not show it */
    struct manifest *manifest; /* the current generation */
    int lock;                  /* descriptor of the exclusive lock, or -1 */
};
void env_free(struct env *env); /* NULL is accepted; releases the lock */

/* Opens by name. lock: take the exclusive lock first (`wait` false: -EAGAIN, saying who holds it).
 * -ENOENT with a message that lists near names. */
int env_open(const struct home *home, const char *name, bool lock, bool wait, struct env **ret,
             struct verror *err);
/* The same without a lock, for who only tells what there is: its packages are counted and not read,
 * and its slot is not (0). */
int env_glance(const struct home *home, const char *name, struct env **ret, size_t *n_packages,
               struct verror *err);
/* Makes a new environment: folder, slot, lock held; no generation yet (env->manifest is NULL).
 * Nothing is visible to env_open() and env_list() until env_commit(). -EEXIST. */
int env_create(const struct home *home, const char *name, struct env **ret, struct verror *err);
/* The same, but -EAGAIN where another process is making it, saying which. */
int env_try_create(const struct home *home, const char *name, struct env **ret, struct verror *err);
/* Makes `m` the current generation: fills generation and time_ns (max(now, old + 1 us)) and
 * entered_ns of packages whose image is new to the environment (a time between the generations
 * that the caller has set stays), writes it durably, swaps `current`.
 * Takes m over. The caller holds the environment's lock and, where m has packages, the store's
 * shared. m->generation says of which generation m is a copy (0: the current), and so under which
 * writable layer it is shown: that one's, or a new one when its folder was removed from inside
 * since. An environment that was emptied so is shown again. */
int env_commit(struct env *env, struct manifest *m, struct verror *err);
/* Would that show m under another writable layer than the current generation is under? */
bool env_leaves_upper(const struct env *env, const struct manifest *m);
/* The same as env_commit(), under the layer of the current generation whatever happened to its
 * folder. */
int env_commit_over(struct env *env, struct manifest *m, struct verror *err);
/* The current generation's folder was removed from inside the hub, or all that is in it. The caller
 * holds the lock. */
int env_empty(struct env *env, struct verror *err);
/* env->emptied by name; false also where there is no such environment. */
bool env_is_emptied(const struct home *home, const char *name);
/* The path of the writable layer of the current generation. malloc'ed. */
char *env_upper(const struct env *env);
/* The numbers of the generations that are kept, ascending; the last is the current one. What a
 * killed command wrote and did not make current is no generation. malloc'ed. */
int env_generations(const struct env *env, unsigned **ret, size_t *n, struct verror *err);
/* One of them. -ENOENT: it never was, or is not kept, and the hint says which are; -EBADMSG. */
int env_generation(const struct env *env, unsigned number, struct manifest **ret,
                   struct verror *err);
/* Gives it another name. The caller holds its lock and the store's shared, so that who looks for
 * what is needed of the store (env/roots.h) misses it under neither name. -EEXIST: there is an
 * environment of that name; -EINVAL: it can be no name. */
int env_rename(const struct home *home, struct env *env, const char *name, struct verror *err);
/* Removes the environment's folder (name is free afterwards; the slot is not reused). */
int env_remove(struct env *env, struct verror *err);
/* The same by name, reading nothing in the folder: for one that env_open() finds damaged
 * (-EBADMSG). wait: as there. */
int env_remove_unread(const struct home *home, const char *name, bool wait, struct verror *err);
/* Sorted names of all environments that have a generation. */
int env_list(const struct home *home, char ***names, size_t *n, struct verror *err);
void env_list_free(char **names, size_t n);

/* Fills the manifest's interpreter fields. */
void manifest_set_interp(struct manifest *m, const struct interp *interp);

#endif
