/* stubs: what lies beneath the hub's mount point.
 *
 * After a reboot or logout HUB/NAME/bin/python is a stub that starts the daemon and then runs the
 * real thing at the same path, and HUB/NAME/bin/activate likewise; so links and scripts that name
 * an environment never dangle. The folder beneath is kept open, so stubs come and go while the hub
 * covers it.
 */
#ifndef VENVFS_FS_STUBS_H
#define VENVFS_FS_STUBS_H

#include <stdbool.h>

#include "base/home.h"
#include "base/strbuf.h"
#include "base/verror.h"

struct stubs;

/* Makes the hub's folder when missing and the stubs of all environments in it; those of
 * environments that were removed meanwhile go. Nothing may be mounted there yet. Plain files that a
 * fallback wrote there (env/plain.h) are removed: from now on the mount shows the environment.
 * Other files that are no stubs are moved to HOME/edits/ and told in `moved`, a line each.
 * -ENOTEMPTY: a folder with files that was never a hub, which is left alone. */
int stubs_prepare(const struct home *home, struct stubs **ret, struct strbuf *moved,
                  struct verror *err);
/* The same of a hub that is mounted: the folder beneath it is what a predecessor had open, and is
 * taken over. */
struct stubs *stubs_resume(const struct home *home, int folder);
/* The folder beneath. */
int stubs_descriptor(const struct stubs *stubs);
void stubs_free(struct stubs *stubs); /* closes the folder; the stubs stay. NULL is accepted */

/* Adds the stubs of an environment unless they are there. python_dir: "python3.11"; NULL: nobody
 * knows yet. Different environments' at the same time by several threads is fine. */
int stubs_add(struct stubs *stubs, const char *name, const char *python_dir, struct verror *err);
int stubs_remove(struct stubs *stubs, const char *name, struct verror *err);

/* With nothing mounted at the hub: is its folder NAME made of stubs alone? For who has another use
 * for the name where no daemon can run. */
bool stubs_alone(const struct home *home, const char *name);

#endif
