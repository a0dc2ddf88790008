#include "cli/in_use.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/session.h"

enum {
    MAX_PREFIXES = 4,
    MAX_TEXT = 64 << 20, /* of one file in /proc */
    COMMAND_LENGTH = 60,
    DESCRIBED = 5,
};

struct search {
    char *prefixes[MAX_PREFIXES]; /* as the kernel names them, and as their user does */
    size_t n;
    const char *base_executable;
    unsigned uses;
};

/* ---- paths ---- */

static void add_prefix(struct search *s, char *path)
{
    for (size_t i = 0; path && i < s->n; i++)
        if (strcmp(s->prefixes[i], path) == 0) {
            free(path);
            return;
        }
    if (path)
        s->prefixes[s->n++] = path;
}

/* The hub is not looked into: only what leads to it is resolved. */
static char *real_path(const char *path)
{
    _cleanup_free_ char *dir = path_dirname(path), *real = realpath(dir, NULL);
    return real ? path_join(real, path_basename(path)) : NULL;
}

static void search_init(struct search *s, const struct home *home, const struct env *env,
                        unsigned uses)
{
    *s = (struct search){.base_executable = env->manifest->base_executable, .uses = uses};
    char *in_hub = hub_path(home, env->name);
    add_prefix(s, real_path(in_hub));
    add_prefix(s, real_path(env->manifest->address));
    add_prefix(s, in_hub);
    add_prefix(s, xstrdup(env->manifest->address));
}

static void search_release(struct search *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->prefixes[i]);
}

/* Also with " (deleted)" behind it, as the kernel writes. */
static bool is_in(const struct search *s, const char *path)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t len = strlen(s->prefixes[i]);
        if (strncmp(path, s->prefixes[i], len) == 0 && strchr("/ \n", path[len]))
            return true; /* strchr() finds the end of the string, too */
    }
    return false;
}

/* ---- one process; dir: its folder in /proc ---- */

static bool link_text(int dir, const char *name, char ret[PATH_MAX])
{
    ssize_t n = readlinkat(dir, name, ret, PATH_MAX - 1);
    ret[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

static bool link_is_in(const struct search *s, int dir, const char *name)
{
    char path[PATH_MAX];
    return link_text(dir, name, path) && is_in(s, path);
}

static bool has_open(const struct search *s, int dir)
{
    int fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *de;
    bool found = false;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && (de = readdir(list)))
        found = link_is_in(s, dirfd(list), de->d_name);
    closedir(list);
    return found;
}

static bool has_mapped(const struct search *s, int dir)
{
    _cleanup_strbuf_ struct strbuf maps = STRBUF_INIT;
    if (io_read_fileat(dir, "maps", &maps, MAX_TEXT) < 0)
        return false;
    for (const char *line = maps.buf; *line;) {
        size_t len = strcspn(line, "\n");
        const char *path = memchr(line, '/', len);
        if (path && is_in(s, path))
            return true;
        line += len + (line[len] == '\n');
    }
    return false;
}

/* The value of a variable in /proc/PID/environ, or NULL. */
static const char *variable(const struct strbuf *environment, const char *name)
{
    size_t len = strlen(name);
    const char *end = environment->buf + environment->len;
    for (const char *p = environment->buf; p < end; p += strlen(p) + 1)
        if (strncmp(p, name, len) == 0 && p[len] == '=')
            return p + len + 1;
    return NULL;
}

static bool runs_from(const struct search *s, int dir, const char *first_word)
{
    char exe[PATH_MAX];
    _cleanup_strbuf_ struct strbuf environment = STRBUF_INIT;
    if (!link_text(dir, "exe", exe))
        return false;
    if (is_in(s, exe) || (first_word[0] == '/' && is_in(s, first_word)))
        return true;
    if (strchr(first_word, '/') || !s->base_executable || strcmp(exe, s->base_executable) != 0 ||
        io_read_fileat(dir, "environ", &environment, MAX_TEXT) < 0)
        return false;
    const char *active = variable(&environment, "VIRTUAL_ENV");
    return active && is_in(s, active);
}

static unsigned uses_of(const struct search *s, int dir, const char *first_word)
{
    unsigned uses = 0;
    if (s->uses & USE_FOLDER && (link_is_in(s, dir, "cwd") || link_is_in(s, dir, "root")))
        uses |= USE_FOLDER;
    if (s->uses & USE_OPEN && has_open(s, dir))
        uses |= USE_OPEN;
    if (s->uses & USE_MAPPED && has_mapped(s, dir))
        uses |= USE_MAPPED;
    if (s->uses & USE_PROGRAM && runs_from(s, dir, first_word))
        uses |= USE_PROGRAM;
    return uses;
}

/* The daemon's own walk of an environment (fs/warmer.h): it ends when the environment goes. */
static bool is_walk(int dir, const struct strbuf *words)
{
    static const char start[] = "venvfs\0warm"; /* and its NUL */
    char exe[PATH_MAX], own[PATH_MAX];
    return words->len > sizeof(start) && memcmp(words->buf, start, sizeof(start)) == 0 &&
           link_text(dir, "exe", exe) && link_text(AT_FDCWD, "/proc/self/exe", own) &&
           strcmp(exe, own) == 0;
}

/* Words with spaces between, cut between two characters of UTF-8. */
static char *readable(const struct strbuf *words)
{
    struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i + 1 < words->len; i++) {
        char c = words->buf[i];
        if (sb.len >= COMMAND_LENGTH && ((unsigned char)c & 0xc0) != 0x80) {
            strbuf_addstr(&sb, "...");
            break;
        }
        strbuf_add(&sb, c ? &c : " ", 1);
    }
    return strbuf_detach(&sb, NULL);
}

