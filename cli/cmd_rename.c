#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/env_place.h"
#include "cli/fallback.h"
#include "cli/in_use.h"
#include "cli/link.h"
#include "cli/linked_folder.h"
#include "cli/print.h"
#include "cli/show_env.h"

static const struct command_help help = {
    .name = "rename",
    .synopsis = "[options] A B\n[options] -n A B",
    .about =
        "Gives environment A the name B. One in the hub moves along, to a path that ends with B,\n"
        "and so do its scripts: a shell that has it active must activate it again, and programs\n"
        "that run from it would import nothing more, so it is refused while there are any. Files\n"
        "that are open and working folders go on. One at a folder of its own stays there. A\n"
        "project's environment has the name of its folder, and is refused.",
    .min = 1,
    .max = 2,
};

/* How the environment is reached, before. */
struct reach {
    char *old_name, *old_address;
    bool in_hub, plain;
};

static void reach_find(const struct home *home, const struct env *env, struct reach *ret)
{
    _cleanup_free_ char *in_hub = hub_path(home, env->name);
    const char *address = env->manifest->address;
    *ret = (struct reach){.old_name = xstrdup(env->name),
                          .old_address = xstrdup(address),
                          .in_hub = strcmp(in_hub, address) == 0,
                          .plain = fallback_owns(home, env->name, address)};
}

static void reach_release(struct reach *r)
{
    free(r->old_name);
    free(r->old_address);
}

static int check(const struct env *env, const struct reach *reach, const char *to,
                 struct verror *err)
{
    const char *project = env->manifest->project;
    _cleanup_free_ char *word = print_word(env->name), *new = print_word(to);
    if (is_folder_word(to))
        return verror_set(err, EINVAL, "%s is a folder, and an environment's name is a word", to);
    int r = env_place_check_name(to, err);
    if (r < 0)
        return r;
    if (strcmp(env->name, to) == 0)
        return verror_set(err, EEXIST, "environment %s has that name already", to);
    if (env->emptied) {
        verror_set(err, ENOENT, "environment %s was emptied from inside: its folder was removed",
                   env->name);
        return verror_hint(err, "venvfs rollback -n %s brings it back", word), -ENOENT;
    }
    if (env->manifest->bare) {
        verror_set(err, EBUSY, "environment %s was made from inside, and its files name %s",
                   env->name, env->manifest->address);
        _cleanup_free_ char *path = print_word(reach->old_address);
        return verror_hint(err, "venvfs adopt %s %s makes one of that name", path, new), -EBUSY;
    }
    if (project) {
        verror_set(err, EBUSY, "environment %s is the one of %s, and has its name from that folder",
                   env->name, project);
        return verror_hint(err, "venvfs clone -n %s %s makes one of no project", word, new);
    }
    if (reach->plain && !reach->in_hub) {
        verror_set(err, EBUSY, "environment %s is plain files at %s, and has its name from there",
                   env->name, reach->old_address);
        return verror_hint(err, "venvfs clone -n %s %s makes another", word, new);
    }
    return 0;
}

/* Working folders and open files follow the environment; what is found by its path does not. */
static int check_unused(const struct session *s, const struct env *env, struct verror *err)
{
    _cleanup_in_use_ struct in_use users = {0};
    in_use_find(&s->home, env, USE_MAPPED | USE_PROGRAM, &users);
    if (!users.n)
        return 0;
    _cleanup_strbuf_ struct strbuf by = STRBUF_INIT;
    in_use_describe(&users, &by);
    verror_set(err, EBUSY, "environment %s is in use by %s, which would not find it any more",
               env->name, by.buf);
    return verror_hint(err, "end %s, or use --force", users.n == 1 ? "it" : "them");
}

/* The generation with the new address comes first: if this process ends before the folder has its
 * name, the same command does the rest. */
static int change_disk(struct apply *a, const struct reach *reach, const char *to,
                       struct verror *err)
{
    _cleanup_free_ char *reason = xasprintf("rename from %s", reach->old_name);
    const struct home *home = &a->session->home;
    if (reach->in_hub) {
        free(a->next->address);
        a->next->address = hub_path(home, to);
    }
    int r = apply_commit(a, reason, err);
    if (r < 0)
        return r;
    r = env_rename(home, a->env, to, err);
    if (r < 0 && strcmp(a->env->name, to) != 0 && reach->in_hub)
        (void)env_commit(a->env, manifest_copy(a->before), NULL);
    return r;
}

/* Plain files are written for the new path, and those of the old one go. */
static int show_plain(struct apply *a, const struct reach *reach, struct verror *err)
{
    int r = fallback_write(a->session, a->env, err);
    if (r == 0 && (r = path_remove_tree(reach->old_address)) < 0)
        verror_errno(err, r, "removing %s", reach->old_address);
    return r;
}

static int show(struct apply *a, const struct reach *reach, struct verror *err)
{
    const struct home *home = &a->session->home;
    if (linked_folder_is(reach->old_address)) {
        int r = linked_folder_make(home, a->env, err);
        if (r < 0)
            return r;
    } else if (link_remove(home, reach->old_address, reach->old_name)) {
        int r = link_make(home, reach->old_address, a->env->name, err);
        if (r < 0)
            return r;
    }
    if (reach->plain)
        return show_plain(a, reach, err);
    int r = daemon_unwanted() ? 0 : rename_shown(home, reach->old_name, a->env->name, err);
    return r < 0 ? r : apply_show(a, false, err);
}

/* In a shell that has it active, VIRTUAL_ENV names a path that is gone. */
static void tell_active(const struct reach *reach, const struct env *env)
{
    const char *active = getenv("VIRTUAL_ENV");
    if (reach->in_hub && active && strcmp(active, reach->old_address) == 0) {
        _cleanup_free_ char *word = print_word(env->manifest->address);
        print_hint("it is active in this shell: . %s/bin/activate", word);
    }
}

static int rename_env(struct session *s, const char *from, const char *to, bool force,
                      struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    struct reach reach = {.old_name = NULL};
    int r = apply_open_as_is(&a, s, from, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *taken = xasprintf("%s/%s/current", s->home.envs, to);
    reach_find(&s->home, a.env, &reach);
    r = check(a.env, &reach, to, err);
    if (r == 0 && path_exists(taken))
        r = verror_set(err, EEXIST, "environment %s exists already", to);
    if (r == 0 && reach.in_hub && !force)
        r = check_unused(s, a.env, err);
    if (r == 0)
        r = change_disk(&a, &reach, to, err);
    if (r == 0)
        r = show(&a, &reach, err);
    if (r == 0) {
        print_note("%s is %s now", reach.old_name, to);
        tell_active(&reach, a.env);
    }
    reach_release(&reach);
    return r;
}

int cmd_rename(int argc, char **argv)
{
    const char *name = NULL;
    _cleanup_session_ struct session s = SESSION_INIT;
    bool force = false;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "A", "the environment to rename"},
        {'f', "force", OPTION_FLAG, &force, NULL, "also while programs run from it"},
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *from = NULL;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (operands.n != (name ? 1 : 2))
        return print_usage_error("rename", "name the environment and its new name");
    r = session_open(&s, &err);
    if (r == 0)
        r = name ? session_select(&s, name, &from, &err)
                 : session_select_word(&s, operands.v[0], &from, &err);
    if (r == 0)
        r = rename_env(&s, from, operands.v[operands.n - 1], force, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
