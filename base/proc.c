#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"

extern char **environ;

static bool name_matches(const char *entry, const char *pattern)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*')
        return strncmp(entry, pattern, n - 1) == 0;
    return strncmp(entry, pattern, n) == 0 && entry[n] == '=';
}

static bool is_listed(const char *entry, const char *const *patterns)
{
    for (; patterns && *patterns; patterns++)
        if (name_matches(entry, *patterns))
            return true;
    return false;
}

static bool is_replaced(const char *entry, const char *const *set)
{
    for (; set && *set; set++) {
        size_t n = strcspn(*set, "=") + 1;
        if (strncmp(entry, *set, n) == 0)
            return true;
    }
    return false;
}

/* The child's environment; the array is malloc'ed, its strings are not. */
static char **make_environment(const struct proc_options *o)
{
    size_t n = 0, alloc = 0;
    char **env = NULL;
    for (char **e = environ; *e; e++) {
        if (is_listed(*e, o->unset) || is_replaced(*e, o->set))
            continue;
        env = xgrow(env, &alloc, n + 1, sizeof(*env));
        env[n++] = *e;
    }
    for (const char *const *s = o->set; s && *s; s++) {
        env = xgrow(env, &alloc, n + 1, sizeof(*env));
        env[n++] = (char *)(uintptr_t)*s;
    }
    env = xgrow(env, &alloc, n + 1, sizeof(*env));
    env[n] = NULL;
    return env;
}

char *proc_which(const char *name)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
    const char *path = getenv("PATH");
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path) {
        size_t n = strcspn(path, ":");
        _cleanup_free_ char *dir = n ? xstrndup(path, n) : xstrdup(".");
        _cleanup_free_ char *full = path_join(dir, name);
        struct stat st;
        if (access(full, X_OK) == 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode))
            return steal_ptr(full);
        path += n;
        path += *path == ':';
    }
    return NULL;
}

/* In the child, between fork and exec: only async-signal-safe calls. */
static _Noreturn void exec_child(const char *program, const char *const *argv, char **env,
                                 const char *cwd, const int fds[3], int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0 && fds[i] != i && dup2(fds[i], i) < 0)
            goto failed;
    if (cwd && chdir(cwd) < 0)
        goto failed;
    execve(program, (char *const *)(uintptr_t)argv, env);
failed:;
    int e = errno;
    ssize_t ignored = write(report, &e, sizeof(e));
    (void)ignored;
    _exit(127);
}

static int start(const char *const *argv, const struct proc_options *o, const int fds[3],
                 pid_t *ret, struct verror *err)
{
    _cleanup_free_ char *program = proc_which(argv[0]);
    if (!program)
        return verror_errno(err, ENOENT, "%s", argv[0]);
    _cleanup_free_ char **env = make_environment(o);
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return verror_errno(err, errno, "pipe");
    pid_t pid = fork();
    if (pid < 0) {
        int e = errno;
        close(report[0]);
        close(report[1]);
        return verror_errno(err, e, "fork");
    }
    if (pid == 0)
        exec_child(program, argv, env, o->cwd, fds, report[1]);
    close(report[1]);
    int failed = 0;
    ssize_t n;
    do
        n = read(report[0], &failed, sizeof(failed));
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof(failed)) {
        proc_wait(pid);
        return verror_errno(err, failed, "%s", program);
    }
    *ret = pid;
    return 0;
}

int proc_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 255;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void close_pair(int p[2])
{
    for (int i = 0; i < 2; i++) {
        if (p[i] >= 0)
            close(p[i]);
        p[i] = -1;
    }
}

static int drain(int *fd, struct strbuf *into)
{
    char buf[16384];
    ssize_t n = read(*fd, buf, sizeof(buf));
    if (n > 0) {
        strbuf_add(into, buf, (size_t)n);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        close(*fd);
        *fd = -1;
    }
    return 0;
}

/* Moves bytes until the child has closed both outputs; a full pipe on one side never blocks
 * another. */
static void pump(int in, int out, int diag, const struct proc_options *o)
{
    const char *p = o->input;
    size_t left = o->input_size;
    if (in >= 0)
        (void)fcntl(in, F_SETFL, O_NONBLOCK);
    while (out >= 0 || diag >= 0 || in >= 0) {
        if (in >= 0 && left == 0) {
            close(in);
            in = -1;
            continue;
        }
        struct pollfd fds[3] = {
            {.fd = out, .events = POLLIN},
            {.fd = diag, .events = POLLIN},
            {.fd = in, .events = POLLOUT},
        };
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            break;
        if (out >= 0 && fds[0].revents)
            drain(&out, o->output);
        if (diag >= 0 && fds[1].revents)
            drain(&diag, o->diagnostics);
        if (in >= 0 && fds[2].revents) {
            ssize_t n = write(in, p, left);
            if (n > 0) {
                p += n;
                left -= (size_t)n;
            } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
                left = 0; /* the child does not want it */
            }
        }
    }
    int rest[2] = {out, diag};
    close_pair(rest);
    if (in >= 0)
        close(in);
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

int proc_run(const char *const *argv, const struct proc_options *options, int *status,
             struct verror *err)
{
    static const struct proc_options defaults;
    const struct proc_options *o = options ? options : &defaults;
    int in[2] = {-1, -1}, out[2] = {-1, -1}, diag[2] = {-1, -1};
    int r = 0;

    if (o->input ? pipe2(in, O_CLOEXEC) < 0 : (in[0] = open_null()) < 0)
        r = -errno;
    if (r == 0 && o->output && pipe2(out, O_CLOEXEC) < 0)
        r = -errno;
    if (r == 0 && o->diagnostics && pipe2(diag, O_CLOEXEC) < 0)
        r = -errno;
    pid_t pid = -1;
    if (r < 0)
        r = verror_errno(err, r, "starting %s", argv[0]);
    else
        r = start(argv, o, (const int[3]){in[0], out[1], diag[1]}, &pid, err);
    if (r < 0) {
        close_pair(in);
        close_pair(out);
        close_pair(diag);
        return r;
    }
    close(in[0]);
    if (out[1] >= 0)
        close(out[1]);
    if (diag[1] >= 0)
        close(diag[1]);

    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    pump(in[1], out[0], diag[0], o);
    sigaction(SIGPIPE, &before, NULL);
    *status = proc_wait(pid);
    return 0;
}

int proc_spawn(const char *const *argv, const struct proc_options *options, struct proc *ret,
               struct verror *err)
{
    static const struct proc_options defaults;
    const struct proc_options *o = options ? options : &defaults;
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0) {
        int e = errno;
        close_pair(in);
        return verror_errno(err, e, "starting %s", argv[0]);
    }
    pid_t pid = -1;
    int r = start(argv, o, (const int[3]){in[0], out[1], -1}, &pid, err);
    if (r < 0) {
        close_pair(in);
        close_pair(out);
        return r;
    }
    close(in[0]);
    close(out[1]);
    *ret = (struct proc){.pid = pid, .to = in[1], .from = out[0]};
    return 0;
}

void proc_stand_back(bool idle)
{
    enum { IOPRIO_IDLE = 3 << 13, IOPRIO_PROCESS = 1, NICE = 10, NICEST = 19 };
    const struct sched_param none = {0};
    (void)setpriority(PRIO_PROCESS, 0, idle ? NICEST : NICE);
    if (!idle)
        return;
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
    (void)syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, IOPRIO_IDLE);
}
