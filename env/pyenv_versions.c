#include "env/pyenv_versions.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/home.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/pyenv_order.h"
#include "env/uv_python.h"

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *read_link(const char *path)
{
    char buf[PATH_MAX];
    ssize_t n = readlink(path, buf, sizeof(buf) - 1);
    return n < 0 ? NULL : xstrndup(buf, (size_t)n);
}

void pyenv_version_release(struct pyenv_version *version)
{
    free(version->name);
    free(version->prefix);
    free(version->target);
    *version = (struct pyenv_version){.kind = PYENV_SYSTEM};
}

void pyenv_versions_release(struct pyenv_versions *list)
{
    for (size_t i = 0; i < list->n; i++)
        pyenv_version_release(&list->v[i]);
    free(list->v);
    *list = (struct pyenv_versions){0};
}

/* Takes name, prefix and target over. */
static void add(struct pyenv_versions *list, enum pyenv_kind kind, char *name, char *prefix,
                char *target)
{
    list->v = xgrow(list->v, &list->alloc, list->n + 1, sizeof(*list->v));
    list->v[list->n++] =
        (struct pyenv_version){.kind = kind, .name = name, .prefix = prefix, .target = target};
}

static bool has_name(const struct pyenv_versions *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list->v[i].name, name) == 0)
            return true;
    return false;
}

static int by_order(const void *va, const void *vb)
{
    const struct pyenv_version *a = va, *b = vb;
    return pyenv_order(a->name, b->name);
}

static void sort(struct pyenv_versions *list, size_t from)
{
    if (list->n > from)
        qsort(list->v + from, list->n - from, sizeof(*list->v), by_order);
}

/* ---- what there is ---- */

/* The folders in ROOT/versions, sorted; `envs`: with the virtual environments in each. */
static void add_pyenv(struct pyenv_versions *list, const char *root, bool envs)
{
    _cleanup_free_ char *versions = path_join(root, "versions");
    struct pyenv_versions found = {0};
    DIR *dir = opendir(versions);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        char *prefix = path_join(versions, de->d_name);
        if (is_dir(prefix))
            add(&found, PYENV_INSTALLED, xstrdup(de->d_name), prefix, read_link(prefix));
        else
            free(prefix);
    }
    if (dir)
        closedir(dir);
    sort(&found, 0);
    for (size_t i = 0; i < found.n; i++) {
        struct pyenv_version *v = &found.v[i];
        add(list, v->kind, v->name, v->prefix, v->target);
        if (!envs)
            continue;
        _cleanup_free_ char *folder = path_join(v->prefix, "envs");
        size_t from = list->n;
        dir = opendir(folder);
        for (struct dirent *de; dir && (de = readdir(dir));) {
            if (de->d_name[0] == '.')
                continue;
            char *prefix = path_join(folder, de->d_name);
            if (is_dir(prefix))
                add(list, PYENV_VIRTUALENV, xasprintf("%s/envs/%s", found.v[i].name, de->d_name),
                    prefix, read_link(prefix));
            else
                free(prefix);
        }
        if (dir)
            closedir(dir);
        sort(list, from);
    }
    free(found.v); /* what it held is in `list` now */
}

static void add_uv(struct pyenv_versions *list)
{
    _cleanup_free_ char *folder = uv_python_dir();
    size_t from = list->n;
    DIR *dir = folder ? opendir(folder) : NULL;
    for (struct dirent *de; dir && (de = readdir(dir));) {
        char *name = uv_python_version(de->d_name);
        char *prefix = name ? path_join(folder, de->d_name) : NULL;
        if (name && !has_name(list, list->n, name) && is_dir(prefix)) {
            add(list, PYENV_UV, name, prefix, xstrdup(prefix));
        } else {
            free(name);
            free(prefix);
        }
    }
    if (dir)
        closedir(dir);
    sort(list, from);
}

/* An environment has a current generation (env/envs.h); what is being made has none yet. */
static bool is_environment(const struct home *home, const char *name)
{
    if (name[0] == '.' || name[0] == '-' || !path_component_ok(name, strlen(name)))
        return false;
    _cleanup_free_ char *current = xasprintf("%s/%s/current", home->envs, name);
    return path_exists(current);
}