static void look_at(const struct search *s, int proc, const char *name, struct in_use *ret)
{
    struct stat st;
    _cleanup_strbuf_ struct strbuf words = STRBUF_INIT;
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    if (pid == getpid())
        return;
    _cleanup_close_ int dir = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fstat(dir, &st) < 0 || (geteuid() != 0 && st.st_uid != geteuid()) ||
        io_read_fileat(dir, "cmdline", &words, MAX_TEXT) < 0 || !words.len)
        return; /* gone, another user's, or a thread of the kernel */
    unsigned uses = is_walk(dir, &words) ? 0 : uses_of(s, dir, words.buf);
    if (!uses)
        return;
    ret->v = xgrow(ret->v, &ret->alloc, ret->n + 1, sizeof(*ret->v));
    ret->v[ret->n++] = (struct user){.pid = pid, .uses = uses, .command = readable(&words)};
}

/* ---- all ---- */

static int by_pid(const void *a, const void *b)
{
    const struct user *x = a, *y = b;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

void in_use_find(const struct home *home, const struct env *env, unsigned uses, struct in_use *ret)
{
    struct search s;
    const struct dirent *de;
    *ret = (struct in_use){0};
    DIR *proc = opendir("/proc");
    if (!proc)
        return;
    search_init(&s, home, env, uses);
    while ((de = readdir(proc)))
        if (isdigit((unsigned char)de->d_name[0]))
            look_at(&s, dirfd(proc), de->d_name, ret);
    closedir(proc);
    search_release(&s);
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_pid);
}

void in_use_release(struct in_use *users)
{
    for (size_t i = 0; i < users->n; i++)
        free(users->v[i].command);
    free(users->v);
    *users = (struct in_use){0};
}

void in_use_describe(const struct in_use *users, struct strbuf *sb)
{
    size_t shown = users->n > DESCRIBED ? DESCRIBED : users->n;
    if (users->n == 1)
        strbuf_addstr(sb, "process ");
    else
        strbuf_addf(sb, "%zu processes: ", users->n);
    for (size_t i = 0; i < shown; i++)
        strbuf_addf(sb, "%s%ld (%s)", i ? ", " : "", (long)users->v[i].pid, users->v[i].command);
    if (shown < users->n)
        strbuf_addf(sb, " and %zu more", users->n - shown);
}
