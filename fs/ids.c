#include "fs/ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* 128 bits of the key: collisions are out of reach, and a thousand tables stay small. */
struct ids_entry {
    uint64_t key[2];
    uint32_t index_plus_1; /* 0: free */
};

static struct ids_entry *place(struct ids_entry *entries, size_t alloc, const uint64_t key[2])
{
    size_t i = (size_t)key[0] & (alloc - 1);
    while (entries[i].index_plus_1 && memcmp(entries[i].key, key, sizeof(entries[i].key)) != 0)
        i = (i + 1) & (alloc - 1);
    return &entries[i];
}

static void grow(struct ids *ids)
{
    size_t alloc = ids->alloc ? 2 * ids->alloc : 64;
    struct ids_entry *entries = xcalloc(alloc, sizeof(*entries));
    for (size_t i = 0; i < ids->alloc; i++)
        if (ids->entries[i].index_plus_1)
            *place(entries, alloc, ids->entries[i].key) = ids->entries[i];
    free(ids->entries);
    ids->entries = entries;
    ids->alloc = alloc;
}

static struct ids_entry *find(struct ids *ids, const uint64_t key[2])
{
    if (4 * (ids->used + 1) > 3 * ids->alloc)
        grow(ids);
    return place(ids->entries, ids->alloc, key);
}

static void give(struct ids *ids, struct ids_entry *e, const uint64_t key[2])
{
    memcpy(e->key, key, sizeof(e->key));
    e->index_plus_1 = (uint32_t)++ids->used;
}

uint32_t ids_index(struct ids *ids, const struct sha256 *key)
{
    uint64_t short_key[2];
    memcpy(short_key, key->bytes, sizeof(short_key));
    struct ids_entry *e = find(ids, short_key);
    if (!e->index_plus_1) {
        give(ids, e, short_key);
        succession_note_id(ids->succession, ids->slot, short_key, e->index_plus_1 - 1);
    }
    return e->index_plus_1 - 1;
}

void ids_inherit(struct ids *ids, const struct inherited_id *list, size_t n)
{
    for (size_t i = 0; i < n && list[i].index == ids->used; i++) {
        struct ids_entry *e = find(ids, list[i].key);
        if (e->index_plus_1)
            return; /* no predecessor gives one key two indices */
        give(ids, e, list[i].key);
    }
}

void ids_release(struct ids *ids)
{
    free(ids->entries);
    *ids = (struct ids){0};
}
