/* The plain SHA256_* calls of libcrypto are deprecated in favour of EVP, whose first use in a
 * process loads configuration and providers: 2-3 ms, a tenth of what a whole command may take. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/mem.h"

struct sha256_state {
    SHA256_CTX ctx;
};

void sha256_of(const void *data, size_t size, struct sha256 *ret)
{
    SHA256_CTX ctx;
    if (SHA256_Init(&ctx) != 1 || SHA256_Update(&ctx, data, size) != 1 ||
        SHA256_Final(ret->bytes, &ctx) != 1)
        abort();
}

struct sha256_state *sha256_begin(void)
{
    struct sha256_state *st = xmalloc(sizeof(*st));
    if (SHA256_Init(&st->ctx) != 1)
        abort();
    return st;
}

void sha256_update(struct sha256_state *st, const void *data, size_t size)
{
    if (SHA256_Update(&st->ctx, data, size) != 1)
        abort();
}

void sha256_end(struct sha256_state *st, struct sha256 *ret)
{
    if (ret && SHA256_Final(ret->bytes, &st->ctx) != 1)
        abort();
    free(st);
}

int sha256_of_fd(int fd, struct sha256 *ret)
{
    enum { CHUNK = 256 * 1024 };
    _cleanup_free_ char *buf = xmalloc(CHUNK);
    struct sha256_state *st = sha256_begin();
    off_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, buf, CHUNK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int e = errno;
            sha256_end(st, NULL);
            return -e;
        }
        if (n == 0)
            break;
        sha256_update(st, buf, (size_t)n);
        at += n;
    }
    sha256_end(st, ret);
    return 0;
}

bool sha256_equal(const struct sha256 *a, const struct sha256 *b)
{
    return sha256_cmp(a, b) == 0;
}

int sha256_cmp(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->bytes, b->bytes, SHA256_SIZE);
}

void sha256_to_hex(const struct sha256 *h, char hex[SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        hex[2 * i] = digits[h->bytes[i] >> 4];
        hex[2 * i + 1] = digits[h->bytes[i] & 15];
    }
    hex[2 * SHA256_SIZE] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool sha256_from_hex(const char *s, size_t len, struct sha256 *ret)
{
    struct sha256 h;
    if (len != 2 * (size_t)SHA256_SIZE)
        return false;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        h.bytes[i] = (uint8_t)(hi << 4 | lo);
    }
    *ret = h;
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void sha256_to_base64(const struct sha256 *h, char out[SHA256_BASE64_SIZE])
{
    size_t o = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        acc = acc << 8 | h->bytes[i];
        bits += 8;
        while (bits >= 6) {
            bits -= 6;
            out[o++] = base64_digits[(acc >> bits) & 63];
        }
    }
    out[o++] = base64_digits[(acc << (6 - bits)) & 63];
    out[o] = '\0';
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' || c == '+' ? 62 : c == '_' || c == '/' ? 63 : -1;
}

bool sha256_from_base64(const char *s, size_t len, struct sha256 *ret)
{
    struct sha256 h;
    while (len && s[len - 1] == '=')
        len--;
    if (len != SHA256_BASE64_SIZE - 1)
        return false;
    size_t o = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++) {
        int v = base64_value(s[i]);
        if (v < 0)
            return false;
        acc = acc << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8 && o < SHA256_SIZE) {
            bits -= 8;
            h.bytes[o++] = (uint8_t)(acc >> bits);
        }
    }
    if (o != SHA256_SIZE)
        return false;
    *ret = h;
    return true;
}

uint64_t checksum_of(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}
