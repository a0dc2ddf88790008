/* What must survive a power cut: the catalog's commits, the names of what was made. */
#include "fixture.h"

#include <sqlite3.h>
#include <sys/syscall.h>

#include "store/catalog.h"

/* ---- the catalog ---- */

static sqlite3 *last_opened;

/* As a SQLite that was built with another default would have it. */
static int careless_default(sqlite3 *db, const char **message, const void *api)
{
    (void)message, (void)api;
    last_opened = db;
    return sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
}

static int synchronous(sqlite3 *db)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA synchronous", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int value = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static void test_commits_are_synced_whatever_sqlites_default(void **state)
{
    (void)state;
    enum { FULL = 2 };
    char *folder = temp_folder();
    _cleanup_free_ char *path = path_join(folder, "catalog.sqlite");
    struct catalog *catalog;
    assert_int_equal(sqlite3_auto_extension((void (*)(void))careless_default), SQLITE_OK);
    assert_int_equal(catalog_create(path, NULL), 0);
    assert_int_equal(catalog_open(path, false, &catalog, NULL), 0);
    sqlite3_reset_auto_extension();
    assert_int_equal(synchronous(last_opened), FULL);
    catalog_close(catalog);
    drop_folder(folder);
}

/* ---- the store's folder ---- */

static const char *watched; /* a folder */
static int synced;          /* how often it was */

/* In the place of libc's. */
int fsync(int fd)
{
    struct stat a, b;
    if (watched && fstat(fd, &a) == 0 && stat(watched, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        synced++;
    return (int)syscall(SYS_fsync, fd);
}

static void test_a_new_stores_name_is_synced_once(void **state)
{
    (void)state;
    char *folder = temp_folder();
    _cleanup_free_ char *root = path_join(folder, "store");
    watched = folder;
    for (int i = 0; i < 2; i++) {
        store_close(open_store(root));
        assert_int_equal(synced, 1);
    }
    watched = NULL;
    drop_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_are_synced_whatever_sqlites_default),
        cmocka_unit_test(test_a_new_stores_name_is_synced_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
