/* daemon: what commands may ask of it. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/envs.h"
#include "env/inside.h"
#include "fs/announce.h"
#include "fs/control.h"
#include "fs/control_wire.h"
#include "fs/daemon_internal.h"
#include "fs/mount.h"
#include "venvfs-config.h"

/* ---- mounts ---- */

static int start_hub(struct daemon *d, bool resume, struct verror *err)
{
    const struct overlay_context overlays = {
        .images = d->context.images, .wake = d->context.ended, .succession = d->context.succession};
    struct realm *realm;
    int r = realm_new_hub(d->home, d->context.images, &overlays, resume, &realm, err);
    if (r == 0)
        r = (resume ? session_resume : session_start)(&d->context, realm, d->home->hub, &d->hub,
                                                      err);
    return r;
}

int daemon_mount_hub(struct daemon *d, struct verror *err)
{
    return start_hub(d, false, err);
}

int daemon_resume_hub(struct daemon *d, struct verror *err)
{
    return start_hub(d, true, err);
}

/* HOME/mounts.json lets the next command heal what this process leaves when it is killed. */
static void write_mounts(const struct daemon *d)
{
    _cleanup_free_ char *path = path_join(d->home->root, "mounts.json");
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_mounts; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "env", d->mounts[i].env, "dir", d->mounts[i].dir));
    _cleanup_free_ char *text = json_dumps(list, JSON_INDENT(2));
    json_decref(list);
    int r = text ? io_write_file_atomic(path, text, strlen(text), 0600, false) : -EINVAL;
    if (r < 0)
        log_line("%s: %s", path, strerror(-r));
}

/* Of an ended or unmounted session; the result is session_free()'s. */
static bool forget_mount(struct daemon *d, size_t i)
{
    struct explicit_mount m = d->mounts[i];
    bool gone = session_free(m.session);
    if (m.made_dir)
        (void)rmdir(m.dir);
    free(m.env);
    free(m.dir);
    d->mounts[i] = d->mounts[--d->n_mounts];
    write_mounts(d);
    return gone;
}

void daemon_session_ended(void *arg)
{
    struct daemon *d = arg;
    uint64_t n;
    ssize_t ignored = read(d->context.ended, &n, sizeof(n));
    (void)ignored;
    if (d->hub && !session_alive(d->hub)) {
        log_line("%s was unmounted from outside", d->home->hub);
        session_free(d->hub);
        d->hub = NULL;
    }
    for (size_t i = d->n_mounts; i-- > 0;) {
        if (!session_alive(d->mounts[i].session)) {
            log_line("%s was unmounted from outside", d->mounts[i].dir);
            forget_mount(d, i);
        }
    }
}

static void unmount_or_detach(struct session *session, int *result, struct verror *err)
{
    _cleanup_verror_ struct verror own = VERROR_INIT;
    int r = session_unmount(session, true, &own);
    if (r == 0)
        return;
    log_line("%s", verror_message(&own));
    if (*result == 0)
        *result = verror_move(err, &own);
}

int daemon_unmount_all(struct daemon *d, struct verror *err)
{
    int r = 0;
    while (d->n_mounts) {
        unmount_or_detach(d->mounts[d->n_mounts - 1].session, &r, err);
        if (!forget_mount(d, d->n_mounts - 1))
            d->kept = true;
    }
    if (d->hub) {
        unmount_or_detach(d->hub, &r, err);
        if (!session_free(d->hub))
            d->kept = true;
        d->hub = NULL;
    }
    return r;
}

/* The end, mounts first: who asked for it finds them gone when it is answered. */
static int stop(struct daemon *d, struct verror *err)
{
    d->stop = true;
    warmer_stop(&d->warmer);
    return daemon_unmount_all(d, err);
}

static struct explicit_mount *find_mount(struct daemon *d, const char *dir)
{
    for (size_t i = 0; i < d->n_mounts; i++)
        if (strcmp(d->mounts[i].dir, dir) == 0)
            return &d->mounts[i];
    return NULL;
}

