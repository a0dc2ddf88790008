/* What `venvfs mount PROJECT` decides (design 8). */
#ifndef VENVFS_ENV_PROJECT_H
#define VENVFS_ENV_PROJECT_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"

/* LOCK_PYPROJECT: no lock; the [project] table of pyproject.toml says what to resolve, or a build.
 */
enum lock_kind { LOCK_NONE, LOCK_PYLOCK, LOCK_UV, LOCK_REQUIREMENTS, LOCK_PYPROJECT };

struct project {
    char *dir;  /* real path */
    char *name; /* of its environment: folder + "-" + 6 hex of the real path's SHA-256 */
    char *link; /* DIR/.venv, the environment's address */
    enum lock_kind lock_kind;
    char *lock;     /* path of the chosen lock, or NULL */
    char **ignored; /* other locks present, NULL-terminated */
    bool has_build_system;
};

/* Folder + "-" + 6 hex of the real path's SHA-256, so that projects and worktrees of one name never
 * clash. malloc'ed. */
char *project_env_name(const char *real);
/* Looks at a folder. `lock`: the --lock option or NULL. -ENOENT, -ENOTDIR; -EINVAL when the only
 * lock is one of poetry, pdm or pipenv, with the command that exports it as hint. */
int project_inspect(const char *dir, const char *lock, struct project *ret, struct verror *err);
void project_release(struct project *project);

/* What DIR/.venv is now. */
enum link_state {
    LINK_ABSENT,
    LINK_OURS,    /* a symlink to HUB/NAME of this project, or a folder with links into it */
    LINK_STALE,   /* a symlink into the hub, to another environment of ours (moved or copied folder)
                   */
    LINK_FOREIGN, /* a real folder, a file, or a symlink elsewhere */
};
enum link_state project_link_state(const struct project *project, const struct home *home,
                                   char **target);
/* Makes or replaces (LINK_ABSENT, LINK_STALE) the link by rename. -EEXIST: LINK_FOREIGN. */
int project_link(const struct project *project, const struct home *home, const char *env_name,
                 struct verror *err);
/* The project in or above `start` (a folder with .venv of ours, pyproject.toml or a lock).
 * malloc'ed, or NULL. */
char *project_find(const char *start);

#endif
