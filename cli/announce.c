#include "cli/announce.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "cli/session.h"
#include "fs/announce.h"

/* The calls may be made only where the daemon takes them for an announcer's: beneath a hub that is
 * not mounted here they would be real. */
static int open_env(const struct home *home, const char *name)
{
    _cleanup_free_ char *path = hub_path(home, name);
    _cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs fs;
    struct stat st;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC ||
        fstatat(fd, ANNOUNCE_PROBE, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return steal_fd(&fd);
}

static void touch(int env, const char *path)
{
    /* The time of reading left out makes it IN_MODIFY, else IN_ATTRIB. */
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    (void)utimensat(env, path, times, AT_SYMLINK_NOFOLLOW);
}

static void make(int env, const char *path, const char *type)
{
    int r;
    if (strcmp(type, "folder") == 0)
        r = mkdirat(env, path, 0755);
    else if (strcmp(type, "link") == 0)
        r = symlinkat("-", env, path);
    else
        r = mknodat(env, path, S_IFREG | 0644, 0);
    (void)r; /* somebody may have found it already */
}

static void perform(int env, const json_t *item)
{
    const char *call, *path, *type;
    if (json_unpack((json_t *)item, "[s, s, s]", &call, &path, &type) < 0)
        return;
    if (strcmp(call, "touch") == 0)
        touch(env, path);
    else if (strcmp(call, "make") == 0)
        make(env, path, type);
    else if (strcmp(call, "remove") == 0)
        (void)unlinkat(env, path, strcmp(type, "folder") == 0 ? AT_REMOVEDIR : 0);
}

/* Returns whether there may be another step. */
static bool do_step(int env, struct control *control)
{
    json_t *answer = NULL, *item;
    size_t i;
    if (control_call(control, json_pack("{s:s}", "do", "announce"), &answer, NULL) < 0)
        return false;
    const json_t *calls = json_object_get(answer, "calls");
    json_array_foreach(calls, i, item) perform(env, item);
    json_int_t wait_ms = json_integer_value(json_object_get(answer, "wait"));
    if (wait_ms > 0 && wait_ms < 1000)
        (void)usleep((useconds_t)wait_ms * 1000);
    bool more = json_is_true(json_object_get(answer, "more"));
    json_decref(answer);
    return more;
}

static void announce(const struct home *home, struct control *control, const char *env_name,
                     const json_t *answer)
{
    if (!json_is_true(json_object_get(answer, "announce")))
        return;
    _cleanup_close_ int env = open_env(home, env_name);
    /* Not left to the end of the connection: this process may be about to become another program,
     * whose changes are meant. */
    if (env < 0)
        (void)control_call(control, json_pack("{s:s, s:b}", "do", "announce", "end", 1), NULL,
                           NULL);
    while (env >= 0 && do_step(env, control))
        ;
}

/* ---- in another process ---- */

/* What attach() said, as JSON in a pipe. */
static void tell_result(int pipe, int r, const struct verror *err)
{
    json_t *o = json_pack("{s:i, s:i, s:s?, s:s?}", "result", r, "errnum", err->errnum, "message",
                          err->message, "hint", err->hint);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        (void)io_write_all(pipe, text, strlen(text));
    free(text);
    json_decref(o);
}

/* False: nothing came, for want of a process that would have said it. */
static bool take_result(int pipe, int *ret, struct verror *err)
{
    enum { MAX_RESULT = 1 << 20 };
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    json_t *o = io_read_to_end(pipe, &text, MAX_RESULT) == 0
                    ? json_loadb(text.buf, text.len, 0, NULL)
                    : NULL;
    const char *message = json_string_value(json_object_get(o, "message"));
    const char *hint = json_string_value(json_object_get(o, "hint"));
    bool said = json_is_object(o);
    *ret = (int)json_integer_value(json_object_get(o, "result"));
    if (said && *ret < 0)
        verror_set(err, (int)json_integer_value(json_object_get(o, "errnum")), "%s",
                   message ? message : "unknown error");
    if (said && *ret < 0 && hint)
        verror_hint(err, "%s", hint);
    json_decref(o);
    return said;
}

/* What the caller was given by others, as the ends of pipes that somebody reads to the end. */
static void leave_files(void)
{
    enum { FEW = 256 };
    for (int fd = STDERR_FILENO + 1; fd < FEW; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            (void)close(fd);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
}

/* pipe: is told of what attach() said, and closed; -1: nobody waits. */
static int attach_and_announce(const struct home *home, const char *env_name,
                               announce_attach_fn attach, int pipe, struct verror *err)
{
    struct control *control;
    json_t *answer = NULL;
    int r = control_connect(home, &control, err);
    bool connected = r == 0;
    if (connected)
        r = attach(control, env_name, &answer, err);
    if (pipe >= 0) {
        tell_result(pipe, r, err);
        (void)close(pipe);
    }
    if (r == 0)
        announce(home, control, env_name, answer);
    if (connected)
        control_close(control);
    json_decref(answer);
    return r;
}

static void be_announcer(const struct home *home, const char *env_name, announce_attach_fn attach,
                         int pipe)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    leave_files();
    (void)!chdir("/");
    (void)attach_and_announce(home, env_name, attach, pipe, &err);
}

/* The announcer, by a process in between, which its parent waits for. Where there can be none, the
 * pipe ends with nothing in it. */
static void start_announcer(const struct home *home, const char *env_name,
                            announce_attach_fn attach, const int ends[2])
{
    pid_t between = fork();
    if (between == 0) {
        (void)close(ends[0]);
        if (fork() == 0)
            be_announcer(home, env_name, attach, ends[1]);
        _exit(0);
    }
    while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
        ;
}

int announce_switch(const struct home *home, const char *env_name, announce_attach_fn attach,
                    struct verror *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return attach_and_announce(home, env_name, attach, -1, err);
    start_announcer(home, env_name, attach, ends);
    (void)close(ends[1]);
    int r;
    if (!take_result(ends[0], &r, err))
        r = attach_and_announce(home, env_name, attach, -1, err);
    (void)close(ends[0]);
    return r;
}
