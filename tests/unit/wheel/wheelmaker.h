/* Makes wheels, good ones and ones that no tool would write. */
#ifndef VENVFS_TESTS_WHEELMAKER_H
#define VENVFS_TESTS_WHEELMAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct made_file {
    char *name;
    size_t name_len;
    void *data;
    size_t size;
    uint32_t mode;          /* st_mode; 0: none given */
    bool unlisted;          /* no row in RECORD */
    const char *hash;       /* RECORD's second field instead of the right one */
    bool wrong_crc;         /* one bit of the stored CRC is flipped */
    bool deflated;          /* in one stored block of deflate */
    uint64_t declared_size; /* instead of the right one; 0: the right one */
    uint64_t declared_packed;
};

struct made_wheel {
    struct made_file *files;
    size_t n, alloc;
    char *dist_info;       /* "foo-1.0.dist-info" */
    const char *extra_row; /* appended to RECORD */
    bool no_record;
};

/* METADATA and WHEEL of NAME VERSION. */
void made_init(struct made_wheel *w, const char *name, const char *version);
struct made_file *made_add(struct made_wheel *w, const char *name, const char *text);
struct made_file *made_find(struct made_wheel *w, const char *name);
void made_remove(struct made_wheel *w, const char *name);
void made_set(struct made_file *f, const char *text);
/* Adds RECORD and appends the archive to sb. Frees the wheel. */
void made_finish(struct made_wheel *w, struct strbuf *sb);

#endif
