/* Little-endian integers at unaligned places, for formats on disk and on the wire. */
#ifndef VENVFS_BASE_WIRE_H
#define VENVFS_BASE_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WIRE_LOAD(bits)                                                                            \
    static inline uint##bits##_t wire_load##bits(const void *p)                                    \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void wire_store##bits(void *p, uint##bits##_t v)                                 \
    {                                                                                              \
        v = htole##bits(v);                                                                        \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
WIRE_LOAD(16)
WIRE_LOAD(32)
WIRE_LOAD(64)
#undef WIRE_LOAD

/* Does [offset, offset + count * size) lie within [0, limit)? Safe against overflow. */
static inline bool wire_range_ok(uint64_t offset, uint64_t count, uint64_t size, uint64_t limit)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return false;
    return offset <= limit && bytes <= limit - offset;
}

#endif
