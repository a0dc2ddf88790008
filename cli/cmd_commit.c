/* commit; and settle, hidden, by which the daemon has the same done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "cli/aside.h"
#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/facts.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/settle.h"
#include "env/settle.h"

static const struct command_help commit_help = {
    .name = "commit",
    .synopsis = "[ENV]... [options]\n--all [options]",
    .about =
        "Makes packages of what pip or uv installed inside an environment, as a new generation:\n"
        "the store has them then, shared and compressed, and running programs notice nothing.\n"
        "Edited files, files that no package lists and editable installs stay the environment's\n"
        "own (venvfs diff). The daemon does the same when nothing was written for a minute\n"
        "(VENVFS_SETTLE: seconds, or off), and every command that changes an environment before\n"
        "the change.",
    .max = OPERANDS_ANY,
};

static const struct command_help settle_help = {
    .name = "settle",
    .synopsis = "ENV [--ahead DIST-INFO...]",
    .about = "What the daemon runs: commit when no installation is under way, or only the images.",
    .min = 1,
    .max = OPERANDS_ANY,
};

struct commit {
    bool all, dry_run, json;
    size_t jobs;
    json_t *facts;
};

static json_t *facts_of(const struct env *env, const struct settled *done)
{
    struct changes changes = {0};
    if (done->before)
        changes_find(done->before, env->manifest, &changes);
    json_t *left = json_array();
    for (size_t i = 0; i < done->n_problems; i++)
        json_array_append_new(left, json_pack("{s:s, s:s}", "name", done->problems[i].what,
                                              "reason", done->problems[i].why));
    json_t *facts =
        json_pack("{s:s, s:I, s:b, s:o, s:I, s:I, s:o}", "name", env->name, "generation",
                  (json_int_t)env->manifest->generation, "committed", done->before != NULL,
                  "packages", facts_of_changes(&changes), "files", (json_int_t)done->files, "bytes",
                  (json_int_t)done->bytes, "left", left);
    changes_release(&changes);
    return facts;
}

static void tell(const struct commit *o, const struct env *env, const struct settled *done)
{
    char size[PRINT_BYTES_SIZE];
    for (size_t i = 0; i < done->n_problems; i++)
        print_warning("%s is left as it is: %s", done->problems[i].what, done->problems[i].why);
    if (done->before) {
        print_difference(done->before, env->manifest);
        if (!o->dry_run)
            print_note("%s is generation %u now", env->name, env->manifest->generation);
    } else if (!o->all || done->files) {
        print_note("%s: nothing to commit", env->name);
    }
    if (done->files)
        print_note("%s: %zu files, %s, are no longer the environment's own", env->name, done->files,
                   print_bytes(done->bytes, size));
}

static int commit(struct session *s, struct commit *o, const char *name, struct verror *err)
{
    struct env *env;
    _cleanup_settled_ struct settled done = {.before = NULL};
    const struct settle_options options = {
        .dry_run = o->dry_run, .quiet = print_quiet(), .jobs = o->jobs};
    int r = session_env_named(s, name, &env, err);
    if (r < 0)
        return r;
    if (!o->dry_run)
        r = aside_recover(s, env, err);
    if (r == 0)
        r = settle_env(s, env, &options, &done, err);
    if (r == 0 && o->json)
        json_array_append_new(o->facts, facts_of(env, &done));
    else if (r == 0)
        tell(o, env, &done);
    env_free(env);
    return r;
}

static int commit_all(struct session *s, struct commit *o, struct verror *err)
{
    char **names;
    size_t n;
    int r = env_list(&s->home, &names, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = commit(s, o, names[i], err);
    env_list_free(names, n);
    return r;
}

static int commit_words(struct session *s, struct commit *o, const char *given,
                        const struct words *words, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < (words->n ? words->n : 1); i++) {
        _cleanup_free_ char *name = NULL;
        r = words->n ? session_select_word(s, words->v[i], &name, err)
                     : session_select(s, given, &name, err);
        if (r == 0)
            r = commit(s, o, name, err);
    }
    return r;
}

int cmd_commit(int argc, char **argv)
{
    struct commit o = {.all = false};
    const char *given = NULL;
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &given, "ENV", "the environment (default: the active one)"},
        {'a', "all", OPTION_FLAG, &o.all, NULL, "every environment"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "dry-run", OPTION_FLAG, &o.dry_run, NULL, "say which packages it would be"},
        {0, "json", OPTION_FLAG, &o.json, NULL, "print it as JSON"},
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(&commit_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if ((o.all && (operands.n || given)) || (operands.n && given))
        return print_usage_error("commit", "name environments, or give --all");
    o.facts = json_array();
    r = session_open(&s, &err);
    if (r == 0)
        r = o.all ? commit_all(&s, &o, &err) : commit_words(&s, &o, given, &operands, &err);
    if (r == 0 && o.json)
        return print_json(o.facts);
    json_decref(o.facts);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}

/* ---- settle ---- */

static int settle_quietly(struct session *s, const char *name, struct verror *err)
{
    struct env *env;
    _cleanup_settled_ struct settled done = {.before = NULL};
    const struct settle_options options = {.wait = true, .quiet = true, .jobs = 1};
    int r = session_env_named(s, name, &env, err);
    if (r == 0)
        r = settle_env(s, env, &options, &done, err);
    if (r == 0)
        env_free(env);
    return r;
}

static int prepare_images(struct session *s, const char *name, char *const *dist_infos, size_t n,
                          struct verror *err)
{
    struct env *env;
    int r = env_open(&s->home, name, false, false, &env, err);
    if (r < 0)
        return r;
    r = settle_ahead(s, env, dist_infos, n, err);
    env_free(env);
    return r;
}

int cmd_settle(int argc, char **argv)
{
    bool ahead = false;
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {0, "ahead", OPTION_FLAG, &ahead, NULL, "only make images of these distributions"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(&settle_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    /* Images that are made ahead get only what nobody else wants of the machine. Who settles holds
     * the environment's lock, for which a command may be waiting: he goes on, if slowly. */
    proc_stand_back(ahead);
    s.no_wait = true;
    r = session_open(&s, &err);
    if (r == 0 && ahead)
        r = prepare_images(&s, operands.v[0], (char *const *)(uintptr_t)&operands.v[1],
                           operands.n - 1, &err);
    else if (r == 0)
        r = settle_quietly(&s, operands.v[0], &err);
    return r < 0 && r != -EAGAIN ? print_error(&err) : EXIT_DONE;
}
