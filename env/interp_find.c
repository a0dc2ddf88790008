#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "env/envs.h"
#include "env/interp.h"
#include "env/interp_candidates.h"
#include "env/pyenv.h"
#include "env/pyversion.h"
#include "env/version_file.h"

/* One search: what was asked, by whom, and where. */
struct search {
    const struct home *home;
    const char *start;    /* folder for shims, or NULL */
    const char *origin;   /* the file or variable that asked, or NULL */
    struct verror broken; /* why the first candidate that might have fitted was left out */
};

static bool is_threaded_build(const struct interp *in)
{
    size_t n = strlen(in->target.python_dir);
    return n && in->target.python_dir[n - 1] == 't';
}

static bool fits(const struct pyspec *spec, const struct interp *in)
{
    struct pyversion v = {.part = {in->major, in->minor, in->micro}, .n = PYVERSION_PARTS};
    const char *machine = json_string_value(json_object_get(in->markers, "platform_machine"));
    return pyspec_admits(spec, &v) && is_threaded_build(in) == spec->threaded &&
           (!spec->bits || spec->bits == (in->is_64bit ? 64 : 32)) &&
           (!spec->machine[0] || (machine && strcmp(machine, spec->machine) == 0));
}

/* ---- what to say when there is none ---- */

static void list_versions(struct search *s, struct strbuf *sb)
{
    struct candidates c;
    struct pyversion last = {.part = {UINT32_MAX}, .n = 1};
    candidates_collect(s->home, s->start, NULL, &c);
    for (;;) { /* a handful of versions: each round takes the next older one */
        const struct pyversion *best = NULL;
        for (size_t i = 0; i < c.n; i++) {
            const struct pyversion *v = &c.list[i].hint;
            if (v->n >= 2 && v->part[0] >= 3 && pyversion_cmp(v, &last) < 0 &&
                (!best || pyversion_cmp(v, best) > 0))
                best = v;
        }
        if (!best)
            break;
        strbuf_addf(sb, "%s%u.%u", sb->len ? ", " : "", best->part[0], best->part[1]);
        if (best->n == PYVERSION_PARTS)
            strbuf_addf(sb, ".%u", best->part[2]);
        last = *best;
    }
    candidates_release(&c);
}

/* May something be installed that venvfs would take? It takes CPython from 3.6 on. */
static bool is_served(const struct pyspec *spec)
{
    enum { MAJOR = 3, OLDEST_MINOR = 6 };
    const struct pyversion *v = &spec->version;
    return spec->kind != PYSPEC_VERSION ||
           (v->part[0] == MAJOR && (v->n == 1 || v->part[1] >= OLDEST_MINOR));
}

static void hint_install(const struct pyspec *spec, struct verror *err)
{
    if (!is_served(spec)) {
        verror_hint(err, "venvfs works with CPython 3.6 and newer; venvfs python list shows what "
                         "there is");
        return;
    }
    _cleanup_free_ char *pyenv = proc_which("pyenv");
    _cleanup_free_ char *uv = proc_which("uv");
    bool is_version = spec->kind == PYSPEC_VERSION;
    const char *version = is_version ? spec->text : "3";
    version += strcspn(version, "0123456789");
    if (pyenv && is_version)
        verror_hint(err, "pyenv install %s", version);
    else if (uv && spec->kind != PYSPEC_NAME)
        verror_hint(err, "uv python install '%s'", is_version ? version : spec->text);
    else if (is_version && spec->version.n == 2)
        verror_hint(err,
                    "install it with your system's packages (apt install python%s "
                    "python%s-venv), pyenv or uv",
                    version, version);
    else
        verror_hint(err, "install one with your system's packages (apt install python3 "
                         "python3-venv), pyenv or uv");
}

static int not_found(struct search *s, const struct pyspec *spec, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf message = STRBUF_INIT, versions = STRBUF_INIT;
    if (spec->kind == PYSPEC_ANY)
        strbuf_addstr(&message, "no Python was found");
    else
        strbuf_addf(&message, "no Python \"%s\" was found", spec->text);
    if (s->origin)
        strbuf_addf(&message, " (%s asks for it)", s->origin);
    list_versions(s, &versions);
    if (versions.len)
        strbuf_addf(&message, "; there are %s", versions.buf);
    if (s->broken.message)
        strbuf_addf(&message, "; left out: %s", s->broken.message);
    verror_set(err, ENOENT, "%s", message.buf);
    if (s->broken.hint)
        verror_hint(err, "%s", s->broken.hint);
    else
        hint_install(spec, err);
    return -ENOENT;
}