static void add_environments(struct pyenv_versions *list)
{
    _cleanup_home_ struct home home = {0};
    if (home_locate(&home, NULL) < 0)
        return;
    size_t from = list->n;
    DIR *dir = opendir(home.envs);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (has_name(list, from, de->d_name) || !is_environment(&home, de->d_name))
            continue;
        char *prefix = path_join(home.hub, de->d_name);
        add(list, PYENV_ENVIRONMENT, xstrdup(de->d_name), prefix, xstrdup(prefix));
    }
    if (dir)
        closedir(dir);
    sort(list, from);
}

void pyenv_versions_list(const char *root, struct pyenv_versions *ret)
{
    struct pyenv_versions list = {0};
    add_pyenv(&list, root, true);
    add_uv(&list);
    add_environments(&list);
    *ret = list;
}

bool pyenv_version_is_alias(const char *root, const struct pyenv_version *version)
{
    if (version->kind != PYENV_INSTALLED || !version->target)
        return false;
    _cleanup_free_ char *versions = path_join(root, "versions");
    char real_versions[PATH_MAX], real[PATH_MAX];
    if (!realpath(versions, real_versions) || !realpath(version->prefix, real))
        return false;
    size_t n = strlen(real_versions);
    if (strncmp(real, real_versions, n) != 0 || real[n] != '/')
        return false;
    const char *slash = strchr(real + n + 1, '/');
    return !slash || (strncmp(slash, "/envs/", 6) == 0 && !strchr(slash + 6, '/'));
}

/* ---- what a word means ---- */

static bool take(struct pyenv_version *ret, struct pyenv_version found)
{
    *ret = found;
    return true;
}

static bool exact_of_pyenv(const char *root, const char *word, struct pyenv_version *ret)
{
    if (!*word || word[0] == '/' || strcmp(word, ".") == 0 || strcmp(word, "..") == 0)
        return false;
    char *prefix = xasprintf("%s/versions/%s", root, word);
    if (is_dir(prefix))
        return take(ret, (struct pyenv_version){.kind = PYENV_INSTALLED,
                                                .name = xstrdup(word),
                                                .prefix = prefix,
                                                .target = read_link(prefix)});
    free(prefix);
    return false;
}

/* The one of a list that a word names, or is a prefix of. */
static bool pick(struct pyenv_versions *list, const char *word, struct pyenv_version *ret)
{
    const char **names = xcalloc(list->n + 1, sizeof(*names));
    const char *best = NULL;
    for (size_t i = 0; i < list->n; i++) {
        names[i] = list->v[i].name;
        if (strcmp(names[i], word) == 0)
            best = names[i];
    }
    if (!best)
        best = pyenv_newest(word, names, list->n);
    for (size_t i = 0; best && i < list->n; i++) {
        if (names[i] == best) {
            *ret = list->v[i];
            list->v[i] = (struct pyenv_version){.kind = PYENV_SYSTEM};
        }
    }
    free(names);
    return best != NULL;
}

static bool environment_named(const char *word, struct pyenv_version *ret)
{
    _cleanup_home_ struct home home = {0};
    if (home_locate(&home, NULL) < 0 || !is_environment(&home, word))
        return false;
    char *prefix = path_join(home.hub, word);
    return take(ret, (struct pyenv_version){.kind = PYENV_ENVIRONMENT,
                                            .name = xstrdup(word),
                                            .prefix = prefix,
                                            .target = xstrdup(prefix)});
}

bool pyenv_version_find(const char *root, const char *word, struct pyenv_version *ret)
{
    static const char python[] = "python-";
    const char *const forms[] = {
        word, strncmp(word, python, sizeof(python) - 1) == 0 ? word + sizeof(python) - 1 : NULL};
    if (strcmp(word, "system") == 0)
        return take(ret, (struct pyenv_version){.kind = PYENV_SYSTEM, .name = xstrdup(word)});
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (forms[i] && exact_of_pyenv(root, forms[i], ret))
            return true;
    _cleanup_pyenv_versions_ struct pyenv_versions of_pyenv = {0};
    add_pyenv(&of_pyenv, root, false);
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (forms[i] && pick(&of_pyenv, forms[i], ret))
            return true;
    _cleanup_pyenv_versions_ struct pyenv_versions of_uv = {0};
    add_uv(&of_uv);
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (forms[i] && pick(&of_uv, forms[i], ret))
            return true;
    return environment_named(word, ret);
}
