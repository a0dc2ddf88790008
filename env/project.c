/* project: a folder with a lock, and its .venv. */
#include "env/project.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"

enum { NAME_BYTES = 90, PYPROJECT_MAX = 16 << 20 };

/* In the order in which they are chosen. */
static const struct {
    const char *file;
    enum lock_kind kind;
} locks[] = {
    {"pylock.toml", LOCK_PYLOCK}, {"uv.lock", LOCK_UV}, {"requirements.txt", LOCK_REQUIREMENTS}};

static const struct {
    const char *file, *tool, *command;
} foreign[] = {
    {"poetry.lock", "poetry",
     "poetry export --format requirements.txt --output requirements.txt (with its export plugin)"},
    {"pdm.lock", "pdm", "pdm export --format requirements --output requirements.txt"},
    {"Pipfile.lock", "pipenv", "pipenv requirements --hash > requirements.txt"},
};

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool has_file(const char *dir, const char *name)
{
    _cleanup_free_ char *path = path_join(dir, name);
    return is_file(path);
}

/* The folder's part is cut to a valid environment name. */
char *project_env_name(const char *real)
{
    const char *base = path_basename(real);
    while (*base == '.' || *base == '-')
        base++;
    size_t n = strlen(base);
    if (n > NAME_BYTES) {
        n = NAME_BYTES;
        while (n && ((unsigned char)base[n] & 0xc0) == 0x80) /* not within a UTF-8 sequence */
            n--;
    }
    struct sha256 digest;
    char hex[SHA256_HEX_SIZE];
    sha256_of(real, strlen(real), &digest);
    sha256_to_hex(&digest, hex);
    return xasprintf("%.*s-%.6s", n ? (int)n : 4, n ? base : "root", hex);
}

static int refuse_foreign(const char *path, size_t i, struct verror *err)
{
    verror_set(err, EINVAL, "%s: a lock of %s, which only %s reads", path, foreign[i].tool,
               foreign[i].tool);
    return verror_hint(err, "export it: %s", foreign[i].command);
}

static enum lock_kind kind_of(const char *path)
{
    const char *name = path_basename(path);
    size_t n = strlen(name);
    if (strcmp(name, "uv.lock") == 0)
        return LOCK_UV;
    if (strcmp(name, "pyproject.toml") == 0)
        return LOCK_PYPROJECT;
    if (strncmp(name, "pylock.", 7) == 0 && n > 5 && strcmp(name + n - 5, ".toml") == 0)
        return LOCK_PYLOCK;
    return LOCK_REQUIREMENTS;
}

/* --lock: as seen from the current folder, else from the project. */
static int named_lock(struct project *p, const char *lock, struct verror *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        if (strcmp(path_basename(lock), foreign[i].file) == 0)
            return refuse_foreign(lock, i, err);
    char *path = path_absolute(lock);
    if (!path || !is_file(path)) {
        free(path);
        path = path_join(p->dir, lock);
    }
    if (!is_file(path)) {
        int r = verror_set(err, ENOENT, "%s: no such lock", lock);
        free(path);
        return r;
    }
    p->lock = path;
    p->lock_kind = kind_of(path);
    return 0;
}

/* A table's header stands alone on its line, so looking for it needs no TOML parser. */
static bool has_table(const char *dir, const char *header)
{
    _cleanup_free_ char *path = path_join(dir, "pyproject.toml");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(path, &text, PYPROJECT_MAX) < 0)
        return false;
    for (const char *p = text.buf; p; p = strchr(p, '\n')) {
        p += strspn(p, "\n \t");
        if (strncmp(p, header, strlen(header)) == 0)
            return true;
    }
    return false;
}

