#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/enter.h"
#include "cli/print.h"
#include "cli/script_env.h"

static const struct command_help help = {
    .name = "run",
    .synopsis = "[-n ENV] [--] CMD [ARG]...\n"
                "[-n ENV | -p PY] [--with PKG]... [--refresh] SCRIPT [ARG]...",
    .about =
        "Runs a command as in the activated environment: its bin/ is first in PATH, VIRTUAL_ENV\n"
        "is set. The exit code is the command's own; 127 when there is no such command, 126\n"
        "when it cannot be run. Where this user may not mount, the environment is mounted for\n"
        "the command alone, in a user namespace.\n\n"
        "CMD may be a Python file, or - for a script on standard input. One with inline metadata\n"
        "(PEP 723: a block # /// script with dependencies, requires-python) runs in an\n"
        "environment made for what it asks, unless -n names one. That is resolved once and kept\n"
        "for the next time, until --refresh.",
    .stop_at_operand = true,
    .min = 1,
    .max = OPERANDS_ANY,
};

struct run {
    const char *name;
    bool script;
    struct script_options options;
};

/* What the command line leads to. */
enum kind { KIND_COMMAND, KIND_SCRIPT };

static enum kind kind_of(const struct run *o, const char *word)
{
    struct stat st;
    if (o->script || strcmp(word, "-") == 0)
        return KIND_SCRIPT;
    return path_has_suffix(word, ".py") && stat(word, &st) == 0 && S_ISREG(st.st_mode)
               ? KIND_SCRIPT
               : KIND_COMMAND;
}

/* One of the options that only a script in an environment of its own has a use for, or NULL. */
static const char *script_option(const struct run *o)
{
    return o->options.python    ? "--python"
           : o->options.with.n  ? "--with"
           : o->options.refresh ? "--refresh"
           : o->options.offline ? "--offline"
                                : NULL;
}

static bool has_own_env(const struct run *o, const struct script_source *source)
{
    return !o->name && (source->block || o->options.with.n);
}

static int find_env(struct session *s, const struct run *o, const struct script_source *source,
                    struct env **ret, struct verror *err)
{
    if (has_own_env(o, source))
        return script_env(s, source, &o->options, ret, err);
    if (source->block)
        print_note("%s: its inline metadata does not count, since -n names an environment",
                   source->file);
    return session_env(s, o->name, false, ret, err);
}

static int run(const struct run *o, const struct words *command)
{
    _cleanup_words_ struct words argv = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    _cleanup_script_source_ struct script_source source = SCRIPT_SOURCE_INIT;
    _cleanup_free_ char *address = NULL;
    struct env *env = NULL;
    enum kind kind = kind_of(o, command->v[0]);
    int r = kind == KIND_SCRIPT ? script_source_read(command->v[0], &source, &err) : 0;
    if (r == 0 && !has_own_env(o, &source) && script_option(o))
        return print_usage_error("run", "%s is for a script in an environment of its own: %s",
                                 script_option(o),
                                 o->name ? "-n names another" : "this has no inline metadata");
    if (r == 0)
        r = session_open(&s, &err);
    if (r == 0)
        r = find_env(&s, o, &source, &env, &err);
    if (r == 0)
        r = enter_show(&s, &env, &address, &err);
    if (r == 0 && kind == KIND_SCRIPT && strcmp(command->v[0], "-") == 0)
        r = script_source_rewind(&source, &err);
    if (r == 0)
        enter_activated(env, address);
    env_free(env);
    if (r < 0)
        return print_error(&err);
    if (kind == KIND_SCRIPT)
        words_add(&argv, "python");
    for (size_t i = 0; i < command->n; i++)
        words_add(&argv, command->v[i]);
    return enter_execute(&argv);
}

int cmd_run(int argc, char **argv)
{
    struct run o = {.name = NULL};
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.name, "ENV", "the environment (default: the active one)"},
        {'s', "script", OPTION_FLAG, &o.script, NULL, "CMD is a Python file, whatever its name"},
        {'p', "python", OPTION_STRING, &o.options.python, "PY",
         "a script's interpreter: a path, 3.11, >=3.10\n"
         "(default: .python-version, else python3, else one\nthat requires-python admits)"},
        {'w', "with", OPTION_WORDS, &o.options.with, "PKG", "a script needs this, too; repeatable"},
        {0, "refresh", OPTION_FLAG, &o.options.refresh, NULL,
         "resolve what the script asks for again"},
        {0, "offline", OPTION_FLAG, &o.options.offline, NULL, "start no download"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words command = {0};
    int r = options_parse(&help, specs, argc, argv, &command);
    if (r == OPTIONS_GO)
        r = run(&o, &command);
    words_release(&o.options.with);
    return r;
}
