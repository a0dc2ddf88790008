#include "env/pyenv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/pyversion.h"

enum { MAX_VERSION_FILE = 64 * 1024, MAX_WORD = 255 };

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

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

/* ---- versions ---- */

static bool ends_with(const char *s, size_t n, const char *suffix)
{
    size_t m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Development builds and pre-releases are never what a prefix means. */
static bool is_unfinished(const char *name)
{
    size_t n = strlen(name), digits = 0;
    while (digits < n && isdigit((unsigned char)name[n - 1 - digits]))
        digits++;
    if (digits && digits < n && (name[n - 1 - digits] == 'a' || name[n - 1 - digits] == 'b'))
        return true;
    return ends_with(name, n, "-dev") || ends_with(name, n, "-src") ||
           ends_with(name, n, "-latest") || (digits && ends_with(name, n - digits, "rc"));
}

static bool is_threaded(const char *s)
{
    size_t n = strlen(s);
    return n >= 2 && s[n - 1] == 't' && isdigit((unsigned char)s[n - 2]);
}

/* Is `name` a version that the prefix stands for: "3.11" -> "3.11.7", "3.13t" -> "3.13.1t"? */
static bool has_prefix(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    if (is_threaded(prefix))
        n--;
    if (is_threaded(name) != is_threaded(prefix) || is_unfinished(name))
        return false;
    return strncmp(name, prefix, n) == 0 && (name[n] == '.' || name[n] == '-');
}

/* The version number in a folder's name: "3.11.7", "miniconda3-24.1". */
static struct pyversion number_in(const char *name)
{
    struct pyversion v = {.n = 0};
    while (*name && !isdigit((unsigned char)*name))
        name++;
    (void)pyversion_parse(name, &v);
    return v;
}

static char *newest_with_prefix(const char *versions, const char *prefix)
{
    DIR *dir = opendir(versions);
    char *best = NULL;
    if (!dir)
        return NULL;
    for (struct dirent *de; (de = readdir(dir));) {
        if (de->d_name[0] == '.' || !has_prefix(de->d_name, prefix))
            continue;
        struct pyversion v = number_in(de->d_name), b = number_in(best ? best : "");
        if (best && pyversion_cmp(&v, &b) <= 0)
            continue;
        free(best);
        best = xstrdup(de->d_name);
    }
    closedir(dir);
    return best;
}

char *pyenv_version_dir(const char *root, const char *word)
{
    _cleanup_free_ char *versions = path_join(root, "versions");
    const char *const forms[] = {word, strncmp(word, "python-", 7) == 0 ? word + 7 : word};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (!*forms[i] || forms[i][0] == '/')
            continue;
        char *exact = path_join(versions, forms[i]);
        if (is_dir(exact))
            return exact;
        free(exact);
        _cleanup_free_ char *name = newest_with_prefix(versions, forms[i]);
        if (name)
            return path_join(versions, name);
    }
    return NULL;
}

/* ---- .python-version ---- */

/* CVE-2022-35861: a word must not lead out of the versions' folder. Names of pyenv-virtualenv
 * ("3.11.7/envs/x") are inside. */
static bool is_safe_word(const char *word)
{
    if (strcmp(word, "..") != 0 && !strchr(word, '/'))
        return true;
    _cleanup_free_ char *root = pyenv_root();
    if (!root || word[0] == '/')
        return false;
    _cleanup_free_ char *versions = path_join(root, "versions");
    _cleanup_free_ char *joined = path_join(versions, word);
    _cleanup_free_ char *inside = path_absolute(joined);
    size_t n = strlen(versions);
    return inside && strncmp(inside, versions, n) == 0 && inside[n] == '/' && is_dir(inside);
}

static void add_word(struct version_file *file, size_t *n, const char *word, size_t len)
{
    _cleanup_free_ char *copy = xstrndup(word, len);
    if (len == 0 || len > MAX_WORD || copy[0] == '#' || !is_safe_word(copy))
        return;
    file->words = xrealloc(file->words, (*n + 2) * sizeof(*file->words));
    file->words[(*n)++] = steal_ptr(copy);
    file->words[*n] = NULL;
}

bool version_words_from_environment(struct version_file *ret)
{
    const char *env = getenv("PYENV_VERSION");
    size_t n = 0;
    if (!env || !*env)
        return false;
    *ret = (struct version_file){.words = xcalloc(1, sizeof(char *))};
    while (*env) {
        size_t len = strcspn(env, ":");
        add_word(ret, &n, env, len);
        env += len;
        env += *env == ':';
    }
    return true;
}

