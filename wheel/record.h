/* RECORD: the list of a distribution's files with their hashes (PEP 376, PEP 427, "Recording
 * installed projects"). */
#ifndef VENVFS_WHEEL_RECORD_H
#define VENVFS_WHEEL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/verror.h"

enum record_hash { RECORD_NO_HASH, RECORD_SHA256, RECORD_SHA384, RECORD_SHA512 };

struct record_row {
    char *path;
    enum record_hash hash;
    uint8_t digest[64]; /* as many bytes as the hash has */
};

struct record {
    struct record_row *rows; /* sorted by path, each path once */
    size_t n;
};

#define RECORD_INIT                                                                                \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

/* Reads the text of a RECORD. Sizes are not kept: the hash says all. -EBADMSG: not CSV, a hash that
 * is malformed or weaker than SHA-256 (PEP 427), or a path with two different hashes. Bytecode with
 * a hash and without one has none. */
int record_parse(const char *text, size_t len, struct record *ret, struct verror *err);
void record_release(struct record *record);
/* NULL: no such row. */
const struct record_row *record_find(const struct record *record, const char *path);
/* Does the content fit the row's hash? `sha256` is the content's, already computed. */
bool record_row_matches(const struct record_row *row, const struct sha256 *sha256, const void *data,
                        size_t size);

/* Appends one field quoted as Python's csv module quotes it. */
void record_add_field(struct strbuf *sb, const char *field);

#define _cleanup_record_ _cleanup_(record_release)

#endif
