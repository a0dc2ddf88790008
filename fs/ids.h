/* ids: the part of an environment's nodeids that needs a table.
 *
 * Merged folders and generated files are named by what they are, so that a folder keeps its nodeid
 * through every generation (a live working folder stays valid), while a generated file whose bytes
 * changed becomes another node (the kernel may keep the pages of the old one). Entries are never
 * dropped: an index means one thing for the life of the mount.
 */
#ifndef VENVFS_FS_IDS_H
#define VENVFS_FS_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "fs/succession.h"

struct ids {
    struct ids_entry *entries; /* open addressing, a power of two */
    size_t used, alloc;
    struct succession *succession; /* new indices are noted there, of `slot`; or NULL */
    uint32_t slot;
};

/* The index of the thing that has this key, a new one when it is met for the first time. */
uint32_t ids_index(struct ids *ids, const struct sha256 *key);
/* What a predecessor gave out, sorted by index; ids has none yet. */
void ids_inherit(struct ids *ids, const struct inherited_id *list, size_t n);
void ids_release(struct ids *ids);

#endif
