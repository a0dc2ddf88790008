#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/commands.h"
#include "cli/mount_project.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/show_env.h"
#include "env/project.h"
#include "fs/control.h"

static const struct command_help help = {
    .name = "mount",
    .synopsis = "[PROJECT] [DIR] [options]\n-n ENV [DIR]",
    .about =
        "Makes a project's environment ready at PROJECT/.venv and prints its path: made when\n"
        "there is none, brought up to date with the project's lock when there is one:\n"
        "pylock.toml, else uv.lock, else requirements.txt, else what pyproject.toml asks for.\n"
        "PROJECT is a folder, by default the project in or above the current one. A bare word\n"
        "may also name an environment. With DIR, the environment's current generation is\n"
        "mounted there, read-only. With -n, the environment is shown as it is, and the link to\n"
        "it made again where it is missing; of the options only --fallback has a meaning then.",
    .max = 2,
};

/* What the command is about, once decided: a project's folder or an environment's name. */
struct target {
    char *project, *env;
};

/* A word that leads to an environment's files is that environment, however it is written. */
static int decide_word(const struct session *s, const char *word, struct target *t,
                       struct verror *err)
{
    enum word kind;
    int r = session_word(s, word, &kind, err);
    if (r < 0)
        return r;
    if (kind == WORD_NEITHER)
        return verror_set(err, ENOENT, "\"%s\" is neither a folder nor an environment", word);
    if (kind == WORD_ENV)
        t->env = xstrdup(word);
    else if (!(t->env = env_name_at(&s->home, word)))
        t->project = xstrdup(word);
    return 0;
}

static int decide(const struct session *s, const char *env, const char *word, struct target *t,
                  struct verror *err)
{
    if (env)
        return session_select(s, env, &t->env, err);
    if (word)
        return decide_word(s, word, t, err);
    t->project = project_find(".");
    if (!t->project)
        t->project = xstrdup(".");
    return 0;
}

static int mount_env(struct session *s, const char *name, bool fallback, char **address,
                     struct verror *err)
{
    struct env *env;
    int r = session_env_named(s, name, &env, err);
    if (r < 0)
        return r;
    *address = xstrdup(env->manifest->address);
    r = show_env(s, env, fallback ? SHOW_OR_FALLBACK : SHOW_AND_LINK, err);
    if (no_fuse(r))
        no_fuse_hint(err, name);
    env_free(env);
    return r;
}

/* The folder is made here, with the caller's umask. */
static int ask_for_mount(struct control *control, const char *name, const char *dir,
                         struct verror *err)
{
    bool made = !path_exists(dir);
    int r = path_mkdirs(dir, 0755);
    if (r < 0)
        return verror_errno(err, r, "making %s", dir);
    json_t *answer = NULL;
    r = control_call(control, json_pack("{s:s, s:s, s:s}", "do", "mount", "env", name, "dir", dir),
                     &answer, err);
    json_decref(answer);
    if (r < 0 && made)
        (void)rmdir(dir);
    return r;
}

static void hint_materialize(const char *name, const char *dir, struct verror *err)
{
    _cleanup_free_ char *env = print_word(name), *to = print_word(dir);
    verror_hint(err, "venvfs materialize -n %s %s writes plain files", env, to);
}

/* One generation, read-only, at a folder of its own. The daemon comes first: before the hub is
 * mounted, a path in it would be made beneath it. */
static int mount_at(struct session *s, const char *name, const char *word, char **address,
                    struct verror *err)
{
    _cleanup_free_ char *dir = path_absolute(word);
    if (!dir)
        return verror_errno(err, errno, "%s", word);
    _cleanup_free_ char *in_hub = env_name_of_path(&s->home, dir);
    if (in_hub)
        return verror_set(err, EBUSY, "%s is in the hub, which is no place for another mount", dir);
    struct control *control = NULL;
    int r = address_usable(dir, err);
    if (r < 0)
        return r;
    r = control_start(&s->home, &control, err);
    if (no_fuse(r))
        hint_materialize(name, dir, err);
    if (r == 0)
        r = ask_for_mount(control, name, dir, err);
    control_close(control);
    if (r < 0)
        return r;
    free(*address);
    *address = steal_ptr(dir);
    return 0;
}

