#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/commands.h"
#include "cli/front.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/variables.h"
#include "cli/version.h"

static const struct command_help help = {
    .name = "virtualenv",
    .synopsis = "[options] DIR",
    .about =
        "Makes an environment with the options of virtualenv, VIRTUALENV_* variables and\n"
        "virtualenv.ini. DIR, also a bare word, becomes a link to the environment; where a folder\n"
        "with files is, they stay, beside links into it. An environment that is there already is\n"
        "made anew with these options and keeps its packages, unless --clear.",
    .max = OPERANDS_ANY,
};

/* What is said to the tool and not to the environment. */
struct said {
    const char *discovery, *creator, *seeder, *activators, *app_data;
    struct words search_dirs;
    bool version, no_seed, no_pip, no_setuptools, no_wheel, download, no_download;
    bool symlinks, copies, traceback, verbose, read_only_app_data, reset_app_data;
    bool upgrade_embed_wheels, no_periodic_update, symlink_app_data, redirect, no_redirect;
};

static int run(const struct front *f, const char *dir)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    _cleanup_free_ char *made = NULL;
    bool quiet = print_quiet();
    int r = session_open(&s, &err);
    if (r == 0)
        r = front_make(&s, f, dir, &made, &err);
    if (r < 0)
        return print_error(&err);
    if (!quiet) {
        _cleanup_free_ char *line = xasprintf("created virtual environment %s", made);
        print_out_line(line);
    }
    return EXIT_DONE;
}

/* ---- words that are checked, and do nothing more ---- */

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

static int check_choice(const char *option, const char *word, const char *const *list)
{
    if (!word || is_one_of(word, list))
        return OPTIONS_GO;
    return print_usage_error(help.name, "--%s %s is none that venvfs stands in for", option, word);
}

static int check_activators(const struct words *given)
{
    static const char *const known[] = {"bash",   "cshell", "fish",  "nushell", "powershell",
                                        "python", "xonsh",  "batch", NULL};
    for (size_t i = 0; i < given->n; i++)
        if (!is_one_of(given->v[i], known))
            return print_usage_error(help.name, "there is no activator \"%s\"", given->v[i]);
    return OPTIONS_GO;
}

static int check(const struct said *o, const struct words *activators, const struct words *dirs)
{
    static const char *const discoveries[] = {"builtin", NULL};
    static const char *const creators[] = {"builtin", "cpython3-posix", "venv", "venvfs", NULL};
    static const char *const seeders[] = {"app-data", "pip", "venvfs", NULL};
    int r = check_choice("discovery", o->discovery, discoveries);
    if (r == OPTIONS_GO)
        r = check_choice("creator", o->creator, creators);
    if (r == OPTIONS_GO)
        r = check_choice("seeder", o->seeder, seeders);
    if (r == OPTIONS_GO)
        r = check_activators(activators);
    if (r == OPTIONS_GO && o->upgrade_embed_wheels)
        r = print_usage_error(help.name, "--upgrade-embed-wheels: seeds are those of the "
                                         "interpreters; --download takes newer ones");
    if (r == OPTIONS_GO && o->redirect && !o->no_redirect)
        r = print_usage_error(help.name, "--venv-redirect: make the environment at .venv instead");
    if (r == OPTIONS_GO && dirs->n != 1)
        r = dirs->n ? print_usage_error(help.name, "unexpected argument \"%s\"", dirs->v[1])
                    : print_usage_error(help.name, "name the folder of the environment");
    return r;
}

/* ---- variables ---- */

static char *ini_path(void)
{
    const char *set = getenv("VIRTUALENV_CONFIG_FILE"), *config = getenv("XDG_CONFIG_HOME");
    const char *user = getenv("HOME");
    if (set && *set)
        return xstrdup(set);
    if (config && *config)
        return path_join(config, "virtualenv/virtualenv.ini");
    return user && *user ? path_join(user, ".config/virtualenv/virtualenv.ini") : NULL;
}

