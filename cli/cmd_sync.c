#include "base/mem.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/editables.h"
#include "cli/from_lock.h"
#include "cli/print.h"

static const struct command_help help = {
    .name = "sync",
    .synopsis = "[-n ENV] [-r LOCK]... [options]",
    .about =
        "Makes an environment hold exactly what its locks say; pip's seed stays unless they name\n"
        "it. Locks, groups and extras are remembered for the next time.",
};

struct sync {
    const char *env, *python;
    struct lock_choice choice;
    bool accelerator, no_accelerator, locked, offline, refresh, fallback, no_wait;
    size_t jobs;
};

/* It takes no lock to show _venvfs.pth or leave it out. */
static bool is_accelerator_alone(const struct apply *a, const struct sync *o)
{
    const struct lock_choice *c = &o->choice;
    if ((!o->accelerator && !o->no_accelerator) || o->python || o->refresh || c->files.n ||
        c->groups.n || c->extras.n || c->no_dev)
        return false;
    _cleanup_free_ const char **locks = settings_words(a->next, "locks");
    return !locks;
}

static int sync_env(struct session *s, const struct sync *o, struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    int r = apply_open(&a, s, o->env, o->python, NULL, err);
    if (r == 0)
        r = apply_check_address(&a, o->fallback, err);
    if (r < 0)
        return r;
    a.jobs = o->jobs;
    a.offline = o->offline;
    a.refresh = o->refresh;
    if (o->accelerator || o->no_accelerator)
        settings_set_accelerator(a.next, !o->no_accelerator);
    if (!is_accelerator_alone(&a, o)) {
        r = apply_locks(&a, &o->choice, err);
        if (r == 0)
            r = apply_editables(&a, err);
    }
    if (r == 0 && a.reseed)
        r = apply_seed(&a, err);
    if (r == 0 && o->locked)
        r = apply_unchanged(&a, err);
    if (r == 0)
        r = apply_commit(&a, "sync", err);
    return r < 0 ? r : apply_show(&a, o->fallback, err);
}

int cmd_sync(int argc, char **argv)
{
    struct sync o = {.env = NULL};
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.env, "ENV", "the environment (default: the active one)"},
        {'r', "requirement", OPTION_WORDS, &o.choice.files, "LOCK",
         "lock or requirements file; repeatable\n(default: those of the last time)"},
        {'p', "python", OPTION_STRING, &o.python, "PY", "change to another interpreter"},
        {0, "group", OPTION_WORDS, &o.choice.groups, "G", "this dependency group; repeatable"},
        {0, "extra", OPTION_WORDS, &o.choice.extras, "E", "this extra; repeatable"},
        {0, "no-dev", OPTION_FLAG, &o.choice.no_dev, NULL, "leave the group dev out"},
        {0, "locked", OPTION_FLAG, &o.locked, NULL, "fail instead of changing anything"},
        {0, "refresh", OPTION_FLAG, &o.refresh, NULL, "resolve what is not pinned again"},
        {0, "no-accelerator", OPTION_FLAG, &o.no_accelerator, NULL,
         "leave out _venvfs.pth, which makes imports faster, now and later"},
        {0, "accelerator", OPTION_FLAG, &o.accelerator, NULL, "no longer leave it out"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "offline", OPTION_FLAG, &o.offline, NULL, "start no download"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {0, "no-wait", OPTION_FLAG, &o.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r == OPTIONS_GO) {
        s.no_wait = o.no_wait;
        r = session_open(&s, &err);
        if (r == 0)
            r = sync_env(&s, &o, &err);
        r = r < 0 ? print_error(&err) : EXIT_DONE;
    }
    lock_choice_release(&o.choice);
    return r;
}