/* ---- searching ---- */

/* Loads a candidate; 0 when it is what was asked for. */
static int try_one(struct search *s, const struct pyspec *spec, const char *path,
                   struct interp **ret)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct interp *in = NULL;
    int r = interp_load(s->home, path, &in, &why);
    if (r < 0) {
        if (!s->broken.message)
            verror_move(&s->broken, &why);
        return r;
    }
    if (!fits(spec, in)) {
        interp_free(in);
        return -ENOENT;
    }
    *ret = in;
    return 0;
}

static int by_version(struct search *s, const struct pyspec *spec, struct interp **ret,
                      struct verror *err)
{
    struct candidates c;
    bool found = false;
    candidates_collect(s->home, s->start, spec, &c);
    for (size_t i = 0; i < c.n && !found; i++)
        if (!c.list[i].hint.n || pyspec_admits(spec, &c.list[i].hint))
            found = try_one(s, spec, c.list[i].path, ret) == 0;
    candidates_release(&c);
    return found ? 0 : not_found(s, spec, err);
}

/* The cheap half of any search for "a Python": PATH's python3, and python, without a list. */
static int first_on_path(struct search *s, const struct pyspec *spec, bool shims,
                         struct interp **ret)
{
    static const char *const names[] = {"python3", "python"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *path = shims ? proc_which(names[i]) : pyenv_system(names[i]);
        _cleanup_free_ char *found = path;
        char *behind = NULL;
        if (found && pyenv_is_shim(found) && pyenv_which(names[i], s->start, &behind, NULL) == 0) {
            free(found);
            found = behind;
        }
        if (found && try_one(s, spec, found, ret) == 0)
            return 0;
    }
    return -ENOENT;
}

/* The folder of the version that a word means, or the interpreter of the environment. malloc'ed, or
 * NULL. */
static char *version_place(const struct search *s, const char *word)
{
    _cleanup_free_ char *root = pyenv_root();
    _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
    struct env *env = NULL;
    size_t n_packages;
    if (!root || !pyenv_version_find(root, word, &version) || version.kind == PYENV_SYSTEM)
        return NULL;
    if (version.kind != PYENV_ENVIRONMENT)
        return steal_ptr(version.prefix);
    if (env_glance(s->home, version.name, &env, &n_packages, NULL) < 0)
        return NULL;
    const char *executable = env->manifest->executable; /* NULL: nobody has read it yet */
    char *place = executable ? xstrdup(executable) : NULL;
    env_free(env);
    return place;
}

static int by_name(struct search *s, const struct pyspec *spec, struct interp **ret,
                   struct verror *err)
{
    _cleanup_free_ char *program = proc_which(spec->text);
    if (program)
        return interp_load(s->home, program, ret, err);
    _cleanup_free_ char *place = version_place(s, spec->text);
    if (place)
        return interp_load(s->home, place, ret, err);
    return not_found(s, spec, err);
}

static int by_spec(struct search *s, const char *text, struct interp **ret, struct verror *err)
{
    struct pyspec spec = pyspec_parse(text);
    switch (spec.kind) {
    case PYSPEC_PATH:
        return interp_load(s->home, text, ret, err);
    case PYSPEC_NAME:
        return by_name(s, &spec, ret, err);
    case PYSPEC_FOREIGN:
        return verror_set(err, ENOEXEC, "\"%s\"%s%s: venvfs supports CPython", text,
                          s->origin ? " in " : "", s->origin ? s->origin : "");
    case PYSPEC_SYSTEM:
        if (first_on_path(s, &spec, false, ret) == 0)
            return 0;
        return not_found(s, &spec, err);
    case PYSPEC_ANY:
    case PYSPEC_RANGE:
        if (first_on_path(s, &spec, true, ret) == 0)
            return 0;
        break;
    case PYSPEC_VERSION:
        break;
    }
    return by_version(s, &spec, ret, err);
}

static bool may_name_a_version(const struct pyspec *spec)
{
    return spec->kind == PYSPEC_VERSION || spec->kind == PYSPEC_NAME || spec->kind == PYSPEC_PATH;
}

