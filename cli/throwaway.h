/* throwaway: environments that nobody named, made for a script's inline metadata or for `tool run`.
 *
 * They are environments of the hub like any other, called throwaway-HEX after what is in them
 * (interpreter and images), so that all who resolve to the same share one. ROOT/throwaway/KEY is a
 * link to that name, KEY being a hash of what was asked for: finding one again reads the link and
 * the manifest, and starts no Python. What was resolved once stays so until --refresh.
 *
 * None is for ever: whenever one is made, those go that were not used for VENVFS_THROWAWAY_DAYS
 * (30), and of more than VENVFS_THROWAWAY_KEEP (64) the longest unused; never one that was used
 * within the last ten minutes or that a process uses. Renamed, one belongs to its user.
 */
#ifndef VENVFS_CLI_THROWAWAY_H
#define VENVFS_CLI_THROWAWAY_H

#include <stdbool.h>

#include "base/hash.h"
#include "base/verror.h"
#include "cli/options.h"
#include "cli/session.h"
#include "env/interp.h"

/* What is needed once, when there is none yet. */
struct throwaway_needs {
    const char *reason;    /* of the generation: "run script.py" */
    struct interp *interp; /* taken over */
    const char *const *requirements;
    size_t n_requirements;
    char *const *options;     /* lines of a requirements file, NULL-terminated, or NULL */
    char *const *constraints; /* the same */
    bool offline, refresh;
};

/* Begins the hash of what is asked for, with all that pip is told besides. */
struct sha256_state *throwaway_key_begin(const char *kind);
/* Adds a string, NULL being another than "". */
void throwaway_key_add(struct sha256_state *st, const char *s);

/* The one that was made for this key, its use noted. -ENOENT: none, or its interpreter is gone. */
int throwaway_recall(struct session *s, const struct sha256 *key, struct env **ret,
                     struct verror *err);
/* Resolves, and makes the environment unless there is one with the same in it. Two processes that
 * want the same wait for each other. remember: throwaway_recall() finds it from now on. The
 * environment is not locked. Blocks on the network. */
int throwaway_make(struct session *s, const struct sha256 *key, struct throwaway_needs *needs,
                   bool remember, struct env **ret, struct verror *err);

/* Is an environment (as env_open() or env_glance() has it) one of them? */
bool throwaway_is(const struct env *env);
/* The same by name; false also where it cannot be read. */
bool throwaway_named(const struct home *home, const char *name);

/* Words of the command line that pip shall take: no option, no line break; a path is made absolute
 * (malloc'ed into *ret, else a copy). *changes: what it names may change while its name stays (a
 * local path), so that nothing may be remembered under it. -EINVAL. */
int throwaway_requirement(const char *word, char **ret, bool *changes, struct verror *err);

#endif
