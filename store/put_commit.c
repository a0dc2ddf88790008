/* Committing a put. The order is the one that store.h's invariants demand:
 *
 *   1. the pack's index is written and the pack fsynced, still under a temporary name
 *   2. the images are fsynced, still under temporary names
 *   3. BEGIN IMMEDIATE: from here on no other process gives out numbers
 *   4. blob rows; the pack gets its number and name, packs/ is fsynced
 *   5. image rows; where files, fsynced; images get their numbers and names, images/ is fsynced
 *   6. COMMIT
 *
 * A failure before 6 removes the new names while the write lock is still held, so that nobody can
 * have got the same numbers, and rolls back. If COMMIT itself fails, the transaction may or may not
 * be seen later: the files stay, as garbage at worst, and their numbers are never given out again,
 * because numbers start above whatever lies in the folders.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/put_private.h"
#include "store/where.h"

enum { MAX_IMAGE_NUMBER = (1 << 20) - 1 }; /* nodeids have 20 bits for the image */

struct commit {
    struct store_put *put;
    struct catalog *catalog;
    uint32_t *own; /* indexes of the blobs that lie in the put's own pack, sorted by id */
    size_t own_count;
    uint64_t pack_bytes;
    uint32_t pack_number;
    char **names; /* files named so far, to be removed after a failure */
    size_t name_count, name_alloc;
};

static int by_blob_id(const void *pa, const void *pb, void *arg)
{
    const struct put_blob *blobs = arg;
    return sha256_cmp(&blobs[*(const uint32_t *)pa].id, &blobs[*(const uint32_t *)pb].id);
}

static void collect_own(struct commit *c)
{
    struct store_put *put = c->put;
    c->own = xcalloc(put->blob_count, sizeof(*c->own));
    for (uint32_t i = 0; i < put->blob_count; i++)
        if (put->blobs[i].where.pack == 0)
            c->own[c->own_count++] = i;
    qsort_r(c->own, c->own_count, sizeof(*c->own), by_blob_id, put->blobs);
}

static int finish_pack(struct commit *c, struct verror *err)
{
    if (!c->own_count)
        return 0;
    _cleanup_free_ struct pack_blob *blobs = xcalloc(c->own_count, sizeof(*blobs));
    for (size_t i = 0; i < c->own_count; i++) {
        const struct put_blob *b = &c->put->blobs[c->own[i]];
        blobs[i] = (struct pack_blob){
            .id = b->id, .frame = b->where.frame, .offset = b->where.offset, .size = b->size};
    }
    return pack_writer_finish(c->put->writer, blobs, c->own_count, &c->pack_bytes, err);
}

static int sync_file(const char *path, struct verror *err)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY, 0);
    int r = fd < 0 ? fd : io_fsync(fd);
    return r < 0 ? verror_errno(err, r, "cannot write %s", path) : 0;
}

static int sync_images(const struct store_put *put, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < put->image_count; i++)
        r = sync_file(put->images[i]->path, err);
    return r;
}

/* ---- within the transaction ---- */

/* Takes the ownership of `to`. */
static int give_name(struct commit *c, const char *from, char *to, struct verror *err)
{
    c->names = xgrow(c->names, &c->name_alloc, c->name_count + 1, sizeof(*c->names));
    int r = io_rename(from, to);
    if (r < 0) {
        (void)verror_errno(err, r, "cannot name %s", to);
        free(to);
        return r;
    }
    c->names[c->name_count++] = to;
    return 0;
}

static int sync_folder(const struct commit *c, const char *folder, struct verror *err)
{
    _cleanup_free_ char *path = store_path(c->put->store, folder);
    int r = io_fsync_dir(path);
    return r < 0 ? verror_errno(err, r, "cannot write %s", path) : 0;
}

static int next_number(struct commit *c, enum catalog_counter which, uint32_t *ret,
                       struct verror *err)
{
    uint32_t highest, next;
    const char *folder = which == COUNTER_PACK ? "packs" : "images";
    int r = store_highest_number(c->put->store, folder, &highest, err);
    if (r == 0)
        r = catalog_counter(c->catalog, which, &next, err);
    if (r < 0)
        return r;
    *ret = next > highest ? next : highest + 1;
    return 0;
}

/* Adds the put's blobs. One that another process has stored meanwhile keeps its first location. */
static int publish_blobs(struct commit *c, bool *any, struct verror *err)
{
    for (size_t i = 0; i < c->own_count; i++) {
        struct put_blob *b = &c->put->blobs[c->own[i]];
        bool added;
        b->where.pack = c->pack_number;
        int r = catalog_add_blob(c->catalog, &b->id, &b->where, b->size, &added, err);
        if (r == 0 && !added) {
            uint64_t size;
            r = catalog_find_blob(c->catalog, &b->id, &b->where, &size, err);
        }
        if (r < 0)
            return r;
        *any |= added;
    }
    return 0;
}

static int publish_pack(struct commit *c, struct verror *err)
{
    if (!c->own_count)
        return 0;
    bool any = false;
    int r = next_number(c, COUNTER_PACK, &c->pack_number, err);
    if (r == 0)
        r = publish_blobs(c, &any, err);
    if (r < 0 || !any)
        return r;
    r = give_name(c, c->put->pack_path, store_pack_path(c->put->store, c->pack_number), err);
    if (r == 0)
        r = sync_folder(c, "packs", err);
    if (r == 0)
        r = catalog_add_pack(c->catalog, c->pack_number, c->pack_bytes, err);
    if (r == 0)
        r = catalog_set_counter(c->catalog, COUNTER_PACK, c->pack_number + 1, err);
    return r;
}

