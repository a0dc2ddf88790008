/* errand: a process of this program that does for the daemon what it must not do itself, such as
 * looking into its own mount. One control thread calls.
 */
#ifndef VENVFS_FS_ERRAND_H
#define VENVFS_FS_ERRAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/home.h"

struct errand {
    pid_t pid; /* 0: none */
};

/* argv: NULL-terminated, [0] is "venvfs". Returns 0 or a negative errno: no process could be made.
 */
int errand_start(struct errand *errand, const struct home *home, const char *const *argv);
/* Has one that was started ended since the last call? *status: its exit code, 1 when it was killed.
 */
bool errand_ended(struct errand *errand, int *status);
/* Ends it by SIGTERM and waits; idempotent. */
void errand_stop(struct errand *errand);

#endif
