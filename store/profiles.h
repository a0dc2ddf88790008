/* profiles: which parts of images imports read, and in which order, so that caches can be filled
 * before the next import asks.
 *
 * An SQLite file beside the store, not in it: no content, and no command changes it. It is advice:
 * nothing is synced, a damaged file is removed and begun anew, and who reads it checks every number
 * against the image.
 */
#ifndef VENVFS_STORE_PROFILES_H
#define VENVFS_STORE_PROFILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"

#define PROFILES_NAME "profiles.sqlite" /* in VENVFS_HOME */

/* A slice of a file was read, or (slice 0) a folder was looked into. */
struct profile_touch {
    uint32_t image; /* its number in the store */
    uint32_t node;
    uint32_t slice; /* of IMAGE_SLICE_SIZE */
    uint32_t rank;  /* what is read later has a higher one */
};

struct profiles; /* one connection, one thread at a time */

/* Makes the file when it is missing. */
int profiles_open(const char *path, struct profiles **ret, struct verror *err);
void profiles_close(struct profiles *p); /* NULL is accepted */

/* The highest rank there is, 0: none. */
int profiles_last_rank(struct profiles *p, uint32_t *ret, struct verror *err);
/* Adds, in one transaction; what is there already keeps its rank. */
int profiles_add(struct profiles *p, const struct profile_touch *list, size_t n,
                 struct verror *err);
/* Calls fn for all there is of an image. */
int profiles_each(struct profiles *p, uint32_t image,
                  void (*fn)(void *arg, const struct profile_touch *touch), void *arg,
                  struct verror *err);
/* Forgets all of images that are not among `numbers`, which are sorted. Makes the file smaller
 * where that pays. */
int profiles_keep(struct profiles *p, const uint32_t *numbers, size_t n, struct verror *err);

#endif
