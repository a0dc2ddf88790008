#include "store/where.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/wire.h"

#define WHERE_MAGIC "VFSWHERE"

enum { WHERE_VERSION = 1, HEADER_SIZE = 16 + SHA256_SIZE, ENTRY_SIZE = 16, TRAILER_SIZE = 8 };

size_t where_size(uint32_t count)
{
    return HEADER_SIZE + (size_t)count * ENTRY_SIZE + TRAILER_SIZE;
}

void where_encode(const struct sha256 *image, const struct pack_location *locations, uint32_t count,
                  struct strbuf *ret)
{
    uint8_t raw[ENTRY_SIZE];
    strbuf_reset(ret);
    strbuf_grow(ret, where_size(count));
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

/* ---- the where files of all images in one ---- */

#define GATHERED_MAGIC "VFSWHERA"

enum { GATHERED_VERSION = 1, GATHERED_HEADER_SIZE = 16, PART_SIZE = 24, PARTS_MAX = 1 << 20 };

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static size_t parts_begin(size_t count)
{
    return align8(GATHERED_HEADER_SIZE + count * PART_SIZE + 8);
}

size_t where_gathered_size(const uint32_t *counts, size_t count)
{
    size_t size = GATHERED_HEADER_SIZE + count * PART_SIZE + 8;
    for (size_t i = 0; i < count; i++)
        size = align8(size) + where_size(counts[i]);
    return count ? align8(size) : size;
}

void where_gather(const struct where_part *parts, size_t count, struct strbuf *ret)
{
    uint8_t raw[PART_SIZE];
    uint64_t at = parts_begin(count);
    strbuf_reset(ret);
    strbuf_addstr(ret, GATHERED_MAGIC);
    wire_store32(raw, GATHERED_VERSION);
    wire_store32(raw + 4, (uint32_t)count);
    strbuf_add(ret, raw, 8);
    for (size_t i = 0; i < count; i++) {
        wire_store32(raw, parts[i].number);
        wire_store32(raw + 4, 0);
        wire_store64(raw + 8, at);
        wire_store64(raw + 16, parts[i].bytes.len);
        strbuf_add(ret, raw, PART_SIZE);
        at += align8(parts[i].bytes.len);
    }
    wire_store64(raw, checksum_of(ret->buf, ret->len));
    strbuf_add(ret, raw, 8);
    for (size_t i = 0; i < count; i++) {
        strbuf_add(ret, parts[i].bytes.buf, parts[i].bytes.len);
        while (ret->len % 8)
            strbuf_addch(ret, 0);
    }
}

/* Binary search in the checked table. */
static const uint8_t *find_part(const uint8_t *table, size_t count, uint32_t number)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const uint8_t *part = table + mid * PART_SIZE;
        uint32_t at = wire_load32(part);
        if (at == number)
            return part;
        if (at < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

int where_find_part(int fd, uint32_t number, uint64_t *offset, uint64_t *size)
{
    uint8_t header[GATHERED_HEADER_SIZE];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    ssize_t n = io_pread_all(fd, header, sizeof(header), 0);
    if (n < 0)
        return (int)n;
    size_t count = n == sizeof(header) ? wire_load32(header + 12) : 0;
    if (n != sizeof(header) || memcmp(header, GATHERED_MAGIC, 8) != 0 ||
        wire_load32(header + 8) != GATHERED_VERSION || count > PARTS_MAX)
        return -EBADMSG;
    size_t table_size = GATHERED_HEADER_SIZE + count * PART_SIZE;
    _cleanup_free_ uint8_t *table = malloc(table_size + 8);
    if (!table)
        return -ENOMEM;
    n = io_pread_all(fd, table, table_size + 8, 0);
    if (n < 0)
        return (int)n;
    if ((size_t)n != table_size + 8 ||
        checksum_of(table, table_size) != wire_load64(table + table_size))
        return -EBADMSG;
    const uint8_t *part = find_part(table + GATHERED_HEADER_SIZE, count, number);
    if (!part)
        return -ENOENT;
    uint64_t at = wire_load64(part + 8), bytes = wire_load64(part + 16);
    if (!wire_range_ok(at, bytes, 1, (uint64_t)st.st_size) || bytes == 0)
        return -EBADMSG;
    *offset = at;
    *size = bytes;
    return 0;
}
