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
    .synopsis = "[--no-wait] ENV...",
    .about =
        "Removes environments: their generations, the link that venvfs made, and the view. ENV is\n"
        "a name or a folder. A damaged one is removed, too. The store keeps the packages.",
    .min = 1,
    .max = OPERANDS_ANY,
};

/* Of a damaged one nobody knows the address, unless it is the word itself. damage: what is wrong.
 */
static int remove_damaged(struct session *s, const char *word, const struct verror *damage,
                          struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    int r = session_select(s, word, &name, err);
    if (r == 0)
        r = hide_env(&s->home, name, err);
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

static int remove_one(struct session *s, const char *word, struct verror *err)
{
    struct env *env;
    _cleanup_verror_ struct verror damage = VERROR_INIT;
    int r = session_env(s, word, true, &env, &damage);
    if (r == -EBADMSG)
        return remove_damaged(s, word, &damage, err);
    if (r < 0)
        return verror_move(err, &damage);
    _cleanup_free_ char *address = xstrdup(env->manifest->address);
    _cleanup_free_ char *name = xstrdup(env->name);
    bool plain = fallback_owns(&s->home, name, address);
    r = hide_env(&s->home, name, err);
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

int cmd_remove(int argc, char **argv)
{
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    r = session_open(&s, &err);
    for (size_t i = 0; r == 0 && i < operands.n; i++)
        r = remove_one(&s, operands.v[i], &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
