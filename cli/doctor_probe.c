/* Looking at what may not answer. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "fs/mount.h"

enum { PROBE_MILLISECONDS = 5000, CAP_SYS_ADMIN_BIT = 21 };

/* Keeps no descriptor but the pipe: who waits for the end of our output would wait for a child that
 * cannot die, too. */
static _Noreturn void be_child(void (*fn)(const void *arg, int out), const void *arg, int out)
{
    enum { OUT = 3 };
    int null = open("/dev/null", O_RDWR);
    int copy = fcntl(out, F_DUPFD, OUT + 1);
    if (null < 0 || copy < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
        dup2(copy, OUT) < 0)
        _exit(127);
    (void)syscall(SYS_close_range, OUT + 1, ~0U, 0);
    fn(arg, OUT);
    _exit(0);
}

static long long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int read_answer(int fd, struct strbuf *ret)
{
    long long until = milliseconds() + PROBE_MILLISECONDS;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char buf[4096];
        long long left = until - milliseconds();
        int ready = poll(&p, 1, left > 0 ? (int)left : 0);
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
        ssize_t n = ready < 0 ? -1 : read(fd, buf, sizeof(buf));
        if (n == 0)
            return 0;
        if (n > 0)
            strbuf_add(ret, buf, (size_t)n);
        else if (errno != EINTR)
            return -errno;
    }
}

int doctor_probe(void (*fn)(const void *arg, int out), const void *arg, struct strbuf *ret)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        be_child(fn, arg, ends[1]);
    int r = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (r == 0)
        r = read_answer(ends[0], ret);
    close(ends[0]);
    if (pid > 0 && r < 0)
        kill(pid, SIGKILL);
    if (pid > 0)
        (void)waitpid(pid, NULL, r < 0 ? WNOHANG : 0);
    return r;
}

char *doctor_umount_command(const char *path)
{
    _cleanup_free_ char *word = print_word(path);
    bool direct = (mount_privileges() >> CAP_SYS_ADMIN_BIT) & 1;
    return xasprintf("%s %s", direct ? "umount -l" : "fusermount3 -u -z", word);
}

bool doctor_is_locked(const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NONBLOCK, 0);
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}
