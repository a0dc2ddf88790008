/* warm: fills the kernel's caches of an environment with what imports will ask for.
 *
 * What a first import costs more than a second are names and bytes that the kernel has to ask for.
 * The walk asks in the same order, ahead of it: it lists the folders, so that names come together
 * instead of one by one; looks for the names that importing a package tries in vain; reads the
 * bytes; and looks at each file once more, because the kernel asks again for the attributes of what
 * it has read.
 */
#ifndef VENVFS_CLI_WARM_H
#define VENVFS_CLI_WARM_H

#include <jansson.h>
#include <stddef.h>

#include "base/verror.h"

#define WARM_SECONDS 10 /* a walk gives up then */

/* root: the environment's folder in the hub. files: as the verb "warm" answers (fs/control.h).
 * soabi: of its interpreter, or NULL. bytes: it reads so many at most. What cannot be read is left
 * to whoever asks for it. */
int warm_walk(const char *root, const json_t *files, const char *soabi, size_t bytes,
              struct verror *err);

#endif
