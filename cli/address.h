/* Does an environment's address still lead to it? Scripts and VIRTUAL_ENV name the address, so one
 * that leads elsewhere, or nowhere, is a wrong or a broken environment. */
#ifndef VENVFS_CLI_ADDRESS_H
#define VENVFS_CLI_ADDRESS_H

#include <stdbool.h>

#include "base/home.h"
#include "base/verror.h"
#include "env/envs.h"

/* Looks at links alone: the hub need not be mounted. 0: the address is HUB/NAME, a link to it, or a
 * folder that a fallback wrote. make: also when nothing is there and the caller may make it. Else
 * -ESTALE, and the hint is the command that mends it. */
int address_check(const struct home *home, const struct env *env, bool make, struct verror *err);

/* Can this path be an address? pyvenv.cfg and shebangs name it on one line, and manifests are
 * UTF-8. -EINVAL. */
int address_usable(const char *path, struct verror *err);

#endif