int version_file_read(const char *path, struct version_file *ret, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, MAX_VERSION_FILE);
    if (r < 0)
        return verror_errno(err, r, "reading %s", path);
    struct version_file file = {.path = xstrdup(path), .words = xcalloc(1, sizeof(char *))};
    size_t n = 0;
    for (const char *line = text.buf; *line;) {
        size_t len = strcspn(line, "\n");
        size_t start = strspn(line, " \t\r\v\f");
        if (start < len)
            add_word(&file, &n, line + start, strcspn(line + start, " \t\r\n\v\f"));
        line += len;
        line += *line == '\n';
    }
    *ret = file;
    return 0;
}

int version_file_find(const char *dir, struct version_file *ret, struct verror *err)
{
    _cleanup_free_ char *at = path_absolute(dir);
    if (!at)
        return verror_errno(err, errno, "%s", dir);
    for (;;) {
        _cleanup_free_ char *path = path_join(at, ".python-version");
        struct stat st;
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return version_file_read(path, ret, err);
        if (strcmp(at, "/") == 0)
            return verror_set(err, ENOENT, "there is no .python-version in or above %s", dir);
        char *up = path_dirname(at);
        free(at);
        at = up;
    }
}

void version_file_release(struct version_file *file)
{
    for (size_t i = 0; file->words && file->words[i]; i++)
        free(file->words[i]);
    free(file->words);
    free(file->path);
    *file = (struct version_file){0};
}

/* ---- which ---- */

static char *which_beside_shims(const char *root, const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        _cleanup_free_ char *dir = xstrndup(path, n);
        char *program = path_join(dir, name);
        if (n && !is_shim_dir(dir, root) && is_program(program))
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

static char *which_in_version(const char *root, const char *word, const char *name)
{
    if (strcmp(word, "system") == 0)
        return which_beside_shims(root, name);
    _cleanup_free_ char *dir = pyenv_version_dir(root, word);
    if (!dir)
        return NULL;
    char *program = xasprintf("%s/bin/%s", dir, name);
    if (is_program(program))
        return program;
    free(program);
    return NULL;
}

/* The words that select: PYENV_VERSION, else the file that counts for dir, else ROOT/version. */
static void selected(const char *root, const char *dir, struct version_file *ret)
{
    if (version_words_from_environment(ret))
        return;
    *ret = (struct version_file){.words = xcalloc(1, sizeof(char *))};
    struct version_file file = {0};
    const char *start = dir ? dir : getenv("PYENV_DIR");
    int r = version_file_find(start && *start ? start : ".", &file, NULL);
    if (r < 0) {
        _cleanup_free_ char *global = path_join(root, "version");
        r = version_file_read(global, &file, NULL);
    }
    if (r == 0) {
        version_file_release(ret);
        *ret = file;
    }
}

/* When nothing selected has it, any finished version with it is better than none. */
static char *newest_with_program(const char *root, const char *name)
{
    _cleanup_free_ char *versions = path_join(root, "versions");
    DIR *dir = opendir(versions);
    char *best = NULL;
    struct pyversion best_version = {.n = 0};
    for (struct dirent *de; dir && (de = readdir(dir));) {
        struct pyversion v = number_in(de->d_name);
        if (de->d_name[0] == '.' || is_unfinished(de->d_name) || is_threaded(de->d_name) ||
            (best && pyversion_cmp(&v, &best_version) <= 0))
            continue;
        char *program = xasprintf("%s/%s/bin/%s", versions, de->d_name, name);
        if (is_program(program)) {
            free(best);
            best = program;
            best_version = v;
        } else {
            free(program);
        }
    }
    if (dir)
        closedir(dir);
    return best;
}

int pyenv_which(const char *name, const char *dir, char **ret, struct verror *err)
{
    _cleanup_free_ char *root = pyenv_root();
    if (!root)
        return verror_set(err, ENOENT, "neither PYENV_ROOT nor HOME is set");
    struct version_file file;
    char *found = NULL;
    selected(root, dir, &file);
    for (size_t i = 0; file.words[i] && !found; i++)
        found = which_in_version(root, file.words[i], name);
    if (!found)
        found = which_beside_shims(root, name);
    if (!found)
        found = newest_with_program(root, name);
    version_file_release(&file);
    if (!found)
        return verror_set(err, ENOENT, "no version of pyenv in %s has %s", root, name);
    *ret = found;
    return 0;
}
