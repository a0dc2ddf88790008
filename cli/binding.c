#include "cli/binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/fallback.h"
#include "cli/session.h"
#include "env/envs.h"

void binding_release(struct binding *b)
{
    free(b->name);
    free(b->moved);
    free(b->clone_of);
    *b = (struct binding){0};
}

/* The folder an environment is bound to. -ENOENT: no such environment. *dir NULL: to none. */
static int bound_to(const struct home *home, const char *name, char **dir, struct verror *err)
{
    struct env *env;
    int r = env_open(home, name, false, false, &env, err);
    if (r < 0)
        return r;
    *dir = env->manifest->project ? xstrdup(env->manifest->project) : NULL;
    env_free(env);
    return 0;
}

/* Does the folder still lead to this environment? */
static bool is_alive(const struct home *home, const char *dir, const char *name)
{
    _cleanup_free_ char *link = path_join(dir, ".venv");
    _cleanup_free_ char *leads_to = env_name_at(home, link);
    return leads_to && strcmp(leads_to, name) == 0;
}

/* The first of NAME, NAME-2, NAME-3 ... that is free or this project's own. The plain name is taken
 * when its folder was moved away and another took its place. */
static int by_name(const struct home *home, const struct project *project, struct binding *ret,
                   struct verror *err)
{
    enum { TRIES = 1000 };
    for (int i = 1; i < TRIES; i++) {
        char *name = i == 1 ? xstrdup(project->name) : xasprintf("%s-%d", project->name, i);
        _cleanup_free_ char *dir = NULL;
        _cleanup_verror_ struct verror ignored = VERROR_INIT;
        int r = bound_to(home, name, &dir, &ignored);
        if (r == -ENOENT || (r == 0 && dir && strcmp(dir, project->dir) == 0)) {
            ret->name = name;
            ret->exists = r == 0;
            return 0;
        }
        free(name);
        if (r < 0)
            return verror_move(err, &ignored);
    }
    return verror_set(err, EEXIST, "every name for an environment of %s is taken", project->dir);
}

static int by_link(const struct home *home, const struct project *project, const char *linked,
                   struct binding *ret, struct verror *err)
{
    _cleanup_free_ char *dir = NULL;
    int r = bound_to(home, linked, &dir, err);
    if (r == -ENOENT) { /* the link dangles: the environment was removed elsewhere */
        verror_release(err);
        return by_name(home, project, ret, err);
    }
    if (r < 0)
        return r;
    if (dir && strcmp(dir, project->dir) != 0 && is_alive(home, dir, linked)) {
        ret->clone_of = xstrdup(linked);
        return by_name(home, project, ret, err);
    }
    if (dir && strcmp(dir, project->dir) != 0)
        ret->moved = steal_ptr(dir);
    ret->name = xstrdup(linked);
    ret->exists = true;
    return 0;
}

static int foreign(const struct project *project, struct verror *err)
{
    verror_set(err, EEXIST, "%s exists and was not made by venvfs; it stays untouched",
               project->link);
    return verror_hint(
        err, "move it away (venvfs adopt takes over what is in it first), or use --no-link and "
             "reach the environment in the hub");
}

int binding_find(const struct home *home, const struct project *project, bool no_link,
                 struct binding *ret, struct verror *err)
{
    _cleanup_free_ char *target = NULL;
    enum link_state state = project_link_state(project, home, &target);
    _cleanup_free_ char *linked =
        state == LINK_OURS || state == LINK_STALE ? env_name_of_path(home, project->link) : NULL;
    int r = linked ? by_link(home, project, linked, ret, err) : by_name(home, project, ret, err);
    if (r < 0)
        return r;
    if (state == LINK_FOREIGN && !no_link && !fallback_owns(home, ret->name, project->link))
        return foreign(project, err);
    return 0;
}