/* ---- verbs ---- */

static int text_field(const json_t *request, const char *name, const char **ret, struct verror *err)
{
    *ret = json_string_value(json_object_get(request, name));
    return *ret ? 0 : verror_set(err, EINVAL, "the request lacks \"%s\"", name);
}

static int do_hello(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    (void)request;
    int r = d->hub ? 0 : daemon_mount_hub(d, err);
    if (r < 0)
        return r;
    json_object_set_new(answer, "protocol", json_integer(CONTROL_PROTOCOL));
    json_object_set_new(answer, "version", json_string(VENVFS_VERSION));
    json_object_set_new(answer, "pid", json_integer(getpid()));
    json_object_set_new(answer, "hub", json_string(d->home->hub));
    return 0;
}

static int add_stubs(struct daemon *d, const struct env *env, struct verror *err)
{
    _cleanup_free_ char *python_dir = inside_python_dir(env);
    return stubs_add(d->stubs, env->name, python_dir, err);
}

/* Asked for by who is about to announce it ("announce": true), else nobody is told. */
static struct announcement *prepare_news(struct daemon *d, const json_t *request, const char *name)
{
    bool wanted = json_is_true(json_object_get(request, "announce"));
    return wanted ? announce_prepare(d->hub, name) : NULL;
}

static int do_attach(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *name;
    struct env *env;
    int r = text_field(request, "env", &name, err);
    if (r == 0)
        r = env_open(d->home, name, false, false, &env, err);
    if (r == 0 && env->emptied) {
        env_free(env);
        r = realm_refuse_emptied(name, err);
    }
    if (r < 0)
        return r;
    r = add_stubs(d, env, err);
    unsigned generation = env->manifest->generation;
    uint32_t slot = env->slot;
    json_object_set_new(answer, "generation", json_integer(generation));
    env_free(env);
    struct notices notices = {0};
    struct realm *realm = session_realm(d->hub);
    struct announcement *news = prepare_news(d, request, name);
    if (r == 0)
        r = realm_attach(realm, name, notices_add, &notices, err);
    bool announced = announce_begin(news, d->client.number, d->client.pid);
    json_object_set_new(answer, "announce", json_boolean(announced));
    json_object_set_new(answer, "invalidated",
                        json_integer((json_int_t)notices_send(&notices, d->hub)));
    realm_settle(realm);
    if (r == 0)
        warmer_want(&d->warmer, name, slot, generation);
    return r;
}

/* What `venvfs warm` walks. */
static int do_warm(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *name;
    json_t *files;
    int r = text_field(request, "env", &name, err);
    if (r == 0)
        r = warmer_list(session_realm(d->hub), d->home, name, &files, err);
    if (r == 0)
        json_object_set_new(answer, "files", files);
    return r;
}

/* The next step of an announcement, or its end. */
static int do_announce(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    (void)err;
    bool more = false;
    if (json_is_true(json_object_get(request, "end")))
        announce_end(d->hub, d->client.number);
    else
        more = announce_step(d->hub, d->client.number, answer);
    json_object_set_new(answer, "more", json_boolean(more));
    return 0;
}

void daemon_client_gone(void *arg, const struct control_client *client)
{
    const struct daemon *d = arg;
    if (d->hub)
        announce_end(d->hub, client->number);
}

static int do_detach(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *name;
    struct notices notices = {0};
    (void)answer;
    int r = text_field(request, "env", &name, err);
    if (r < 0)
        return r;
    warmer_leave(&d->warmer, name);
    struct realm *realm = session_realm(d->hub);
    r = realm_detach(realm, name, notices_add, &notices, err);
    notices_send(&notices, d->hub);
    realm_settle(realm);
    /* The stub stays while the environment exists: only what is removed must not revive. */
    bool removed = json_is_true(json_object_get(request, "removed"));
    if (removed && r == -ENOENT) { /* not in view, as after umount */
        verror_release(err);
        r = 0;
    }
    return r == 0 && removed ? stubs_remove(d->stubs, name, err) : r;
}

