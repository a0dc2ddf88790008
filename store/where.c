#include "store/where.h"

#include <string.h>

#include "base/wire.h"

#define WHERE_MAGIC "VFSWHERE"

enum { WHERE_VERSION = 1, HEADER_SIZE = 16 + SHA256_SIZE, ENTRY_SIZE = 16, TRAILER_SIZE = 8 };

void where_encode(const struct sha256 *image, const struct pack_location *locations, uint32_t count,
                  struct strbuf *ret)
{
    uint8_t raw[ENTRY_SIZE];
    strbuf_reset(ret);
    strbuf_grow(ret, HEADER_SIZE + (size_t)count * ENTRY_SIZE + TRAILER_SIZE);
    strbuf_addstr(ret, WHERE_MAGIC);
    wire_store32(raw, WHERE_VERSION);
    wire_store32(raw + 4, count);
    strbuf_add(ret, raw, 8);
    strbuf_add(ret, image->bytes, SHA256_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        wire_store32(raw, locations[i].pack);
        wire_store32(raw + 4, locations[i].frame);
        wire_store32(raw + 8, locations[i].offset);
        wire_store32(raw + 12, 0);
        strbuf_add(ret, raw, ENTRY_SIZE);
    }
    wire_store64(raw, checksum_of(ret->buf, ret->len));
    strbuf_add(ret, raw, TRAILER_SIZE);
}

const uint8_t *where_check(const void *data, size_t size, const struct sha256 *image,
                           uint32_t count)
{
    const uint8_t *p = data;
    if (size != HEADER_SIZE + (uint64_t)count * ENTRY_SIZE + TRAILER_SIZE ||
        memcmp(p, WHERE_MAGIC, 8) != 0 || wire_load32(p + 8) != WHERE_VERSION ||
        wire_load32(p + 12) != count || memcmp(p + 16, image->bytes, SHA256_SIZE) != 0 ||
        checksum_of(p, size - TRAILER_SIZE) != wire_load64(p + size - TRAILER_SIZE))
        return NULL;
    return p + HEADER_SIZE;
}

struct pack_location where_entry(const uint8_t *entries, uint32_t i)
{
    const uint8_t *e = entries + (size_t)i * ENTRY_SIZE;
    return (struct pack_location){
        .pack = wire_load32(e), .frame = wire_load32(e + 4), .offset = wire_load32(e + 8)};
}
