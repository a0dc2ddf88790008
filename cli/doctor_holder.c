/* Who holds the lock of an upper layer: the daemon, or somebody who keeps it from writing. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "cli/doctor.h"

enum { MAX_WORDS = 1 << 20 };
#define LOCK_NAME "/upper.lock"

struct doctor_holder {
    char *path; /* of the lock, as the kernel names it */
    long pid;
};

static void add_locks(struct doctor_holders *h, const char *proc_fd, long pid)
{
    DIR *dir = opendir(proc_fd);
    const struct dirent *de;
    while (dir && (de = readdir(dir))) {
        char path[PATH_MAX];
        ssize_t n = readlinkat(dirfd(dir), de->d_name, path, sizeof(path) - 1);
        const size_t suffix = sizeof(LOCK_NAME) - 1;
        if (n <= (ssize_t)suffix || memcmp(path + n - suffix, LOCK_NAME, suffix) != 0)
            continue;
        path[n] = '\0';
        h->v = xgrow(h->v, &h->alloc, h->n + 1, sizeof(*h->v));
        h->v[h->n++] = (struct doctor_holder){xstrdup(path), pid};
    }
    if (dir)
        closedir(dir);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct doctor_holder *)a)->path, ((const struct doctor_holder *)b)->path);
}

static void look(const struct doctor *d, struct doctor_holders *h)
{
    DIR *dir = opendir("/proc");
    const struct dirent *de;
    h->looked = true;
    while (dir && (de = readdir(dir)))
        if (isdigit((unsigned char)de->d_name[0])) {
            _cleanup_free_ char *fds = xasprintf("/proc/%s/fd", de->d_name);
            add_locks(h, fds, strtol(de->d_name, NULL, 10));
        }
    if (dir)
        closedir(dir);
    if (h->n)
        qsort(h->v, h->n, sizeof(*h->v), by_path);
    _cleanup_free_ char *fds = xasprintf("/proc/%ld/fd", d->daemon);
    h->daemon_hidden = d->daemon && access(fds, R_OK) < 0;
}

/* The command line, its words behind each other; false: the process is gone. */
static bool command_of(long pid, struct strbuf *ret)
{
    _cleanup_free_ char *path = xasprintf("/proc/%ld/cmdline", pid);
    return io_read_file(path, ret, MAX_WORDS) == 0 && ret->len;
}

static void tell(struct doctor *d, const struct env *env, const char *path, long pid)
{
    _cleanup_strbuf_ struct strbuf words = STRBUF_INIT;
    struct doctor_finding *f;
    if (!command_of(pid, &words))
        return;
    f = doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "upper-locked",
                   "%s: its upper layer is locked by process %ld (%.60s), so that it is shown "
                   "read-only",
                   env->name, pid, words.buf);
    doctor_remedy(f, "kill %ld", pid);
    doctor_about(f, env->name, path);
}

/* Among those of one path. The daemon's guardian has all that the daemon has (fs/guardian.h). */
static bool has_daemon(const struct doctor_holders *all, const struct doctor_holder *one,
                       long daemon)
{
    const struct doctor_holder *end = all->v + all->n;
    while (one > all->v && by_path(one - 1, one) == 0)
        one--;
    for (const struct doctor_holder *h = one; h < end && by_path(h, one) == 0; h++)
        if (h->pid == daemon)
            return true;
    return false;
}

void doctor_holder(struct doctor *d, const struct env *env, struct doctor_holders *holders)
{
    _cleanup_free_ char *upper = env_upper(env);
    _cleanup_free_ char *path = xasprintf("%s.lock", upper);
    if (!doctor_is_locked(path))
        return;
    if (!holders->looked)
        look(d, holders);
    _cleanup_free_ char *real = realpath(path, NULL);
    const struct doctor_holder key = {.path = real};
    const struct doctor_holder *h =
        real && holders->n ? bsearch(&key, holders->v, holders->n, sizeof(key), by_path) : NULL;
    if (h && !has_daemon(holders, h, d->daemon) && !holders->daemon_hidden)
        tell(d, env, path, h->pid);
}

void doctor_holders_release(struct doctor_holders *holders)
{
    for (size_t i = 0; i < holders->n; i++)
        free(holders->v[i].path);
    free(holders->v);
    *holders = (struct doctor_holders){0};
}