static void rename_mounts(struct daemon *d, const char *from, const char *to)
{
    for (size_t i = 0; i < d->n_mounts; i++) {
        if (strcmp(d->mounts[i].env, from) != 0)
            continue;
        free(d->mounts[i].env);
        d->mounts[i].env = xstrdup(to);
    }
    write_mounts(d);
}

/* The folder has its new name on disk already. */
static int do_rename(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *from = NULL, *to = NULL;
    struct env *env;
    struct notices notices = {0};
    struct realm *realm = session_realm(d->hub);
    (void)answer;
    int r = text_field(request, "env", &from, err);
    if (r == 0)
        r = text_field(request, "to", &to, err);
    if (r == 0)
        r = env_open(d->home, to, false, false, &env, err);
    if (r < 0)
        return r;
    r = add_stubs(d, env, err);
    env_free(env);
    if (r == 0)
        r = stubs_remove(d->stubs, from, err);
    if (r == 0)
        r = realm_rename(realm, from, to, notices_add, &notices, err);
    notices_send(&notices, d->hub);
    realm_settle(realm);
    rename_mounts(d, from, to);
    return r;
}

static bool is_empty_folder(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    bool empty = dir != NULL;
    while (empty && (e = readdir(dir)))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (dir)
        closedir(dir);
    return empty;
}

/* The daemon must not look into its own mounts: it would wait for itself. */
static bool leads_into_hub(const struct daemon *d, const char *dir)
{
    char target[PATH_MAX];
    size_t len = strlen(d->home->hub);
    ssize_t n = readlink(dir, target, sizeof(target) - 1);
    if (n > 0) {
        target[n] = '\0';
        dir = target;
    }
    return strncmp(dir, d->home->hub, len) == 0 && (dir[len] == '\0' || dir[len] == '/');
}

