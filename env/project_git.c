/* project_git: a checkout's info/exclude (gitignore(5), gitrepository-layout(5)). */
#include "env/project_git.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

enum { EXCLUDE_MAX = 4 << 20 };

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The first line of a small file, or NULL. malloc'ed. */
static char *first_line(const char *path)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (io_read_file(path, &sb, 64 << 10) < 0)
        return NULL;
    return xstrndup(sb.buf, strcspn(sb.buf, "\r\n"));
}

/* The git directory that `.git` of a checkout stands for: itself, or what the file names. */
static char *git_dir(const char *checkout)
{
    _cleanup_free_ char *dot = path_join(checkout, ".git");
    if (is_dir(dot))
        return steal_ptr(dot);
    _cleanup_free_ char *line = first_line(dot);
    if (!line || strncmp(line, "gitdir: ", 8) != 0)
        return NULL;
    _cleanup_free_ char *dir = path_join(checkout, line + 8);
    return is_dir(dir) ? steal_ptr(dir) : NULL;
}

/* A worktree has its own git directory, but info/ is read from the common one. */
static char *common_dir(const char *git)
{
    _cleanup_free_ char *file = path_join(git, "commondir");
    _cleanup_free_ char *line = first_line(file);
    return line && *line ? path_join(git, line) : xstrdup(git);
}

static bool is_ignored(const char *checkout, const char *path)
{
    const char *argv[] = {"git", "-C", checkout, "check-ignore", "-q", "--", path, NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, diagnostics = STRBUF_INIT;
    struct proc_options options = {
        .output = &out,
        .diagnostics = &diagnostics,
        .unset = (const char *const[]){"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", NULL},
    };
    int status;
    return proc_run(argv, &options, &status, NULL) == 0 && status == 0;
}

/* The pattern that means exactly this path. */
static char *pattern_of(const char *checkout, const char *path)
{
    struct strbuf sb = STRBUF_INIT;
    for (const char *p = path + strlen(checkout); *p; p++) {
        if (strchr("\\*?[ ", *p))
            strbuf_addch(&sb, '\\');
        strbuf_addch(&sb, *p);
    }
    return strbuf_detach(&sb, NULL);
}

static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "\n");
        if (len == n && memcmp(p, line, n) == 0)
            return true;
        p += len;
        p += *p == '\n';
    }
    return false;
}

static int add_pattern(const char *git, const char *checkout, const char *path, struct verror *err)
{
    _cleanup_free_ char *common = common_dir(git);
    _cleanup_free_ char *info = path_join(common, "info");
    _cleanup_free_ char *file = path_join(info, "exclude");
    _cleanup_free_ char *pattern = pattern_of(checkout, path);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(file, &text, EXCLUDE_MAX);
    if (r < 0 && r != -ENOENT)
        return verror_errno(err, r, "reading %s", file);
    if (has_line(text.buf, pattern) || is_ignored(checkout, path))
        return 0;
    if (text.len && !strbuf_ends_with(&text, "\n"))
        strbuf_addch(&text, '\n');
    strbuf_addf(&text, "%s\n", pattern);
    r = path_mkdirs(info, 0755);
    if (r == 0)
        r = io_write_file_atomic(file, text.buf, text.len, 0644, false);
    return r < 0 ? verror_errno(err, r, "writing %s", file) : 0;
}

int project_git_exclude(const char *path, struct verror *err)
{
    char *dir = path_dirname(path);
    for (;;) {
        _cleanup_free_ char *git = git_dir(dir);
        if (git) {
            const char *checkout = strcmp(dir, "/") == 0 ? "" : dir;
            int r = add_pattern(git, checkout, path, err);
            free(dir);
            return r;
        }
        char *parent = strcmp(dir, "/") == 0 ? NULL : path_dirname(dir);
        free(dir);
        if (!parent)
            return 0;
        dir = parent;
    }
}
