/* private: the command's side. */
#include "fs/private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/launch.h"
#include "fs/mount.h"

/* ---- the helper that stays outside ---- */

struct helper {
    pid_t pid;
    int socket; /* the descriptor of the mount goes here */
    int ready;  /* what the server says comes here */
};

static int send_descriptor(int socket, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

/* -1: the other side gave up. */
static int receive_descriptor(int socket)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    do
        n = recvmsg(socket, &message, 0);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* The helper's life. It ends at once when it started the server, which so is nobody's child. */
static _Noreturn void help(struct launch *l, int socket)
{
    if (setsid() < 0) /* an interrupt is for the command, which will start or not */
        _exit(127);
    l->fuse = receive_descriptor(socket);
    if (l->fuse < 0)
        _exit(0);
    pid_t server = fork();
    if (server == 0)
        launch_become(l);
    _exit(server < 0 ? 127 : 0);
}

static int start_helper(const struct home *home, const char *name, const char *address,
                        struct helper *ret, struct verror *err)
{
    int pipe[2], sockets[2];
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return verror_errno(err, errno, "starting a server");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        int e = errno;
        close(pipe[0]);
        close(pipe[1]);
        return verror_errno(err, e, "starting a server");
    }
    const char *argv[] = {
        "venvfs",        "daemon", "--ready-fd", LAUNCH_READY_TEXT, "--fuse-fd", LAUNCH_FUSE_TEXT,
        "--environment", name,     "--address",  address,           NULL};
    struct launch l = {.argv = argv, .ready = pipe[1], .fuse = -1};
    launch_prepare(&l, home);
    pid_t pid = fork();
    int e = errno;
    if (pid == 0) {
        close(sockets[0]);
        help(&l, sockets[1]);
    }
    launch_release(&l);
    close(pipe[1]);
    close(sockets[1]);
    *ret = (struct helper){.pid = pid, .socket = sockets[0], .ready = pipe[0]};
    return pid < 0 ? verror_errno(err, e, "starting a server") : 0;
}

/* Without a descriptor it ends, too. */
static void end_helper(struct helper *h)
{
    if (h->socket >= 0)
        close(h->socket);
    h->socket = -1;
    if (h->pid > 0)
        while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    h->pid = 0;
}

/* ---- namespaces ---- */

static int write_map(const char *file, const char *text)
{
    int fd = io_open(file, O_WRONLY, 0);
    if (fd < 0)
        return fd;
    int r = io_write_all(fd, text, strlen(text));
    close(fd);
    return r;
}

/* The same numbers within as outside. Only who may not change his groups may map one. */
static int map_user(uid_t uid, gid_t gid)
{
    _cleanup_free_ char *users = xasprintf("%u %u 1\n", uid, uid);
    _cleanup_free_ char *groups = xasprintf("%u %u 1\n", gid, gid);
    int r = write_map("/proc/self/setgroups", "deny");
    if (r == 0)
        r = write_map("/proc/self/uid_map", users);
    if (r == 0)
        r = write_map("/proc/self/gid_map", groups);
    return r;
}

static int refused(int errnum, const char *what, struct verror *err)
{
    verror_set(err, EPERM, "a user namespace cannot be used here: %s: %s", what,
               strerror(errnum < 0 ? -errnum : errnum));
    return -EPERM;
}

static int enter_namespaces(struct verror *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return refused(errno, "making one", err);
    int r = map_user(uid, gid);
    return r < 0 ? refused(r, "mapping this user into it", err) : 0;
}

/* Root in the namespace would be given every privilege in it by execve(); others none. */
static void keep_privileges(unsigned long long had)
{
    for (int cap = 0; cap < 64; cap++)
        if (!(had >> cap & 1))
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

/* ---- mounting ---- */

/* Of the mount namespace only: nothing is written in the hub's own folder. */
static int cover_hub(const char *hub, const char *mountpoint, struct verror *err)
{
    static const unsigned long flags = MS_NOSUID | MS_NODEV;
    if (mount("venvfs", hub, "tmpfs", flags, "mode=0700,size=64k,nr_inodes=16") < 0)
        return refused(errno, "mounting in it", err);
    int r = io_mkdirat(AT_FDCWD, mountpoint, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", mountpoint);
    if (mount(NULL, hub, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) < 0)
        return verror_errno(err, errno, "making %s read-only", hub);
    return 0;
}

/* The mount's descriptor, or a negative errno. */
static int mount_fuse(const char *mountpoint, struct verror *err)
{
    int fd = io_open("/dev/fuse", O_RDWR, 0);
    if (fd < 0)
        return verror_errno(err, fd, "/dev/fuse");
    _cleanup_free_ char *data =
        xasprintf("fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions", fd, geteuid(),
                  getegid());
    if (mount("venvfs", mountpoint, "fuse.venvfs", MS_RDONLY | MS_NOSUID | MS_NODEV, data) == 0)
        return fd;
    int e = errno;
    close(fd);
    return refused(e, "mounting FUSE in it", err);
}

static int mount_inside(const struct home *home, const char *name, struct verror *err)
{
    _cleanup_free_ char *mountpoint = path_join(home->hub, name);
    int r = enter_namespaces(err);
    if (r == 0)
        r = cover_hub(home->hub, mountpoint, err);
    return r < 0 ? r : mount_fuse(mountpoint, err);
}

int private_mount(const struct home *home, const char *name, const char *address,
                  struct verror *err)
{
    unsigned long long had = mount_privileges();
    struct helper helper = {.socket = -1, .ready = -1};
    int r = path_mkdirs(home->hub, 0700);
    if (r < 0)
        return verror_errno(err, r, "making the hub's folder %s", home->hub);
    r = start_helper(home, name, address, &helper, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fuse = mount_inside(home, name, err);
    r = fuse < 0 ? fuse : send_descriptor(helper.socket, fuse);
    if (fuse >= 0 && r < 0)
        verror_errno(err, r, "starting a server");
    end_helper(&helper);
    if (r == 0)
        r = launch_wait(helper.ready, home, err);
    close(helper.ready);
    keep_privileges(had);
    return r;
}
