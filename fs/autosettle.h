/* autosettle: the daemon has environments settled in which nothing was written for a while.
 *
 * The work is done by processes of this program (`venvfs settle`), since the daemon must not look
 * into its own mount: one at a time, at the lowest priority. While packages are still being
 * installed, images of those that are complete are made ahead.
 *
 * All functions belong to the control thread.
 */
#ifndef VENVFS_FS_AUTOSETTLE_H
#define VENVFS_FS_AUTOSETTLE_H

#include "base/home.h"
#include "fs/errand.h"
#include "fs/realm.h"

struct autosettle {
    int quiet_s; /* seconds without a write; 0: never, and nothing is made ahead */
    struct errand errand;
    char *env; /* that it works on */
};

/* Reads VENVFS_SETTLE: seconds, "0" or "off". */
void autosettle_init(struct autosettle *a);
/* Starts what is due and takes note of what has ended. Returns after how many milliseconds it wants
 * to be called again, -1: only when a session's `touched` says so. realm: the hub's, or NULL. */
int autosettle_tick(struct autosettle *a, const struct home *home, struct realm *realm);
/* Ends the process at work and waits for it. */
void autosettle_stop(struct autosettle *a);

#endif
