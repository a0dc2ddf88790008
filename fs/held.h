/* held: what the kernel still knows, as lookup counts per group of nodeids (nodeid.h). */
#ifndef VENVFS_FS_HELD_H
#define VENVFS_FS_HELD_H

#include <stddef.h>
#include <stdint.h>

struct held {
    struct held_entry *entries; /* open addressing, a power of two */
    size_t used, alloc;
};

void held_add(struct held *held, uint64_t group);
/* Subtracts; returns what is left. More than was counted leaves 0. */
uint64_t held_sub(struct held *held, uint64_t group, uint64_t n);
uint64_t held_count(const struct held *held, uint64_t group);
void held_release(struct held *held);

#endif
