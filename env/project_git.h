/* .venv in a git checkout. */
#ifndef VENVFS_ENV_PROJECT_GIT_H
#define VENVFS_ENV_PROJECT_GIT_H

#include "base/verror.h"

/* When `path` lies in a git checkout that does not ignore it, adds it to the checkout's
 * info/exclude (that of the main repository for a worktree; never to a tracked file). Outside a
 * checkout it does nothing. Runs `git check-ignore` where git is. */
int project_git_exclude(const char *path, struct verror *err);

#endif
