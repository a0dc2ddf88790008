/* A wheel's zip archive, read as untrusted input (libzip decodes, this file judges). */
#ifndef VENVFS_WHEEL_ZIP_H
#define VENVFS_WHEEL_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"

/* Limits against archives that unpack to more than anyone meant to install. Deflate cannot exceed
 * 1,032:1 and real members above 32 MiB stay below 30:1. */
#define ZIP_MAX_MEMBER (UINT64_C(4) << 30)
#define ZIP_MAX_TOTAL (UINT64_C(16) << 30)
#define ZIP_MAX_RATIO 200
#define ZIP_FREE_SIZE (UINT64_C(32) << 20) /* the ratio is not looked at below this size */
#define ZIP_MAX_MEMBERS 500000             /* an image has 2^19 nodes */

struct zip_member {
    const char *name; /* UTF-8; owned by the archive */
    uint64_t size;    /* declared; reading checks it */
    uint64_t packed;  /* compressed bytes */
    bool folder;      /* the name ends in '/' */
    bool executable;  /* a regular file with an x bit, as pip judges it */
};

struct wheel_zip;

/* Opens and checks what can be checked without unpacking: names, types, sizes, duplicates. fd is
 * used with its own file offset and closed by wheel_zip_close(), also when this fails. -EBADMSG:
 * not a zip, truncated, or a member that must not be; the message names the member. */
int wheel_zip_open(int fd, struct wheel_zip **ret, struct verror *err);
/* The same without the checks, for a further handle on an archive that passed them; a handle serves
 * one thread at a time. The file may have been overwritten since: what the handle says is as
 * untrusted as at first. */
int wheel_zip_reopen(int fd, struct wheel_zip **ret, struct verror *err);
void wheel_zip_close(struct wheel_zip *zip); /* NULL is accepted */

size_t wheel_zip_members(const struct wheel_zip *zip); /* in the order of the central directory */
const struct zip_member *wheel_zip_member(const struct wheel_zip *zip, size_t i);
/* The member of this name, or SIZE_MAX. */
size_t wheel_zip_find(const struct wheel_zip *zip, const char *name);
/* Unpacks a member into buf, which has room for `size` bytes, and checks its CRC. -ESTALE: there is
 * no such member or its declared size is another, so this is not the archive that the caller knows
 * the size from; -EBADMSG: damaged, encrypted, or of another size than declared. */
int wheel_zip_read(struct wheel_zip *zip, size_t i, uint64_t size, void *buf, struct verror *err);
/* As above into malloc'ed memory with a NUL behind it; -EFBIG beyond limit. */
int wheel_zip_read_alloc(struct wheel_zip *zip, size_t i, uint64_t limit, char **ret,
                         struct verror *err);

#define _cleanup_wheel_zip_ _cleanup_(wheel_zip_closep)
static inline void wheel_zip_closep(struct wheel_zip **zip)
{
    wheel_zip_close(*zip);
}

#endif
