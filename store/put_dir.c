#include "store/put_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"

void put_dir_remove(const char *path, int lock)
{
    DIR *dir = opendir(path);
    if (dir) {
        struct dirent *de;
        while ((de = readdir(dir)))
            if (de->d_name[0] != '.' && strcmp(de->d_name, "lock") != 0)
                (void)unlinkat(dirfd(dir), de->d_name, 0);
        (void)unlinkat(dirfd(dir), "lock", 0);
        closedir(dir);
        (void)rmdir(path);
    }
    (void)close(lock);
}

void put_dir_sweep(const char *tmp)
{
    DIR *dir = opendir(tmp);
    if (!dir)
        return;
    struct dirent *de;
    while ((de = readdir(dir))) {
        if (de->d_name[0] == '.')
            continue;
        _cleanup_free_ char *path = path_join(tmp, de->d_name);
        _cleanup_free_ char *lock = path_join(path, "lock");
        int fd = lock_file(lock, LOCK_EXCLUSIVE, false);
        if (fd >= 0)
            put_dir_remove(path, fd);
    }
    closedir(dir);
}

int put_dir_make(const char *tmp, char **path, struct verror *err)
{
    static atomic_uint serial;
    put_dir_sweep(tmp);
    for (;;) {
        _cleanup_free_ char *dir =
            xasprintf("%s/%ld-%u", tmp, (long)getpid(), atomic_fetch_add(&serial, 1));
        int r = io_mkdirat(AT_FDCWD, dir, 0700);
        if (r == -EEXIST)
            continue; /* of a process with this number in another namespace */
        if (r < 0)
            return verror_errno(err, r, "cannot create %s", dir);
        _cleanup_free_ char *lock = path_join(dir, "lock");
        int fd = lock_file(lock, LOCK_EXCLUSIVE, true);
        if (fd == -ENOENT)
            continue; /* swept away before it was locked */
        if (fd < 0) {
            (void)rmdir(dir);
            return verror_errno(err, fd, "cannot lock %s", lock);
        }
        *path = steal_ptr(dir);
        return fd;
    }
}
