/* Connection, transactions, look-ups and changes of the catalog. */
#include "store/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/catalog_private.h"

/* A commit of a large ingest on a slow disk may hold the write lock for many seconds. */
enum { BUSY_MS = 120 * 1000 };

enum query {
    Q_BEGIN,
    Q_BEGIN_READING,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_FIND_IMAGE,
    Q_FIND_IMAGE_BY_ID,
    Q_FIND_MADE,
    Q_WHEEL_IDS,
    Q_FIND_WHEEL,
    Q_FIND_BLOB,
    Q_CACHE_GET,
    Q_CACHE_PUT,
    Q_ADD_BLOB,
    Q_ADD_PACK,
    Q_ADD_IMAGE,
    Q_ADD_WHEEL,
    Q_ADD_MADE,
    Q_COUNTER,
    Q_SET_COUNTER,
    Q_MOVE_BLOB,
    QUERIES
};

static const char *const queries[QUERIES] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_BEGIN_READING] = "BEGIN",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_FIND_IMAGE] = ("SELECT images.number, images.id FROM made JOIN images"
                      " ON images.number = made.image WHERE made.wheel = ?1 AND made.target = ?2"),
    [Q_FIND_IMAGE_BY_ID] = "SELECT number FROM images WHERE id = ?1",
    [Q_FIND_MADE] =
        ("SELECT images.number, images.id, images.name, images.version, wheels.filename FROM made"
         " JOIN images ON images.number = made.image JOIN wheels ON wheels.id = made.wheel"
         " WHERE made.wheel = ?1 AND made.target = ?2"),
    [Q_WHEEL_IDS] = "SELECT id FROM wheels ORDER BY id LIMIT ?1",
    [Q_FIND_WHEEL] = "SELECT filename FROM wheels WHERE id = ?1",
    [Q_FIND_BLOB] = "SELECT pack, frame, start, size FROM blobs WHERE id = ?1",
    [Q_CACHE_GET] = "SELECT value FROM cache WHERE key = ?1",
    [Q_CACHE_PUT] = "INSERT OR REPLACE INTO cache (key, value) VALUES (?1, ?2)",
    [Q_ADD_BLOB] = ("INSERT OR IGNORE INTO blobs (id, pack, frame, start, size)"
                    " VALUES (?1, ?2, ?3, ?4, ?5)"),
    [Q_ADD_PACK] = "INSERT INTO packs (number, bytes) VALUES (?1, ?2)",
    [Q_ADD_IMAGE] = ("INSERT INTO images (number, id, name, version, nodes, file_bytes)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
    [Q_ADD_WHEEL] = "INSERT OR IGNORE INTO wheels (id, filename) VALUES (?1, ?2)",
    [Q_ADD_MADE] = "INSERT INTO made (wheel, target, image) VALUES (?1, ?2, ?3)",
    [Q_COUNTER] = "SELECT next FROM counters WHERE name = ?1",
    [Q_SET_COUNTER] = "INSERT OR REPLACE INTO counters (name, next) VALUES (?1, ?2)",
    [Q_MOVE_BLOB] = ("UPDATE blobs SET pack = ?2, frame = ?3, start = ?4"
                     " WHERE id = ?1 AND pack = ?5 AND frame = ?6 AND start = ?7"),
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS blobs (id BLOB PRIMARY KEY, pack INTEGER NOT NULL,"
    " frame INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS images (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " name TEXT NOT NULL, version TEXT NOT NULL, nodes INTEGER NOT NULL,"
    " file_bytes INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS wheels (id BLOB PRIMARY KEY, filename TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS made (wheel BLOB, target TEXT, image INTEGER NOT NULL,"
    " PRIMARY KEY (wheel, target)) WITHOUT ROWID;" CATALOG_OPTIMIZED_TABLE
    "CREATE TABLE IF NOT EXISTS cache (key BLOB PRIMARY KEY, value BLOB NOT NULL);";

struct catalog {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *stmts[QUERIES]; /* prepared at first use */
};

/* ---- errors ---- */

static int errno_of(sqlite3 *db, int rc)
{
    int system = db ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EBADMSG;
    case SQLITE_CANTOPEN:
        /* Its absence is damage: -ENOENT would read as "not stored". */
        return system && system != ENOENT ? system : EIO;
    case SQLITE_IOERR:
        return system ? system : EIO;
    default:
        return EIO;
    }
}

static int catalog_error(const char *path, sqlite3 *db, int rc, struct verror *err)
{
    int r = verror_set(err, errno_of(db, rc), "catalog %s: %s", path,
                       db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    if ((rc & 0xff) == SQLITE_BUSY)
        (void)verror_hint(err,
                          "another command has been adding packages for %d seconds; "
                          "try again when it has ended",
                          BUSY_MS / 1000);
    return r;
}

static int fail(struct catalog *c, int rc, struct verror *err)
{
    return catalog_error(c->path, c->db, rc, err);
}

/* ---- connection ---- */

static void add_uri_path(struct strbuf *uri, const char *path)
{
    for (; *path; path++) {
        if (strchr("%?#", *path))
            strbuf_addf(uri, "%%%02x", (unsigned char)*path);
        else
            strbuf_addch(uri, *path);
    }
}

static int connect_db(const char *path, const char *mode, sqlite3 **ret, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf uri = STRBUF_INIT;
    strbuf_addstr(&uri, "file:");
    add_uri_path(&uri, path);
    strbuf_addf(&uri, "?%s", mode);
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    flags |= strncmp(mode, "mode=ro", 7) == 0 ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(uri.buf, &db, flags, NULL);
    if (rc != SQLITE_OK) {
        int r = catalog_error(path, db, rc, err);
        (void)sqlite3_close(db);
        return r;
    }
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    /* A manifest is written once the commit it depends on has returned. How SQLite is built decides
     * the default, and in WAL mode that may be NORMAL: commits that a power cut undoes. */
    rc = flags & SQLITE_OPEN_READWRITE
             ? sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL)
             : SQLITE_OK;
    if (rc != SQLITE_OK) {
        int r = catalog_error(path, db, rc, err);
        (void)sqlite3_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

int catalog_create(const char *path, struct verror *err)
{
    /* Made here, because SQLite would give it the umask's permissions. No connection is open yet,
     * so closing this descriptor drops nobody's lock. */
    int fd = io_open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return verror_errno(err, fd, "cannot create %s", path);
    (void)close(fd);
    sqlite3 *db;
    int r = connect_db(path, "mode=rw", &db, err);
    if (r < 0)
        return r;
    int rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        r = catalog_error(path, db, rc, err);
    (void)sqlite3_close(db);
    return r;
}

/* Does a first read succeed? A store on a read-only file system has no place for WAL's shared
 * memory. */
static bool readable(sqlite3 *db)
{
    return sqlite3_exec(db, "SELECT 1 FROM counters", NULL, NULL, NULL) == SQLITE_OK;
}

int catalog_open(const char *path, bool read_only, struct catalog **ret, struct verror *err)
{
    sqlite3 *db;
    int r = connect_db(path, read_only ? "mode=ro" : "mode=rw", &db, err);
    if (r < 0)
        return r;
    if (read_only && !readable(db)) {
        (void)sqlite3_close(db);
        r = connect_db(path, "mode=ro&immutable=1", &db, err);
        if (r < 0)
            return r;
    }
    struct catalog *c = xcalloc(1, sizeof(*c));
    c->db = db;
    c->path = xstrdup(path);
    *ret = c;
    return 0;
}

void catalog_close(struct catalog *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < QUERIES; i++)
        (void)sqlite3_finalize(c->stmts[i]);
    (void)sqlite3_close(c->db);
    free(c->path);
    free(c);
}

/* ---- statements ---- */

int catalog_prepare(struct catalog *c, const char *sql, sqlite3_stmt **ret, struct verror *err)
{
    int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
    return rc == SQLITE_OK ? 0 : fail(c, rc, err);
}

int catalog_step(struct catalog *c, sqlite3_stmt *stmt, struct verror *err)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : fail(c, rc, err);
}

static int bad_row(struct catalog *c, struct verror *err)
{
    return verror_set(err, EBADMSG, "catalog %s: damaged row", c->path);
}

int catalog_column_id(struct catalog *c, sqlite3_stmt *stmt, int column, struct sha256 *ret,
                      struct verror *err)
{
    const void *blob = sqlite3_column_blob(stmt, column);
    if (!blob || sqlite3_column_bytes(stmt, column) != SHA256_SIZE)
        return bad_row(c, err);
    memcpy(ret->bytes, blob, SHA256_SIZE);
    return 0;
}

int catalog_column_u32(struct catalog *c, sqlite3_stmt *stmt, int column, uint32_t *ret,
                       struct verror *err)
{
    sqlite3_int64 v = sqlite3_column_int64(stmt, column);
    if (v < 0 || v > UINT32_MAX)
        return bad_row(c, err);
    *ret = (uint32_t)v;
    return 0;
}

const char *catalog_column_text(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    return text ? (const char *)text : "";
}

static int get(struct catalog *c, enum query q, sqlite3_stmt **ret, struct verror *err)
{
    if (!c->stmts[q]) {
        int r = catalog_prepare(c, queries[q], &c->stmts[q], err);
        if (r < 0)
            return r;
    }
    *ret = c->stmts[q];
    return 0;
}

static void bind_id(sqlite3_stmt *stmt, int i, const struct sha256 *id)
{
    (void)sqlite3_bind_blob(stmt, i, id->bytes, SHA256_SIZE, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *s)
{
    (void)sqlite3_bind_text(stmt, i, s, -1, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *stmt, int i, uint64_t v)
{
    (void)sqlite3_bind_int64(stmt, i, (sqlite3_int64)v);
}

/* Ends a statement's use. A statement left open would keep its read transaction. */
static void done(sqlite3_stmt *stmt)
{
    (void)sqlite3_reset(stmt);
}

/* Runs a statement that returns no row. */
static int run(struct catalog *c, sqlite3_stmt *stmt, struct verror *err)
{
    int r = catalog_step(c, stmt, err);
    done(stmt);
    return r < 0 ? r : 0;
}

static int run_query(struct catalog *c, enum query q, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, q, &stmt, err);
    return r < 0 ? r : run(c, stmt, err);
}

int catalog_begin(struct catalog *c, struct verror *err)
{
    return run_query(c, Q_BEGIN, err);
}

int catalog_begin_reading(struct catalog *c, struct verror *err)
{
    return run_query(c, Q_BEGIN_READING, err);
}

int catalog_commit(struct catalog *c, struct verror *err)
{
    return run_query(c, Q_COMMIT, err);
}

void catalog_rollback(struct catalog *c)
{
    if (!sqlite3_get_autocommit(c->db))
        (void)run_query(c, Q_ROLLBACK, NULL);
}

void catalog_checkpoint(struct catalog *c)
{
    /* Readers of other processes may hold the log: it is truncated by whoever comes later. */
    (void)sqlite3_busy_timeout(c->db, 0);
    (void)sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_timeout(c->db, BUSY_MS);
}

/* ---- look-ups ---- */

int catalog_find_image(struct catalog *c, const struct sha256 *wheel, const char *target,
                       struct store_image *ret, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_FIND_IMAGE, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, wheel);
    bind_text(stmt, 2, target);
    struct store_image found;
    r = catalog_step(c, stmt, err);
    if (r == 1)
        r = catalog_column_u32(c, stmt, 0, &found.number, err);
    else if (r == 0)
        r = -ENOENT;
    if (r == 0)
        r = catalog_column_id(c, stmt, 1, &found.id, err);
    done(stmt);
    if (r == 0)
        *ret = found;
    return r;
}

int catalog_find_made(struct catalog *c, const struct sha256 *wheel, const char *target,
                      struct store_made *ret, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_FIND_MADE, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, wheel);
    bind_text(stmt, 2, target);
    struct store_image image;
    r = catalog_step(c, stmt, err);
    if (r == 1)
        r = catalog_column_u32(c, stmt, 0, &image.number, err);
    else if (r == 0)
        r = -ENOENT;
    if (r == 0)
        r = catalog_column_id(c, stmt, 1, &image.id, err);
    if (r == 0)
        *ret = (struct store_made){.image = image,
                                   .name = xstrdup(catalog_column_text(stmt, 2)),
                                   .version = xstrdup(catalog_column_text(stmt, 3)),
                                   .wheel_filename = xstrdup(catalog_column_text(stmt, 4))};
    done(stmt);
    return r;
}

