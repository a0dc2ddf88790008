#include "cli/enter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/fallback.h"
#include "cli/print.h"
#include "cli/show_env.h"
#include "fs/control.h"
#include "fs/private.h"

/* Mounts it for this process alone, at the address when that leads to the hub. err: why the usual
 * way is barred. */
static int show_privately(const struct session *s, const struct env *env, char **address,
                          struct verror *err)
{
    _cleanup_verror_ struct verror second = VERROR_INIT;
    _cleanup_free_ char *leads_to = env_name_of_path(&s->home, *address);
    if (!leads_to || strcmp(leads_to, env->name) != 0) {
        free(*address);
        *address = hub_path(&s->home, env->name);
    }
    if (private_mount(&s->home, env->name, *address, &second) == 0) {
        verror_release(err);
        return 0;
    }
    _cleanup_free_ char *first = xstrdup(verror_message(err));
    _cleanup_free_ char *hint = err->hint ? xstrdup(err->hint) : NULL;
    verror_set(err, EPERM, "%s; and %s", first, verror_message(&second));
    if (hint)
        verror_hint(err, "%s", hint);
    return -EPERM;
}

static int make_visible(struct session *s, struct env **env, char **address, struct verror *err)
{
    *address = xstrdup((*env)->manifest->address);
    if (fallback_current(&s->home, *env))
        return 0;
    if (fallback_owns(&s->home, (*env)->name, (*env)->manifest->address)) {
        _cleanup_free_ char *name = xstrdup((*env)->name);
        env_free(steal_ptr(*env));
        int r = session_env_named(s, name, env, err);
        if (r < 0)
            return r;
    }
    int r = show_env(s, *env, SHOW, err);
    _cleanup_verror_ struct verror barred = VERROR_INIT;
    if (r == -ESTALE && !path_exists(*address) && fuse_usable(&barred) == -EPERM)
        r = verror_move(err, &barred); /* seen in the hub, it needs no way to it */
    return r == -EPERM ? show_privately(s, *env, address, err) : r;
}

int enter_show(struct session *s, struct env **env, char **address, struct verror *err)
{
    int r = make_visible(s, env, address, err);
    if (no_fuse(r) && *env)
        no_fuse_hint(err, (*env)->name);
    return r;
}

void enter_path(const char *address)
{
    const char *path = getenv("PATH");
    _cleanup_free_ char *with_bin =
        xasprintf("%s/bin%s%s", address, path && path[0] ? ":" : "", path ? path : "");
    setenv("PATH", with_bin, 1);
    unsetenv("PYTHONHOME");
}

void enter_activated(const struct env *env, const char *address)
{
    const char *prompt = env->manifest->prompt;
    enter_path(address);
    setenv("VIRTUAL_ENV", address, 1);
    setenv("VIRTUAL_ENV_PROMPT", prompt ? prompt : path_basename(address), 1);
    setenv("UV_LINK_MODE", "copy", 0); /* links cannot cross into the mount */
}

int enter_execute(const struct words *argv)
{
    enum { NOT_RUNNABLE = 126, NOT_FOUND = 127 };
    fflush(NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv->v[0], (char *const *)argv->v);
    int e = errno;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    verror_errno(&err, e, "%s", argv->v[0]);
    print_error(&err);
    return e == ENOENT ? NOT_FOUND : NOT_RUNNABLE;
}
