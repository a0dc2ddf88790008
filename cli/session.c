#include "cli/session.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/fallback.h"
#include "cli/print.h"
#include "env/lockfile.h"
#include "env/project.h"
#include "fs/control.h"

int session_open(struct session *s, struct verror *err)
{
    int r = home_locate(&s->home, err);
    if (r < 0)
        return r;
    r = home_create(&s->home, err);
    if (r == 0)
        (void)heal_after_death(&s->home, NULL); /* who needs the mount will say what is wrong */
    return r;
}

int session_store(struct session *s, struct verror *err)
{
    if (s->store)
        return 0;
    lock_sweep(&s->home); /* and store_open() what writers of the store left */
    return store_open(s->home.store, STORE_CREATE, &s->store, err);
}

void session_release(struct session *s)
{
    store_close(s->store);
    s->store = NULL;
    home_release(&s->home);
}

bool is_folder_word(const char *word)
{
    return strchr(word, '/') || strcmp(word, ".") == 0 || strcmp(word, "..") == 0;
}

char *hub_path(const struct home *home, const char *name)
{
    return path_join(home->hub, name);
}

/* The folder of the path resolved, its last component as it is: the hub itself is never looked at,
 * because a stale mount would answer ENOTCONN. */
static char *resolve_parent(const char *path)
{
    _cleanup_free_ char *dir = path_dirname(path);
    _cleanup_free_ char *real = realpath(dir, NULL);
    return real ? path_join(real, path_basename(path)) : NULL;
}

/* NAME when path is HUB/NAME or below. */
static char *below(const char *hub, const char *path)
{
    size_t len = strlen(hub);
    if (strncmp(path, hub, len) != 0 || path[len] != '/')
        return NULL;
    const char *name = path + len + strspn(path + len, "/");
    return name[0] ? xstrndup(name, strcspn(name, "/")) : NULL;
}

/* Where a path leads: what it is a link to, or the environment behind a linked folder
 * (cli/linked_folder.h). The target's length, within buf, or -1. */
static ssize_t read_target(const char *path, char *buf, size_t size)
{
    static const char landmark[] = "/pyvenv.cfg";
    const size_t len = sizeof(landmark) - 1;
    ssize_t n = readlink(path, buf, size);
    if (n >= 0)
        return n;
    _cleanup_free_ char *config = xasprintf("%s%s", path, landmark);
    n = readlink(config, buf, size);
    if (n <= (ssize_t)len || memcmp(buf + n - len, landmark, len) != 0)
        return -1;
    return n - (ssize_t)len;
}

char *env_name_of_path(const struct home *home, const char *path)
{
    enum { LINKS = 8 };
    _cleanup_free_ char *at = path_absolute(path);
    _cleanup_free_ char *real_hub = resolve_parent(home->hub);
    for (int i = 0; at && i < LINKS; i++) {
        char *name = below(home->hub, at);
        if (!name && real_hub)
            name = below(real_hub, at);
        if (name)
            return name;
        char target[PATH_MAX];
        ssize_t n = read_target(at, target, sizeof(target) - 1);
        if (n < 0) {
            char *real = resolve_parent(at);
            if (!real || strcmp(real, at) == 0) {
                free(real);
                return NULL;
            }
            free(at);
            at = real;
            continue;
        }
        target[n] = 0;
        _cleanup_free_ char *dir = path_dirname(at);
        _cleanup_free_ char *joined = path_join(dir, target);
        free(at);
        at = path_absolute(joined);
    }
    return NULL;
}

/* Of NAME, NAME-2, NAME-3 ... (see binding_find()) the one whose plain files are at this path. */
static char *plain_named(const struct home *home, const char *name, const char *path)
{
    for (unsigned i = 1;; i++) {
        char *candidate = i == 1 ? xstrdup(name) : xasprintf("%s-%u", name, i);
        _cleanup_free_ char *folder = path_join(home->envs, candidate);
        if (fallback_owns(home, candidate, path))
            return candidate;
        free(candidate);
        if (!path_exists(folder))
            return NULL;
    }
}

/* By the name that cmd_create.c or project.c gave it; `real` is the path without links before its
 * last component. */
static char *plain_at(const struct home *home, const char *path, const char *real)
{
    _cleanup_free_ char *folder = path_dirname(real);
    _cleanup_free_ char *name = project_env_name(path_basename(real)[0] == '.' ? folder : path);
    return plain_named(home, name, path);
}

char *env_name_at(const struct home *home, const char *path)
{
    char *found = env_name_of_path(home, path);
    _cleanup_free_ char *absolute = found ? NULL : path_absolute(path);
    _cleanup_free_ char *real = absolute ? resolve_parent(absolute) : NULL;
    if (!real)
        return found;
    found = plain_at(home, absolute, real);
    return found ? found : plain_at(home, real, real);
}

