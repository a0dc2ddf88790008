#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/control.h"
#include "fs/control_wire.h"
#include "fs/daemon_internal.h"
#include "fs/guardian.h"
#include "fs/mount.h"
#include "store/profiles.h"
#include "venvfs-config.h"

#define LOG_LIMIT (1 << 20)

/* ---- the process ---- */

int daemon_open_log(const struct home *home, struct verror *err)
{
    _cleanup_free_ char *path = path_join(home->root, "daemon.log");
    struct stat st;
    int truncate = stat(path, &st) == 0 && st.st_size > LOG_LIMIT ? O_TRUNC : 0;
    _cleanup_close_ int fd = io_open(path, O_WRONLY | O_CREAT | O_APPEND | truncate, 0600);
    if (fd < 0)
        return verror_errno(err, fd, "%s", path);
    if (dup2(fd, STDERR_FILENO) < 0)
        return verror_errno(err, errno, "%s", path);
    return 0;
}

int daemon_quit_descriptor(struct verror *err)
{
    sigset_t blocked, quit;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&quit);
    sigaddset(&quit, SIGTERM);
    sigaddset(&quit, SIGINT);
    blocked = quit;
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    int fd = signalfd(-1, &quit, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? verror_errno(err, errno, "waiting for signals") : fd;
}

/* Each environment that was written to needs four descriptors while it is in view, and those that
 * its overlay caches. */
static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void daemon_limit_memory(void)
{
    /* An arena per thread would keep what each once needed. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    mallopt(M_TRIM_THRESHOLD, 512 * 1024);
}

/* ---- being found ---- */

static int write_facts(const struct home *home, const char *socket, struct verror *err)
{
    _cleanup_free_ char *path = path_join(home->root, "daemon.json");
    json_t *facts = json_pack("{s:i, s:s, s:s, s:s}", "pid", (int)getpid(), "socket", socket,
                              "version", VENVFS_VERSION, "hub", home->hub);
    _cleanup_free_ char *text = facts ? json_dumps(facts, JSON_INDENT(2)) : NULL;
    json_decref(facts);
    if (!text)
        return verror_set(err, EINVAL, "%s or %s is not in UTF-8", socket, home->hub);
    int r = io_write_file_atomic(path, text, strlen(text), 0600, false);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

static void remove_facts(const struct home *home)
{
    _cleanup_free_ char *path = path_join(home->root, "daemon.json");
    (void)io_unlink(path);
}

void daemon_tell(int *ready, int result, const struct verror *err)
{
    if (*ready < 0)
        return;
    json_t *answer = result < 0 ? control_error(result, err) : json_pack("{s:b}", "ok", 1);
    _cleanup_free_ char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    if (text) {
        (void)io_write_all(*ready, text, strlen(text));
        (void)io_write_all(*ready, "\n", 1);
    }
    close(*ready);
    *ready = -1;
}

/* ---- life ---- */

static json_t *lines_of(const struct strbuf *text)
{
    json_t *list = json_array();
    for (const char *line = text->buf; *line;) {
        size_t len = strcspn(line, "\n");
        log_line("%.*s", (int)len, line);
        json_array_append_new(list, json_stringn_nocheck(line, len));
        line += len + (line[len] == '\n');
    }
    return list;
}

static int prepare_hub(struct daemon *d, struct strbuf *moved, struct verror *err)
{
    int r = heal_stale_mounts(d->home, err);
    if (r >= 0 && mounted_at(d->home->hub))
        r = verror_set(err, EBUSY, "something is mounted at %s that this daemon did not mount",
                       d->home->hub);
    if (r >= 0)
        r = stubs_prepare(d->home, &d->stubs, moved, err);
    return r;
}

/* resume: the hub is mounted, and what is beneath it was prepared. */
static int prepare(struct daemon *d, bool resume, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf moved = STRBUF_INIT;
    struct succession *succession = d->context.succession;
    int r = 0;
    if (resume)
        d->stubs = stubs_resume(d->home, succession_descriptor(succession, SUCCESSION_BENEATH));
    else
        r = prepare_hub(d, &moved, err);
    if (r >= 0 && succession)
        succession_set_descriptor(succession, SUCCESSION_BENEATH, stubs_descriptor(d->stubs));
    d->context.stubs = d->stubs;
    d->notices = lines_of(&moved);
    d->context.ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->context.workers = pool_new(DAEMON_WORKERS);
    d->context.images = images_new(d->home->store, DAEMON_FRAME_CACHE_BYTES);
    d->context.counters = &d->counters;
    d->context.told = log_memory_new();
    _cleanup_free_ char *profiles = path_join(d->home->root, PROFILES_NAME);
    d->context.recorder = recorder_new(profiles, d->context.ended);
    if (r >= 0 && (d->context.ended < 0 || !d->context.workers))
        r = verror_errno(err, errno, "starting the daemon's threads");
    return r < 0 ? r : 0;
}

static void release(struct daemon *d)
{
    free(d->mounts);
    stubs_free(d->stubs);
    json_decref(d->notices);
    pool_free(d->context.workers);
    recorder_free(d->context.recorder);
    images_free(d->context.images);
    log_memory_free(d->context.told);
    if (d->context.ended >= 0)
        close(d->context.ended);
    free(d);
}

/* Of two waits, -1 for ever. */
static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int tick(void *arg)
{
    struct daemon *d = arg;
    struct realm *realm = d->hub ? session_realm(d->hub) : NULL;
    int wait = autosettle_tick(&d->autosettle, d->home, realm);
    wait = sooner(wait, warmer_tick(&d->warmer, d->home, realm, d->context.recorder));
    return sooner(wait, recorder_tick(d->context.recorder, d->context.workers));
}

static int listen_to_commands(struct daemon *d, bool resume, struct control_server **ret,
                              struct verror *err)
{
    _cleanup_free_ char *socket = path_join(d->home->runtime, "control");
    struct succession *succession = d->context.succession;
    int fd = resume ? succession_descriptor(succession, SUCCESSION_CONTROL) : -1;
    int r = control_listen(socket, fd, ret, err);
    if (r == 0 && succession)
        succession_set_descriptor(succession, SUCCESSION_CONTROL, control_server_descriptor(*ret));
    return r == 0 ? write_facts(d->home, socket, err) : r;
}

static void serve_commands(struct daemon *d, struct control_server *server, int quit)
{
    struct control_handler handler = {.perform = daemon_perform,
                                      .gone = daemon_client_gone,
                                      .event = daemon_session_ended,
                                      .tick = tick,
                                      .arg = d,
                                      .watched = d->context.ended,
                                      .quit = quit,
                                      .stop = &d->stop};
    control_serve(server, &handler);
    log_line("stopping");
    autosettle_stop(&d->autosettle);
    warmer_stop(&d->warmer);
    remove_facts(d->home);
}

/* The loop answers from when it has the hub on; this brings the rest up to date. */
static void catch_up(struct daemon *d)
{
    struct notices notices = {0};
    realm_inherit(session_realm(d->hub), notices_add, &notices);
    notices_send(&notices, d->hub);
    daemon_resume_mounts(d);
}

static int serve(struct daemon *d, bool resume, int quit, int *ready, struct verror *err)
{
    struct control_server *server = NULL;
    int r = resume ? daemon_resume_hub(d, err) : daemon_mount_hub(d, err);
    if (r == 0)
        r = listen_to_commands(d, resume, &server, err);
    if (r == 0) {
        log_line("venvfs %s %s %s", VENVFS_VERSION, resume ? "goes on with" : "serves",
                 d->home->hub);
        if (resume)
            catch_up(d);
        daemon_tell(ready, 0, NULL);
        serve_commands(d, server, quit);
    }
    control_server_free(server);
    return r;
}

/* Without a guardian all works but going on after a kill. */
static void watch_over(struct daemon *d)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    pid_t pid = guardian_start(d->home, d->context.succession, &err);
    if (pid < 0)
        log_line("nobody would go on if this daemon were killed: %s", verror_message(&err));
    else
        d->guardian = pid;
}

/* succession: a predecessor's, with resume; taken over. NULL: none is wanted. */
static int run_locked(const struct home *home, struct succession *succession, bool resume,
                      int *ready, struct verror *err)
{
    struct daemon *d = xcalloc(1, sizeof(*d));
    d->home = home;
    d->started = time(NULL);
    d->context.ended = -1;
    d->context.succession = succession;
    autosettle_init(&d->autosettle);
    warmer_init(&d->warmer);
    if (succession)
        watch_over(d); /* now, while there is little that both would have */
    _cleanup_close_ int quit = daemon_quit_descriptor(err);
    int r = quit < 0 ? quit : prepare(d, resume, err);
    if (r == 0)
        r = serve(d, resume, quit, ready, err);
    (void)daemon_unmount_all(d, NULL);
    if (succession)
        guardian_stop(d->guardian, succession);
    if (!d->kept) {
        release(d);
        succession_free(succession);
    }
    return r;
}

/* VENVFS_TAKEOVER=on asks for one: until takeover is tried as long as the rest, not by itself. */
static struct succession *new_succession(int lock)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct succession *s = NULL;
    const char *wanted = getenv("VENVFS_TAKEOVER");
    if (!wanted || strcmp(wanted, "on") != 0)
        return NULL;
    if (succession_new(&s, &err) < 0) {
        log_line("nobody would go on if this daemon were killed: %s", verror_message(&err));
        return NULL;
    }
    succession_set_descriptor(s, SUCCESSION_LOCK, lock);
    return s;
}