/* A word of .python-version: pyenv's own versions come first, as pyenv would have it. */
static int by_word(struct search *s, const char *word, struct interp **ret, struct verror *err)
{
    struct pyspec spec = pyspec_parse(word);
    _cleanup_free_ char *place = may_name_a_version(&spec) ? version_place(s, word) : NULL;
    if (place && interp_load(s->home, place, ret, NULL) == 0)
        return 0;
    if (spec.kind == PYSPEC_PATH) /* of a file that came with a project: never its own program */
        return not_found(s, &spec, err);
    return by_spec(s, word, ret, err);
}

static int by_words(struct search *s, char *const *words, struct interp **ret, struct verror *err)
{
    for (size_t i = 0; words[i]; i++) {
        _cleanup_verror_ struct verror why = VERROR_INIT;
        int r = by_word(s, words[i], ret, &why);
        if (r == 0)
            return 0;
        if (!words[i + 1]) { /* the first that matches counts; the last explains */
            verror_move(err, &why);
            return r;
        }
    }
    return by_spec(s, "python3", ret, err);
}

/* PYENV_VERSION, then .python-version, then whatever PATH says. */
static int by_default(struct search *s, const char *start, struct interp **ret, struct verror *err)
{
    struct version_file words = {0};
    if (!start)
        return by_spec(s, "python3", ret, err);
    if (version_words_from_environment(&words))
        s->origin = "PYENV_VERSION";
    else if (version_file_find(start, &words, NULL) < 0)
        return by_spec(s, "python3", ret, err);
    else
        s->origin = words.path;
    int r = by_words(s, words.words, ret, err);
    version_file_release(&words);
    return r;
}

int interp_find(const struct home *home, const char *spec, const char *start, struct interp **ret,
                struct verror *err)
{
    struct search s = {.home = home, .start = start};
    int r = spec ? by_spec(&s, spec, ret, err) : by_default(&s, start, ret, err);
    verror_release(&s.broken);
    return r;
}

bool interp_is(const struct interp *interp, const char *text)
{
    struct pyspec spec = pyspec_parse(text);
    char real[PATH_MAX];
    switch (spec.kind) {
    case PYSPEC_PATH:
        return realpath(text, real) && strcmp(real, interp->base_executable) == 0;
    case PYSPEC_NAME:
        return strcmp(path_basename(interp->executable), text) == 0;
    case PYSPEC_FOREIGN:
        return false;
    case PYSPEC_ANY:
    case PYSPEC_SYSTEM:
        return true;
    case PYSPEC_VERSION:
    case PYSPEC_RANGE:
        break;
    }
    return fits(&spec, interp);
}

/* ---- all ---- */

static int newest_first(const void *va, const void *vb)
{
    const struct interp *a = *(struct interp *const *)va, *b = *(struct interp *const *)vb;
    struct pyversion x = {.part = {a->major, a->minor, a->micro}, .n = PYVERSION_PARTS};
    struct pyversion y = {.part = {b->major, b->minor, b->micro}, .n = PYVERSION_PARTS};
    int c = pyversion_cmp(&y, &x);
    return c ? c : strcmp(a->base_executable, b->base_executable);
}

static bool is_listed(struct interp *const *list, size_t n, const struct interp *in)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i]->base_executable, in->base_executable) == 0)
            return true;
    return false;
}

int interp_list(const struct home *home, struct interp ***ret, size_t *n, struct verror *err)
{
    (void)err;
    struct candidates c;
    const struct pyversion oldest = {.part = {3, 6, 0}, .n = 2};
    candidates_collect(home, NULL, NULL, &c);
    struct interp **list = xcalloc(c.n + 1, sizeof(struct interp *));
    size_t count = 0;
    for (size_t i = 0; i < c.n; i++) {
        struct interp *in = NULL;
        if (c.list[i].hint.n && pyversion_cmp(&c.list[i].hint, &oldest) < 0)
            continue; /* not even asked */
        if (interp_load(home, c.list[i].path, &in, NULL) < 0)
            continue;
        if (is_listed(list, count, in))
            interp_free(in);
        else
            list[count++] = in;
    }
    candidates_release(&c);
    qsort(list, count, sizeof(struct interp *), newest_first);
    *ret = list;
    *n = count;
    return 0;
}

void interp_list_free(struct interp **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        interp_free(list[i]);
    free(list);
}
