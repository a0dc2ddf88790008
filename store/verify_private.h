/* What verify.c (catalog, images) and verify_pack.c share. */
#ifndef VENVFS_STORE_VERIFY_PRIVATE_H
#define VENVFS_STORE_VERIFY_PRIVATE_H

#include "store/store_private.h"

struct verified_blob {
    struct catalog_blob row;
    bool bad; /* damaged, or not where the catalog says */
};

struct verify {
    struct store *store;
    bool full;
    void (*problem)(const char *line, void *arg);
    void *arg;
    uint64_t problems;
    struct verified_blob *blobs; /* in order of id, as the catalog gave them */
    size_t blob_count, blob_alloc;
};

void verify_problem(struct verify *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL: the catalog does not know it. */
struct verified_blob *verify_find_blob(struct verify *v, const struct sha256 *id);

/* Checks a pack of the catalog and every blob that the catalog says is in it; `rows` are those,
 * `bytes` the size it should have. */
int verify_pack(struct verify *v, uint32_t number, uint64_t bytes, struct verified_blob **rows,
                size_t row_count, struct verror *err);

#endif