int catalog_find_image_by_id(struct catalog *c, const struct sha256 *id, uint32_t *number,
                             struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_FIND_IMAGE_BY_ID, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, id);
    r = catalog_step(c, stmt, err);
    if (r == 1)
        r = catalog_column_u32(c, stmt, 0, number, err);
    else if (r == 0)
        r = -ENOENT;
    done(stmt);
    return r;
}

int catalog_wheel_ids(struct catalog *c, size_t most, struct sha256 **ret, size_t *n,
                      struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_WHEEL_IDS, &stmt, err);
    if (r < 0)
        return r;
    bind_u64(stmt, 1, most + 1);
    _cleanup_free_ struct sha256 *ids = xcalloc(most + 1, sizeof(*ids));
    size_t count = 0;
    while ((r = catalog_step(c, stmt, err)) == 1 && count <= most) {
        r = catalog_column_id(c, stmt, 0, &ids[count], err);
        if (r < 0)
            break;
        count++;
    }
    done(stmt);
    if (r < 0)
        return r;
    if (count > most)
        return -E2BIG;
    *ret = steal_ptr(ids);
    *n = count;
    return 0;
}

int catalog_find_wheel(struct catalog *c, const struct sha256 *id, char **filename,
                       struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_FIND_WHEEL, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, id);
    r = catalog_step(c, stmt, err);
    if (r == 1)
        *filename = xstrdup(catalog_column_text(stmt, 0));
    done(stmt);
    return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int catalog_find_blob(struct catalog *c, const struct sha256 *id, struct pack_location *where,
                      uint64_t *size, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_FIND_BLOB, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, id);
    struct pack_location found;
    r = catalog_step(c, stmt, err);
    if (r == 1)
        r = catalog_column_u32(c, stmt, 0, &found.pack, err);
    else if (r == 0)
        r = -ENOENT;
    if (r == 0)
        r = catalog_column_u32(c, stmt, 1, &found.frame, err);
    if (r == 0)
        r = catalog_column_u32(c, stmt, 2, &found.offset, err);
    if (r == 0) {
        *where = found;
        *size = (uint64_t)sqlite3_column_int64(stmt, 3);
    }
    done(stmt);
    return r;
}

