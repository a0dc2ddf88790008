#include "env/interp_candidates.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/interp_facts.h"
#include "env/pyenv.h"
#include "env/uv_python.h"

enum { OLDEST_MINOR = 6, NEWEST_MINOR = 30 }; /* of "python3.N" looked for by name */

static bool is_program(const char *path)
{
    struct stat st;
    return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* "python3.11" -> 3.11; a bare "python3" says too little to be a hint. */
static struct pyversion version_in_name(const char *path)
{
    struct pyversion v = {.n = 0};
    const char *name = path_basename(path);
    if (strncmp(name, "python", 6) == 0 && pyversion_parse(name + 6, &v) && v.n < 2)
        v.n = 0;
    return v;
}

struct collector {
    struct candidates found;
    const struct home *home;
    const char *start;
    const struct pyspec *spec; /* NULL: everything */
    bool on_path;              /* PATH is being looked at */
};

/* What a name says is enough to leave it out before the file is looked at. */
static bool is_wanted(const struct collector *k, const struct pyversion *hint)
{
    return !k->spec || !hint->n || pyspec_admits(k->spec, hint);
}

/* What follows the version in a folder's name: "3.14.0rc1", "3.14-dev". */
static bool is_unfinished(const char *rest)
{
    static const char *const marks[] = {"a", "b", "rc", "-dev", "-src", "-latest"};
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (strncmp(rest, marks[i], strlen(marks[i])) == 0)
            return true;
    return false;
}

static void add(struct collector *k, const char *path, const struct pyversion *hint,
                bool unfinished)
{
    struct candidates *c = &k->found;
    char real[PATH_MAX];
    if (!is_program(path) || !realpath(path, real))
        return;
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->list[i].real, real) == 0)
            return;
    struct candidate one = {.on_path = k->on_path, .unfinished = unfinished};
    one.hint = hint && hint->n ? *hint : version_in_name(real);
    if (!one.hint.n) {
        _cleanup_free_ char *known = interp_facts_version(k->home, real);
        (void)pyversion_parse(known ? known : "", &one.hint);
    }
    one.path = path_absolute(path);
    one.real = xstrdup(real);
    if (!one.path)
        one.path = xstrdup(real);
    c->list = xgrow(c->list, &c->alloc, c->n + 1, sizeof(*c->list));
    c->list[c->n++] = one;
}

static void add_program(struct collector *k, const char *dir, const char *name)
{
    struct pyversion said = version_in_name(name);
    if (!is_wanted(k, &said))
        return;
    _cleanup_free_ char *path = path_join(dir, name);
    if (!is_program(path))
        return;
    if (!pyenv_is_shim(path)) {
        add(k, path, NULL, false);
        return;
    }
    char *behind = NULL;
    if (pyenv_which(name, k->start, &behind, NULL) == 0)
        add(k, behind, NULL, false);
    free(behind);
}

static void add_folder(struct collector *k, const char *dir)
{
    add_program(k, dir, "python3");
    add_program(k, dir, "python");
    for (int minor = NEWEST_MINOR; minor >= OLDEST_MINOR; minor--) {
        char name[32];
        (void)snprintf(name, sizeof(name), "python3.%d", minor);
        add_program(k, dir, name);
    }
}

static void add_path(struct collector *k)
{
    const char *path = getenv("PATH");
    k->on_path = true;
    while (path && *path) {
        size_t n = strcspn(path, ":");
        _cleanup_free_ char *dir = xstrndup(path, n);
        if (n)
            add_folder(k, dir);
        path += n;
        path += *path == ':';
    }
    k->on_path = false;
}

/* Each folder in `parent` holds an installation; its name, behind `prefix`, starts with the
 * version. Others ("miniconda3-24.1") are there, their version unknown. */
static void add_installations(struct collector *k, const char *parent, const char *prefix)
{
    DIR *dir = opendir(parent);
    size_t n = strlen(prefix);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (de->d_name[0] == '.' || strncmp(de->d_name, prefix, n) != 0)
            continue;
        struct pyversion hint = {.n = 0};
        size_t len = pyversion_parse(de->d_name + n, &hint);
        bool unfinished = len && is_unfinished(de->d_name + n + len);
        if (hint.n < 2)
            hint.n = 0;
        if (!is_wanted(k, &hint))
            continue;
        _cleanup_free_ char *python = xasprintf("%s/%s/bin/python3", parent, de->d_name);
        add(k, python, &hint, unfinished);
    }
    if (dir)
        closedir(dir);
}

static void add_pyenv(struct collector *k)
{
    _cleanup_free_ char *root = pyenv_root();
    _cleanup_free_ char *versions = root ? path_join(root, "versions") : NULL;
    if (versions)
        add_installations(k, versions, "");
}

static void add_uv(struct collector *k)
{
    _cleanup_free_ char *dir = uv_python_dir();
    if (dir)
        add_installations(k, dir, "cpython-");
}

static int newest_first(const void *va, const void *vb)
{
    const struct candidate *a = va, *b = vb;
    if (a->unfinished != b->unfinished)
        return a->unfinished ? 1 : -1;
    int c = pyversion_cmp(&b->hint, &a->hint);
    return c ? c : strcmp(a->path, b->path);
}

void candidates_collect(const struct home *home, const char *start, const struct pyspec *spec,
                        struct candidates *ret)
{
    struct collector k = {.home = home, .start = start, .spec = spec};
    add_path(&k);
    size_t on_path = k.found.n;
    add_pyenv(&k);
    add_uv(&k);
    add_folder(&k, "/usr/local/bin");
    add_folder(&k, "/usr/bin");
    struct candidates *c = &k.found;
    if (c->n > on_path)
        qsort(c->list + on_path, c->n - on_path, sizeof(*c->list), newest_first);
    *ret = *c;
}

void candidates_release(struct candidates *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->list[i].path);
        free(c->list[i].real);
    }
    free(c->list);
    *c = (struct candidates){0};
}
