#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "env/env_layer.h"
#include "env/inside.h"

static const struct command_help help = {
    .name = "history",
    .synopsis = "[ENV | -n ENV] [--json]",
    .about =
        "Lists the generations of an environment, newest first: number, time, what made it, and\n"
        "the packages it added, removed and changed. The current one is marked with a star;\n"
        "venvfs rollback brings another back.",
    .max = 1,
};

/* Of one generation at most this many packages are listed for people. */
enum { LINES = 10 };

static void print_head(const struct manifest *m, bool current)
{
    time_t seconds = (time_t)(m->time_ns / 1000000000);
    struct tm tm;
    char when[32];
    localtime_r(&seconds, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    printf("%c %s%u%s  %s  %s\n", current ? '*' : ' ',
           print_style(stdout, current ? STYLE_BOLD : STYLE_PLAIN), m->generation,
           print_style(stdout, STYLE_PLAIN), when, m->reason);
}

static void print_changes(const struct manifest *before, const struct manifest *m)
{
    static const char indent[] = "      ";
    _cleanup_changes_ struct changes c = {0};
    size_t all = m->n_packages + m->n_editables;
    changes_find(before, m, &c);
    if (!before) {
        printf("%s%zu package%s, Python %s\n", indent, all, all == 1 ? "" : "s",
               manifest_python(m));
        return;
    }
    if (strcmp(manifest_python(before), manifest_python(m)) != 0)
        printf("%sPython %s -> %s\n", indent, manifest_python(before), manifest_python(m));
    if (strcmp(before->address, m->address) != 0)
        printf("%smoved: %s -> %s\n", indent, before->address, m->address);
    size_t lines = c.n > LINES ? LINES - 1 : c.n;
    for (size_t i = 0; i < lines; i++)
        changes_print_line(stdout, indent, &c.v[i]);
    if (lines < c.n)
        printf("%s... and %zu more\n", indent, c.n - lines);
}

static json_t *facts_of_generation(const struct manifest *before, const struct manifest *m,
                                   bool current)
{
    _cleanup_changes_ struct changes c = {0};
    changes_find(before, m, &c);
    return json_pack("{s:i, s:o, s:s, s:b, s:s?, s:s, s:I, s:o}", "generation", (int)m->generation,
                     "time", facts_of_time(m->time_ns), "reason", m->reason, "current",
                     (int)current, "python", m->version, "address", m->address, "packages",
                     (json_int_t)m->n_packages + (json_int_t)m->n_editables, "changes",
                     facts_of_changes(&c));
}

/* The Python of one that a tool made. */
static void read_inside(const struct home *home, const struct env *env, struct manifest *m)
{
    _cleanup_free_ char *folder = layer_folder(env->dir, m->upper);
    _cleanup_free_ char *upper = path_join(folder, "upper");
    if (m->bare && layer_ended(env->dir, m->upper) < m->generation)
        inside_read_upper(home, upper, m);
}

/* All of them, ascending. A damaged one is named on standard error and left out. */
static struct manifest **read_all(const struct home *home, const struct env *env, size_t *n,
                                  int *exit_code, struct verror *err)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t count = 0;
    if (env_generations(env, &numbers, &count, err) < 0)
        return NULL;
    struct manifest **all = xcalloc(count + 1, sizeof(struct manifest *));
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        _cleanup_verror_ struct verror damage = VERROR_INIT;
        if (env_generation(env, numbers[i], &all[*n], &damage) == 0) {
            read_inside(home, env, all[*n]);
            ++*n;
            continue;
        }
        print_warning("%s", verror_message(&damage));
        *exit_code = EXIT_FAILED;
    }
    return all;
}

static int print_history(const struct home *home, const struct env *env, bool json,
                         struct verror *err)
{
    size_t n = 0;
    int exit_code = EXIT_DONE;
    struct manifest **all = read_all(home, env, &n, &exit_code, err);
    json_t *array = json_array();
    if (!all) {
        json_decref(array);
        return print_error(err);
    }
    if (!json && env->emptied)
        print_note("environment %s was emptied from inside since: its folder was removed",
                   env->name);
    for (size_t i = n; i-- > 0;) {
        const struct manifest *before = i ? all[i - 1] : NULL;
        bool current = all[i]->generation == env->manifest->generation;
        if (json) {
            json_array_append_new(array, facts_of_generation(before, all[i], current));
            continue;
        }
        print_head(all[i], current);
        print_changes(before, all[i]);
    }
    for (size_t i = 0; i < n; i++)
        manifest_free(all[i]);
    free(all);
    if (json)
        print_json(json_pack("{s:s, s:o}", "name", env->name, "generations", array));
    else
        json_decref(array);
    return exit_code;
}

int cmd_history(int argc, char **argv)
{
    bool json = false;
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "ENV", "the environment (default: the active one)"},
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
        return print_usage_error("history", "name one environment, with -n or without");
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
    r = print_history(&s.home, env, json, &err);
    env_free(env);
    return r;
}
