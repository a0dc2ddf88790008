#include "fs/held.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

struct held_entry {
    uint64_t group; /* 0: free (no group is 0: slots and images start at 1, table entries have a
                     * bit of their own, FUSE's root is 1) */
    uint64_t count;
};

static size_t home_of(uint64_t group, size_t alloc)
{
    return (size_t)((group * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (alloc - 1);
}

/* The entry of the group, or the free one where it belongs. */
static size_t place(const struct held *h, uint64_t group)
{
    size_t i = home_of(group, h->alloc);
    while (h->entries[i].group && h->entries[i].group != group)
        i = (i + 1) & (h->alloc - 1);
    return i;
}

static void grow(struct held *h)
{
    struct held old = *h;
    h->alloc = old.alloc ? 2 * old.alloc : 64;
    h->entries = xcalloc(h->alloc, sizeof(*h->entries));
    for (size_t i = 0; i < old.alloc; i++)
        if (old.entries[i].group)
            h->entries[place(h, old.entries[i].group)] = old.entries[i];
    free(old.entries);
}

void held_add(struct held *h, uint64_t group)
{
    if (4 * (h->used + 1) > 3 * h->alloc)
        grow(h);
    struct held_entry *e = &h->entries[place(h, group)];
    if (!e->group) {
        e->group = group;
        h->used++;
    }
    e->count++;
}

/* Frees an entry and moves up those behind it that would no longer be found. */
static void drop(struct held *h, size_t hole)
{
    size_t mask = h->alloc - 1;
    for (size_t i = (hole + 1) & mask; h->entries[i].group; i = (i + 1) & mask) {
        size_t home = home_of(h->entries[i].group, h->alloc);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            h->entries[hole] = h->entries[i];
            hole = i;
        }
    }
    h->entries[hole] = (struct held_entry){0};
    h->used--;
}

uint64_t held_sub(struct held *h, uint64_t group, uint64_t n)
{
    if (!h->alloc)
        return 0;
    size_t i = place(h, group);
    if (!h->entries[i].group)
        return 0;
    if (h->entries[i].count > n)
        return h->entries[i].count -= n;
    drop(h, i);
    return 0;
}

uint64_t held_count(const struct held *h, uint64_t group)
{
    return h->alloc ? h->entries[place(h, group)].count : 0;
}

void held_release(struct held *h)
{
    free(h->entries);
    *h = (struct held){0};
}
