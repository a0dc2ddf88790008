#include "base/mem.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/throwaway.h"
#include "env/inside.h"

static const struct command_help help = {
    .name = "list",
    .synopsis = "[--all] [--json]",
    .about =
        "Lists the environments: name, Python, packages and address, and which were emptied from\n"
        "inside (venvfs rollback brings one back). A damaged one is named on standard error, and\n"
        "the exit code is 1. Those that run and tool run made are left out unless --all.",
};

/* Without reading more than those whose name says that they may be left out. */
static void print_names(struct session *s, char **names, size_t n, bool all)
{
    for (size_t i = 0; i < n; i++)
        if (all || !throwaway_named(&s->home, names[i]))
            puts(names[i]);
}

/* One that cannot be read is named on standard error, and the exit code says so; the others are
 * listed all the same. */
static struct env *open_readable(struct session *s, const char *name, bool all, size_t *n_packages,
                                 int *exit_code)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct env *env;
    if (env_glance(&s->home, name, &env, n_packages, &err) == 0) {
        if (!all && throwaway_is(env)) {
            env_free(env);
            return NULL;
        }
        inside_read(&s->home, env);
        return env;
    }
    print_warning("%s", verror_message(&err));
    *exit_code = EXIT_FAILED;
    return NULL;
}

static int print_facts(struct session *s, char **names, size_t n, bool all)
{
    json_t *array = json_array();
    int exit_code = EXIT_DONE;
    for (size_t i = 0; i < n; i++) {
        size_t n_packages = 0;
        struct env *env = open_readable(s, names[i], all, &n_packages, &exit_code);
        if (env)
            json_array_append_new(array, facts_of_env(&s->home, env, n_packages));
        env_free(env);
    }
    print_json(json_pack("{s:o}", "environments", array));
    return exit_code;
}

static int print_rows(struct session *s, char **names, size_t n, bool all)
{
    if (!n) {
        print_note("no environment yet; venvfs create NAME makes one");
        return EXIT_DONE;
    }
    int exit_code = EXIT_DONE;
    size_t shown = 0;
    struct table *table = table_new(4);
    table_cell(table, "NAME");
    table_cell(table, "PYTHON");
    table_cell(table, "PACKAGES");
    table_cell(table, "ADDRESS");
    for (size_t i = 0; i < n; i++) {
        size_t n_packages = 0;
        struct env *env = open_readable(s, names[i], all, &n_packages, &exit_code);
        if (!env)
            continue;
        shown++;
        table_cell(table, "%s", env->name);
        table_cell(table, "%s", manifest_python(env->manifest));
        table_cell(table, "%zu", n_packages + env->manifest->n_editables);
        table_cell(table, "%s%s", env->manifest->address,
                   env->emptied ? " (emptied from inside)" : "");
        env_free(env);
    }
    if (shown || exit_code != EXIT_DONE) {
        table_print(table);
    } else {
        table_free(table);
        print_note("no environment but those of run and tool run; --all lists them");
    }
    return exit_code;
}

int cmd_list(int argc, char **argv)
{
    bool json = false, names_only = false, all = false;
    const struct option_spec specs[] = {
        {'a', "all", OPTION_FLAG, &all, NULL, "also those that run and tool run made"},
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        {0, "names", OPTION_FLAG, &names_only, NULL, "print names only"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    char **names = NULL;
    size_t n = 0;
    r = session_open(&s, &err);
    if (r == 0)
        r = env_list(&s.home, &names, &n, &err);
    if (r < 0)
        return print_error(&err);
    r = EXIT_DONE;
    if (json)
        r = print_facts(&s, names, n, all);
    else if (names_only)
        print_names(&s, names, n, all);
    else
        r = print_rows(&s, names, n, all);
    env_list_free(names, n);
    return r;
}
