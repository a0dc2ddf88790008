/* tool run: a program of a package, in an environment made for it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/enter.h"
#include "cli/print.h"
#include "cli/throwaway.h"
#include "env/pyversion.h"

static const struct command_help run_help = {
    .name = "tool run",
    .synopsis = "[--from PKG] [--with PKG]... [-p PY] [--refresh] TOOL[@VERSION] [ARG]...",
    .about =
        "Runs a program of a package in an environment made for it, which is kept for the next\n"
        "time. TOOL is the program and the package that has it, unless --from names the package.\n"
        "TOOL@VERSION asks for a version, TOOL@latest resolves again, and so does --refresh; what\n"
        "was resolved once stays so otherwise. The active environment stays active for the\n"
        "program. The exit code is the program's own. venvfsx is short for venvfs tool run.",
    .stop_at_operand = true,
    .min = 1,
    .max = OPERANDS_ANY,
};

struct tool {
    const char *from, *python;
    struct words with;
    bool refresh, offline;
    /* What the words mean: */
    char *program;
    struct words requirements; /* malloc'ed */
    char *spec;                /* of the interpreter, or NULL */
    bool changes;
};

static void tool_release(struct tool *t)
{
    for (size_t i = 0; i < t->requirements.n; i++)
        free((char *)(uintptr_t)t->requirements.v[i]);
    words_release(&t->requirements);
    words_release(&t->with);
    free(t->program);
    free(t->spec);
}

/* ---- the words ---- */

/* How much of a requirement is the distribution's name. */
static size_t name_length(const char *word)
{
    size_t len = 0;
    while (isalnum((unsigned char)word[len]) || (word[len] && strchr("._-", word[len])))
        len++;
    return len;
}

/* NAME[EXTRAS]@VERSION; NULL: none, and a URL's @ is none. */
static const char *version_mark(const char *word)
{
    size_t len = name_length(word);
    if (word[len] == '[')
        len += strcspn(word + len, "]") + 1;
    return len && strlen(word) > len && word[len] == '@' ? word + len : NULL;
}

static int add_requirement(struct tool *t, const char *word, struct verror *err)
{
    const char *mark = version_mark(word);
    _cleanup_free_ char *pinned = NULL;
    char *requirement;
    if (mark && strcmp(mark, "@latest") == 0) {
        t->refresh = true;
        pinned = xstrndup(word, (size_t)(mark - word));
    } else if (mark) {
        pinned = xasprintf("%.*s==%s", (int)(mark - word), word, mark + 1);
    }
    int r = throwaway_requirement(pinned ? pinned : word, &requirement, &t->changes, err);
    if (r == 0)
        words_add(&t->requirements, requirement);
    return r;
}

/* "python", "python3.12", "python@3.12": the interpreter itself, with what --with asks for. */
static bool is_python(struct tool *t, const char *word)
{
    size_t len = strcspn(word, "@");
    _cleanup_free_ char *name = xstrndup(word, len);
    struct pyspec spec = pyspec_parse(name);
    if (strncmp(name, "python", 6) != 0 || (spec.kind != PYSPEC_ANY && spec.kind != PYSPEC_VERSION))
        return false;
    t->program = xstrdup("python");
    if (!t->spec && word[len] == '@' && strcmp(word + len, "@latest") != 0)
        t->spec = xstrdup(word + len + 1);
    else if (!t->spec && spec.kind == PYSPEC_VERSION)
        t->spec = xstrdup(name);
    return true;
}

static int understand(struct tool *t, const char *word, struct verror *err)
{
    int r = 0;
    bool path = t->python && strchr(t->python, '/');
    t->spec = path ? path_absolute(t->python) : t->python ? xstrdup(t->python) : NULL;
    if (t->from) {
        t->program = xstrdup(word);
        r = add_requirement(t, t->from, err);
    } else if (!is_python(t, word)) {
        size_t len = name_length(word);
        if (!len || (word[len] && !strchr("@[<>=!~; ", word[len])) || strstr(word, "://")) {
            verror_set(err, EINVAL, "\"%s\" does not say which program to run", word);
            return verror_hint(err, "venvfs tool run --from %s PROGRAM", word);
        }
        t->program = xstrndup(word, len);
        r = add_requirement(t, word, err);
    }
    for (size_t i = 0; r == 0 && i < t->with.n; i++)
        r = add_requirement(t, t->with.v[i], err);
    return r;
}

/* ---- its environment ---- */

static void key_of(const struct tool *t, struct sha256 *ret)
{
    struct sha256_state *st = throwaway_key_begin("tool");
    throwaway_key_add(st, t->spec);
    for (size_t i = 0; i < t->requirements.n; i++)
        throwaway_key_add(st, t->requirements.v[i]);
    sha256_end(st, ret);
}

