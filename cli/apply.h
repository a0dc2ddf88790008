/* Changing an environment: what create, install, uninstall, sync and mount have in common.
 *
 *   1. the environment is locked (env_open() or env_create()), and settled (cli/settle.h)
 *   2. the store is locked shared, from the first "do we have it"
 *   3. the next manifest is built from the current one (lock_fulfil(), editables, seeds, removals)
 *   4. when it differs, edits of what leaves are set aside (cli/aside.h), and env_commit() makes it
 * the current generation (apply_commit())
 *   5. the daemon shows it, and the difference is printed (apply_show())
 *
 * Until 4 nothing has happened; apply_release() of an environment made here and not shown removes
 * it again.
 */
#ifndef VENVFS_CLI_APPLY_H
#define VENVFS_CLI_APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "cli/session.h"
#include "env/envs.h"
#include "env/interp.h"
#include "env/lockfile.h"

struct apply {
    struct session *session;
    struct env *env;
    struct interp *interp;
    struct manifest *before, *next; /* before: NULL for a new environment */
    char *resolved;   /* what pip resolved, for the environment's resolved.txt, or NULL */
    char **editables; /* folders of the projects that are wanted editable */
    size_t n_editables;
    size_t edits_aside;        /* by apply_commit() */
    unsigned aside_generation; /* that had them; 0: no generation was replaced */
    bool reseed;               /* apply_interp() dropped the seed: apply_seed() brings it back */
    bool created;              /* the environment was made here and is not shown yet */
    /* How packages are ingested: */
    bool compile;
    unsigned levels;
    size_t jobs;
    bool offline, refresh;
};
#define APPLY_INIT                                                                                 \
    {                                                                                              \
        .env = NULL                                                                                \
    }
/* Frees, and removes what was created and not committed. */
void apply_release(struct apply *a);
#define _cleanup_apply_ _cleanup_(apply_release)

/* A new environment for an interpreter (taken over), with an address (copied) and a prompt or NULL.
 */
int apply_create(struct apply *a, struct session *s, const char *name, struct interp *interp,
                 const char *address, const char *prompt, struct verror *err);
/* A new one whose name hangs on what is in it: the next manifest for an interpreter (taken over),
 * with the store locked; and, when its packages are known, its environment. -EEXIST: there is one.
 */
int apply_begin(struct apply *a, struct session *s, struct interp *interp, struct verror *err);
int apply_begin_env(struct apply *a, const char *name, const char *address, struct verror *err);
/* A new one with the packages, interpreter and options of a manifest, bound to no project. */
int apply_create_like(struct apply *a, struct session *s, const char *name,
                      const struct manifest *like, const char *address, const char *prompt,
                      struct verror *err);
/* An existing one, locked and settled (cli/settle.h), with the compile options it has. Its
 * interpreter stays when python and start are NULL; else they say which as in interp_find(). One
 * that a tool made from inside has the interpreter that the tool wrote: -EINVAL for another. */
int apply_open(struct apply *a, struct session *s, const char *given, const char *python,
               const char *start, struct verror *err);
/* The same without the interpreter, for a change that ingests nothing. */
int apply_open_settled(struct apply *a, struct session *s, const char *given, struct verror *err);
/* The same again, for a change of something else than content: what was installed inside stays
 * unsettled. */
int apply_open_as_is(struct apply *a, struct session *s, const char *given, struct verror *err);
/* What pip or uv did inside becomes a generation of its own, before anything else: so a change
 * starts from what is there, and a rollback finds it. */
int apply_settle(struct apply *a, struct verror *err);
/* The interpreter that an environment has: its manifest's, or what a tool wrote inside. -ENOENT:
 * none yet. */
int apply_load_interp(const struct session *s, struct env *env, struct interp **ret,
                      struct verror *err);
/* Before an existing environment changes without being bound anew: does its address lead to it, so
 * that apply_show() can succeed? See address_check(). */
int apply_check_address(const struct apply *a, bool fallback, struct verror *err);
/* Takes the compile options from what the next manifest remembers. */
void apply_recall(struct apply *a);
/* Replaces the interpreter (taken over). When images for it differ, every package of the next
 * manifest is dropped: the caller fulfils the lock again, and seeds when a->reseed. */
void apply_interp(struct apply *a, struct interp *interp);

/* Fulfils a request and merges it into the next manifest. exact: packages that are not in the
 * answer leave, seeds aside. The answer, to be released, when ret is not NULL. */
int apply_fulfil(struct apply *a, struct lock_request *request, bool exact, struct lock_result *ret,
                 struct verror *err);
/* Adds pip (and setuptools where `python -m venv` would) from the interpreter's bundled wheels,
 * unless the next manifest has them. */
int apply_seed(struct apply *a, struct verror *err);

/* --locked: -EBUSY, naming what would change, when packages of an existing environment would. */
int apply_unchanged(const struct apply *a, struct verror *err);
/* Makes it the current generation, when it differs. Packages that ship different bytes for one path
 * become warnings. */
int apply_commit(struct apply *a, const char *reason, struct verror *err);
/* Shows the environment, or where there is no FUSE writes plain files at its address, with
 * `fallback` or when there are some (show_env()). After this nothing is taken back. Prints what
 * changed. */
int apply_show(struct apply *a, bool fallback, struct verror *err);

#endif
