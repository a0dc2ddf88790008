#include "cli/announce.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
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

void announce_switch(const struct home *home, struct control *control, const char *env_name,
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
