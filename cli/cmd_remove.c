#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/fallback.h"
#include "cli/in_use.h"
#include "cli/link.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/show_env.h"
#include "env/inside.h"

static const struct command_help help = {
    .name = "remove",
    .synopsis = "[options] ENV...\n[options] -n ENV...",
    .about =
        "Removes environments: their generations, what was changed inside, the link that venvfs\n"
        "made, and the view. ENV is a name or a folder. One that processes of this user use is\n"
        "refused; --force removes it all the same. A damaged one is removed, too. The store keeps\n"
        "the packages.",
    .max = OPERANDS_ANY,
};

/* Of a damaged one nobody knows the address, unless it is the word itself. damage: what is wrong.
 */
static int remove_damaged(struct session *s, const char *word, const char *name,
                          const struct verror *damage, struct verror *err)
{
    int r = hide_env(&s->home, name, true, err);
    if (r == 0)
        r = env_remove_unread(&s->home, name, !s->no_wait, err);
    if (r < 0)
        return r;
    bool unlinked = false;
    if (is_folder_word(word)) {
        _cleanup_free_ char *link = path_join(word, ".venv");
        unlinked = link_remove(&s->home, word, name) || link_remove(&s->home, link, name);
    }
    print_warning("%s", verror_message(damage));
    print_note("removed %s%s", name,
               unlinked ? "" : "; a link to it, if there is one, stays: it cannot be read where");
    return 0;
}

static int check_unused(const struct session *s, struct env *env, struct verror *err)
{
    _cleanup_in_use_ struct in_use users = {0};
    inside_read(&s->home, env);
    in_use_find(&s->home, env, USE_FOLDER | USE_OPEN | USE_MAPPED | USE_PROGRAM, &users);
    if (!users.n)
        return 0;
    _cleanup_strbuf_ struct strbuf by = STRBUF_INIT;
    _cleanup_free_ char *word = print_word(env->name);
    in_use_describe(&users, &by);
    verror_set(err, EBUSY, "environment %s is in use by %s", env->name, by.buf);
    return verror_hint(err, "end %s, or venvfs remove --force -n %s", users.n == 1 ? "it" : "them",
                       word);
}

static int remove_env(struct session *s, const char *word, const char *name, bool force,
                      struct verror *err)
{
    struct env *env;
    _cleanup_verror_ struct verror damage = VERROR_INIT;
    int r = session_env_named(s, name, &env, &damage);
    if (r == -EBADMSG)
        return remove_damaged(s, word, name, &damage, err);
    if (r < 0)
        return verror_move(err, &damage);
    r = force ? 0 : check_unused(s, env, err);
    if (r < 0) {
        env_free(env);
        return r;
    }
    _cleanup_free_ char *address = xstrdup(env->manifest->address);
    bool plain = fallback_owns(&s->home, name, address);
    r = hide_env(&s->home, name, true, err);
    if (r == 0) {
        session_end_use(s, env->manifest);
        r = env_remove(env, err);
    }
    env_free(env);
    if (r < 0)
        return r;
    _cleanup_free_ char *in_hub = hub_path(&s->home, name);
    if (plain && (r = path_remove_tree(address)) < 0)
        return verror_errno(err, r, "removing %s", address);
    if (!link_remove(&s->home, address, name) && strcmp(address, in_hub) != 0 &&
        path_exists(address))
        print_note("%s is no link to it and is left as it is", address);
    print_note("removed %s", name);
    return 0;
}

static int remove_each(struct session *s, const struct words *words, bool force,
                       int (*select)(const struct session *, const char *, char **,
                                     struct verror *),
                       struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < words->n; i++) {
        _cleanup_free_ char *name = NULL;
        r = select(s, words->v[i], &name, err);
        if (r == 0)
            r = remove_env(s, words->v[i], name, force, err);
    }
    return r;
}

int cmd_remove(int argc, char **argv)
{
    _cleanup_words_ struct words names = {0};
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    bool force = false;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_WORDS, &names, "ENV", "an environment; repeatable"},
        {'f', "force", OPTION_FLAG, &force, NULL, "also while it is in use"},
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (!operands.n && !names.n)
        return print_usage_error("remove", "name an environment or a folder that leads to one");
    r = session_open(&s, &err);
    if (r == 0)
        r = remove_each(&s, &operands, force, session_select_word, &err);
    if (r == 0)
        r = remove_each(&s, &names, force, session_select, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
