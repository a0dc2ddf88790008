#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/fallback.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/show_env.h"
#include "fs/control.h"
#include "fs/private.h"

static const struct command_help help = {
    .name = "run",
    .synopsis = "[-n ENV] [--] CMD [ARG]...",
    .about =
        "Runs a command as in the activated environment: its bin/ is first in PATH, VIRTUAL_ENV\n"
        "is set. CMD may be a Python file. The exit code is the command's own; 127 when there\n"
        "is no such command, 126 when it cannot be run. Where this user may not mount, the\n"
        "environment is mounted for the command alone, in a user namespace.",
    .stop_at_operand = true,
    .min = 1,
    .max = OPERANDS_ANY,
};

/* As bin/activate leaves them. */
static void enter(const struct env *env, const char *address)
{
    const char *path = getenv("PATH");
    _cleanup_free_ char *with_bin =
        xasprintf("%s/bin%s%s", address, path && path[0] ? ":" : "", path ? path : "");
    const char *prompt = env->manifest->prompt;
    setenv("PATH", with_bin, 1);
    setenv("VIRTUAL_ENV", address, 1);
    setenv("VIRTUAL_ENV_PROMPT", prompt ? prompt : path_basename(address), 1);
    setenv("UV_LINK_MODE", "copy", 0); /* links cannot cross into the mount */
    unsetenv("PYTHONHOME");
}

static bool is_script(const char *word)
{
    size_t len = strlen(word);
    struct stat st;
    return len > 3 && strcmp(word + len - 3, ".py") == 0 && stat(word, &st) == 0 &&
           S_ISREG(st.st_mode);
}

static int execute(const struct words *command)
{
    enum { NOT_RUNNABLE = 126, NOT_FOUND = 127 };
    _cleanup_words_ struct words argv = {0};
    if (is_script(command->v[0]))
        words_add(&argv, "python");
    for (size_t i = 0; i < command->n; i++)
        words_add(&argv, command->v[i]);
    fflush(NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv.v[0], (char *const *)argv.v);
    int e = errno;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    verror_errno(&err, e, "%s", argv.v[0]);
    print_error(&err);
    return e == ENOENT ? NOT_FOUND : NOT_RUNNABLE;
}

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

/* Plain files of the current generation are run as they are; stale ones are replaced, for which the
 * environment is opened again, locked. *address: where it is to be seen from here on; malloc'ed. */
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

int cmd_run(int argc, char **argv)
{
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "ENV", "the environment (default: the active one)"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words command = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &command);
    if (r != OPTIONS_GO)
        return r;
    struct env *env = NULL;
    _cleanup_free_ char *address = NULL;
    r = session_open(&s, &err);
    if (r == 0)
        r = session_env(&s, name, false, &env, &err);
    if (r == 0)
        r = make_visible(&s, &env, &address, &err);
    if (no_fuse(r) && env)
        no_fuse_hint(&err, env->name);
    if (r < 0) {
        env_free(env);
        return print_error(&err);
    }
    enter(env, address);
    env_free(env);
    return execute(&command);
}
