#include "env/version_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/pyenv.h"

enum { MAX_VERSION_FILE = 64 * 1024, MAX_WORD = 255 };

static const char blanks[] = " \t\r\v\f";

/* Names of pyenv-virtualenv ("3.11.7/envs/x") are inside. */
static bool is_safe_word(const char *word)
{
    struct stat st;
    if (strcmp(word, "..") != 0 && !strchr(word, '/'))
        return strlen(word) <= MAX_WORD;
    _cleanup_free_ char *root = pyenv_root();
    if (!root || word[0] == '/')
        return false;
    _cleanup_free_ char *versions = path_join(root, "versions");
    _cleanup_free_ char *joined = path_join(versions, word);
    _cleanup_free_ char *inside = path_absolute(joined);
    size_t n = strlen(versions);
    return inside && strncmp(inside, versions, n) == 0 && inside[n] == '/' &&
           stat(inside, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add_word(char ***words, size_t *n, char *word)
{
    *words = xrealloc(*words, (*n + 2) * sizeof(**words));
    (*words)[(*n)++] = word;
    (*words)[*n] = NULL;
}

static struct version_file empty_file(void)
{
    return (struct version_file){.words = xcalloc(1, sizeof(char *)),
                                 .refused = xcalloc(1, sizeof(char *))};
}

bool version_words_from_environment(struct version_file *ret)
{
    const char *env = getenv("PYENV_VERSION");
    size_t n = 0;
    if (!env || !*env)
        return false;
    *ret = empty_file();
    while (*env) {
        size_t len = strcspn(env, ":");
        if (len)
            add_word(&ret->words, &n, xstrndup(env, len));
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
    struct version_file file = empty_file();
    size_t n = 0, refused = 0;
    file.path = xstrdup(path);
    for (const char *line = text.buf; *line;) {
        size_t len = strcspn(line, "\n");
        size_t start = strspn(line, blanks);
        if (start < len && line[start] != '#') {
            char *word = xstrndup(line + start, strcspn(line + start, " \t\r\n\v\f"));
            if (is_safe_word(word))
                add_word(&file.words, &n, word);
            else
                add_word(&file.refused, &refused, word);
        }
        line += len;
        line += *line == '\n';
    }
    *ret = file;
    return 0;
}

char *version_file_path(const char *dir)
{
    char *at = path_absolute(dir);
    while (at) {
        struct stat st;
        char *path = path_join(at, ".python-version");
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            free(at);
            return path;
        }
        free(path);
        char *up = strcmp(at, "/") == 0 ? NULL : path_dirname(at);
        free(at);
        at = up;
    }
    return NULL;
}

int version_file_find(const char *dir, struct version_file *ret, struct verror *err)
{
    _cleanup_free_ char *path = version_file_path(dir);
    if (!path)
        return verror_set(err, ENOENT, "there is no .python-version in or above %s", dir);
    return version_file_read(path, ret, err);
}

int version_file_write(const char *path, const char *const *words, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (; *words; words++)
        strbuf_addf(&text, "%s\n", *words);
    _cleanup_close_ int fd = io_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int r = fd < 0 ? fd : io_write_all(fd, text.buf, text.len);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

static void free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

void version_file_release(struct version_file *file)
{
    free_words(file->words);
    free_words(file->refused);
    free(file->path);
    *file = (struct version_file){0};
}
