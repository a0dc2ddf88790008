/* Nodeids are arithmetic: what comes from an image needs no table (design 7).
 *
 *   bit 63     0
 *   bit 62     kind: 0 a node of an image, 1 an entry of the environment's table
 *   bits 39-61 slot of the environment, 1 .. 2^23-1; slot 0 belongs to the hub itself
 *   kind 0:    bits 19-38 number of the image, bits 0-18 node in it
 *   kind 1:    bits 0-38  index in the table (merged folders and generated files)
 *
 * Slots and image numbers are persisted and never reused, so a nodeid never comes to mean another
 * thing. FUSE's root is nodeid 1, which no environment can have.
 */
#ifndef VENVFS_FS_NODEID_H
#define VENVFS_FS_NODEID_H

#include <stdbool.h>
#include <stdint.h>

#define NODEID_NODE_BITS 19
#define NODEID_IMAGE_BITS 20
#define NODEID_SLOT_BITS 23
#define NODEID_INDEX_BITS (NODEID_NODE_BITS + NODEID_IMAGE_BITS)
#define NODEID_TABLE (UINT64_C(1) << (NODEID_INDEX_BITS + NODEID_SLOT_BITS))

#define NODEID_MASK(bits) ((UINT64_C(1) << (bits)) - 1)

/* Index 0 of every table is the environment's root. */
#define NODEID_TABLE_ROOT 0u

static inline uint64_t nodeid_of_image(uint32_t slot, uint32_t image, uint32_t node)
{
    return ((uint64_t)slot << NODEID_INDEX_BITS) | ((uint64_t)image << NODEID_NODE_BITS) | node;
}

static inline uint64_t nodeid_of_table(uint32_t slot, uint32_t index)
{
    return NODEID_TABLE | ((uint64_t)slot << NODEID_INDEX_BITS) | index;
}

static inline bool nodeid_is_table(uint64_t id)
{
    return (id & NODEID_TABLE) != 0;
}

static inline uint32_t nodeid_slot(uint64_t id)
{
    return (uint32_t)((id >> NODEID_INDEX_BITS) & NODEID_MASK(NODEID_SLOT_BITS));
}

static inline uint32_t nodeid_image(uint64_t id)
{
    return (uint32_t)((id >> NODEID_NODE_BITS) & NODEID_MASK(NODEID_IMAGE_BITS));
}

static inline uint32_t nodeid_node(uint64_t id)
{
    return (uint32_t)(id & NODEID_MASK(NODEID_NODE_BITS));
}

static inline uint64_t nodeid_index(uint64_t id)
{
    return id & NODEID_MASK(NODEID_INDEX_BITS);
}

/* What lookup counts are kept for: each table entry, but an image's nodes together. The result is
 * the nodeid of the entry, or of the image's node 0. */
static inline uint64_t nodeid_group(uint64_t id)
{
    return nodeid_is_table(id) ? id : id & ~NODEID_MASK(NODEID_NODE_BITS);
}

#endif
