/* What rewriting packs changes in the catalog. */
#include <errno.h>

#include "base/cleanup.h"
#include "store/catalog_private.h"

static int has_table(struct catalog *c, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, "SELECT 1 FROM sqlite_master WHERE name = 'optimized'", &stmt, err);
    return r < 0 ? r : catalog_step(c, stmt, err);
}

/* Runs a statement that returns no row. */
static int run(struct catalog *c, const char *sql, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, sql, &stmt, err);
    if (r == 0)
        r = catalog_step(c, stmt, err);
    return r < 0 ? r : 0;
}

int catalog_optimized(struct catalog *c, uint32_t pack, int *level, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    *level = 0;
    int r = has_table(c, err);
    if (r <= 0)
        return r;
    r = catalog_prepare(c, "SELECT level FROM optimized WHERE pack = ?1", &stmt, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(stmt, 1, pack);
    r = catalog_step(c, stmt, err);
    if (r == 1)
        *level = sqlite3_column_int(stmt, 0);
    return r < 0 ? r : 0;
}

int catalog_set_optimized(struct catalog *c, uint32_t pack, int level, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = run(c, CATALOG_OPTIMIZED_TABLE, err);
    if (r == 0)
        r = catalog_prepare(c, "INSERT OR REPLACE INTO optimized (pack, level) VALUES (?1, ?2)",
                            &stmt, err);
    if (r < 0)
        return r;
    (void)sqlite3_bind_int64(stmt, 1, pack);
    (void)sqlite3_bind_int(stmt, 2, level);
    r = catalog_step(c, stmt, err);
    return r < 0 ? r : 0;
}

int catalog_drop_empty_packs(struct catalog *c, struct verror *err)
{
    int r = run(c, "DELETE FROM packs WHERE number NOT IN (SELECT pack FROM blobs)", err);
    if (r == 0)
        r = run(c, CATALOG_OPTIMIZED_TABLE, err);
    return r < 0
               ? r
               : run(c, "DELETE FROM optimized WHERE pack NOT IN (SELECT number FROM packs)", err);
}

int catalog_vacuum(struct catalog *c, struct verror *err)
{
    return run(c, "VACUUM", err);
}
