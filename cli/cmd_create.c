#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/editables.h"
#include "cli/env_place.h"
#include "cli/from_lock.h"
#include "cli/link.h"
#include "cli/print.h"
#include "env/project.h"

static const struct command_help help = {
    .name = "create",
    .synopsis = "NAME|DIR [-r LOCK]... [options]",
    .about =
        "Makes an environment and prints its path. NAME is a folder of the hub; DIR (with a /,\n"
        "or . or ..) becomes a link to it. Packages come from the locks or requirement files\n"
        "given with -r. pip is there unless --without-pip.",
    .min = 1,
    .max = 1,
};

struct create {
    const char *python, *prompt;
    struct lock_choice locks;
    bool system_site_packages, without_pip, no_compile, no_accelerator, offline, refresh, fallback;
    unsigned levels;
    size_t jobs;
};

static int create(struct session *s, const struct create *o, const struct env_place *p,
                  struct verror *err)
{
    _cleanup_apply_ struct apply a = {.compile = !o->no_compile,
                                      .levels = o->levels ? o->levels | 1 : 0,
                                      .jobs = o->jobs,
                                      .offline = o->offline,
                                      .refresh = o->refresh};
    struct interp *interp;
    int r = interp_find(&s->home, o->python, ".", &interp, err);
    if (r < 0)
        return r;
    r = apply_create(&a, s, p->name, interp, p->address, o->prompt ? o->prompt : p->prompt, err);
    if (r == -EEXIST)
        env_place_hint_existing(p, o->fallback, err);
    if (r < 0)
        return r;
    a.next->system_site_packages = o->system_site_packages;
    if (o->no_accelerator)
        settings_set_accelerator(a.next, false);
    if (o->locks.files.n)
        r = apply_locks(&a, &o->locks, err);
    if (r == 0)
        r = apply_editables(&a, err);
    if (r == 0 && !o->without_pip)
        r = apply_seed(&a, err);
    if (r == 0)
        r = apply_commit(&a, "create", err);
    if (r == 0 && p->link)
        r = link_make(&s->home, p->address, p->name, err);
    if (r == 0)
        r = apply_show(&a, o->fallback, err);
    if (r < 0 && p->link)
        link_remove(&s->home, p->address, p->name);
    return r;
}

int cmd_create(int argc, char **argv)
{
    struct create o = {.python = NULL};
    const struct option_spec specs[] = {
        {'p', "python", OPTION_STRING, &o.python, "PY",
         "interpreter: a path, 3.11, python3.12, >=3.10\n"
         "(default: .python-version, else python3)"},
        {'r', "requirement", OPTION_WORDS, &o.locks.files, "LOCK",
         "pylock.toml, uv.lock or requirements; repeatable"},
        {0, "system-site-packages", OPTION_FLAG, &o.system_site_packages, NULL,
         "also see the interpreter's own packages"},
        {0, "prompt", OPTION_STRING, &o.prompt, "TEXT", "what activation puts before the prompt"},
        {0, "without-pip", OPTION_FLAG, &o.without_pip, NULL, "leave pip out"},
        {0, "no-compile", OPTION_FLAG, &o.no_compile, NULL, "make no bytecode"},
        {0, "optimize", OPTION_BITS, &o.levels, "N", "also make bytecode of level 1 or 2"},
        {0, "no-accelerator", OPTION_FLAG, &o.no_accelerator, NULL,
         "leave out _venvfs.pth, which makes imports faster"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "offline", OPTION_FLAG, &o.offline, NULL, "start no download"},
        {0, "refresh", OPTION_FLAG, &o.refresh, NULL, "resolve what is not pinned again"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    struct env_place place = {.name = NULL};
    r = session_open(&s, &err);
    if (r == 0)
        r = env_place_find(&s, operands.v[0], &place, &err);
    if (r == 0)
        r = create(&s, &o, &place, &err);
    if (r == 0)
        puts(place.address);
    env_place_release(&place);
    lock_choice_release(&o.locks);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
