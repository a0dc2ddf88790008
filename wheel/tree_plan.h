/* tree_plan: an installed distribution becomes a plan, as a wheel does. */
#ifndef VENVFS_WHEEL_TREE_PLAN_H
#define VENVFS_WHEEL_TREE_PLAN_H

#include "wheel/installed.h"
#include "wheel/plan.h"

struct tree_source {
    int root;         /* descriptor of the environment's root */
    const char *path; /* its path */
    const char *site; /* from the root, on disk */
    const char *const *names;
    const struct wheel_target *target;
};

/* Reads METADATA, RECORD and every file it lists, and fills dist but for its state, error, image
 * and wheel. *editable: it is an editable install; then nothing but its METADATA and
 * direct_url.json was read. plan->tree is the source's descriptor. -EBADMSG: malformed or hostile.
 * The message does not name the distribution. */
int tree_plan_make(const struct tree_source *source, struct installed_dist *dist,
                   struct wheel_plan *plan, bool *editable, struct verror *err);

#endif