static int find_env(struct session *s, const struct tool *t, struct env **ret, struct verror *err)
{
    struct sha256 key;
    key_of(t, &key);
    int r = t->refresh || t->changes ? -ENOENT : throwaway_recall(s, &key, ret, err);
    if (r != -ENOENT)
        return r;
    _cleanup_free_ char *reason = xasprintf("tool run %s", t->program);
    struct throwaway_needs needs = {
        .reason = reason,
        .requirements = t->requirements.v,
        .n_requirements = t->requirements.n,
        .offline = t->offline,
        .refresh = t->refresh,
    };
    r = interp_find(&s->home, t->spec, NULL, &needs.interp, err);
    return r < 0 ? r : throwaway_make(s, &key, &needs, !t->changes, ret, err);
}

/* ---- its program ---- */

/* Every environment has these. */
static bool is_own(const char *name)
{
    static const char *const starts[] = {".", "python", "activate", "Activate", NULL};
    for (size_t i = 0; starts[i]; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int no_program(const struct tool *t, const char *bin, struct verror *err)
{
    enum { MOST = 12 };
    const char *package = t->from ? t->from : t->requirements.n ? t->requirements.v[0] : "Python";
    _cleanup_words_ struct words found = {0};
    _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;
    DIR *dir = opendir(bin);
    for (const struct dirent *de; dir && (de = readdir(dir));)
        if (!is_own(de->d_name))
            words_add(&found, xstrdup(de->d_name));
    if (dir)
        closedir(dir);
    if (found.n)
        qsort(found.v, found.n, sizeof(*found.v), by_text);
    for (size_t i = 0; i < found.n && i < MOST; i++)
        strbuf_addf(&list, "%s%s", i ? ", " : "", found.v[i]);
    verror_set(err, ENOENT, "%s has no program %s; %s%s%s", package, t->program,
               found.n ? "it and what it needs have " : "it has none", list.buf,
               found.n > MOST ? ", ..." : "");
    if (found.n) {
        _cleanup_free_ char *word = print_word(package);
        verror_hint(err, "venvfs tool run --from %s %s", word,
                    found.n == 1 ? found.v[0] : "PROGRAM");
    }
    for (size_t i = 0; i < found.n; i++)
        free((char *)(uintptr_t)found.v[i]);
    return -ENOENT;
}

static int run(struct tool *t, const struct words *command)
{
    _cleanup_words_ struct words argv = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    _cleanup_free_ char *address = NULL, *program = NULL, *bin = NULL;
    struct env *env = NULL;
    int r = understand(t, command->v[0], &err);
    if (r == -EINVAL)
        return print_error(&err), EXIT_USAGE;
    if (r == 0)
        r = session_open(&s, &err);
    if (r == 0)
        r = find_env(&s, t, &env, &err);
    if (r == 0)
        r = enter_show(&s, &env, &address, &err);
    if (r == 0) {
        bin = path_join(address, "bin");
        program = path_join(bin, t->program);
        r = access(program, X_OK) == 0 ? 0 : no_program(t, bin, &err);
    }
    env_free(env);
    if (r < 0)
        return print_error(&err);
    enter_path(address);
    words_add(&argv, program);
    for (size_t i = 1; i < command->n; i++)
        words_add(&argv, command->v[i]);
    return enter_execute(&argv);
}

static int cmd_tool_run(int argc, char **argv)
{
    struct tool t = {.from = NULL};
    const struct option_spec specs[] = {
        {0, "from", OPTION_STRING, &t.from, "PKG", "the package that has the program"},
        {'w', "with", OPTION_WORDS, &t.with, "PKG", "install this, too; repeatable"},
        {'p', "python", OPTION_STRING, &t.python, "PY",
         "interpreter: a path, 3.11, python3.12, >=3.10\n(default: python3)"},
        {0, "refresh", OPTION_FLAG, &t.refresh, NULL, "resolve again"},
        {0, "offline", OPTION_FLAG, &t.offline, NULL, "start no download"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words command = {0};
    int r = options_parse(&run_help, specs, argc, argv, &command);
    if (r == OPTIONS_GO)
        r = run(&t, &command);
    tool_release(&t);
    return r;
}

static const struct command tool_commands[] = {
    {"run", "run a program of a package without installing it", cmd_tool_run, false},
};

int cmd_tool(int argc, char **argv)
{
    return commands_group("tool", "Programs of packages, each in an environment made for it.",
                          tool_commands, ARRAY_SIZE(tool_commands), argc, argv);
}

int cmd_venvfsx(int argc, char **argv)
{
    return cmd_tool_run(argc, argv);
}