static int choose_lock(struct project *p, struct verror *err)
{
    size_t n = 0;
    p->ignored = xcalloc(ARRAY_SIZE(locks) + ARRAY_SIZE(foreign) + 1, sizeof(*p->ignored));
    for (size_t i = 0; i < ARRAY_SIZE(locks); i++) {
        if (!has_file(p->dir, locks[i].file))
            continue;
        char *path = path_join(p->dir, locks[i].file);
        if (!p->lock) {
            p->lock = path;
            p->lock_kind = locks[i].kind;
        } else {
            p->ignored[n++] = path;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        if (!has_file(p->dir, foreign[i].file))
            continue;
        char *path = path_join(p->dir, foreign[i].file);
        p->ignored[n++] = path;
        if (!p->lock)
            return refuse_foreign(path, i, err);
    }
    if (!p->lock && (has_table(p->dir, "[project]") || has_table(p->dir, "[build-system]"))) {
        p->lock = path_join(p->dir, "pyproject.toml");
        p->lock_kind = LOCK_PYPROJECT;
    }
    return 0;
}

int project_inspect(const char *dir, const char *lock, struct project *ret, struct verror *err)
{
    struct stat st;
    char *real = realpath(dir, NULL);
    if (!real)
        return verror_errno(err, errno, "%s", dir);
    struct project p = {.dir = real};
    int r = 0;
    if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        r = verror_set(err, ENOTDIR, "%s: not a folder", dir);
    if (r == 0) {
        p.name = project_env_name(real);
        p.link = path_join(real, ".venv");
        p.has_build_system = has_table(real, "[build-system]");
        r = lock ? named_lock(&p, lock, err) : choose_lock(&p, err);
    }
    if (r < 0) {
        project_release(&p);
        return r;
    }
    if (!p.ignored)
        p.ignored = xcalloc(1, sizeof(*p.ignored));
    *ret = p;
    return 0;
}

void project_release(struct project *project)
{
    free(project->dir);
    free(project->name);
    free(project->link);
    free(project->lock);
    for (char **s = project->ignored; s && *s; s++)
        free(*s);
    free(project->ignored);
    *project = (struct project){0};
}

/* ---- the link ---- */

static char *read_link(const char *path)
{
    char buf[PATH_MAX];
    ssize_t n = readlink(path, buf, sizeof(buf) - 1);
    if (n < 0)
        return NULL;
    buf[n] = '\0';
    _cleanup_free_ char *dir = path_dirname(path);
    _cleanup_free_ char *full = path_join(dir, buf);
    return path_absolute(full);
}

/* What .venv leads to: a link, or an ordinary folder whose pyvenv.cfg is one (venvfs venv). */
static char *read_way(const char *path, const struct stat *st)
{
    if (S_ISLNK(st->st_mode))
        return read_link(path);
    _cleanup_free_ char *config = path_join(path, "pyvenv.cfg");
    _cleanup_free_ char *target = S_ISDIR(st->st_mode) ? read_link(config) : NULL;
    return target ? path_dirname(target) : NULL;
}

enum link_state project_link_state(const struct project *project, const struct home *home,
                                   char **target)
{
    struct stat st;
    if (target)
        *target = NULL;
    if (lstat(project->link, &st) < 0)
        return LINK_ABSENT;
    _cleanup_free_ char *to = read_way(project->link, &st);
    size_t n = strlen(home->hub);
    enum link_state state = LINK_FOREIGN;
    if (to && strncmp(to, home->hub, n) == 0 && to[n] == '/' && to[n + 1] &&
        !strchr(to + n + 1, '/'))
        state = strcmp(to + n + 1, project->name) == 0 ? LINK_OURS : LINK_STALE;
    if (target)
        *target = steal_ptr(to);
    return state;
}

static int refuse_link(const struct project *project, struct verror *err)
{
    struct stat st;
    bool dir = lstat(project->link, &st) == 0 && S_ISDIR(st.st_mode);
    verror_set(err, EEXIST, "%s is %s, not venvfs's; it was left alone", project->link,
               dir ? "a real folder" : "a file or a link to somewhere else");
    return verror_hint(err, "move it away, or use --no-link and reach the environment in the hub");
}

int project_link(const struct project *project, const struct home *home, const char *env_name,
                 struct verror *err)
{
    _cleanup_free_ char *wanted = path_join(home->hub, env_name);
    _cleanup_free_ char *now = NULL;
    enum link_state state = project_link_state(project, home, &now);
    if (state == LINK_FOREIGN)
        return refuse_link(project, err);
    if (state == LINK_ABSENT || !now || strcmp(now, wanted) != 0) {
        _cleanup_free_ char *tmp = xasprintf("%s.venvfs-%ld", project->link, (long)getpid());
        (void)unlink(tmp);
        int r = io_symlinkat(wanted, -100 /* AT_FDCWD */, tmp);
        if (r == 0)
            r = io_rename(tmp, project->link);
        if (r < 0) {
            (void)unlink(tmp);
            return verror_errno(err, r, "making %s", project->link);
        }
    }
    return 0;
}

char *project_find(const char *start)
{
    char *dir = path_absolute(start);
    while (dir) {
        _cleanup_free_ char *link = path_join(dir, ".venv");
        struct stat st;
        _cleanup_free_ char *way = lstat(link, &st) == 0 ? read_way(link, &st) : NULL;
        bool found = way != NULL;
        for (size_t i = 0; i < ARRAY_SIZE(locks) && !found; i++)
            found = has_file(dir, locks[i].file);
        for (size_t i = 0; i < ARRAY_SIZE(foreign) && !found; i++)
            found = has_file(dir, foreign[i].file);
        if (found || has_file(dir, "pyproject.toml"))
            return dir;
        char *parent = strcmp(dir, "/") == 0 ? NULL : path_dirname(dir);
        free(dir);
        dir = parent;
    }
    return NULL;
}
