#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
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
        "mounted there, read-only.",
    .max = 2,
};

/* What the command is about, once decided: a project's folder or an environment's name. */
struct target {
    char *project, *env;
};

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_env(const struct session *s, const char *name)
{
    if (!env_name_ok(name))
        return false;
    _cleanup_free_ char *current = xasprintf("%s/%s/current", s->home.envs, name);
    return path_exists(current);
}

/* A bare word: a folder or an environment. Both, and not bound together, is for the user to say.
 * Returns OPTIONS_GO or an exit code. */
static int decide_word(const struct session *s, const char *word, struct target *t,
                       struct verror *err)
{
    bool folder = is_folder(word), env = is_env(s, word);
    if (folder && env) {
        _cleanup_free_ char *bound = env_name_of_project(&s->home, word);
        if (!bound || strcmp(bound, word) != 0) {
            print_usage_error("mount",
                              "%s is a folder and an environment; write ./%s for the one, "
                              "-n %s for the other",
                              word, word, word);
            return EXIT_USAGE;
        }
    }
    if (folder) {
        t->project = xstrdup(word);
    } else if (env) {
        t->env = xstrdup(word);
    } else {
        verror_set(err, ENOENT, "\"%s\" is neither a folder nor an environment", word);
        return EXIT_FAILED;
    }
    return OPTIONS_GO;
}

static int decide(const struct session *s, const char *env, const char *word, struct target *t,
                  struct verror *err)
{
    if (env) {
        int r = session_select(s, env, &t->env, err);
        return r < 0 ? EXIT_FAILED : OPTIONS_GO;
    }
    if (!word) {
        t->project = project_find(".");
        if (!t->project)
            t->project = xstrdup(".");
        return OPTIONS_GO;
    }
    if (!is_folder_word(word))
        return decide_word(s, word, t, err);
    t->project = xstrdup(word);
    return OPTIONS_GO;
}

static int mount_env(struct session *s, const char *name, char **address, struct verror *err)
{
    struct env *env;
    int r = env_open(&s->home, name, false, false, &env, err);
    if (r < 0)
        return r;
    *address = xstrdup(env->manifest->address);
    r = show_env(&s->home, name, *address, err);
    env_free(env);
    return r;
}

/* One generation, read-only, at a folder of its own. */
static int mount_at(struct session *s, const char *name, const char *word, char **address,
                    struct verror *err)
{
    _cleanup_free_ char *dir = path_absolute(word);
    if (!dir)
        return verror_errno(err, errno, "%s", word);
    bool made = !path_exists(dir);
    int r = path_mkdirs(dir, 0755);
    if (r < 0)
        return verror_errno(err, r, "making %s", dir);
    struct control *control = NULL;
    json_t *answer = NULL;
    r = control_start(&s->home, &control, err);
    if (r == 0)
        r = control_call(control,
                         json_pack("{s:s, s:s, s:s}", "do", "mount", "env", name, "dir", dir),
                         &answer, err);
    control_close(control);
    json_decref(answer);
    if (r < 0 && made)
        (void)rmdir(dir);
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
        r = mount_env(s, t->env, &address, err);
    if (r == 0 && dir)
        r = mount_at(s, t->env, dir, &address, err);
    if (r == 0)
        puts(address);
    return r;
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
    if (r == OPTIONS_GO)
        r = mount_target(&s, o, &t, dir, &err) < 0 ? EXIT_FAILED : EXIT_DONE;
    if (r == EXIT_FAILED)
        print_error(&err);
    free(t.project);
    free(t.env);
    return r;
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
        {0, "no-project", OPTION_FLAG, &o.no_project, NULL, "leave the project itself out"},
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
    if (r == OPTIONS_GO)
        r = run(&o, env, &operands);
    lock_choice_release(&o.choice);
    return r;
}