static int begin(const struct home *home, struct verror *err)
{
    umask(077);
    daemon_limit_memory();
    allow_descriptors();
    int r = chdir("/") < 0 ? -errno : home_create(home, err);
    return r == 0 ? daemon_open_log(home, err) : r;
}

int daemon_run(const struct home *home, int ready, struct verror *err)
{
    _cleanup_verror_ struct verror own = VERROR_INIT;
    _cleanup_free_ char *lock_path = path_join(home->root, "daemon.lock");
    _cleanup_close_ int lock = -1;
    int r = begin(home, &own);
    if (r == 0) {
        lock = lock_file(lock_path, LOCK_EXCLUSIVE, false);
        if (lock == -EAGAIN)
            r = verror_set(&own, EAGAIN, "another daemon of this user runs");
        else if (lock < 0)
            r = verror_errno(&own, lock, "%s", lock_path);
    }
    if (r == 0)
        r = run_locked(home, new_succession(lock), false, &ready, &own);
    if (r < 0 && r != -EAGAIN)
        log_line("not started: %s", verror_message(&own));
    daemon_tell(&ready, r, &own);
    if (r < 0)
        verror_move(err, &own);
    return r;
}

int daemon_succeed(const struct home *home, int fd, struct verror *err)
{
    struct succession *succession;
    int ready = -1;
    int r = begin(home, err);
    if (r == 0)
        r = succession_open(fd, &succession, err);
    if (r < 0) {
        log_line("nobody goes on with %s: %s", home->hub, verror_message(err));
        return r;
    }
    _cleanup_close_ int lock = succession_descriptor(succession, SUCCESSION_LOCK);
    log_line("the daemon before was killed");
    (void)lock; /* held until the function returns */
    r = run_locked(home, succession, true, &ready, err);
    if (r < 0)
        log_line("nobody goes on with %s: %s", home->hub, verror_message(err));
    return r;
}
