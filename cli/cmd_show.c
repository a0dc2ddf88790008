#include "base/mem.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/settle.h"
#include "env/inside.h"

static const struct command_help help = {
    .name = "show",
    .synopsis = "[ENV] [--json]",
    .about =
        "Shows an environment and its packages. ENV is a name or a folder; by default the active\n"
        "environment, else the project's in or above the current folder.",
    .max = 1,
};

static int show_json(const struct session *s, const struct env *env)
{
    json_t *facts = facts_of_env(&s->home, env, env->manifest->n_packages);
    json_object_set_new(facts, "packages", facts_of_packages(env->manifest));
    if (env->manifest->settings)
        json_object_set(facts, "settings", env->manifest->settings);
    json_object_set_new(facts, "unsettled", json_boolean(settle_pending(&s->home, env)));
    return print_json(facts);
}

static void tell_pending(const struct session *s, const struct env *env)
{
    _cleanup_free_ char *word = print_word(env->name);
    if (settle_pending(&s->home, env))
        print_note("packages were changed inside it since: venvfs commit %s", word);
}

static int show_text(const struct env *env)
{
    const struct manifest *m = env->manifest;
    printf("%s%s%s\n", print_style(stdout, STYLE_BOLD), env->name,
           print_style(stdout, STYLE_PLAIN));
    printf("  address     %s\n", m->address);
    if (m->project)
        printf("  project     %s\n", m->project);
    if (m->executable)
        printf("  python      %s (%s)\n", m->version, m->executable);
    else
        printf("  python      none yet: it was made from inside, and no tool has written one\n");
    if (env->emptied) {
        _cleanup_free_ char *word = print_word(env->name);
        printf("  emptied     its folder was removed from inside; venvfs rollback -n %s brings it "
               "back\n",
               word);
    }
    printf("  generation  %u: %s\n", m->generation, m->reason);
    printf("  packages    %zu\n", m->n_packages + m->n_editables);
    struct table *table = table_new(3);
    table_cell(table, "PACKAGE");
    table_cell(table, "VERSION");
    table_cell(table, "%s", "");
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        table_cell(table, "%s", p->name);
        table_cell(table, "%s", p->version);
        table_cell(table, "%s", p->seed ? "seeded" : p->requested ? "requested" : "");
    }
    for (size_t i = 0; i < m->n_editables; i++) {
        const struct manifest_editable *e = &m->editables[i];
        table_cell(table, "%s", e->name);
        table_cell(table, "%s", e->version);
        table_cell(table, "editable %s", e->path);
    }
    if (m->n_packages + m->n_editables) {
        putchar('\n');
        table_print(table);
    } else {
        table_free(table);
    }
    return EXIT_DONE;
}

int cmd_show(int argc, char **argv)
{
    bool json = false;
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "ENV", "the environment"},
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (operands.n && name)
        return print_usage_error("show", "name one environment, with -n or without");
    struct env *env = NULL;
    _cleanup_free_ char *which = NULL;
    r = session_open(&s, &err);
    if (r == 0)
        r = operands.n ? session_select_word(&s, operands.v[0], &which, &err)
                       : session_select(&s, name, &which, &err);
    if (r == 0)
        r = env_open(&s.home, which, false, true, &env, &err);
    if (r < 0)
        return print_error(&err);
    inside_read(&s.home, env);
    r = json ? show_json(&s, env) : show_text(env);
    if (!json)
        tell_pending(&s, env);
    env_free(env);
    return r;
}
