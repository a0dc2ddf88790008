#include <errno.h>

#include "base/path.h"
#include "cli/address.h"
#include "cli/commands.h"
#include "cli/compose.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"

static const struct command_help help = {
    .name = "materialize",
    .synopsis = "[-n ENV] DIR",
    .about =
        "Writes an environment as plain files to DIR, which must be empty or missing, with DIR as\n"
        "its path and with what was changed in it, and prints it. For where there is no FUSE, and "
        "for images of containers.",
    .min = 1,
    .max = 1,
};

static int write_all(struct session *s, const struct env *env, const char *dir, struct verror *err)
{
    _cleanup_free_ char *path = env_upper(env);
    _cleanup_free_ char *shown = path_join(s->home.hub, env->name);
    _cleanup_free_ char *interpreter = path_join(dir, "bin/python");
    const char *roots[] = {env->manifest->address, shown, NULL};
    const struct materialize_upper upper = {path, roots, interpreter};
    return write_plain_files(s, env->manifest, &upper, dir, dir, err);
}

static int run(struct session *s, const char *name, const char *word, struct verror *err)
{
    _cleanup_free_ char *dir = path_absolute(word);
    if (!dir)
        return verror_errno(err, errno, "%s", word);
    struct env *env = NULL;
    int r = address_usable(dir, err);
    if (r == 0)
        r = session_env(s, name, false, &env, err);
    if (r == 0)
        r = write_all(s, env, dir, err);
    if (r == 0)
        puts(dir);
    env_free(env);
    return r;
}

int cmd_materialize(int argc, char **argv)
{
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "ENV", "the environment (default: the active one)"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    r = session_open(&s, &err);
    if (r == 0)
        r = run(&s, name, operands.v[0], &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
