#include "fs/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/launch.h"

int errand_start(struct errand *errand, const struct home *home, const char *const *argv)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    struct launch l = {.argv = argv, .ready = null, .fuse = -1};
    launch_prepare(&l, home);
    pid_t pid = fork();
    if (pid == 0)
        launch_become(&l);
    int r = pid < 0 ? -errno : 0;
    launch_release(&l);
    if (r == 0)
        errand->pid = pid;
    return r;
}

bool errand_ended(struct errand *errand, int *status)
{
    int how;
    pid_t pid = errand->pid ? waitpid(errand->pid, &how, WNOHANG) : 0;
    if (pid == 0 || (pid < 0 && errno != ECHILD))
        return false;
    *status = pid > 0 ? (WIFEXITED(how) ? WEXITSTATUS(how) : 1) : 0;
    errand->pid = 0;
    return true;
}

void errand_stop(struct errand *errand)
{
    if (!errand->pid)
        return;
    (void)kill(errand->pid, SIGTERM);
    while (waitpid(errand->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    errand->pid = 0;
}
