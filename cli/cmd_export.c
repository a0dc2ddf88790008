#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/export.h"
#include "cli/options.h"
#include "cli/point.h"
#include "cli/print.h"
#include "cli/settle.h"

static const struct command_help help = {
    .name = "export",
    .synopsis = "[ENV | -n ENV] [--format requirements|pylock|json] [--all] [-o FILE]",
    .about =
        "Writes down the packages of an environment: as requirements with hashes, as pylock.toml\n"
        "(PEP 751) or as JSON. create -r and sync -r make the same of the first two. What pip\n"
        "was seeded with is left out, and so are edits. What pip installed inside is committed\n"
        "first.",
    .max = 1,
};

struct export
{
    const char *env, *format, *output;
    bool all;
};

static int write_text(const struct export *o, const struct strbuf *text, struct verror *err)
{
    if (!o->output) {
        fwrite(text->buf, 1, text->len, stdout);
        return 0;
    }
    int r = io_write_file_atomic(o->output, text->buf, text->len, 0644, false);
    return r < 0 ? verror_errno(err, r, "writing %s", o->output) : 0;
}

static void tell(const struct export *o, const struct env *env, enum export_format format,
                 const char *unhashed)
{
    _cleanup_free_ char *upper = env_upper(env), *word = print_word(env->name);
    if (unhashed) {
        print_warning("no hashes are written: %s, and pip takes hashes of all or none", unhashed);
        print_hint("--format pylock keeps those there are");
    }
    if (format == EXPORT_PYLOCK && o->output && !export_is_pylock_name(o->output))
        print_warning("%s: tools know such a file by the name pylock.toml or pylock.NAME.toml",
                      o->output);
    if (edits_any(upper))
        print_note("files that are the environment's own are not part of it (venvfs diff %s)",
                   word);
}

/* What pip has installed inside belongs to it. */
static int open_settled(struct session *s, const char *name, struct env **ret, struct verror *err)
{
    _cleanup_settled_ struct settled done = {.before = NULL};
    const struct settle_options options = {.due = true, .quiet = print_quiet()};
    int r = env_open(&s->home, name, false, true, ret, err);
    if (r < 0 || !settle_pending(&s->home, *ret))
        return r;
    env_free(*ret);
    r = session_env_named(s, name, ret, err);
    if (r == 0)
        r = settle_env(s, *ret, &options, &done, err);
    if (r == 0)
        settled_tell(*ret, &done);
    return r;
}

static int run(struct session *s, const struct export *o, const char *word,
               enum export_format format, struct verror *err)
{
    _cleanup_free_ char *name = NULL, *unhashed = NULL;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct env *env = NULL;
    int r = word ? session_select_word(s, word, &name, err) : session_select(s, o->env, &name, err);
    if (r == 0)
        r = open_settled(s, name, &env, err);
    if (r == 0)
        r = export_text(s, env, format, o->all, &text, &unhashed, err);
    if (r == 0)
        r = write_text(o, &text, err);
    if (r == 0)
        tell(o, env, format, unhashed);
    env_free(env);
    return r;
}

int cmd_export(int argc, char **argv)
{
    struct export o = {.env = NULL};
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.env, "ENV", "the environment (default: the active one)"},
        {0, "format", OPTION_STRING, &o.format, "FORMAT",
         "requirements, pylock or json\n(default: what FILE's name says, else requirements)"},
        {0, "all", OPTION_FLAG, &o.all, NULL, "also pip and setuptools, where they were seeded"},
        {'o', "output", OPTION_STRING, &o.output, "FILE", "write there (default: standard output)"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    enum export_format format = o.output ? export_format_of_file(o.output) : EXPORT_REQUIREMENTS;
    if (o.format && !export_format_named(o.format, &format))
        return print_usage_error("export", "--format is requirements, pylock or json, not \"%s\"",
                                 o.format);
    if (operands.n && o.env)
        return print_usage_error("export", "name one environment, with -n or without");
    r = session_open(&s, &err);
    if (r == 0)
        r = run(&s, &o, operands.n ? operands.v[0] : NULL, format, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
