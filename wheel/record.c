#include "wheel/record.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"

/* Reads one CSV field starting at *p (as Python's csv.reader with its defaults) and leaves *p at
 * the ',' or line end behind it. Returns false when a quote is not closed. */
static bool read_field(const char **p, const char *end, struct strbuf *field)
{
    strbuf_reset(field);
    const char *s = *p;
    if (s < end && *s == '"') {
        for (s++;; s++) {
            if (s == end)
                return false;
            if (*s == '"' && (s + 1 == end || s[1] != '"'))
                break;
            s += *s == '"';
            strbuf_addch(field, *s);
        }
        s++;
    }
    const char *plain = s;
    while (s < end && *s != ',' && *s != '\n' && *s != '\r')
        s++;
    strbuf_add(field, plain, (size_t)(s - plain));
    *p = s;
    return true;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if (c == '-' || c == '+')
        return 62;
    if (c == '_' || c == '/')
        return 63;
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* URL-safe base64, padding optional, of exactly `size` bytes. */
static bool decode_digest(const char *s, uint8_t *out, size_t size)
{
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (; *s && *s != '='; s++) {
        int v = base64_value(*s);
        if (v < 0)
            return false;
        acc = (acc << 6 | (uint32_t)v) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (n == size)
                return false;
            out[n++] = (uint8_t)(acc >> bits);
        }
    }
    return n == size && !s[strspn(s, "=")];
}

static int parse_hash(const char *text, struct record_row *row, struct verror *err)
{
    static const struct {
        const char *name;
        enum record_hash hash;
        size_t size;
    } known[] = {
        {"sha256=", RECORD_SHA256, SHA256_DIGEST_LENGTH},
        {"sha384=", RECORD_SHA384, SHA384_DIGEST_LENGTH},
        {"sha512=", RECORD_SHA512, SHA512_DIGEST_LENGTH},
    };
    if (!*text) {
        row->hash = RECORD_NO_HASH;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        size_t n = strlen(known[i].name);
        if (strncmp(text, known[i].name, n) != 0)
            continue;
        if (!decode_digest(text + n, row->digest, known[i].size))
            return verror_set(err, EBADMSG, "RECORD: malformed %.*s of %s", (int)n - 1, text,
                              row->path);
        row->hash = known[i].hash;
        return 0;
    }
    return verror_set(err, EBADMSG,
                      "RECORD: the hash of %s is of kind \"%.*s\"; sha256, sha384 or sha512 is "
                      "required",
                      row->path, (int)strcspn(text, "="), text);
}

static int parse_row(const char **p, const char *end, struct strbuf *field, struct record_row *row,
                     struct verror *err)
{
    *row = (struct record_row){0};
    for (size_t i = 0;; i++) {
        if (!read_field(p, end, field))
            return verror_set(err, EBADMSG, "RECORD: a quote is not closed");
        int r = 0;
        if (memchr(field->buf, '\0', field->len))
            r = verror_set(err, EBADMSG, "RECORD: a field has a NUL byte");
        else if (i == 0)
            row->path = xstrdup(field->buf);
        else if (i == 1)
            r = parse_hash(field->buf, row, err);
        if (r < 0)
            return r;
        if (*p == end || **p != ',')
            return 0;
        (*p)++;
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct record_row *)a)->path, ((const struct record_row *)b)->path);
}

/* Of a path with two rows. Some builders list a file twice; that does no harm as long as both say
 * the same. Behind a wheel that ships bytecode (numpy 2.3) pip adds a row for what it compiled over
 * it: then nobody knows the hash of what is there. */
static int merge_rows(struct record_row *last, const struct record_row *row, struct verror *err)
{
    if (last->hash == row->hash && memcmp(last->digest, row->digest, sizeof(row->digest)) == 0)
        return 0;
    bool one_has_none = (last->hash == RECORD_NO_HASH) != (row->hash == RECORD_NO_HASH);
    if (!one_has_none || !path_has_suffix(row->path, ".pyc"))
        return verror_set(err, EBADMSG, "RECORD: two different rows for %s", row->path);
    last->hash = RECORD_NO_HASH;
    memset(last->digest, 0, sizeof(last->digest));
    return 0;
}

static int merge_equal(struct record *record, struct verror *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < record->n; i++) {
        struct record_row *row = &record->rows[i];
        struct record_row *last = kept ? &record->rows[kept - 1] : NULL;
        if (!last || strcmp(last->path, row->path) != 0) {
            record->rows[kept++] = *row;
            continue;
        }
        int r = merge_rows(last, row, err);
        free(row->path);
        if (r < 0) {
            memmove(&record->rows[kept], &record->rows[i + 1],
                    (record->n - i - 1) * sizeof(*record->rows));
            record->n -= i + 1 - kept;
            return r;
        }
    }
    record->n = kept;
    return 0;
}

int record_parse(const char *text, size_t len, struct record *ret, struct verror *err)
{
    _cleanup_record_ struct record record = RECORD_INIT;
    _cleanup_strbuf_ struct strbuf field = STRBUF_INIT;
    const char *p = text, *end = text + len;
    size_t alloc = 0;
    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    while (p < end) {
        if (*p == '\n' || *p == '\r') {
            p++;
            continue;
        }
        record.rows = xgrow(record.rows, &alloc, record.n + 1, sizeof(*record.rows));
        int r = parse_row(&p, end, &field, &record.rows[record.n], err);
        record.n += record.rows[record.n].path != NULL;
        if (r < 0)
            return r;
    }
    if (record.n)
        qsort(record.rows, record.n, sizeof(*record.rows), by_path);
    int r = merge_equal(&record, err);
    if (r < 0)
        return r;
    *ret = record;
    record = (struct record)RECORD_INIT;
    return 0;
}

void record_release(struct record *record)
{
    for (size_t i = 0; i < record->n; i++)
        free(record->rows[i].path);
    free(record->rows);
    *record = (struct record)RECORD_INIT;
}

const struct record_row *record_find(const struct record *record, const char *path)
{
    struct record_row key = {.path = (char *)(uintptr_t)path};
    return record->n ? bsearch(&key, record->rows, record->n, sizeof(key), by_path) : NULL;
}

bool record_row_matches(const struct record_row *row, const struct sha256 *sha256, const void *data,
                        size_t size)
{
    uint8_t digest[SHA512_DIGEST_LENGTH];
    switch (row->hash) {
    case RECORD_SHA256:
        return memcmp(row->digest, sha256->bytes, SHA256_SIZE) == 0;
    case RECORD_SHA384:
        SHA384(data, size, digest);
        return memcmp(row->digest, digest, SHA384_DIGEST_LENGTH) == 0;
    case RECORD_SHA512:
        SHA512(data, size, digest);
        return memcmp(row->digest, digest, SHA512_DIGEST_LENGTH) == 0;
    case RECORD_NO_HASH:
        break;
    }
    return false;
}

void record_add_field(struct strbuf *sb, const char *field)
{
    if (!field[strcspn(field, ",\"\r\n")]) {
        strbuf_addstr(sb, field);
        return;
    }
    strbuf_addch(sb, '"');
    for (; *field; field++) {
        if (*field == '"')
            strbuf_addch(sb, '"');
        strbuf_addch(sb, *field);
    }
    strbuf_addch(sb, '"');
}
