#include "fs/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/launch.h"

/* Of this process while it lives, though its descriptor is the daemon's as well. */
static _Noreturn void wait_and_succeed(const struct launch *l, struct succession *s, int daemon)
{
    struct pollfd end = {.fd = daemon, .events = POLLIN};
    (void)prctl(PR_SET_NAME, "venvfs-guardian");
    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        ;
    if (succession_has_ended(s) || succession_descriptor(s, SUCCESSION_FUSE) < 0 ||
        !succession_may_go_on(s))
        _exit(0);
    succession_open_over_exec(s);
    execve("/proc/self/exe", (char *const *)(uintptr_t)l->argv, l->environment);
    _exit(127);
}

pid_t guardian_start(const struct home *home, struct succession *s, struct verror *err)
{
    char number[16];
    const char *argv[] = {"venvfs", "daemon", "--succeed", number, NULL};
    (void)snprintf(number, sizeof(number), "%d", succession_descriptor(s, SUCCESSION_MEMORY));
    /* Left open: it is the guardian's as long as it is this process's. */
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (self < 0)
        return verror_errno(err, errno, "watching over the daemon");
    (void)fcntl(self, F_SETFD, FD_CLOEXEC);
    struct launch l = {.argv = argv, .ready = -1, .fuse = -1};
    launch_prepare(&l, home);
    /* fork() cannot share descriptors. */
    long pid = syscall(SYS_clone, (unsigned long)CLONE_FILES | SIGCHLD, 0, NULL, NULL, 0);
    int e = errno;
    if (pid == 0)
        wait_and_succeed(&l, s, self);
    launch_release(&l);
    if (pid < 0) {
        close(self);
        return verror_errno(err, e, "watching over the daemon");
    }
    return (pid_t)pid;
}

void guardian_stop(pid_t guardian, struct succession *s)
{
    succession_end(s);
    if (guardian <= 0)
        return;
    (void)kill(guardian, SIGKILL);
    while (waitpid(guardian, NULL, 0) < 0 && errno == EINTR)
        ;
}
