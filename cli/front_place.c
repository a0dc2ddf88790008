#include "cli/front_place.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/linked_folder.h"
#include "cli/print.h"
#include "env/project.h"

void front_place_release(struct front_place *p)
{
    env_place_release(&p->to);
    *p = (struct front_place){.exists = false};
}

/* PROJECT/.venv is the project's environment, as for `venvfs mount`. */
static char *name_for(const char *address)
{
    if (strcmp(path_basename(address), ".venv") != 0)
        return project_env_name(address);
    _cleanup_free_ char *parent = path_dirname(address);
    _cleanup_free_ char *real = realpath(parent, NULL);
    return project_env_name(real ? real : parent);
}

static bool is_env(const struct session *s, const char *name)
{
    struct env *env;
    size_t n;
    int r = env_glance(&s->home, name, &env, &n, NULL);
    if (r == 0)
        env_free(env);
    return r != -ENOENT; /* a damaged one is there, and whoever opens it says how */
}

static bool is_address_of(const struct session *s, const char *name, const char *path)
{
    struct env *env;
    size_t n;
    if (env_glance(&s->home, name, &env, &n, NULL) < 0)
        return true;
    bool same = strcmp(env->manifest->address, path) == 0;
    env_free(env);
    return same;
}

/* DIR and DIR/.venv would have one name. The result is free, or of an environment with this
 * address.
 */
static char *free_name(const struct session *s, const char *path)
{
    char *name = name_for(path);
    _cleanup_free_ char *stem = xstrdup(name);
    for (unsigned i = 2; is_env(s, name) && !is_address_of(s, name, path); i++) {
        free(name);
        name = xasprintf("%s-%u", stem, i);
    }
    return name;
}

/* Both tools refuse it: PATH could not name it. */
static int check_path(const char *path, struct verror *err)
{
    if (!strchr(path, ':'))
        return address_usable(path, err);
    verror_set(err, EINVAL, "%s cannot be the folder of an environment: PATH ends a name at \":\"",
               path);
    return -EINVAL;
}

static bool is_above_current(const char *path)
{
    char cwd[PATH_MAX];
    size_t n = strlen(path);
    return getcwd(cwd, sizeof(cwd)) && strncmp(cwd, path, n) == 0 && (!cwd[n] || cwd[n] == '/');
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = dir != NULL;
    for (const struct dirent *de; empty && (de = readdir(dir));)
        empty = strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0;
    if (dir)
        closedir(dir);
    return empty;
}

static int refuse_environment(const char *path, struct verror *err)
{
    _cleanup_free_ char *word = print_word(path);
    verror_set(err, EEXIST, "%s is an environment that another tool made", path);
    return verror_hint(err, "--clear replaces it; venvfs adopt %s NAME makes a copy of it first",
                       word);
}

/* A folder, or a file, that is no way to an environment of ours. */
static int look_at_foreign(const char *path, bool clear, struct front_place *p, struct verror *err)
{
    _cleanup_free_ char *cfg = path_join(path, "pyvenv.cfg");
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : verror_errno(err, errno, "%s", path);
    if (S_ISLNK(st.st_mode)) {
        verror_set(err, EEXIST, "%s is a link to something else", path);
        return verror_hint(err, "name the folder that it leads to, or remove the link");
    }
    if (!S_ISDIR(st.st_mode))
        return verror_set(err, EEXIST, "%s exists and is no folder", path);
    bool environment = path_exists(cfg);
    if (environment && !clear)
        return refuse_environment(path, err);
    if (!environment && clear && !is_empty(path)) {
        verror_set(err, EEXIST, "%s is no environment, and --clear would remove all that is in it",
                   path);
        return verror_hint(err, "remove it yourself, or leave --clear out to keep its files");
    }
    if (!environment && (!is_empty(path) || is_above_current(path)))
        p->folder = true;
    p->replace = environment || !p->folder;
    if (!p->replace || !is_above_current(path))
        return 0;
    verror_set(err, EEXIST, "%s is the folder you are in, or above it: it cannot be replaced",
               path);
    return verror_hint(err, "call it from another folder");
}

static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* HUB/NAME, however the way to the hub is written. Takes the name over. */
static int find_in_hub(const struct session *s, const char *path, char *name, struct front_place *p,
                       struct verror *err)
{
    p->to.name = name;
    int r = env_place_check_name(name, err);
    if (r < 0)
        return r;
    if (strcmp(path_basename(path), name) != 0)
        return verror_set(err, EEXIST, "%s lies in environment %s", path, name);
    free(p->to.address);
    p->to.address = hub_path(&s->home, name);
    p->exists = is_env(s, name);
    return 0;
}

/* A link into the hub, or the plain files of a fallback. Takes the name over. */
static int find_ours(const struct session *s, const char *path, char *name, struct front_place *p,
                     struct verror *err)
{
    p->to.link = true;
    p->to.name = name;
    p->exists = is_env(s, name);
    if (!p->exists) {
        free(p->to.name);
        p->to.name = free_name(s, path);
        p->exists = p->removed = is_env(s, p->to.name);
    } else if (!is_address_of(s, name, path)) {
        verror_set(err, EEXIST, "%s leads to environment %s, which has another address", path,
                   name);
        _cleanup_free_ char *word = print_word(name);
        return verror_hint(err, "venvfs show %s names it; or remove the link", word);
    }
    return 0;
}

static int find_new(const struct session *s, const char *path, bool clear, struct front_place *p,
                    struct verror *err)
{
    int r = look_at_foreign(path, clear, p, err);
    if (r < 0)
        return r;
    p->to.link = true;
    p->to.name = free_name(s, path);
    p->exists = p->removed = is_env(s, p->to.name);
    return 0;
}

int front_place_find(const struct session *s, const char *dir, bool clear, bool folder,
                     struct front_place *ret, struct verror *err)
{
    _cleanup_free_ char *path = *dir ? path_absolute(dir) : NULL;
    if (!path)
        return verror_errno(err, *dir ? errno : EINVAL, "\"%s\"", dir);
    int r = check_path(path, err);
    if (r < 0)
        return r;
    ret->to.address = xstrdup(path);
    char *name = env_name_of_path(&s->home, path);
    ret->folder = linked_folder_is(path);
    if (name && !is_link(path) && !ret->folder)
        return find_in_hub(s, path, name, ret, err);
    if (!name)
        name = env_name_at(&s->home, path);
    if (name)
        return find_ours(s, path, name, ret, err);
    ret->folder = folder;
    return find_new(s, path, clear, ret, err);
}
