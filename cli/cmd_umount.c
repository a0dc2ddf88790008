#include <errno.h>
#include <string.h>

#include "base/path.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/show_env.h"
#include "fs/control.h"

static const struct command_help help = {
    .name = "umount",
    .synopsis = "PROJECT|DIR|ENV\n-n ENV\n--all",
    .about =
        "Takes a project's environment out of the hub, or a mount made by venvfs mount ENV DIR\n"
        "away. Nothing is removed: venvfs mount shows it again. --all ends the daemon.",
    .max = 1,
};

static int request(struct session *s, json_t *message, json_t **answer, struct verror *err)
{
    struct control *control;
    int r = control_connect(&s->home, &control, err);
    if (r < 0) {
        json_decref(message);
        return r;
    }
    r = control_call(control, message, answer, err);
    control_close(control);
    return r;
}

/* Everything, and the daemon with it. None running is what was asked for, too. */
static int umount_all(struct session *s, struct verror *err)
{
    json_t *answer = NULL;
    int r = request(s, json_pack("{s:s}", "do", "stop"), &answer, err);
    json_decref(answer);
    if (r == -ENOENT)
        r = heal_stale_mounts(&s->home, err);
    return r < 0 ? r : 0;
}

/* 0, or -ENOENT when the folder is no explicit mount of ours. */
static int umount_dir(struct session *s, const char *word, struct verror *err)
{
    _cleanup_free_ char *dir = path_absolute(word);
    json_t *answer = NULL;
    int r =
        request(s, json_pack("{s:s, s:s}", "do", "umount", "dir", dir ? dir : word), &answer, err);
    json_decref(answer);
    return r == -EINVAL ? -ENOENT : r;
}

static int unknown(const char *word, struct verror *err)
{
    verror_set(err, ENOENT, "\"%s\" is neither a mount of venvfs nor a project or environment",
               word);
    return verror_hint(err, "venvfs status lists the mounts");
}

static int umount_env(struct session *s, const char *name, const char *word, struct verror *err)
{
    struct env *env;
    int r = env_open(&s->home, name, false, true, &env, err);
    if (r < 0)
        return r == -ENOENT ? unknown(word, err) : r;
    r = hide_env(&s->home, env->name, false, err);
    env_free(env);
    return r;
}

static int umount_word(struct session *s, const char *word, struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    enum word kind;
    int r = session_word(s, word, &kind, err);
    if (r == 0 && kind == WORD_FOLDER) {
        r = umount_dir(s, word, err);
        if (r != -ENOENT)
            return r;
        verror_release(err);
        r = session_select_word(s, word, &name, err) < 0 ? unknown(word, err) : 0;
    }
    if (r < 0)
        return r;
    return umount_env(s, name ? name : word, word, err);
}

static int umount_named(struct session *s, const char *given, struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    int r = session_select(s, given, &name, err);
    return r < 0 ? r : umount_env(s, name, given, err);
}

int cmd_umount(int argc, char **argv)
{
    bool all = false;
    const char *env = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &env, "ENV", "an environment"},
        {'a', "all", OPTION_FLAG, &all, NULL, "the hub and every mount"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (operands.n + (env != NULL) + all != 1)
        return print_usage_error("umount", "name a project, a folder or an environment, or --all");
    r = session_open(&s, &err);
    if (r == 0)
        r = all   ? umount_all(&s, &err)
            : env ? umount_named(&s, env, &err)
                  : umount_word(&s, operands.v[0], &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
