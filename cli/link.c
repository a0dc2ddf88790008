#include "cli/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/linked_folder.h"
#include "cli/session.h"

int link_free(const struct home *home, const char *path, struct verror *err)
{
    if (!path_exists(path))
        return 0;
    _cleanup_free_ char *name = env_name_at(home, path);
    if (!name) {
        verror_set(err, EEXIST, "%s exists", path);
        return verror_hint(err, "venvfs replaces nothing that it did not make");
    }
    _cleanup_free_ char *folder = path_join(home->envs, name);
    if (!path_exists(folder))
        return 0;
    verror_set(err, EEXIST, "%s exists and is environment %s", path, name);
    return verror_hint(err, "venvfs remove %s, or venvfs sync -n %s -r LOCK", path, path);
}

int link_make(const struct home *home, const char *path, const char *env_name, struct verror *err)
{
    _cleanup_free_ char *target = hub_path(home, env_name);
    _cleanup_free_ char *temporary = xasprintf("%s.venvfs-%ld", path, (long)getpid());
    _cleanup_free_ char *parent = path_dirname(path);
    int r = path_mkdirs(parent, 0777);
    if (r == 0)
        r = io_symlinkat(target, AT_FDCWD, temporary);
    if (r == 0)
        r = io_rename(temporary, path);
    if (r < 0) {
        (void)io_unlink(temporary);
        return verror_errno(err, r, "linking %s to %s", path, target);
    }
    return 0;
}

bool link_remove(const struct home *home, const char *path, const char *env_name)
{
    char target[1];
    if (linked_folder_remove(home, path, env_name))
        return true;
    if (readlink(path, target, sizeof(target)) < 0)
        return false; /* the hub's own folder, or plain files */
    _cleanup_free_ char *name = env_name_of_path(home, path);
    return name && strcmp(name, env_name) == 0 && io_unlink(path) == 0;
}
