#include "env/pyenv.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/pyenv_order.h"

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *pyenv_root(void)
{
    const char *root = getenv("PYENV_ROOT");
    if (root && *root)
        return path_absolute(root);
    const char *home = getenv("HOME");
    if (!home || home[0] != '/')
        return NULL;
    return path_join(home, ".pyenv");
}

/* Is `path` the folder ROOT/shims? Compared by text, then as files: PATH may name it differently.
 */
static bool is_shim_dir(const char *path, const char *root)
{
    _cleanup_free_ char *shims = path_join(root, "shims");
    struct stat a, b;
    if (strcmp(path, shims) == 0)
        return true;
    return strcmp(path_basename(path), "shims") == 0 && stat(path, &a) == 0 &&
           stat(shims, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

bool pyenv_is_shim(const char *path)
{
    _cleanup_free_ char *root = pyenv_root();
    _cleanup_free_ char *dir = path_dirname(path);
    return root && is_shim_dir(dir, root);
}

/* ---- what is selected ---- */

char *pyenv_version_path(const char *root, const char *dir)
{
    const char *set = dir ? dir : getenv("PYENV_DIR");
    char *path = set && *set ? version_file_path(set) : NULL;
    if (!path && !dir) {
        /* The current folder by the name under which one came there. */
        _cleanup_free_ char *here = get_current_dir_name();
        path = here ? version_file_path(here) : NULL;
    }
    return path ? path : path_join(root, "version");
}

int pyenv_selected(const char *root, const char *dir, struct version_file *ret, struct verror *err)
{
    struct version_file file = {0};
    _cleanup_verror_ struct verror why = VERROR_INIT;
    if (version_words_from_environment(ret))
        return 0;
    _cleanup_free_ char *path = pyenv_version_path(root, dir);
    int r = version_file_read(path, &file, &why);
    if (r == -ENOENT)
        file = (struct version_file){.path = steal_ptr(path),
                                     .words = xcalloc(1, sizeof(char *)),
                                     .refused = xcalloc(1, sizeof(char *))};
    else if (r < 0)
        return verror_move(err, &why);
    *ret = file;
    return 0;
}

const char *pyenv_origin(const struct version_file *file)
{
    return file->path ? file->path : "PYENV_VERSION environment variable";
}

/* ---- which ---- */

char *pyenv_shim_variable(const char *name)
{
    struct strbuf variable = STRBUF_INIT;
    strbuf_addstr(&variable, "_PYENV_SHIM_PATHS_");
    for (; *name; name++)
        strbuf_addch(&variable,
                     (char)(isalnum((unsigned char)*name) ? toupper((unsigned char)*name) : '_'));
    return strbuf_detach(&variable, NULL);
}

/* Is `dir` one of a list with ':' between? */
static bool is_listed(const char *list, const char *dir)
{
    size_t n = strlen(dir);
    while (list && *list) {
        size_t m = strcspn(list, ":");
        if (m == n && memcmp(list, dir, n) == 0)
            return true;
        list += m;
        list += *list == ':';
    }
    return false;
}

/* A folder of PATH; a shell takes "~" in it, where it was quoted when PATH was set, for home. */
static char *path_element(const char *text, size_t n)
{
    const char *home = getenv("HOME");
    if (home && n && text[0] == '~' && (n == 1 || text[1] == '/'))
        return xasprintf("%s%.*s", home, (int)(n - 1), text + 1);
    return xstrndup(text, n);
}

static char *which_beside_shims(const char *root, const char *name)
{
    _cleanup_free_ char *variable = pyenv_shim_variable(name);
    const char *path = getenv("PATH"), *others = getenv(variable);
    while (path && *path) {
        size_t n = strcspn(path, ":");
        _cleanup_free_ char *dir = path_element(path, n);
        char *program = path_join(dir, name);
        if (n && !is_listed(others, dir) && !is_shim_dir(dir, root) && is_program(program))
            return program;
        free(program);
        path += n;
        path += *path == ':';
    }
    return NULL;
}

char *pyenv_system(const char *name)
{
    _cleanup_free_ char *root = pyenv_root();
    return which_beside_shims(root ? root : "/", name);
}

char *pyenv_program_in(const struct pyenv_version *version, const char *name)
{
    char *program = xasprintf("%s/bin/%s", version->prefix, name);
    if (is_program(program))
        return program;
    free(program);
    return NULL;
}

char *pyenv_program(const char *root, const struct version_file *file, const char *name,
                    bool system, const char ***missing)
{
    char *program = NULL;
    size_t n = 0, n_missing = 0;
    while (file->words[n])
        n++;
    const char **unknown = xcalloc(n + 1, sizeof(*unknown));
    for (size_t i = 0; i < n && !program; i++) {
        _cleanup_pyenv_version_ struct pyenv_version version = {.kind = PYENV_SYSTEM};
        if (!pyenv_version_find(root, file->words[i], &version))
            unknown[n_missing++] = file->words[i];
        else if (version.kind == PYENV_SYSTEM)
            program = which_beside_shims(root, name);
        else
            program = pyenv_program_in(&version, name);
    }
    if (!program && (system || !n))
        program = which_beside_shims(root, name);
    if (missing)
        *missing = steal_ptr(unknown);
    free(unknown);
    return program;
}

/* Any finished version with it is better than none. */
static char *newest_with_program(const char *root, const char *name)
{
    _cleanup_pyenv_versions_ struct pyenv_versions list = {0};
    char *best = NULL;
    pyenv_versions_list(root, &list);
    for (size_t i = list.n; i-- > 0 && !best;) { /* sorted, the newest last */
        const struct pyenv_version *v = &list.v[i];
        if (v->kind == PYENV_INSTALLED && v->name[0] != '.' && !pyenv_is_unfinished(v->name) &&
            !pyenv_is_threaded(v->name))
            best = pyenv_program_in(v, name);
    }
    return best;
}

int pyenv_which(const char *name, const char *dir, char **ret, struct verror *err)
{
    _cleanup_free_ char *root = pyenv_root();
    _cleanup_version_file_ struct version_file file = {0};
    if (!root)
        return verror_set(err, ENOENT, "neither PYENV_ROOT nor HOME is set");
    int r = pyenv_selected(root, dir, &file, err);
    if (r < 0)
        return r;
    char *found = pyenv_program(root, &file, name, true, NULL);
    if (!found)
        found = newest_with_program(root, name);
    if (!found)
        return verror_set(err, ENOENT, "no version of pyenv in %s has %s", root, name);
    *ret = found;
    return 0;
}