/* Of two options that exclude each other, one on the command line beats a variable. */
static void apply_variables(struct variables *v, const struct option_spec *specs, struct said *o)
{
    struct {
        bool *a, *b;
    } pairs[] = {{&o->download, &o->no_download},
                 {&o->symlinks, &o->copies},
                 {&o->redirect, &o->no_redirect}};
    struct {
        bool a, b;
    } given[ARRAY_SIZE(pairs)];
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        given[i].a = *pairs[i].a;
        given[i].b = *pairs[i].b;
    }
    variables_apply(v, specs);
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (!given[i].a && !given[i].b)
            continue;
        *pairs[i].a = given[i].a;
        *pairs[i].b = given[i].b;
    }
}

/* pip, which downloads seeds, looks there as well. A space in a path would separate two of them. */
static void add_search_dirs(const struct words *dirs)
{
    const char *before = getenv("PIP_FIND_LINKS");
    _cleanup_strbuf_ struct strbuf all = STRBUF_INIT;
    strbuf_addstr(&all, before ? before : "");
    for (size_t i = 0; i < dirs->n; i++) {
        _cleanup_free_ char *path = path_absolute(dirs->v[i]);
        strbuf_addstr(&all, all.len ? " file://" : "file://");
        for (const char *p = path ? path : dirs->v[i]; *p; p++) {
            if (*p == ' ' || *p == '%')
                strbuf_addf(&all, "%%%02x", (unsigned)*p);
            else
                strbuf_addch(&all, *p);
        }
    }
    if (dirs->n)
        (void)setenv("PIP_FIND_LINKS", all.buf, 1);
}

static void take_seeds(struct front *f, const struct said *o)
{
    if (o->no_seed)
        f->seed.pip = f->seed.setuptools = f->seed.wheel = "none";
    if (o->no_pip)
        f->seed.pip = "none";
    if (o->no_setuptools)
        f->seed.setuptools = "none";
    if (o->no_wheel)
        f->seed.wheel = "none";
    f->seed.newest = o->download && !o->no_download;
}

static int run_with(struct variables *v, const struct option_spec *specs, struct front *f,
                    struct said *o, const struct words *dirs)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *ini = ini_path();
    if (ini && variables_read(v, ini, &err) < 0)
        return print_error(&err);
    apply_variables(v, specs, o);
    variables_split(v, o->activators, &f->activators);
    int r = check(o, &f->activators, dirs);
    if (r != OPTIONS_GO)
        return r;
    take_seeds(f, o);
    add_search_dirs(&o->search_dirs);
    return run(f, dirs->v[0]);
}

