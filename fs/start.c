/* control: finding a daemon, or starting one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/control.h"
#include "fs/control_wire.h"
#include "fs/launch.h"
#include "fs/mount.h"

#define START_MILLISECONDS 30000
#define READY_LIMIT 65536

extern char **environ;

/* ---- stale mounts ---- */

static int heal_one(const char *path, int *healed, struct verror *err)
{
    if (mount_health(path) != MOUNT_STALE)
        return 0;
    int r = unmount_path(path, true, err);
    if (r < 0)
        return verror_prefix(err, "a mount whose daemon is gone"), r;
    ++*healed;
    return 0;
}

int heal_stale_mounts(const struct home *home, struct verror *err)
{
    int healed = 0;
    int r = heal_one(home->hub, &healed, err);
    _cleanup_free_ char *path = path_join(home->root, "mounts.json");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    json_t *mounts = NULL, *mount;
    size_t i;
    if (io_read_file(path, &text, CONTROL_LIMIT) == 0)
        mounts = json_loadb(text.buf, text.len, 0, NULL);
    json_array_foreach(mounts, i, mount)
    {
        const char *dir = json_string_value(json_object_get(mount, "dir"));
        if (dir && r == 0)
            r = heal_one(dir, &healed, err);
    }
    json_decref(mounts);
    return r < 0 ? r : healed;
}

/* A daemon that ends in order takes its daemon.json along, and one that lives holds its lock. */
int heal_after_death(const struct home *home, struct verror *err)
{
    _cleanup_free_ char *facts = path_join(home->root, "daemon.json");
    _cleanup_free_ char *lock_path = path_join(home->root, "daemon.lock");
    if (!path_exists(facts))
        return 0;
    _cleanup_close_ int lock = lock_file(lock_path, LOCK_EXCLUSIVE, false);
    if (lock < 0)
        return lock == -EAGAIN ? 0 : verror_errno(err, lock, "%s", lock_path);
    return heal_stale_mounts(home, err);
}

/* ---- starting ---- */

void launch_prepare(struct launch *l, const struct home *home)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    l->environment = xcalloc(n + 4, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "VENVFS_HOME=", 12) != 0 &&
            strncmp(environ[i], "VENVFS_HUB=", 11) != 0 &&
            strncmp(environ[i], "VENVFS_RUNTIME_DIR=", 19) != 0)
            l->environment[kept++] = xstrdup(environ[i]);
    l->environment[kept++] = xasprintf("VENVFS_HOME=%s", home->root);
    l->environment[kept++] = xasprintf("VENVFS_HUB=%s", home->hub);
    l->environment[kept] = xasprintf("VENVFS_RUNTIME_DIR=%s", home->runtime);
}

void launch_release(struct launch *l)
{
    for (char **e = l->environment; *e; e++)
        free(*e);
    free(l->environment);
}

void launch_become(const struct launch *l)
{
    enum { LAST_FD = LAUNCH_FUSE_FD };
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir("/") < 0)
        _exit(127);
    /* Above both places first, so that none is overwritten before it is moved. */
    int ready = fcntl(l->ready, F_DUPFD, LAST_FD + 1);
    int fuse = l->fuse < 0 ? -1 : fcntl(l->fuse, F_DUPFD, LAST_FD + 1);
    (void)close(LAUNCH_FUSE_FD);
    if (dup2(ready, LAUNCH_READY_FD) < 0 || (l->fuse >= 0 && dup2(fuse, LAUNCH_FUSE_FD) < 0))
        _exit(127);
    if (syscall(SYS_close_range, LAST_FD + 1, ~0U, 0) < 0)
        for (int fd = LAST_FD + 1; fd < 1024; fd++)
            close(fd);
    execve("/proc/self/exe", (char *const *)(uintptr_t)l->argv, l->environment);
    _exit(127);
}

/* Twice forked, so that nobody has to wait for the daemon and no terminal is its own. */
static int launch_daemon(const struct launch *l, struct verror *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return verror_errno(err, errno, "starting the daemon");
    if (pid == 0) {
        if (setsid() < 0)
            _exit(127);
        pid_t daemon = fork();
        if (daemon == 0)
            launch_become(l);
        _exit(daemon < 0 ? 127 : 0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return verror_errno(err, errno, "starting the daemon");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return verror_set(err, EAGAIN, "starting the daemon: no process could be made");
    return 0;
}

static long long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int launch_wait(int fd, const struct home *home, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    long long until = milliseconds() + START_MILLISECONDS;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        long long left = until - milliseconds();
        int r = poll(&p, 1, left > 0 ? (int)left : 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return verror_set(err, ETIMEDOUT, "the daemon did not become ready within %d s",
                              START_MILLISECONDS / 1000);
        char buf[4096];
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n > 0 && line.len < READY_LIMIT)
            strbuf_add(&line, buf, (size_t)n);
        else if (n >= 0 || errno != EINTR)
            break;
    }
    json_t *answer = json_loadb(line.buf, line.len, 0, NULL);
    if (!answer) {
        verror_set(err, EIO, "the daemon died while it started");
        return verror_hint(err, "see %s/daemon.log", home->root), -EIO;
    }
    int r = control_result(answer, err);
    json_decref(answer);
    return r;
}

static int start_daemon(const struct home *home, struct verror *err)
{
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return verror_errno(err, errno, "starting the daemon");
    const char *argv[] = {"venvfs", "daemon", "--ready-fd", LAUNCH_READY_TEXT, NULL};
    struct launch l = {.argv = argv, .ready = pipe[1], .fuse = -1};
    launch_prepare(&l, home);
    int r = launch_daemon(&l, err);
    launch_release(&l);
    close(pipe[1]);
    if (r == 0)
        r = launch_wait(pipe[0], home, err);
    close(pipe[0]);
    return r;
}

/* The daemon may run where this process cannot see its mount. */
static int check_visible(const struct home *home, struct verror *err)
{
    if (mount_health(home->hub) == MOUNT_LIVE)
        return 0;
    verror_set(err, ENXIO, "the daemon runs, but its mount at %s cannot be seen from here",
               home->hub);
    return verror_hint(err, "it was started in another mount namespace (a container, sandbox or "
                            "`unshare -m`), or shows another folder: stop it there, or name "
                            "another VENVFS_HOME and VENVFS_HUB here"),
           -ENXIO;
}

static int prepare_start(const struct home *home, struct verror *err)
{
    int r = fuse_usable(err);
    if (r == 0)
        r = home_create(home, err);
    if (r == 0)
        r = heal_stale_mounts(home, err);
    return r < 0 ? r : 0;
}

int control_start(const struct home *home, struct control **ret, struct verror *err)
{
    struct control *c = NULL;
    long long until = milliseconds() + START_MILLISECONDS;
    int r = control_connect(home, &c, err);
    if (r == -ENOENT)
        r = prepare_start(home, err);
    while (r == 0 && !c) {
        r = start_daemon(home, err);
        /* Of several that start at once the lock lets one through; the others find its socket when
         * it is ready, or its lock gone when it failed. */
        if (r == 0 || r == -EAGAIN) {
            int connected = control_connect(home, &c, err);
            r = connected == -ENOENT && milliseconds() < until ? 0 : connected;
            if (!c && r == 0)
                nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        }
    }
    if (r == 0)
        r = check_visible(home, err);
    if (r < 0) {
        control_close(c);
        return r;
    }
    if (err)
        verror_release(err); /* of attempts that came to nothing */
    *ret = c;
    return 0;
}
