/* What a garbage collection changes in the catalog. */
#include <errno.h>

#include "base/cleanup.h"
#include "store/catalog_private.h"

/* Runs a statement that returns no row, with a number bound to ?1. */
static int run_with(struct catalog *c, const char *sql, uint64_t number, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, sql, &stmt, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)number);
    r = catalog_step(c, stmt, err);
    return r < 0 ? r : 0;
}

int catalog_drop_image(struct catalog *c, uint32_t number, struct verror *err)
{
    int r = run_with(c, "DELETE FROM images WHERE number = ?1", number, err);
    return r < 0 ? r : run_with(c, "DELETE FROM made WHERE image = ?1", number, err);
}

int catalog_drop_idle_wheels(struct catalog *c, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, "DELETE FROM wheels WHERE id NOT IN (SELECT wheel FROM made)", &stmt,
                            err);
    if (r == 0)
        r = catalog_step(c, stmt, err);
    return r < 0 ? r : 0;
}

int catalog_drop_blob(struct catalog *c, const struct sha256 *id, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, "DELETE FROM blobs WHERE id = ?1", &stmt, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_blob(stmt, 1, id->bytes, SHA256_SIZE, SQLITE_STATIC);
    r = catalog_step(c, stmt, err);
    return r < 0 ? r : 0;
}

int catalog_trim_cache(struct catalog *c, uint64_t bytes, struct verror *err)
{
    return run_with(c,
                    "DELETE FROM cache WHERE rowid IN (SELECT rowid FROM (SELECT rowid,"
                    " sum(length(value)) OVER (ORDER BY rowid DESC) AS newer FROM cache)"
                    " WHERE newer > ?1)",
                    bytes, err);
}