static int mount_target(struct session *s, const struct mount_options *o, struct target *t,
                        const char *dir, struct verror *err)
{
    _cleanup_free_ char *address = NULL;
    int r = 0;
    if (t->project)
        r = mount_project(s, o, t->project, &t->env, &address, err);
    else if (!dir)
        r = mount_env(s, t->env, o->fallback, &address, err);
    if (r == 0 && dir)
        r = mount_at(s, t->env, dir, &address, err);
    if (r == 0)
        puts(address);
    return r;
}

/* One that was given and that an environment alone has no use for, or NULL. */
static const char *project_option(const struct mount_options *o)
{
    const struct {
        bool given;
        const char *name;
    } options[] = {
        {o->python, "--python"},
        {o->lock, "--lock"},
        {o->locked, "--locked"},
        {o->refresh, "--refresh"},
        {o->choice.groups.n, "--group"},
        {o->choice.extras.n, "--extra"},
        {o->choice.no_dev, "--no-dev"},
        {o->no_project, "--no-project"},
        {o->no_link, "--no-link"},
        {o->accelerator, "--accelerator"},
        {o->no_accelerator, "--no-accelerator"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (options[i].given)
            return options[i].name;
    return NULL;
}

static int run(const struct mount_options *o, const char *env, const struct words *operands)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    struct target t = {NULL, NULL};
    s.no_wait = o->no_wait;
    if (session_open(&s, &err) < 0)
        return print_error(&err);
    const char *word = env || !operands->n ? NULL : operands->v[0];
    const char *dir = operands->n > !env ? operands->v[operands->n - 1] : NULL;
    int r = decide(&s, env, word, &t, &err);
    const char *option = r == 0 && t.env ? project_option(o) : NULL;
    if (r == 0 && !option)
        r = mount_target(&s, o, &t, dir, &err);
    int code = EXIT_DONE;
    if (r < 0)
        code = print_error(&err);
    else if (option)
        code = print_usage_error("mount", "%s is for projects, and %s is an environment", option,
                                 t.env);
    free(t.project);
    free(t.env);
    return code;
}

int cmd_mount(int argc, char **argv)
{
    struct mount_options o = {.lock = NULL};
    const char *env = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &env, "ENV", "an environment instead of a project"},
        {'p', "python", OPTION_STRING, &o.python, "PY",
         "interpreter: a path, 3.11, python3.12, >=3.10\n(default: .python-version, else python3)"},
        {0, "lock", OPTION_STRING, &o.lock, "FILE", "the project's lock or requirements"},
        {0, "locked", OPTION_FLAG, &o.locked, NULL, "fail instead of changing packages"},
        {0, "refresh", OPTION_FLAG, &o.refresh, NULL, "resolve what is not pinned again"},
        {0, "group", OPTION_WORDS, &o.choice.groups, "G", "this dependency group; repeatable"},
        {0, "extra", OPTION_WORDS, &o.choice.extras, "E", "this extra; repeatable"},
        {0, "no-dev", OPTION_FLAG, &o.choice.no_dev, NULL, "leave the group dev out"},
        {0, "no-project", OPTION_FLAG, &o.no_project, NULL,
         "leave the project itself out, now and later"},
        {0, "project", OPTION_FLAG, &o.with_project, NULL, "no longer leave it out"},
        {0, "no-accelerator", OPTION_FLAG, &o.no_accelerator, NULL,
         "leave out _venvfs.pth, which makes imports faster, now and later"},
        {0, "accelerator", OPTION_FLAG, &o.accelerator, NULL, "no longer leave it out"},
        {0, "no-link", OPTION_FLAG, &o.no_link, NULL, "make no .venv; the path is in the hub"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "offline", OPTION_FLAG, &o.offline, NULL, "start no download"},
        {0, "no-wait", OPTION_FLAG, &o.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r == OPTIONS_GO && env && operands.n > 1)
        r = print_usage_error("mount", "with -n there is no PROJECT, only a DIR");
    if (r == OPTIONS_GO && o.fallback && operands.n > !env)
        r = print_usage_error("mount", "--fallback is not for a DIR: venvfs materialize writes "
                                       "plain files there");
    if (r == OPTIONS_GO)
        r = run(&o, env, &operands);
    lock_choice_release(&o.choice);
    return r;
}
