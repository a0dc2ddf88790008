/* Identity and checksums: SHA-256 decides identity, XXH3 only detects damage (design 4). */
#ifndef VENVFS_BASE_HASH_H
#define VENVFS_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65    /* 64 digits and the NUL */
#define SHA256_BASE64_SIZE 44 /* 43 characters without padding, and the NUL */

struct sha256 {
    uint8_t bytes[SHA256_SIZE];
};

struct sha256_state; /* streaming */

void sha256_of(const void *data, size_t size, struct sha256 *ret);
struct sha256_state *sha256_begin(void);
void sha256_update(struct sha256_state *st, const void *data, size_t size);
void sha256_end(struct sha256_state *st, struct sha256 *ret); /* frees st; ret may be NULL */
/* Reads the whole file from its start. Returns 0 or a negative errno. */
int sha256_of_fd(int fd, struct sha256 *ret);

bool sha256_equal(const struct sha256 *a, const struct sha256 *b);
int sha256_cmp(const struct sha256 *a, const struct sha256 *b);

void sha256_to_hex(const struct sha256 *h, char hex[SHA256_HEX_SIZE]);
/* Takes exactly 64 hexadecimal digits (either case) at s[0..len). Returns false otherwise. */
bool sha256_from_hex(const char *s, size_t len, struct sha256 *ret);
/* URL-safe base64 without padding, as RECORD writes it (PEP 376, PEP 427). */
void sha256_to_base64(const struct sha256 *h, char out[SHA256_BASE64_SIZE]);
bool sha256_from_base64(const char *s, size_t len, struct sha256 *ret); /* padding tolerated */

uint64_t checksum_of(const void *data, size_t size); /* XXH3, 64 bits, seed 0 */

#endif
