#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/pyenv_front.h"
#include "cli/session.h"
#include "env/envs.h"

static const struct command_help list_help = {
    .name = "python list",
    .synopsis = "[--json]",
    .about =
        "Lists the interpreters found in PATH, pyenv, uv and the system's folders, newest first.",
};

static const struct command_help find_help = {
    .name = "python find",
    .synopsis = "[SPEC] [--json]",
    .about = "Prints the interpreter that SPEC means: a path, 3.11, python3.12 or >=3.10,<3.13. "
             "Without\n"
             "SPEC, the one that create would take here (.python-version counts).",
    .max = 1,
};

static int list(struct session *s, bool json, struct verror *err)
{
    struct interp **found;
    size_t n;
    int r = interp_list(&s->home, &found, &n, err);
    if (r < 0)
        return r;
    json_t *array = json_array();
    struct table *table = table_new(2);
    table_cell(table, "VERSION");
    table_cell(table, "EXECUTABLE");
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, facts_of_interp(found[i]));
        table_cell(table, "%s", found[i]->version);
        table_cell(table, "%s", found[i]->executable);
    }
    interp_list_free(found, n);
    if (json)
        print_json(json_pack("{s:O}", "interpreters", array));
    json_decref(array);
    if (json || !n)
        table_free(table);
    else
        table_print(table);
    if (!n)
        print_note("no interpreter found");
    return 0;
}

static int list_main(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&list_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    r = session_open(&s, &err);
    if (r == 0)
        r = list(&s, json, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}

static int find_main(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&find_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    struct interp *interp = NULL;
    r = session_open(&s, &err);
    if (r == 0)
        r = interp_find(&s.home, operands.n ? operands.v[0] : NULL, ".", &interp, &err);
    if (r < 0)
        return print_error(&err);
    if (json)
        print_json(facts_of_interp(interp));
    else
        puts(interp->executable);
    interp_free(interp);
    return EXIT_DONE;
}

static int may_go(const char *prefix, struct verror *err);

static int selection_main(int argc, char **argv)
{
    _cleanup_free_ char *root = pyenv_root();
    struct front f = {.root = root, .may_go = may_go};
    return front_run(&f, pyenv_command_find(argv[0]), argc, argv);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return path && strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* Environments whose interpreter is in this installation would stop working. */
static int may_go(const char *prefix, struct verror *err)
{
    _cleanup_session_ struct session s = SESSION_INIT;
    char **names = NULL, real[PATH_MAX];
    size_t n = 0;
    if (!realpath(prefix, real))
        return verror_errno(err, errno, "%s", prefix);
    int r = session_open(&s, err);
    if (r == 0)
        r = env_list(&s.home, &names, &n, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        struct env *env = NULL;
        size_t n_packages;
        if (env_glance(&s.home, names[i], &env, &n_packages, NULL) < 0)
            continue;
        const struct manifest *m = env->manifest;
        if (is_below(m->executable, prefix) || is_below(m->base_executable, real)) {
            verror_set(err, EBUSY, "the environment %s uses %s", names[i], m->executable);
            r = verror_hint(err,
                            "venvfs sync -n %s -p PY gives it another interpreter; -f removes "
                            "this one all the same",
                            names[i]);
        }
        env_free(env);
    }
    env_list_free(names, n);
    return r;
}

/* The table of commands here, and behind them those that pyenv has, too. */
static size_t all_commands(struct command *ret)
{
    static const struct command own[] = {
        {"list", "list interpreters", list_main, false},
        {"find", "print the interpreter that a spec means", find_main, false},
    };
    size_t n = 0;
    for (; n < ARRAY_SIZE(own); n++)
        ret[n] = own[n];
    for (const struct pyenv_command *c = pyenv_commands; c->name; c++)
        if (c->place != IN_PYENV)
            ret[n++] =
                (struct command){c->name, c->summary, selection_main, c->place == IN_BOTH_HIDDEN};
    return n;
}

int cmd_python(int argc, char **argv)
{
    enum { MAX_COMMANDS = 64 };
    struct command table[MAX_COMMANDS];
    return commands_group("python",
                          "Lists, finds, selects and installs interpreters, by pyenv's rules.",
                          table, all_commands(table), argc, argv);
}
