/* versions, latest, prefix, root, whence: what there is. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"
#include "cli/pyenv_plugins.h"

static const char *const pythons[] = {"python", "python3", "python2"};

static char *system_python(void)
{
    char *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(pythons) && !found; i++)
        found = pyenv_system(pythons[i]);
    return found;
}

/* ---- versions ---- */

struct listing {
    bool bare, json, skip_aliases, skip_envs, executables;
};

static bool is_listed(const struct front *f, const struct listing *l, const struct pyenv_version *v)
{
    if (l->skip_envs && (v->kind == PYENV_VIRTUALENV || v->kind == PYENV_ENVIRONMENT))
        return false;
    return !l->skip_aliases ||
           (v->kind != PYENV_ENVIRONMENT && !pyenv_version_is_alias(f->root, v));
}

/* Is it one of the names with ':' between? */
static bool is_selected(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; *p; p += *p == ':') {
        size_t len = strcspn(p, ":");
        if (len == n && memcmp(p, name, n) == 0)
            return true;
        p += len;
    }
    return false;
}

static void print_version(const struct pyenv_version *v, const char *origin)
{
    front_line("%s%s%s%s%s%s%s", origin ? "* " : "  ", v->name, v->target ? " --> " : "",
               v->target ? v->target : "", origin ? " (set by " : "", origin ? origin : "",
               origin ? ")" : "");
}

static const char *kind_name(enum pyenv_kind kind)
{
    static const char *const names[] = {[PYENV_INSTALLED] = "pyenv",
                                        [PYENV_VIRTUALENV] = "pyenv-virtualenv",
                                        [PYENV_UV] = "uv",
                                        [PYENV_ENVIRONMENT] = "environment",
                                        [PYENV_SYSTEM] = "system"};
    return names[kind];
}

static json_t *facts_of(const struct pyenv_version *v, const char *names)
{
    return json_pack("{s:s, s:s, s:s?, s:b}", "name", v->name, "kind", kind_name(v->kind), "prefix",
                     v->prefix, "selected", is_selected(names, v->name));
}

static int print_all(const struct front *f, const struct listing *l,
                     const struct pyenv_versions *list)
{
    _cleanup_version_file_ struct version_file file = {0};
    _cleanup_free_ char *names = NULL, *python = system_python();
    struct pyenv_version system = {.kind = PYENV_SYSTEM, .name = (char[]){"system"}};
    json_t *array = l->json ? json_array() : NULL;
    size_t n = 0;
    int code = front_selected(f, &file);
    if (code == EXIT_DONE) /* what is selected and not there is told, and the list goes on */
        (void)front_names(f, &file, false, &names);
    for (size_t i = 0; i <= list->n && code == EXIT_DONE; i++) {
        const struct pyenv_version *v = i ? &list->v[i - 1] : &system;
        if (i ? !is_listed(f, l, v) : !python)
            continue;
        n++;
        if (l->json)
            json_array_append_new(array, facts_of(v, names));
        else
            print_version(v, is_selected(names, v->name) ? pyenv_origin(&file) : NULL);
    }
    if (code == EXIT_DONE && l->json)
        print_json(json_pack("{s:O, s:s}", "versions", array, "origin", pyenv_origin(&file)));
    json_decref(array);
    if (code == EXIT_DONE && !n) {
        fputs("Warning: no Python detected on the system\n", stderr);
        code = EXIT_FAILED;
    }
    return code;
}

static bool read_listing(int argc, char **argv, struct listing *l)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--bare", &l->bare},
                 {"--json", &l->json},
                 {"--skip-aliases", &l->skip_aliases},
                 {"--skip-envs", &l->skip_envs},
                 {"--executables", &l->executables}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < ARRAY_SIZE(flags) && strcmp(flags[k].name, argv[i]) != 0)
            k++;
        if (k == ARRAY_SIZE(flags))
            return false;
        *flags[k].flag = true;
    }
    return true;
}

int pyenv_versions_cmd(const struct front *f, int argc, char **argv)
{
    struct listing l = {0};
    if (!read_listing(argc, argv, &l))
        return front_usage(f);
    if (l.executables)
        return pyenv_print_executables(f);
    _cleanup_pyenv_versions_ struct pyenv_versions list = {0};
    pyenv_versions_list(f->root, &list);
    if (!l.bare)
        return print_all(f, &l, &list);
    for (size_t i = 0; i < list.n; i++)
        if (is_listed(f, &l, &list.v[i]))
            front_line("%s", list.v[i].name);
    return EXIT_DONE;
}

/* ---- latest ---- */

/* What python-build knows, one a line. */
static char *known_versions(const struct front *f)
{
    _cleanup_free_ char *build = pyenv_plugin_program(f, "python-build");
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct strbuf text = STRBUF_INIT;
    const char *const argv[] = {build, "--definitions", NULL};
    const struct proc_options options = {.output = &text};
    int status;
    if (!build) {
        front_fail("python-build is not there, which knows what can be installed");
        return NULL;
    }
    if (proc_run(argv, &options, &status, &err) < 0 || status != 0) {
        err.message ? front_error(&err) : front_fail("%s failed (exit %d)", build, status);
        strbuf_release(&text);
        return NULL;
    }
    return strbuf_detach(&text, NULL);
}

static char *newest_known(const char *prefix, char *text)
{
    const char **names = NULL, *best = NULL;
    size_t n = 0, alloc = 0;
    for (char *line; (line = strsep(&text, "\n"));) {
        names = xgrow(names, &alloc, n + 1, sizeof(*names));
        names[n++] = line;
        if (strcmp(line, prefix) == 0)
            best = line;
    }
    if (!best)
        best = pyenv_newest(prefix, names, n);
    free(names);
    return best ? xstrdup(best) : NULL;
}

