#include "cli/show_env.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/session.h"
#include "fs/control.h"

bool daemon_unwanted(void)
{
    const char *value = getenv("VENVFS_NO_DAEMON");
    return value && value[0] && strcmp(value, "0") != 0;
}

bool no_fuse(int error)
{
    return error == -ENODEV || error == -EACCES || error == -EPERM;
}

void no_fuse_hint(struct verror *err, const char *env_name)
{
    _cleanup_free_ char *remedy = xstrdup(err->hint ? err->hint : "write it as plain files");
    verror_hint(err, "%s: venvfs materialize -n %s DIR, or --fallback with create, mount and sync",
                remedy, env_name);
}

static int look(const char *name, const char *address, struct verror *err)
{
    _cleanup_free_ char *cfg = path_join(address, "pyvenv.cfg");
    struct stat st;
    if (stat(cfg, &st) == 0)
        return 0;
    verror_errno(err, errno, "environment %s is mounted, but %s cannot be seen from here", name,
                 cfg);
    return verror_hint(err, "the daemon may run in another mount namespace (a container, sudo): "
                            "venvfs umount --all there, then try again");
}

int show_env(const struct home *home, const char *name, const char *address, struct verror *err)
{
    if (daemon_unwanted())
        return 0;
    struct control *control;
    int r = control_start(home, &control, err);
    if (r < 0)
        return r;
    json_t *answer = NULL;
    r = control_call(control, json_pack("{s:s, s:s}", "do", "attach", "env", name), &answer, err);
    control_close(control);
    if (r < 0) {
        verror_prefix(err, "showing environment %s", name);
        err->errnum = EIO; /* whatever it was, FUSE works: plain files are not the remedy */
        return -EIO;
    }
    json_decref(answer);
    _cleanup_free_ char *in_hub = hub_path(home, name);
    r = look(name, in_hub, err);
    return r < 0 ? r : look(name, address, err);
}

int hide_env(const struct home *home, const char *name, bool removed, struct verror *err)
{
    struct control *control;
    int r = control_connect(home, &control, err);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    json_t *answer = NULL;
    r = control_call(
        control,
        json_pack("{s:s, s:s, s:b}", "do", "detach", "env", name, "removed", (int)removed), &answer,
        err);
    control_close(control);
    json_decref(answer);
    return r == -ENOENT ? 0 : r; /* not in view: as wished */
}
