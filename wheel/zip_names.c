#include "wheel/zip_names.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/wire.h"

enum {
    END_SIZE = 22, /* end of central directory, its comment (up to 64 KiB) follows */
    MAX_COMMENT = 65535,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    HEADER_SIZE = 46,
};
#define END_MAGIC 0x06054b50u
#define LOCATOR_MAGIC 0x07064b50u
#define END64_MAGIC 0x06064b50u
#define HEADER_MAGIC 0x02014b50u
#define MAX_DIRECTORY (UINT64_C(1) << 30)

struct directory {
    uint64_t offset, size, members;
};

static int malformed(struct verror *err)
{
    return verror_set(err, EBADMSG, "not a zip archive, or cut off (no valid central directory)");
}

static int read_at(int fd, void *buf, size_t size, uint64_t offset, struct verror *err)
{
    if (offset > INT64_MAX - size)
        return malformed(err); /* pread() would call it an invalid argument */
    ssize_t n = io_pread_all(fd, buf, size, offset);
    if (n < 0)
        return verror_errno(err, (int)-n, "reading");
    return (size_t)n == size ? 0 : malformed(err);
}

/* The last end record whose comment reaches exactly to the end of the file. */
static const uint8_t *find_end(const uint8_t *tail, size_t size)
{
    if (size < END_SIZE)
        return NULL;
    for (size_t at = size - END_SIZE + 1; at-- > 0;)
        if (wire_load32(tail + at) == END_MAGIC &&
            wire_load16(tail + at + 20) == size - at - END_SIZE)
            return tail + at;
    return NULL;
}

static int read_end64(int fd, uint64_t locator_at, struct directory *ret, struct verror *err)
{
    uint8_t locator[LOCATOR_SIZE], end[END64_SIZE];
    int r = read_at(fd, locator, sizeof(locator), locator_at, err);
    if (r < 0)
        return r;
    if (wire_load32(locator) != LOCATOR_MAGIC)
        return malformed(err);
    r = read_at(fd, end, sizeof(end), wire_load64(locator + 8), err);
    if (r < 0)
        return r;
    if (wire_load32(end) != END64_MAGIC)
        return malformed(err);
    *ret = (struct directory){.members = wire_load64(end + 32),
                              .size = wire_load64(end + 40),
                              .offset = wire_load64(end + 48)};
    return 0;
}

static int find_directory(int fd, struct directory *ret, struct verror *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return verror_errno(err, errno, "reading");
    uint64_t file = (uint64_t)st.st_size;
    size_t size = file < END_SIZE + MAX_COMMENT ? (size_t)file : END_SIZE + MAX_COMMENT;
    _cleanup_free_ uint8_t *tail = xmalloc(size + 1);
    int r = read_at(fd, tail, size, file - size, err);
    if (r < 0)
        return r;
    const uint8_t *end = find_end(tail, size);
    if (!end)
        return malformed(err);
    *ret = (struct directory){.members = wire_load16(end + 10),
                              .size = wire_load32(end + 12),
                              .offset = wire_load32(end + 16)};
    uint64_t end_at = file - size + (uint64_t)(end - tail);
    if ((ret->members == UINT16_MAX || ret->size == UINT32_MAX || ret->offset == UINT32_MAX) &&
        end_at >= LOCATOR_SIZE) {
        r = read_end64(fd, end_at - LOCATOR_SIZE, ret, err);
        if (r < 0)
            return r;
    }
    if (!wire_range_ok(ret->offset, ret->size, 1, end_at) || ret->size > MAX_DIRECTORY)
        return malformed(err);
    return 0;
}

int zip_names_check(int fd, uint64_t *members, struct verror *err)
{
    struct directory dir = {0};
    int r = find_directory(fd, &dir, err);
    if (r < 0)
        return r;
    size_t size = (size_t)dir.size, at = 0;
    _cleanup_free_ uint8_t *buf = malloc(size + 1);
    if (!buf)
        return verror_errno(err, ENOMEM, "reading the central directory");
    r = read_at(fd, buf, size, dir.offset, err);
    if (r < 0)
        return r;
    uint64_t n = 0;
    for (; at < size; n++) {
        if (size - at < HEADER_SIZE || wire_load32(buf + at) != HEADER_MAGIC)
            return malformed(err);
        size_t name = wire_load16(buf + at + 28);
        size_t rest = (size_t)wire_load16(buf + at + 30) + wire_load16(buf + at + 32);
        if (size - at - HEADER_SIZE < name + rest)
            return malformed(err);
        const char *s = (const char *)buf + at + HEADER_SIZE;
        if (memchr(s, '\0', name))
            return verror_set(err, EBADMSG, "member %.*s: the name has a NUL byte",
                              (int)strnlen(s, name), s);
        at += HEADER_SIZE + name + rest;
    }
    if (n != dir.members)
        return malformed(err);
    *members = n;
    return 0;
}