/* An installation; environments have no prefixes that mean them. */
static char *newest_installed(const struct front *f, const char *prefix)
{
    _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
    if (!pyenv_version_find(f->root, prefix, &version) ||
        (version.kind != PYENV_INSTALLED && version.kind != PYENV_UV))
        return NULL;
    if (front_without_python(prefix) != prefix &&
        front_without_python(version.name) == version.name)
        return NULL; /* here "python-" is part of the prefix, as pyenv has it */
    return steal_ptr(version.name);
}

int pyenv_latest(const struct front *f, int argc, char **argv)
{
    bool known = false, bypass = false, force = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-k") == 0 || strcmp(argv[i], "--known") == 0)
            known = true;
        else if (strcmp(argv[i], "-b") == 0 || strcmp(argv[i], "--bypass") == 0)
            bypass = true;
        else if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--force") == 0)
            force = bypass = true;
        else
            return front_usage(f);
    }
    if (i + 1 != argc)
        return front_usage(f);
    _cleanup_free_ char *text = known ? known_versions(f) : NULL;
    _cleanup_free_ char *found = NULL;
    if (known && !text)
        return EXIT_FAILED;
    found = known ? newest_known(argv[i], text) : newest_installed(f, argv[i]);
    if (found || bypass)
        front_line("%s", found ? found : argv[i]);
    else
        front_fail("no %s versions match the prefix `%s'", known ? "known" : "installed", argv[i]);
    return found || force ? EXIT_DONE : EXIT_FAILED;
}

/* ---- prefix ---- */

/* PATH's Python; a plugin's pyenv-which that PATH has before this front is asked, as it would be
 * in pyenv. */
static char *system_python_asked(const struct front *f)
{
    _cleanup_free_ char *which = f->is_pyenv ? pyenv_override("pyenv-which") : NULL;
    static const char *const set[] = {"PYENV_VERSION=system", NULL};
    for (size_t i = 0; which && i < ARRAY_SIZE(pythons); i++) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, errors = STRBUF_INIT;
        const char *const argv[] = {which, pythons[i], "--skip-advice", NULL};
        const struct proc_options options = {.set = set, .output = &out, .diagnostics = &errors};
        int status;
        if (proc_run(argv, &options, &status, NULL) == 0 && status == 0 && out.len > 1) {
            out.buf[strcspn(out.buf, "\n")] = '\0';
            return xstrdup(out.buf);
        }
    }
    return which ? NULL : system_python();
}

/* Above bin/, or sbin/ (Arch). */
static char *system_prefix(const struct front *f)
{
    _cleanup_free_ char *python = system_python_asked(f);
    if (!python) {
        front_fail("system version not found in PATH");
        return NULL;
    }
    _cleanup_free_ char *bin = path_dirname(python);
    const char *name = path_basename(bin);
    if (strcmp(name, "bin") == 0 || strcmp(name, "sbin") == 0)
        return path_dirname(bin);
    return steal_ptr(bin);
}

char *front_prefix(const struct front *f, const char *word)
{
    _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
    if (!pyenv_version_find(f->root, word, &version)) {
        front_fail("version `%s' not installed", word);
        front_hint_install(f, word);
        return NULL;
    }
    return version.kind == PYENV_SYSTEM ? system_prefix(f) : steal_ptr(version.prefix);
}

int pyenv_prefix(const struct front *f, int argc, char **argv)
{
    _cleanup_strbuf_ struct strbuf prefixes = STRBUF_INIT;
    _cleanup_free_ char *names = NULL;
    if (argc > 1 && argv[1][0] == '-')
        return front_usage(f);
    if (argc > 1 && *argv[1]) {
        struct strbuf joined = STRBUF_INIT;
        for (int i = 1; i < argc; i++)
            strbuf_addf(&joined, "%s%s", i > 1 ? ":" : "", argv[i]);
        names = strbuf_detach(&joined, NULL);
    } else if (getenv("PYENV_VERSION") && *getenv("PYENV_VERSION")) {
        names = xstrdup(getenv("PYENV_VERSION"));
    } else {
        int code = front_selected_names(f, false, &names);
        if (code != EXIT_DONE)
            return code;
    }
    for (char *rest = names, *name; (name = strsep(&rest, ":"));) {
        _cleanup_free_ char *prefix = *name ? front_prefix(f, name) : NULL;
        if (*name && !prefix)
            return EXIT_FAILED;
        if (prefix)
            strbuf_addf(&prefixes, "%s%s", prefixes.len ? ":" : "", prefix);
    }
    front_line("%s", prefixes.buf);
    return EXIT_DONE;
}

int pyenv_root_cmd(const struct front *f, int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return front_usage(f);
    front_line("%s", f->root);
    return EXIT_DONE;
}

/* ---- whence ---- */

int pyenv_whence(const struct front *f, int argc, char **argv)
{
    bool paths = argc > 1 && strcmp(argv[1], "--path") == 0, found = false;
    if (argc != 2 + paths || !*argv[1 + paths])
        return front_usage(f);
    _cleanup_pyenv_versions_ struct pyenv_versions list = {0};
    pyenv_versions_list(f->root, &list);
    for (size_t i = 0; i < list.n; i++) {
        _cleanup_free_ char *program = pyenv_program_in(&list.v[i], argv[1 + paths]);
        if (!program)
            continue;
        found = true;
        front_line("%s", paths ? program : list.v[i].name);
    }
    return found ? EXIT_DONE : EXIT_FAILED;
}
