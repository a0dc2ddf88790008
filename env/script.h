/* script: the inline metadata of a single file ("Inline script metadata", PEP 723). */
#ifndef VENVFS_ENV_SCRIPT_H
#define VENVFS_ENV_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "base/home.h"
#include "base/verror.h"
#include "env/interp.h"

/* The text of the block `# /// script`, its comment signs taken off. *block is malloc'ed, or NULL
 * where there is none; *open: one begins and never ends, which the standard has ignored. -EINVAL:
 * there are two. */
int script_block(const char *text, size_t len, char **block, bool *open, struct verror *err);

/* What a block says. Arrays are NULL-terminated. */
struct script {
    char **requirements; /* each of them PEP 508 */
    char **options;      /* lines of a requirements file: indexes; may hold credentials */
    char **constraints;
    char **ignored;        /* keys that are not honoured: "tool.uv.sources" */
    char *requires_python; /* or NULL */
    bool *fits;            /* for each interpreter that was given */
};
/* Asks the lock helper (design 5), which has a TOML parser and packaging. where: the script, for
 * messages. -EINVAL: it is no such metadata. Starts a Python. */
int script_read(const struct home *home, const char *block, const char *where,
                struct interp *const *interps, size_t n, struct script *ret, struct verror *err);
void script_release(struct script *script);
#define _cleanup_script_ _cleanup_(script_release)

#endif
