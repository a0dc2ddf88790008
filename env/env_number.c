#include "env/env_number.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"

int number_read(const char *path, const char *suffix, long max, unsigned *ret)
{
    char target[64];
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    char *end;
    errno = 0;
    long v = target[0] >= '1' && target[0] <= '9' ? strtol(target, &end, 10) : 0;
    if (v < 1 || v > max || errno || strcmp(end, suffix) != 0)
        return -EBADMSG;
    *ret = (unsigned)v;
    return 0;
}

int number_write(const char *path, unsigned number, const char *suffix)
{
    char target[64];
    (void)snprintf(target, sizeof(target), "%u%s", number, suffix);
    _cleanup_free_ char *tmp = xasprintf("%s.tmp", path);
    int r = io_symlinkat(target, AT_FDCWD, tmp);
    if (r == -EEXIST) { /* left by a killed process */
        (void)io_unlink(tmp);
        r = io_symlinkat(target, AT_FDCWD, tmp);
    }
    if (r == 0)
        r = io_rename(tmp, path);
    return r;
}

int slot_next(const char *envs, unsigned *ret, struct verror *err)
{
    _cleanup_free_ char *path = path_join(envs, ".slots");
    _cleanup_free_ char *lock_path = path_join(envs, ".slots.lock");
    _cleanup_close_ int lock = lock_file(lock_path, LOCK_EXCLUSIVE, true);
    if (lock < 0)
        return verror_errno(err, lock, "%s", lock_path);
    unsigned last = 0;
    int r = number_read(path, "", SLOT_MAX, &last);
    if (r < 0 && r != -ENOENT)
        return verror_errno(err, r, "reading the counter %s", path);
    if (last >= SLOT_MAX)
        return verror_set(err, ENOSPC, "all %d slots of environments were used", SLOT_MAX);
    r = number_write(path, last + 1, "");
    if (r < 0)
        return verror_errno(err, r, "writing the counter %s", path);
    *ret = last + 1;
    return 0;
}
