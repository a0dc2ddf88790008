#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/fallback.h"
#include "cli/link.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/show_env.h"

static const struct command_help help = {
    .name = "remove",
    .synopsis = "[--no-wait] ENV...\n[--no-wait] -n ENV...",
    .about =
        "Removes environments: their generations, the link that venvfs made, and the view. ENV is\n"
        "a name or a folder. A damaged one is removed, too. The store keeps the packages.",
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

static int remove_env(struct session *s, const char *word, const char *name, struct verror *err)
{
    struct env *env;
    _cleanup_verror_ struct verror damage = VERROR_INIT;
    int r = session_env_named(s, name, &env, &damage);
    if (r == -EBADMSG)
        return remove_damaged(s, word, name, &damage, err);
    if (r < 0)
        return verror_move(err, &damage);
    _cleanup_free_ char *address = xstrdup(env->manifest->address);
    bool plain = fallback_owns(&s->home, name, address);
    r = hide_env(&s->home, name, true, err);
    if (r == 0)
        r = env_remove(env, err);
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

static int remove_each(struct session *s, const struct words *words,
                       int (*select)(const struct session *, const char *, char **,
                                     struct verror *),
                       struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < words->n; i++) {
        _cleanup_free_ char *name = NULL;
        r = select(s, words->v[i], &name, err);
        if (r == 0)
            r = remove_env(s, words->v[i], name, err);
    }
    return r;
}

int cmd_remove(int argc, char **argv)
{
    _cleanup_words_ struct words names = {0};
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_WORDS, &names, "ENV", "an environment; repeatable"},
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
        r = remove_each(&s, &operands, session_select_word, &err);
    if (r == 0)
        r = remove_each(&s, &names, session_select, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
