/* launch: a process of this program that serves, and tells when it does (in start.c). */
#ifndef VENVFS_FS_LAUNCH_H
#define VENVFS_FS_LAUNCH_H

#include "base/home.h"
#include "base/verror.h"

#define LAUNCH_READY_FD 3
#define LAUNCH_READY_TEXT "3"
#define LAUNCH_FUSE_FD 4
#define LAUNCH_FUSE_TEXT "4"

/* Everything a child of a threaded process may not do between fork and exec is done before. */
struct launch {
    char **environment;      /* the caller's, with the places of this home */
    const char *const *argv; /* the caller's, NULL-terminated */
    int ready;               /* the process's end of the readiness pipe: becomes LAUNCH_READY_FD */
    int fuse;                /* becomes LAUNCH_FUSE_FD; -1: none */
};
void launch_prepare(struct launch *l, const struct home *home);
void launch_release(struct launch *l);
/* In a child: replaces it, with no other descriptor of the caller's, cwd / and /dev/null as
 * standard streams. */
_Noreturn void launch_become(const struct launch *l);
/* What the process says on its pipe: 0, or its error. Blocks up to 30 s. */
int launch_wait(int fd, const struct home *home, struct verror *err);

#endif
