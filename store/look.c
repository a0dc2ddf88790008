/* What can be told of a store at a glance. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/store_private.h"

struct look {
    struct store *store;
    void (*problem)(const char *line, void *arg);
    void *arg;
    struct store_look *ret;
};

static void tell(const char *line, void *arg)
{
    const struct look *l = arg;
    l->ret->problems++;
    l->problem(line, l->arg);
}

static int look_at_pack(uint32_t number, uint64_t bytes, void *arg)
{
    struct look *l = arg;
    _cleanup_verror_ struct verror why = VERROR_INIT;
    _cleanup_free_ char *path = store_pack_path(l->store, number);
    struct pack *pack;
    l->ret->packs++;
    int r = pack_open(path, number, &pack, &why);
    if (r == 0 && pack_bytes(pack) != bytes)
        verror_set(&why, EBADMSG, "%s has another size than the catalog says", path);
    if (r == 0)
        pack_unref(pack);
    if (why.errnum)
        tell(verror_message(&why), l);
    return 0;
}

static int look_at_image(const struct catalog_image *image, void *arg)
{
    struct look *l = arg;
    (void)image;
    l->ret->images++;
    return 0;
}

int store_look(struct store *store, void (*problem)(const char *line, void *arg), void *arg,
               struct store_look *ret, struct verror *err)
{
    struct catalog *catalog;
    struct look l = {.store = store, .problem = problem, .arg = arg, .ret = ret};
    _cleanup_free_ char *path = store_path(store, "catalog.sqlite");
    struct stat st;
    *ret = (struct store_look){0};
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    if (stat(path, &st) == 0 && st.st_size <= STORE_LOOK_CATALOG)
        r = catalog_quick_check(catalog, tell, &l, err);
    if (r == 0)
        r = catalog_each_pack(catalog, look_at_pack, &l, err);
    if (r == 0)
        r = catalog_each_image(catalog, look_at_image, &l, err);
    store_catalog_done(store);
    return r;
}