int catalog_cache_get(struct catalog *c, const struct sha256 *key, struct strbuf *ret,
                      struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_CACHE_GET, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, key);
    r = catalog_step(c, stmt, err);
    if (r == 1) {
        const void *value = sqlite3_column_blob(stmt, 0);
        strbuf_reset(ret);
        strbuf_add(ret, value, (size_t)sqlite3_column_bytes(stmt, 0));
    }
    done(stmt);
    return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

/* ---- changes ---- */

int catalog_cache_put(struct catalog *c, const struct sha256 *key, const void *value, size_t size,
                      struct verror *err)
{
    sqlite3_stmt *stmt;
    if (size > INT_MAX)
        return verror_set(err, EFBIG, "too much to keep in the catalog");
    int r = get(c, Q_CACHE_PUT, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, key);
    (void)sqlite3_bind_blob(stmt, 2, size ? value : "", (int)size, SQLITE_STATIC);
    return run(c, stmt, err);
}

int catalog_add_blob(struct catalog *c, const struct sha256 *id, const struct pack_location *where,
                     uint64_t size, bool *added, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_ADD_BLOB, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, id);
    bind_u64(stmt, 2, where->pack);
    bind_u64(stmt, 3, where->frame);
    bind_u64(stmt, 4, where->offset);
    bind_u64(stmt, 5, size);
    r = run(c, stmt, err);
    if (r == 0)
        *added = sqlite3_changes(c->db) > 0;
    return r;
}

