/* Where interpreters may be. Nothing here starts a process. */
#ifndef VENVFS_ENV_INTERP_CANDIDATES_H
#define VENVFS_ENV_INTERP_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/home.h"
#include "env/pyversion.h"

struct candidate {
    char *path;            /* as found; never a shim */
    char *real;            /* links resolved */
    struct pyversion hint; /* what names or the cache say its version is; n is 0 when unknown */
    bool unfinished;       /* a pre-release or development build by its name; after all others */
    bool on_path;          /* these come first, in PATH's order; then the newest first */
};
struct candidates {
    struct candidate *list;
    size_t n, alloc;
};

/* Fills `ret` with every interpreter whose name or folder looks like one, each real file once.
 * `start`: the folder for which shims of pyenv are resolved, or NULL for the current one. `spec`:
 * leaves out what it does not admit by name; NULL: all. */
void candidates_collect(const struct home *home, const char *start, const struct pyspec *spec,
                        struct candidates *ret);
void candidates_release(struct candidates *c);

#endif
