#include "cli/show_env.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/announce.h"
#include "cli/fallback.h"
#include "cli/link.h"
#include "cli/linked_folder.h"
#include "cli/print.h"
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
    _cleanup_free_ char *word = print_word(env_name);
    _cleanup_free_ char *remedy = xstrdup(err->hint ? err->hint : "write it as plain files");
    const char * or = strstr(remedy, "plain files") ? "" : ", or write it as plain files";
    verror_hint(err, "%s%s: venvfs mount -n %s --fallback", remedy, or, word);
}

int look_at_env(const struct home *home, const char *name, struct verror *err)
{
    _cleanup_free_ char *in_hub = hub_path(home, name), *cfg = path_join(in_hub, "pyvenv.cfg");
    struct stat st;
    if (stat(cfg, &st) == 0)
        return 0;
    int errnum = errno;
    if (errnum == ENOENT && stat(in_hub, &st) == 0)
        return 0; /* its user has removed it */
    verror_errno(err, errnum, "environment %s is mounted, but %s cannot be seen from here", name,
                 cfg);
    if (errnum == EIO)
        return verror_hint(err, "%s/daemon.log says why; venvfs store verify names what is damaged",
                           home->root);
    return verror_hint(err, "the daemon may run in another mount namespace (a container, sudo): "
                            "venvfs umount --all there, then try again");
}

static int request_attach(struct control *control, const char *name, bool announce, json_t **answer,
                          struct verror *err)
{
    int r = control_call(
        control,
        json_pack("{s:s, s:s, s:b}", "do", "attach", "env", name, "announce", (int)announce),
        answer, err);
    if (r == 0)
        return 0;
    verror_prefix(err, "showing environment %s", name);
    err->errnum = EIO; /* whatever it was, FUSE works: plain files are not the remedy */
    return -EIO;
}

int attach_env(struct control *control, const char *name, struct verror *err)
{
    json_t *answer = NULL;
    int r = request_attach(control, name, false, &answer, err);
    json_decref(answer);
    return r;
}

static int attach_to_announce(struct control *control, const char *name, json_t **answer,
                              struct verror *err)
{
    return request_attach(control, name, true, answer, err);
}

/* Through the daemon. Nobody watches what is new. */
static int attach(const struct home *home, const struct env *env, struct verror *err)
{
    struct control *control;
    int r = control_start(home, &control, err);
    if (r < 0)
        return r;
    bool is_new = env->manifest->generation == 1;
    if (is_new)
        r = attach_env(control, env->name, err);
    control_close(control);
    if (!is_new)
        r = announce_switch(home, env->name, attach_to_announce, err);
    return r < 0 ? r : look_at_env(home, env->name, err);
}

static int show_plain(struct session *s, const struct env *env, struct verror *err)
{
    print_note("plain files at %s, because %s", env->manifest->address, verror_message(err));
    verror_release(err);
    return fallback_write(s, env, err);
}

/* The way from the address into the hub. */
static int lead_there(const struct home *home, const struct env *env, struct verror *err)
{
    const char *address = env->manifest->address;
    if (fallback_owns(home, env->name, address))
        return fallback_retire(home, env, err);
    if (linked_folder_is(address)) /* its Python may be another now */
        return linked_folder_make(home, env, err);
    return path_exists(address) ? 0 : link_make(home, address, env->name, err);
}

int show_env(struct session *s, const struct env *env, enum show how, struct verror *err)
{
    bool plain = fallback_owns(&s->home, env->name, env->manifest->address);
    int r = address_check(&s->home, env, how != SHOW, err);
    if (r < 0)
        return r;
    if (daemon_unwanted())
        return plain ? fallback_write(s, env, err) : 0;
    r = attach(&s->home, env, err);
    if (no_fuse(r) && (plain || how == SHOW_OR_FALLBACK))
        return show_plain(s, env, err);
    return r < 0 ? r : lead_there(&s->home, env, err);
}

/* Asks a daemon, if one runs. Takes the request over. */
static int ask_running(const struct home *home, json_t *request, struct verror *err)
{
    struct control *control;
    int r = control_connect(home, &control, err);
    if (r < 0) {
        json_decref(request);
        if (r == -ENOENT && err)
            verror_release(err);
        return r == -ENOENT ? 0 : r;
    }
    json_t *answer = NULL;
    r = control_call(control, request, &answer, err);
    control_close(control);
    json_decref(answer);
    return r;
}

int hide_env(const struct home *home, const char *name, bool removed, struct verror *err)
{
    int r = ask_running(
        home, json_pack("{s:s, s:s, s:b}", "do", "detach", "env", name, "removed", (int)removed),
        err);
    return r == -ENOENT ? 0 : r; /* not in view: as wished */
}

int rename_shown(const struct home *home, const char *from, const char *to, struct verror *err)
{
    int r =
        ask_running(home, json_pack("{s:s, s:s, s:s}", "do", "rename", "env", from, "to", to), err);
    return r < 0 ? verror_prefix(err, "showing environment %s", to) : 0;
}

/* The hub is looked into only when a daemon answers: a stale mount would make everybody wait. */
void flush_env(const struct home *home, const char *name)
{
    struct control *control;
    _cleanup_free_ char *path = hub_path(home, name);
    if (control_connect(home, &control, NULL) < 0)
        return;
    control_close(control);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)syncfs(fd);
}