int catalog_move_blob(struct catalog *c, const struct sha256 *id, const struct pack_location *from,
                      const struct pack_location *to, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_MOVE_BLOB, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, id);
    bind_u64(stmt, 2, to->pack);
    bind_u64(stmt, 3, to->frame);
    bind_u64(stmt, 4, to->offset);
    bind_u64(stmt, 5, from->pack);
    bind_u64(stmt, 6, from->frame);
    bind_u64(stmt, 7, from->offset);
    r = run(c, stmt, err);
    if (r == 0 && sqlite3_changes(c->db) != 1)
        r = verror_set(err, ESTALE, "catalog %s changed while packs were rewritten", c->path);
    return r;
}

int catalog_add_pack(struct catalog *c, uint32_t number, uint64_t bytes, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_ADD_PACK, &stmt, err);
    if (r < 0)
        return r;
    bind_u64(stmt, 1, number);
    bind_u64(stmt, 2, bytes);
    return run(c, stmt, err);
}

int catalog_add_image(struct catalog *c, const struct store_image *which, const struct image *image,
                      struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_ADD_IMAGE, &stmt, err);
    if (r < 0)
        return r;
    bind_u64(stmt, 1, which->number);
    bind_id(stmt, 2, &which->id);
    bind_text(stmt, 3, image_dist_name(image));
    bind_text(stmt, 4, image_dist_version(image));
    bind_u64(stmt, 5, image_nodes(image));
    bind_u64(stmt, 6, image_file_bytes(image));
    return run(c, stmt, err);
}