char *env_name_of_project(const struct home *home, const char *dir)
{
    _cleanup_free_ char *link = path_join(dir, ".venv");
    char *name = env_name_of_path(home, link);
    if (name)
        return name;
    struct project project;
    if (project_inspect(dir, NULL, &project, NULL) < 0)
        return NULL;
    name = xstrdup(project.name);
    project_release(&project);
    _cleanup_free_ char *folder = path_join(home->envs, name);
    if (!path_exists(folder)) {
        free(name);
        return NULL;
    }
    return name;
}

static int select_folder(const struct session *s, const char *dir, char **name, struct verror *err)
{
    *name = env_name_at(&s->home, dir);
    if (!*name)
        *name = env_name_of_project(&s->home, dir);
    if (*name)
        return 0;
    _cleanup_free_ char *word = print_word(dir);
    verror_set(err, ENOENT, "%s has no environment", dir);
    return verror_hint(err, "venvfs mount %s makes one", word);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_env(const struct session *s, const char *name)
{
    if (!env_name_ok(name))
        return false;
    _cleanup_free_ char *current = xasprintf("%s/%s/current", s->home.envs, name);
    return path_exists(current);
}

int session_word(const struct session *s, const char *word, enum word *ret, struct verror *err)
{
    bool bare = !is_folder_word(word), folder = !bare || is_folder(word);
    bool env = bare && is_env(s, word);
    if (folder && env) {
        _cleanup_free_ char *bound = env_name_of_project(&s->home, word);
        _cleanup_free_ char *quoted = print_word(word);
        if (!bound || strcmp(bound, word) != 0) {
            verror_set(err, ENOTUNIQ, "%s is a folder and an environment", word);
            return verror_hint(err, "write ./%s for the one, -n %s for the other", quoted, quoted);
        }
    }
    *ret = folder ? WORD_FOLDER : env ? WORD_ENV : WORD_NEITHER;
    return 0;
}

int session_select_word(const struct session *s, const char *word, char **name, struct verror *err)
{
    enum word kind;
    int r = session_word(s, word, &kind, err);
    if (r < 0)
        return r;
    if (kind == WORD_FOLDER)
        return select_folder(s, word, name, err);
    *name = xstrdup(word);
    return 0;
}

int session_select(const struct session *s, const char *given, char **name, struct verror *err)
{
    *name = NULL;
    if (given && (is_folder_word(given) || (!is_env(s, given) && is_folder(given))))
        return select_folder(s, given, name, err);
    if (given) {
        *name = xstrdup(given);
        return 0;
    }
    const char *active = getenv("VIRTUAL_ENV");
    if (active && active[0] == '/')
        *name = env_name_at(&s->home, active);
    if (*name)
        return 0;
    _cleanup_free_ char *dir = project_find(".");
    if (dir)
        *name = env_name_of_project(&s->home, dir);
    if (*name)
        return 0;
    verror_set(err, ENOENT, "no environment is active, and there is none in or above this folder");
    return verror_hint(err, "name one with -n ENV, or run venvfs mount in the project's folder");
}

/* env_open(), locked, or env_create(). */
static int take_env(const struct session *s, const char *name, bool create, bool wait,
                    struct env **ret, struct verror *err)
{
    if (!create)
        return env_open(&s->home, name, true, wait, ret, err);
    return wait ? env_create(&s->home, name, ret, err) : env_try_create(&s->home, name, ret, err);
}

/* Tries for a second, which most changes do not take, before it says whom it waits for. */
static int take_env_waiting(const struct session *s, const char *name, bool create,
                            struct env **ret, struct verror *err)
{
    enum { TRIES = 50, PAUSE_NS = 20 * 1000 * 1000 };
    int r = take_env(s, name, create, false, ret, err);
    if (r != -EAGAIN || s->no_wait)
        return r;
    for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        verror_release(err);
        r = take_env(s, name, create, false, ret, err);
    }
    if (r != -EAGAIN)
        return r;
    print_note("waiting: %s", verror_message(err));
    verror_release(err);
    return take_env(s, name, create, true, ret, err);
}

int session_env(const struct session *s, const char *given, bool lock, struct env **ret,
                struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    int r = session_select(s, given, &name, err);
    if (r < 0)
        return r;
    return lock ? take_env_waiting(s, name, false, ret, err)
                : env_open(&s->home, name, false, false, ret, err);
}

void session_end_use(struct session *s, const struct manifest *m)
{
    if (m->n_packages && session_store(s, NULL) < 0)
        return;
    for (size_t i = 0; i < m->n_packages; i++)
        store_image_touch(s->store, &m->packages[i].image);
}

int session_env_named(const struct session *s, const char *name, struct env **ret,
                      struct verror *err)
{
    return take_env_waiting(s, name, false, ret, err);
}

int session_create_env(const struct session *s, const char *name, struct env **ret,
                       struct verror *err)
{
    return take_env_waiting(s, name, true, ret, err);
}
