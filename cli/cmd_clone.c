#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/env_place.h"
#include "cli/interrupt.h"
#include "cli/link.h"
#include "cli/point.h"
#include "cli/print.h"
#include "cli/settle.h"
#include "cli/show_env.h"
#include "env/upper_copy.h"

static const struct command_help help = {
    .name = "clone",
    .synopsis = "A B [options]\n-n A B [options]",
    .about =
        "Makes environment B, a NAME or DIR as for create, with what A has now: its packages and\n"
        "what was changed inside it. Prints its path. From then on they know nothing of each\n"
        "other. B belongs to no project.",
    .min = 1,
    .max = 2,
};

struct clone {
    const char *prompt;
    bool fallback;
};

/* Under both locks. The first Ctrl-C is taken up between two files, so that nothing remains. */
static int copy_upper(struct session *s, const struct env *from, const struct env *to,
                      struct verror *err)
{
    _cleanup_free_ char *source = env_upper(from), *target = env_upper(to);
    flush_env(&s->home, from->name);
    interrupt_defer();
    int r = upper_copy(source, target, interrupt_noted, err);
    return r == 0 && interrupt_noted() ? verror_set(err, EINTR, "stopped") : r;
}

/* What a tool wrote names its path in many places. */
static int refuse_bare(const struct session *s, const struct env *from, const char *name,
                       struct verror *err)
{
    _cleanup_free_ char *path = hub_path(&s->home, from->name);
    _cleanup_free_ char *word = print_word(path), *new = print_word(name);
    verror_set(err, EINVAL, "environment %s was made from inside, and its files name %s",
               from->name, path);
    return verror_hint(err, "venvfs adopt %s %s makes one that is the same", word, new), -EINVAL;
}

static int clone(struct session *s, const struct clone *o, struct env *from,
                 const struct env_place *p, struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    const char *prompt = o->prompt ? o->prompt : p->prompt;
    if (from->manifest->bare)
        return refuse_bare(s, from, p->name, err);
    _cleanup_settled_ struct settled done = {.before = NULL};
    const struct settle_options settling = {.due = true, .quiet = print_quiet()};
    int r = settle_env(s, from, &settling, &done, err);
    if (r == 0) {
        settled_tell(from, &done);
        r = apply_create_like(&a, s, p->name, from->manifest, p->address, prompt, err);
    }
    if (r == -EEXIST)
        env_place_hint_existing(p, o->fallback, err);
    if (r == 0)
        r = copy_upper(s, from, a.env, err);
    _cleanup_free_ char *reason =
        xasprintf("clone of %s@%u", from->name, from->manifest->generation);
    if (r == 0)
        r = apply_commit(&a, reason, err);
    if (r == 0 && p->link)
        r = link_make(&s->home, p->address, p->name, err);
    if (r == 0)
        r = apply_show(&a, o->fallback, err);
    if (r < 0 && p->link)
        link_remove(&s->home, p->address, p->name);
    return r;
}

/* An environment whose link at this address was removed keeps its name and its generations. */
static void take_free_name(const struct session *s, struct env_place *p)
{
    _cleanup_free_ char *stem = xstrdup(p->name);
    for (unsigned i = 2; p->link; i++) {
        struct env *env;
        size_t n;
        int r = env_glance(&s->home, p->name, &env, &n, NULL);
        if (r == -ENOENT)
            return;
        if (r == 0)
            env_free(env);
        free(p->name);
        p->name = xasprintf("%s-%u", stem, i);
    }
}

static int run(struct session *s, const struct clone *o, const char *given, const char *word,
               const char *target, struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    _cleanup_env_place_ struct env_place p = {.name = NULL};
    struct env *from = NULL;
    int r = given ? session_select(s, given, &name, err) : session_select_word(s, word, &name, err);
    if (r == 0)
        r = env_place_find(s, target, &p, err);
    if (r == 0)
        take_free_name(s, &p);
    if (r == 0 && strcmp(p.name, name) == 0)
        r = verror_set(err, EEXIST, "environment %s cannot be a clone of itself", name);
    if (r == 0)
        r = session_env_named(s, name, &from, err);
    if (r == 0)
        r = clone(s, o, from, &p, err);
    env_free(from);
    interrupt_deliver();
    if (r == 0)
        puts(p.address);
    return r;
}

int cmd_clone(int argc, char **argv)
{
    struct clone o = {.prompt = NULL};
    const char *name = NULL;
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "A", "the environment to clone"},
        {0, "prompt", OPTION_STRING, &o.prompt, "TEXT", "what activation puts before the prompt"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes A"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (operands.n != (name ? 1 : 2))
        return print_usage_error("clone", "name the environment to clone and the new one");
    r = session_open(&s, &err);
    if (r == 0)
        r = run(&s, &o, name, operands.v[0], operands.v[operands.n - 1], &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
