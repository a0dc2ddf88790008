#include <stdlib.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/front.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"

static const struct command_help help = {
    .name = "venv",
    .synopsis = "[options] DIR...",
    .about =
        "Makes environments with the options of `python -m venv`. DIR, also a bare word, becomes\n"
        "a link to the environment; where a folder with files is, they stay, beside links into\n"
        "it. An environment that is there already is made anew with these options and keeps its\n"
        "packages, unless --clear.",
    .min = 1,
    .max = OPERANDS_ANY,
};

static int make_each(struct session *s, const struct front *f, const struct words *dirs,
                     struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < dirs->n; i++) {
        _cleanup_free_ char *made = NULL;
        r = front_make(s, f, dirs->v[i], &made, err);
    }
    return r;
}

static int run(struct front *f, const struct words *dirs)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = session_open(&s, &err);
    if (r == 0)
        r = make_each(&s, f, dirs, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}

int cmd_venv(int argc, char **argv)
{
    struct front f = {.tool = "venv"};
    bool symlinks = false, copies = false, without_pip = false, upgrade_deps = false;
    const struct option_spec specs[] = {
        {0, "system-site-packages", OPTION_FLAG, &f.system_site_packages, NULL,
         "also see the interpreter's own packages"},
        {0, "symlinks", OPTION_FLAG, &symlinks, NULL, "bin/python is a link: it always is"},
        {0, "copies", OPTION_FLAG, &copies, NULL, "ignored: bin/python is a link"},
        {0, "clear", OPTION_FLAG, &f.clear, NULL, "remove what is in the environment first"},
        {0, "upgrade", OPTION_FLAG, &f.upgrade, NULL,
         "after Python was upgraded in place: keep all else"},
        {0, "without-pip", OPTION_FLAG, &without_pip, NULL, "leave pip out"},
        {0, "prompt", OPTION_STRING, &f.prompt, "TEXT",
         "what activation puts before the prompt;\n. is the current folder's name"},
        {0, "upgrade-deps", OPTION_FLAG, &upgrade_deps, NULL,
         "take the newest pip of the index (and setuptools\nbefore Python 3.12)"},
        {0, "without-scm-ignore-files", OPTION_FLAG, &f.show_to_git, NULL,
         "let git show the environment"},
        {'p', "python", OPTION_WORDS, &f.pythons, "PY",
         "interpreter: a path, 3.11, python3.12, >=3.10;\nrepeatable, the first found counts\n"
         "(default: .python-version, else python3)"},
        {0, "folder", OPTION_FLAG, &f.folder, NULL,
         "make DIR a folder with links in it, for tools that\n"
         "refuse a link; pip there uninstalls nothing"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words dirs = {0};
    int r = options_parse(&help, specs, argc, argv, &dirs);
    if (r != OPTIONS_GO)
        ;
    else if (f.upgrade && f.clear)
        r = print_usage_error("venv", "--upgrade keeps what --clear removes: choose one");
    else if (symlinks && copies)
        r = print_usage_error("venv", "--symlinks and --copies exclude each other");
    if (r == OPTIONS_GO) {
        f.seed.newest = upgrade_deps;
        if (without_pip)
            f.seed.pip = f.seed.setuptools = "none";
        r = run(&f, &dirs);
    }
    words_release(&f.pythons);
    return r;
}

int cmd_pyvenv(int argc, char **argv)
{
    print_warning("pyvenv is deprecated, as Python's own script was: use venvfs venv");
    return cmd_venv(argc, argv);
}