int catalog_add_made(struct catalog *c, const struct store_wheel *wheel, const char *target,
                     uint32_t image, struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_ADD_WHEEL, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, &wheel->id);
    bind_text(stmt, 2, wheel->filename);
    r = run(c, stmt, err);
    if (r == 0)
        r = get(c, Q_ADD_MADE, &stmt, err);
    if (r < 0)
        return r;
    bind_id(stmt, 1, &wheel->id);
    bind_text(stmt, 2, target);
    bind_u64(stmt, 3, image);
    return run(c, stmt, err);
}

static const char *counter_name(enum catalog_counter which)
{
    return which == COUNTER_PACK ? "pack" : "image";
}

int catalog_counter(struct catalog *c, enum catalog_counter which, uint32_t *ret,
                    struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_COUNTER, &stmt, err);
    if (r < 0)
        return r;
    bind_text(stmt, 1, counter_name(which));
    r = catalog_step(c, stmt, err);
    if (r == 1)
        r = catalog_column_u32(c, stmt, 0, ret, err);
    else if (r == 0)
        *ret = 1;
    done(stmt);
    return r;
}

int catalog_set_counter(struct catalog *c, enum catalog_counter which, uint32_t value,
                        struct verror *err)
{
    sqlite3_stmt *stmt;
    int r = get(c, Q_SET_COUNTER, &stmt, err);
    if (r < 0)
        return r;
    bind_text(stmt, 1, counter_name(which));
    bind_u64(stmt, 2, value);
    return run(c, stmt, err);
}
