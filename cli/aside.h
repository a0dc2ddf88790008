/* Edits belong to the packages they edit (design 6): when a change takes a package out, or puts
 * another version in its place, its edits are moved to ENVS/NAME/edits/N, N being the generation
 * that had them, and a rollback to N brings them back. A removed file is there as ".wh.NAME".
 *
 * So are files of the user's own where a new package has a file. Folders of a package that were
 * moved elsewhere get their content as files of their own.
 */
#ifndef VENVFS_CLI_ASIDE_H
#define VENVFS_CLI_ASIDE_H

#include "cli/session.h"

/* Before `next` becomes the current generation of an environment whose lock the caller holds.
 * *moved: how many edits. Nothing to do where no daemon is wanted or nothing was edited. */
int aside_before(struct session *s, const struct env *env, const struct manifest *next,
                 size_t *moved, struct verror *err);
/* What a killed command had set aside when it had not changed the environment yet comes back. */
int aside_recover(struct session *s, const struct env *env, struct verror *err);
/* Copies of what was set aside after a generation come back: its packages are those of the current
 * one, which is in view. */
int aside_restore(struct session *s, const struct env *env, unsigned generation,
                  struct verror *err);
/* ENVS/NAME/edits/N; malloc'ed. */
char *aside_path(const struct env *env, unsigned generation);

#endif
