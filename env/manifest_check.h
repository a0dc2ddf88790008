/* What must hold of every manifest, whether read from disk or about to be written. */
#ifndef VENVFS_ENV_MANIFEST_CHECK_H
#define VENVFS_ENV_MANIFEST_CHECK_H

#include <stdint.h>

#include "base/verror.h"
#include "env/manifest.h"

#define MANIFEST_MAX_IMAGE ((1 << 20) - 1) /* nodeids have 20 bits for the image */
#define MANIFEST_MAX_PACKAGES 100000u
#define MANIFEST_MAX_GENERATION INT32_MAX

/* Every required field present, names, versions and paths well-formed, packages sorted without
 * duplicates. 0, or -EBADMSG with what is wrong. */
int manifest_check(const struct manifest *m, struct verror *err);

#endif
