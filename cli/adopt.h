/* What `venvfs adopt` finds in an environment, and how it tells of it. */
#ifndef VENVFS_CLI_ADOPT_H
#define VENVFS_CLI_ADOPT_H

#include <stdbool.h>
#include <stddef.h>

#include "env/leftovers.h"
#include "env/venv.h"
#include "wheel/installed.h"

struct adopt {
    struct venv venv;
    char *name, *address; /* of the new environment */
    char *python;         /* the executable, and its version */
    char *python_version;
    bool own_python; /* the interpreter that the environment had */
    bool dry_run, no_leftovers;
    struct installed *installed;
    /* Of all distributions, sorted by path, each path once; those that show in the new environment
     * by themselves, since another distribution brings these bytes, are left out. */
    const struct installed_edit **edits;
    size_t n_edits;
    struct leftovers leftovers;
};

void adopt_release(struct adopt *a);
#define _cleanup_adopt_ _cleanup_(adopt_release)

/* Reads all of the environment. Of two distributions of one name the one with fewer missing files
 * is the package; the other is refused, and its files are leftovers. Sets installed, edits,
 * leftovers.
 */
int adopt_read(struct adopt *a, const struct wheel_target *target,
               const struct wheel_options *options, struct verror *err);

/* For people: what is edited, editable, refused, left over; each list cut off. */
void adopt_tell(const struct adopt *a);
/* All of it; documented in venvfs(1). */
int adopt_print_json(const struct adopt *a);

#endif
