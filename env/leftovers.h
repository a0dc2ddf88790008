/* leftovers: what lies in an environment and belongs to no distribution's RECORD.
 *
 * Not among them: what every environment has of its own (pyvenv.cfg, the interpreter's links,
 * activation files, lib64, .gitignore and CACHEDIR.TAG), bytecode of files that a distribution
 * owns, bytecode whose source is gone, and empty folders. */
#ifndef VENVFS_ENV_LEFTOVERS_H
#define VENVFS_ENV_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/verror.h"
#include "env/venv.h"

struct leftover {
    char *path;  /* from the environment's root */
    mode_t type; /* S_IFREG, S_IFLNK or what it is */
    uint64_t size;
    bool bytecode;       /* of another leftover */
    const char *problem; /* why it cannot be taken along ("is a FIFO"), or NULL */
};

struct leftovers {
    struct leftover *list; /* sorted by path */
    size_t n, alloc;
};

/* owns: does a distribution account for this path? No link is followed, no other file system
 * entered. */
int leftovers_find(const struct venv *venv, bool (*owns)(void *arg, const char *path), void *arg,
                   struct leftovers *ret, struct verror *err);
void leftovers_release(struct leftovers *left);

#endif