int cmd_virtualenv(int argc, char **argv)
{
    struct front f = {.tool = "virtualenv", .virtualenv = true};
    struct said o = {.version = false};
    const struct option_spec specs[] = {
        {'p', "python", OPTION_WORDS, &f.pythons, "PY",
         "interpreter: a path, 3.11, python3.12, >=3.10,<3.13;\nrepeatable, the first found "
         "counts\n"
         "(default: .python-version, else python3)"},
        {0, "try-first-with", OPTION_WORDS, &f.tried_first, "EXE",
         "an interpreter to try before any search; repeatable"},
        {0, "clear", OPTION_FLAG, &f.clear, NULL, "remove what is in the environment first"},
        {0, "system-site-packages", OPTION_FLAG, &f.system_site_packages, NULL,
         "also see the interpreter's own packages"},
        {0, "prompt", OPTION_STRING, &f.prompt, "TEXT",
         "what activation puts before the prompt;\n. is the current folder's name"},
        {0, "no-seed", OPTION_FLAG, &o.no_seed, NULL, "install no seed packages"},
        {0, "without-pip", OPTION_FLAG, &o.no_seed, NULL, "the same"},
        {0, "pip", OPTION_STRING, &f.seed.pip, "VERSION",
         "version of pip; bundle (the interpreter's own), none"},
        {0, "setuptools", OPTION_STRING, &f.seed.setuptools, "VERSION",
         "version of setuptools; bundle, none\n(default: bundle before Python 3.12, else none)"},
        {0, "wheel", OPTION_STRING, &f.seed.wheel, "VERSION", "version of wheel (default: none)"},
        {0, "no-pip", OPTION_FLAG, &o.no_pip, NULL, "install no pip"},
        {0, "no-setuptools", OPTION_FLAG, &o.no_setuptools, NULL, "install no setuptools"},
        {0, "no-wheel", OPTION_FLAG, &o.no_wheel, NULL, "install no wheel"},
        {0, "download", OPTION_FLAG, &o.download, NULL, "take the newest seeds of the index"},
        {0, "no-download", OPTION_FLAG, &o.no_download, NULL, "do not: the default"},
        {0, "never-download", OPTION_FLAG, &o.no_download, NULL, "the same"},
        {0, "extra-search-dir", OPTION_WORDS, &o.search_dirs, "DIR",
         "a folder with wheels of seeds; repeatable"},
        {0, "no-vcs-ignore", OPTION_FLAG, &f.show_to_git, NULL, "let git show the environment"},
        {0, "discovery", OPTION_STRING, &o.discovery, "builtin", "ignored"},
        {0, "creator", OPTION_STRING, &o.creator, "NAME",
         "ignored: builtin, cpython3-posix, venv or venvfs"},
        {0, "seeder", OPTION_STRING, &o.seeder, "NAME", "ignored: app-data, pip or venvfs"},
        {0, "activators", OPTION_STRING, &o.activators, "LIST",
         "activation files, of bash, cshell, fish, nushell,\npowershell, python and xonsh "
         "(default: all)"},
        {0, "symlinks", OPTION_FLAG, &o.symlinks, NULL, "bin/python is a link: it always is"},
        {0, "copies", OPTION_FLAG, &o.copies, NULL, "ignored: bin/python is a link"},
        {0, "always-copy", OPTION_FLAG, &o.copies, NULL, "ignored"},
        {0, "app-data", OPTION_STRING, &o.app_data, "DIR", "ignored: seeds are in the store"},
        {0, "read-only-app-data", OPTION_FLAG, &o.read_only_app_data, NULL, "ignored"},
        {0, "reset-app-data", OPTION_FLAG, &o.reset_app_data, NULL, "ignored"},
        {0, "symlink-app-data", OPTION_FLAG, &o.symlink_app_data, NULL, "ignored"},
        {0, "no-periodic-update", OPTION_FLAG, &o.no_periodic_update, NULL, "ignored"},
        {0, "upgrade-embed-wheels", OPTION_FLAG, &o.upgrade_embed_wheels, NULL, NULL},
        {0, "venv-redirect", OPTION_FLAG, &o.redirect, NULL, NULL},
        {0, "no-venv-redirect", OPTION_FLAG, &o.no_redirect, NULL, NULL},
        {0, "with-traceback", OPTION_FLAG, &o.traceback, NULL, NULL},
        {'v', "verbose", OPTION_FLAG, &o.verbose, NULL, NULL},
        {0, "folder", OPTION_FLAG, &f.folder, NULL,
         "make DIR a folder with links in it, for tools that\n"
         "refuse a link; pip there uninstalls nothing"},
        {0, "version", OPTION_FLAG, &o.version, NULL, "print the version"},
        OPTIONS_END,
    };
    _cleanup_variables_ struct variables v = {.prefix = "VIRTUALENV", .section = "virtualenv"};
    _cleanup_words_ struct words dirs = {0};
    int r = options_parse(&help, specs, argc, argv, &dirs);
    if (r == OPTIONS_GO && o.version) {
        version_print();
        r = EXIT_DONE;
    } else if (r == OPTIONS_GO) {
        r = run_with(&v, specs, &f, &o, &dirs);
    }
    words_release(&f.pythons);
    words_release(&f.tried_first);
    words_release(&f.activators);
    words_release(&o.search_dirs);
    return r;
}
