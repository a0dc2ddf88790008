#include "base/home.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* $HOME when it is an absolute, writable folder, else a private folder in the temporary one. */
static int user_home(char **ret, struct verror *err)
{
    const char *home = variable("HOME");
    if (!home) {
        const struct passwd *pw = getpwuid(getuid());
        home = pw ? pw->pw_dir : NULL;
    }
    struct stat st;
    if (home && home[0] == '/' && stat(home, &st) == 0 && S_ISDIR(st.st_mode) &&
        access(home, W_OK | X_OK) == 0) {
        *ret = xstrdup(home);
        return 0;
    }
    const char *tmp = variable("TMPDIR");
    _cleanup_free_ char *dir = xasprintf("%s/venvfs-%ld", tmp ? tmp : "/tmp", (long)getuid());
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return verror_errno(err, errno, "no writable HOME, and making %s", dir);
    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
        (st.st_mode & 077) != 0)
        return verror_set(err, EPERM,
                          "%s is not a private folder of this user (HOME is not usable)", dir);
    *ret = steal_ptr(dir);
    return 0;
}

static char *absolute(const char *path)
{
    char *abs = path_absolute(path);
    return abs ? abs : xstrdup(path);
}

int home_locate(struct home *ret, struct verror *err)
{
    struct home h = {0};
    _cleanup_free_ char *user = NULL;
    const char *root = variable("VENVFS_HOME"), *hub = variable("VENVFS_HUB");
    const char *data = variable("XDG_DATA_HOME");
    if (!root || !hub) {
        int r = user_home(&user, err);
        if (r < 0)
            return r;
    }
    if (root)
        h.root = absolute(root);
    else if (data && data[0] == '/')
        h.root = path_join(data, "venvfs");
    else
        h.root = path_join(user, ".local/share/venvfs");
    h.hub = hub ? absolute(hub) : path_join(user, ".venvfs");

    const char *run = variable("VENVFS_RUNTIME_DIR"), *xdg = variable("XDG_RUNTIME_DIR");
    if (run)
        h.runtime = absolute(run);
    else if (xdg && xdg[0] == '/' && !variable("VENVFS_HOME") && access(xdg, W_OK | X_OK) == 0)
        h.runtime = path_join(xdg, "venvfs");
    else
        h.runtime = path_join(h.root, "run");

    h.store = path_join(h.root, "store");
    h.envs = path_join(h.root, "envs");
    h.interpreters = path_join(h.root, "interpreters");
    h.tools = path_join(h.root, "tools");
    *ret = h;
    return 0;
}

static int create_private(const char *path, struct verror *err)
{
    int r = path_mkdirs(path, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", path);
    struct stat st;
    if (stat(path, &st) < 0)
        return verror_errno(err, errno, "%s", path);
    if (st.st_uid != geteuid())
        return verror_set(err, EPERM, "%s belongs to user %ld, not to you", path, (long)st.st_uid);
    if (st.st_mode & 022) {
        verror_set(err, EPERM, "%s can be written by other users", path);
        return verror_hint(err, "chmod go-w %s", path);
    }
    return 0;
}

int home_create(const struct home *home, struct verror *err)
{
    const char *const dirs[] = {home->root, home->runtime,      home->store,
                                home->envs, home->interpreters, home->tools};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        int r = create_private(dirs[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

void home_release(struct home *home)
{
    free(home->root);
    free(home->hub);
    free(home->runtime);
    free(home->store);
    free(home->envs);
    free(home->interpreters);
    free(home->tools);
    *home = (struct home){0};
}
