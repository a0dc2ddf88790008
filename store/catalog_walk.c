/* Whole-table walks of the catalog: listing, totals, checking. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/catalog_private.h"

int catalog_each_blob(struct catalog *c, int (*fn)(const struct catalog_blob *blob, void *arg),
                      void *arg, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, "SELECT id, pack, frame, start, size FROM blobs ORDER BY id", &stmt,
                            err);
    while (r == 0 && (r = catalog_step(c, stmt, err)) == 1) {
        struct catalog_blob b = {.size = (uint64_t)sqlite3_column_int64(stmt, 4)};
        r = catalog_column_id(c, stmt, 0, &b.id, err);
        if (r == 0)
            r = catalog_column_u32(c, stmt, 1, &b.where.pack, err);
        if (r == 0)
            r = catalog_column_u32(c, stmt, 2, &b.where.frame, err);
        if (r == 0)
            r = catalog_column_u32(c, stmt, 3, &b.where.offset, err);
        if (r == 0)
            r = fn(&b, arg);
        if (r != 0)
            return r;
    }
    return r;
}

int catalog_each_pack(struct catalog *c, int (*fn)(uint32_t number, uint64_t bytes, void *arg),
                      void *arg, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, "SELECT number, bytes FROM packs ORDER BY number", &stmt, err);
    while (r == 0 && (r = catalog_step(c, stmt, err)) == 1) {
        uint32_t number;
        r = catalog_column_u32(c, stmt, 0, &number, err);
        if (r == 0)
            r = fn(number, (uint64_t)sqlite3_column_int64(stmt, 1), arg);
        if (r != 0)
            return r;
    }
    return r;
}

int catalog_each_image(struct catalog *c, int (*fn)(const struct catalog_image *image, void *arg),
                       void *arg, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c,
                            "SELECT number, id, name, version, file_bytes, nodes FROM images"
                            " ORDER BY number",
                            &stmt, err);
    while (r == 0 && (r = catalog_step(c, stmt, err)) == 1) {
        struct catalog_image i = {
            .name = catalog_column_text(stmt, 2),
            .version = catalog_column_text(stmt, 3),
            .file_bytes = (uint64_t)sqlite3_column_int64(stmt, 4),
        };
        r = catalog_column_u32(c, stmt, 0, &i.which.number, err);
        if (r == 0)
            r = catalog_column_id(c, stmt, 1, &i.which.id, err);
        if (r == 0)
            r = catalog_column_u32(c, stmt, 5, &i.nodes, err);
        if (r == 0)
            r = fn(&i, arg);
        if (r != 0)
            return r;
    }
    return r;
}

int catalog_each_made(struct catalog *c, int (*fn)(const struct store_listing *entry, void *arg),
                      void *arg, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c,
                            "SELECT i.number, i.id, i.name, i.version, m.target, w.filename,"
                            " i.file_bytes, i.nodes, m.wheel FROM made m"
                            " JOIN images i ON i.number = m.image"
                            " JOIN wheels w ON w.id = m.wheel"
                            " ORDER BY i.name COLLATE NOCASE, i.version, w.filename, m.target",
                            &stmt, err);
    while (r == 0 && (r = catalog_step(c, stmt, err)) == 1) {
        struct store_listing l = {
            .name = catalog_column_text(stmt, 2),
            .version = catalog_column_text(stmt, 3),
            .target = catalog_column_text(stmt, 4),
            .wheel_filename = catalog_column_text(stmt, 5),
            .file_bytes = (uint64_t)sqlite3_column_int64(stmt, 6),
        };
        r = catalog_column_u32(c, stmt, 0, &l.image.number, err);
        if (r == 0)
            r = catalog_column_id(c, stmt, 1, &l.image.id, err);
        if (r == 0)
            r = catalog_column_u32(c, stmt, 7, &l.nodes, err);
        if (r == 0)
            r = catalog_column_id(c, stmt, 8, &l.wheel, err);
        if (r == 0)
            r = fn(&l, arg);
        if (r != 0)
            return r;
    }
    return r;
}

int catalog_totals(struct catalog *c, struct catalog_totals *ret, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c,
                            "SELECT (SELECT count(*) FROM images),"
                            " (SELECT count(*) FROM wheels), (SELECT count(*) FROM packs),"
                            " (SELECT count(*) FROM blobs),"
                            " (SELECT total(file_bytes) FROM images),"
                            " (SELECT total(size) FROM blobs)",
                            &stmt, err);
    if (r == 0)
        r = catalog_step(c, stmt, err);
    if (r < 0)
        return r;
    *ret = (struct catalog_totals){
        .images = (uint64_t)sqlite3_column_int64(stmt, 0),
        .wheels = (uint64_t)sqlite3_column_int64(stmt, 1),
        .packs = (uint64_t)sqlite3_column_int64(stmt, 2),
        .blobs = (uint64_t)sqlite3_column_int64(stmt, 3),
        .apparent_bytes = (uint64_t)sqlite3_column_int64(stmt, 4),
        .unique_bytes = (uint64_t)sqlite3_column_int64(stmt, 5),
    };
    return 0;
}

static int check_with(struct catalog *c, const char *sql, const char *good,
                      void (*problem)(const char *line, void *arg), void *arg, struct verror *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int r = catalog_prepare(c, sql, &stmt, err);
    while (r == 0 && (r = catalog_step(c, stmt, err)) == 1) {
        const char *line = catalog_column_text(stmt, 0);
        if (!good || strcmp(line, good) != 0)
            problem(line, arg);
        r = 0;
    }
    return r;
}

int catalog_quick_check(struct catalog *c, void (*problem)(const char *line, void *arg), void *arg,
                        struct verror *err)
{
    return check_with(c, "PRAGMA quick_check", "ok", problem, arg, err);
}

int catalog_check(struct catalog *c, void (*problem)(const char *line, void *arg), void *arg,
                  struct verror *err)
{
    static const char *const dangling[] = {
        "SELECT 'catalog: ' || hex(wheel) || ' for ' || target || ' names image ' || image"
        " || ', which does not exist' FROM made WHERE image NOT IN (SELECT number FROM images)",
        "SELECT 'catalog: wheel ' || hex(wheel) || ' has an image but no row of its own'"
        " FROM made WHERE wheel NOT IN (SELECT id FROM wheels)",
        "SELECT 'catalog: ' || count(*) || ' blobs lie in pack ' || pack"
        " || ', which is not listed' FROM blobs WHERE pack NOT IN (SELECT number FROM packs)"
        " GROUP BY pack",
        "SELECT 'catalog: pack ' || number || ' has a number that may be given out again'"
        " FROM packs WHERE number >= (SELECT next FROM counters WHERE name = 'pack')",
        "SELECT 'catalog: image ' || number || ' has a number that may be given out again'"
        " FROM images WHERE number >= (SELECT next FROM counters WHERE name = 'image')",
    };
    int r = check_with(c, "PRAGMA integrity_check", "ok", problem, arg, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dangling); i++)
        r = check_with(c, dangling[i], NULL, problem, arg, err);
    return r;
}
