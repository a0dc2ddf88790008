/* What catalog.c and catalog_walk.c share. */
#ifndef VENVFS_STORE_CATALOG_PRIVATE_H
#define VENVFS_STORE_CATALOG_PRIVATE_H

#include <sqlite3.h>

#include "store/catalog.h"

/* Younger than the first stores: made where it is missing by who writes it. */
#define CATALOG_OPTIMIZED_TABLE                                                                    \
    "CREATE TABLE IF NOT EXISTS optimized (pack INTEGER PRIMARY KEY, level INTEGER NOT NULL);"

/* Prepares the statement for one use. */
int catalog_prepare(struct catalog *c, const char *sql, sqlite3_stmt **ret, struct verror *err);
/* 1: a row; 0: the end; negative: an error. */
int catalog_step(struct catalog *c, sqlite3_stmt *stmt, struct verror *err);
/* Column of exactly 32 bytes, else -EBADMSG. */
int catalog_column_id(struct catalog *c, sqlite3_stmt *stmt, int column, struct sha256 *ret,
                      struct verror *err);
int catalog_column_u32(struct catalog *c, sqlite3_stmt *stmt, int column, uint32_t *ret,
                       struct verror *err);
const char *catalog_column_text(sqlite3_stmt *stmt, int column); /* never NULL */

static inline void catalog_finalizep(sqlite3_stmt **stmt)
{
    (void)sqlite3_finalize(*stmt);
}
#define _cleanup_stmt_ _cleanup_(catalog_finalizep)

#endif
