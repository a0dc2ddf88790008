#include "store/profiles.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { BUSY_MS = 1000 };

enum query { Q_LAST, Q_ADD, Q_EACH, QUERIES };

static const char *const queries[QUERIES] = {
    [Q_LAST] = "SELECT coalesce(max(rank), 0) FROM touched",
    [Q_ADD] = "INSERT OR IGNORE INTO touched (image, node, slice, rank) VALUES (?1, ?2, ?3, ?4)",
    [Q_EACH] = "SELECT image, node, slice, rank FROM touched WHERE image = ?1",
};

static const char schema[] =
    "PRAGMA synchronous=OFF;"
    "CREATE TABLE IF NOT EXISTS touched (image INTEGER, node INTEGER, slice INTEGER,"
    " rank INTEGER NOT NULL, PRIMARY KEY (image, node, slice)) WITHOUT ROWID";

struct profiles {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *stmts[QUERIES];
};

static int fail(const struct profiles *p, int rc, struct verror *err)
{
    int r = rc == SQLITE_BUSY                             ? -EBUSY
            : rc == SQLITE_FULL                           ? -ENOSPC
            : rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? -EBADMSG
                                                          : -EIO;
    return verror_set(err, -r, "%s: %s", p->path, sqlite3_errstr(rc));
}

static int try_open(struct profiles *p, struct verror *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(p->path, &p->db, flags, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(p->db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(p->db, schema, NULL, NULL, NULL);
    for (int i = 0; rc == SQLITE_OK && i < QUERIES; i++)
        rc = sqlite3_prepare_v2(p->db, queries[i], -1, &p->stmts[i], NULL);
    return rc == SQLITE_OK ? 0 : fail(p, rc, err);
}

static void close_db(struct profiles *p)
{
    for (int i = 0; i < QUERIES; i++) {
        sqlite3_finalize(p->stmts[i]);
        p->stmts[i] = NULL;
    }
    sqlite3_close(p->db);
    p->db = NULL;
}

/* Damage costs what was learnt, nothing else. */
static void remove_files(const struct profiles *p)
{
    _cleanup_free_ char *journal = xasprintf("%s-journal", p->path);
    (void)io_unlink(p->path);
    (void)io_unlink(journal);
}

int profiles_open(const char *path, struct profiles **ret, struct verror *err)
{
    struct profiles *p = xcalloc(1, sizeof(*p));
    p->path = xstrdup(path);
    int r = try_open(p, err);
    if (r == -EBADMSG) {
        verror_release(err);
        close_db(p);
        remove_files(p);
        r = try_open(p, err);
    }
    if (r < 0) {
        profiles_close(p);
        return r;
    }
    *ret = p;
    return 0;
}

void profiles_close(struct profiles *p)
{
    if (!p)
        return;
    close_db(p);
    free(p->path);
    free(p);
}

int profiles_last_rank(struct profiles *p, uint32_t *ret, struct verror *err)
{
    sqlite3_stmt *s = p->stmts[Q_LAST];
    int rc = sqlite3_step(s);
    *ret = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return rc == SQLITE_ROW ? 0 : fail(p, rc, err);
}

static int add_one(struct profiles *p, const struct profile_touch *t)
{
    sqlite3_stmt *s = p->stmts[Q_ADD];
    (void)sqlite3_bind_int64(s, 1, t->image);
    (void)sqlite3_bind_int64(s, 2, t->node);
    (void)sqlite3_bind_int64(s, 3, t->slice);
    (void)sqlite3_bind_int64(s, 4, t->rank);
    int rc = sqlite3_step(s);
    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int profiles_add(struct profiles *p, const struct profile_touch *list, size_t n, struct verror *err)
{
    int rc = sqlite3_exec(p->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return fail(p, rc, err);
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
        rc = add_one(p, &list[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    (void)sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
    return fail(p, rc, err);
}

static uint32_t number(sqlite3_stmt *s, int column)
{
    return (uint32_t)sqlite3_column_int64(s, column);
}

int profiles_each(struct profiles *p, uint32_t image,
                  void (*fn)(void *arg, const struct profile_touch *touch), void *arg,
                  struct verror *err)
{
    sqlite3_stmt *s = p->stmts[Q_EACH];
    int rc;
    (void)sqlite3_bind_int64(s, 1, image);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        const struct profile_touch t = {
            .image = image, .node = number(s, 1), .slice = number(s, 2), .rank = number(s, 3)};
        fn(arg, &t);
    }
    (void)sqlite3_reset(s);
    return rc == SQLITE_DONE ? 0 : fail(p, rc, err);
}

/* ---- forgetting ---- */

static int by_number(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return (a > b) - (a < b);
}

/* Images of which nothing is to be kept; malloc'ed. */
static int find_gone(struct profiles *p, const uint32_t *numbers, size_t n, uint32_t **ret,
                     size_t *count)
{
    sqlite3_stmt *s;
    size_t alloc = 0;
    *ret = NULL;
    *count = 0;
    int rc = sqlite3_prepare_v2(p->db, "SELECT DISTINCT image FROM touched", -1, &s, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
            break;
        uint32_t image = number(s, 0);
        if (n && bsearch(&image, numbers, n, sizeof(image), by_number))
            continue;
        *ret = xgrow(*ret, &alloc, *count + 1, sizeof(**ret));
        (*ret)[(*count)++] = image;
    }
    (void)sqlite3_finalize(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int forget(struct profiles *p, const uint32_t *gone, size_t n)
{
    sqlite3_stmt *s;
    int rc = sqlite3_prepare_v2(p->db, "DELETE FROM touched WHERE image = ?1", -1, &s, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
        (void)sqlite3_bind_int64(s, 1, gone[i]);
        rc = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(p->db);
        (void)sqlite3_reset(s);
    }
    (void)sqlite3_finalize(s);
    return rc;
}

int profiles_keep(struct profiles *p, const uint32_t *numbers, size_t n, struct verror *err)
{
    _cleanup_free_ uint32_t *gone = NULL;
    size_t count;
    int rc = sqlite3_exec(p->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return fail(p, rc, err);
    rc = find_gone(p, numbers, n, &gone, &count);
    if (rc == SQLITE_OK)
        rc = forget(p, gone, count);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        (void)sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
        return fail(p, rc, err);
    }
    if (count)
        (void)sqlite3_exec(p->db, "VACUUM", NULL, NULL, NULL);
    return 0;
}