static int locate_blobs(const struct commit *c, const struct image *image,
                        struct pack_location *ret, struct verror *err)
{
    for (uint32_t i = 0; i < image_blobs(image); i++) {
        const struct sha256 *id = image_blob_id(image, i);
        const struct put_blob *b = put_find_blob(c->put, id);
        uint64_t size = b ? b->size : 0;
        int r = 0;
        if (b)
            ret[i] = b->where;
        else
            r = catalog_find_blob(c->catalog, id, &ret[i], &size, err);
        if (r == 0 && size == image_blob_size(image, i))
            continue;
        if (r < 0 && r != -ENOENT)
            return r;
        return verror_set(err, EINVAL, "%s %s names content that was not stored",
                          image_dist_name(image), image_dist_version(image));
    }
    return 0;
}

/* Where files are all written before the first is synced: see put_write_file(). */
static int write_where(const struct commit *c, const struct put_image *i, struct verror *err)
{
    _cleanup_free_ struct pack_location *locations =
        xcalloc(image_blobs(i->image), sizeof(*locations));
    int r = locate_blobs(c, i->image, locations, err);
    if (r < 0)
        return r;
    _cleanup_strbuf_ struct strbuf bytes = STRBUF_INIT;
    where_encode(image_id(i->image), locations, image_blobs(i->image), &bytes);
    _cleanup_free_ char *path = xasprintf("%s.where", i->path);
    return put_write_file(path, bytes.buf, bytes.len, err);
}

/* Decides which image this one is: an existing one, or the number `next`. */
static int identify(struct commit *c, struct put_image *i, uint32_t next, bool *fresh,
                    struct verror *err)
{
    struct store_image made;
    *fresh = false;
    int r = catalog_find_image(c->catalog, &i->wheel.id, i->target, &made, err);
    if (r == 0)
        i->result = made;
    if (r != -ENOENT)
        return r;
    r = catalog_find_image_by_id(c->catalog, &i->result.id, &i->result.number, err);
    if (r == -ENOENT) {
        *fresh = true;
        if (next > MAX_IMAGE_NUMBER)
            return verror_set(err, ENOSPC, "the store has given out all image numbers");
        i->result.number = next;
        r = catalog_add_image(c->catalog, &i->result, i->image, err);
    }
    if (r == 0)
        r = catalog_add_made(c->catalog, &i->wheel, i->target, i->result.number, err);
    return r;
}

static int name_image(struct commit *c, const struct put_image *i, struct verror *err)
{
    _cleanup_free_ char *where = xasprintf("%s.where", i->path);
    int r = sync_file(where, err);
    if (r == 0)
        r = give_name(c, where, store_where_path(c->put->store, &i->result), err);
    if (r == 0)
        r = give_name(c, i->path, store_image_path(c->put->store, &i->result), err);
    return r;
}

static int publish_images(struct commit *c, struct verror *err)
{
    struct store_put *put = c->put;
    if (!put->image_count)
        return 0;
    uint32_t next;
    int r = next_number(c, COUNTER_IMAGE, &next, err);
    _cleanup_free_ bool *fresh = xcalloc(put->image_count, sizeof(*fresh));
    bool any = false;
    for (size_t i = 0; r == 0 && i < put->image_count; i++) {
        r = identify(c, put->images[i], next, &fresh[i], err);
        if (r == 0 && fresh[i]) {
            any = true;
            next++;
            r = write_where(c, put->images[i], err);
        }
    }
    for (size_t i = 0; r == 0 && i < put->image_count; i++)
        if (fresh[i])
            r = name_image(c, put->images[i], err);
    if (r == 0 && any)
        r = sync_folder(c, "images", err);
    if (r == 0 && any)
        r = catalog_set_counter(c->catalog, COUNTER_IMAGE, next, err);
    return r;
}

static int transaction(struct commit *c, struct verror *err)
{
    int r = catalog_begin(c->catalog, err);
    if (r < 0)
        return r;
    r = publish_pack(c, err);
    if (r == 0)
        r = publish_images(c, err);
    if (r < 0) {
        for (size_t i = 0; i < c->name_count; i++)
            (void)unlink(c->names[i]);
        catalog_rollback(c->catalog);
        return r;
    }
    r = catalog_commit(c->catalog, err);
    if (r < 0)
        catalog_rollback(c->catalog);
    else
        catalog_checkpoint(c->catalog);
    return r;
}

static void commit_release(struct commit *c)
{
    for (size_t i = 0; i < c->name_count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->own);
}

int store_put_commit(struct store_put *put, struct verror *err)
{
    if (put->streams)
        return verror_set(err, EBUSY, "streams of this put are still open");
    if (put->committed)
        return verror_set(err, EINVAL, "this put has been committed");
    if (put->failure.errnum)
        return verror_set(err, put->failure.errnum, "%s", put->failure.message);
    struct commit c = {.put = put};
    collect_own(&c);
    int r = finish_pack(&c, err);
    if (r == 0)
        r = sync_images(put, err);
    if (r == 0)
        r = store_catalog(put->store, &c.catalog, err);
    if (r == 0) {
        r = transaction(&c, err);
        store_catalog_done(put->store);
    }
    commit_release(&c);
    if (r == 0)
        put->committed = true;
    else if (!put->failure.errnum)
        (void)verror_set(&put->failure, r, "an earlier commit failed");
    return r;
}