/* The mount point must be an empty folder, or one that can be made. */
static int prepare_folder(const struct daemon *d, const char *dir, bool *made, struct verror *err)
{
    struct stat st;
    *made = false;
    if (dir[0] != '/')
        return verror_set(err, EINVAL, "%s is no absolute path", dir);
    if (leads_into_hub(d, dir))
        return verror_set(err, EBUSY, "%s is in the hub already", dir);
    if (stat(dir, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return verror_set(err, ENOTDIR, "%s is no folder", dir);
        return is_empty_folder(dir) ? 0 : verror_set(err, ENOTEMPTY, "%s is not empty", dir);
    }
    int r = path_mkdirs(dir, 0755);
    if (r < 0)
        return verror_errno(err, r, "making %s", dir);
    *made = true;
    return 0;
}

static int mount_at(struct daemon *d, const char *env, const char *dir, bool made,
                    unsigned *generation, struct verror *err)
{
    struct realm *realm;
    struct session *session;
    int r = realm_new_single(d->home, d->context.images, env, dir, &realm, err);
    if (r < 0)
        return r;
    *generation = realm_generation(realm);
    r = session_start(&d->context, realm, dir, &session, err);
    if (r < 0)
        return r;
    d->mounts = xgrow(d->mounts, &d->alloc_mounts, d->n_mounts + 1, sizeof(*d->mounts));
    d->mounts[d->n_mounts++] = (struct explicit_mount){.env = xstrdup(env),
                                                       .dir = xstrdup(dir),
                                                       .generation = *generation,
                                                       .made_dir = made,
                                                       .session = session};
    write_mounts(d);
    return 0;
}

static int do_mount(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *env, *dir;
    bool made = false;
    int r = text_field(request, "env", &env, err);
    if (r == 0)
        r = text_field(request, "dir", &dir, err);
    if (r < 0)
        return r;
    unsigned generation = 0;
    const struct explicit_mount *m = find_mount(d, dir);
    if (m && strcmp(m->env, env) != 0)
        return verror_set(err, EBUSY, "%s shows the environment %s", dir, m->env);
    if (m) {
        generation = m->generation;
    } else {
        r = prepare_folder(d, dir, &made, err);
        if (r == 0)
            r = mount_at(d, env, dir, made, &generation, err);
        if (r < 0 && made)
            (void)rmdir(dir);
    }
    json_object_set_new(answer, "generation", json_integer(generation));
    return r;
}

/* The loops of these mounts were the predecessor's: nothing is under way in them that could be gone
 * on with. */
void daemon_resume_mounts(struct daemon *d)
{
    _cleanup_free_ char *path = path_join(d->home->root, "mounts.json");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    json_t *list = NULL, *mount;
    size_t i;
    if (io_read_file(path, &text, CONTROL_LIMIT) == 0)
        list = json_loadb(text.buf, text.len, 0, NULL);
    json_array_foreach(list, i, mount)
    {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        const char *dir = json_string_value(json_object_get(mount, "dir"));
        json_t *answer = json_object();
        int r = dir ? unmount_path(dir, true, &err) : -EINVAL;
        if (r == 0)
            r = do_mount(d, mount, answer, &err);
        if (r < 0)
            log_line("%s is not mounted any more: %s", dir ? dir : "?", verror_message(&err));
        json_decref(answer);
    }
    json_decref(list);
}

static int do_umount(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    const char *dir;
    (void)answer;
    if (json_is_true(json_object_get(request, "all")))
        return stop(d, err); /* nothing would be left to serve */
    int r = text_field(request, "dir", &dir, err);
    if (r < 0)
        return r;
    if (strcmp(dir, d->home->hub) == 0)
        return stop(d, err);
    struct explicit_mount *m = find_mount(d, dir);
    if (!m)
        return verror_set(err, ENOENT, "nothing of venvfs is mounted at %s", dir);
    r = session_unmount(m->session, json_is_true(json_object_get(request, "lazy")), err);
    if (r == -EBUSY)
        verror_hint(err, "a process has its working folder or an open file in it");
    /* A detached mount's loop still uses all of the context. */
    if (r == 0 && !forget_mount(d, (size_t)(m - d->mounts)))
        d->kept = true;
    return r;
}

static int do_status(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    (void)request;
    (void)err;
    daemon_status(d, answer);
    return 0;
}

static int do_repacked(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    (void)request;
    (void)answer;
    (void)err;
    images_forget_removed(d->context.images);
    return 0;
}

static int do_stop(struct daemon *d, const json_t *request, json_t *answer, struct verror *err)
{
    (void)request;
    (void)answer;
    return stop(d, err);
}

int daemon_perform(void *arg, const struct control_client *client, const char *verb,
                   const json_t *request, json_t *answer, struct verror *err)
{
    static const struct {
        const char *name;
        int (*perform)(struct daemon *d, const json_t *request, json_t *answer, struct verror *err);
        bool needs_hub;
    } verbs[] = {
        {"hello", do_hello, false},       {"attach", do_attach, true},
        {"detach", do_detach, true},      {"mount", do_mount, false},
        {"umount", do_umount, false},     {"status", do_status, false},
        {"stop", do_stop, false},         {"rename", do_rename, true},
        {"settle", daemon_settle, true},  {"announce", do_announce, true},
        {"repacked", do_repacked, false}, {"warm", do_warm, true},
    };
    struct daemon *d = arg;
    d->client = *client;
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (strcmp(verb, verbs[i].name) != 0)
            continue;
        int r = verbs[i].needs_hub && !d->hub ? daemon_mount_hub(d, err) : 0;
        return r < 0 ? r : verbs[i].perform(d, request, answer, err);
    }
    return verror_set(err, ENOTSUP, "this daemon knows no verb \"%s\"", verb);
}
