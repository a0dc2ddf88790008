/* Checking one pack: every frame is decoded, every blob compared with its address. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/verify_private.h"

struct pack_check {
    struct verify *v;
    struct pack *pack;
    bool *bad_frame;
    /* With v->full: */
    uint32_t *order;           /* the pack's blobs in order of their frames */
    uint32_t next;             /* in order */
    struct sha256_state *hash; /* of a blob of several frames, under way */
    struct pack_blob big;
    uint64_t big_done;
};

static int by_frame(const void *pa, const void *pb, void *arg)
{
    struct pack_blob a = pack_blob(arg, *(const uint32_t *)pa);
    struct pack_blob b = pack_blob(arg, *(const uint32_t *)pb);
    if (a.frame != b.frame)
        return a.frame < b.frame ? -1 : 1;
    return (a.offset > b.offset) - (a.offset < b.offset);
}

static void wrong_content(struct pack_check *c, const struct pack_blob *blob)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&blob->id, hex);
    verify_problem(c->v, "pack %u: the content at frame %u is not %s", pack_number(c->pack),
                   blob->frame, hex);
    struct verified_blob *row = verify_find_blob(c->v, &blob->id);
    if (row && row->row.where.pack == pack_number(c->pack))
        row->bad = true;
}

static void end_big(struct pack_check *c)
{
    struct sha256 got;
    sha256_end(c->hash, &got);
    c->hash = NULL;
    if (c->big_done != c->big.size || !sha256_equal(&got, &c->big.id))
        wrong_content(c, &c->big);
}

static void add_to_big(struct pack_check *c, const uint8_t *raw, size_t size)
{
    uint64_t rest = c->big.size - c->big_done;
    size_t n = size < rest ? size : (size_t)rest;
    sha256_update(c->hash, raw, n);
    c->big_done += n;
    if (c->big_done == c->big.size)
        end_big(c);
}

/* Compares the blobs that begin in a frame, and goes on with the one that began earlier. */
static void hash_blobs(struct pack_check *c, uint32_t frame, const uint8_t *raw, size_t size)
{
    if (c->hash)
        add_to_big(c, raw, size);
    for (; c->next < pack_blobs(c->pack); c->next++) {
        struct pack_blob b = pack_blob(c->pack, c->order[c->next]);
        if (b.frame != frame)
            break;
        if (b.size > IMAGE_SLICE_SIZE) {
            if (c->hash)
                end_big(c); /* frames of a big blob are its own: this one was cut short */
            c->hash = sha256_begin();
            c->big = b;
            c->big_done = 0;
            add_to_big(c, raw, size);
            continue;
        }
        struct sha256 got;
        sha256_of(raw + b.offset, (size_t)b.size, &got);
        if (!sha256_equal(&got, &b.id))
            wrong_content(c, &b);
    }
}

/* The bytes of a damaged frame are not looked at: the frame itself is reported. */
static void skip_blobs(struct pack_check *c, uint32_t frame)
{
    if (c->hash) {
        sha256_end(c->hash, NULL);
        c->hash = NULL;
    }
    while (c->next < pack_blobs(c->pack) && pack_blob(c->pack, c->order[c->next]).frame == frame)
        c->next++;
}

static int check_frames(struct pack_check *c, struct verror *err)
{
    struct pack_decoder *decoder = pack_decoder_new();
    _cleanup_free_ uint8_t *raw = xmalloc(IMAGE_SLICE_SIZE);
    if (!decoder)
        return verror_errno(err, ENOMEM, "cannot read packs");
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < pack_frames(c->pack); i++) {
        _cleanup_verror_ struct verror why = VERROR_INIT;
        r = pack_read_frame(c->pack, decoder, i, false, raw, &why);
        if (r == 0) {
            if (c->v->full)
                hash_blobs(c, i, raw, pack_frame_size(c->pack, i));
            continue;
        }
        c->bad_frame[i] = true;
        if (c->v->full)
            skip_blobs(c, i);
        if (r == -EBADMSG || r == -EIO) {
            verify_problem(c->v, "%s", verror_message(&why));
            r = 0;
        } else {
            (void)verror_move(err, &why);
        }
    }
    if (c->hash)
        end_big(c);
    pack_decoder_free(decoder);
    return r;
}

/* Is the row's blob in the pack, there, in sound frames? */
static void check_row(struct pack_check *c, struct verified_blob *row)
{
    struct pack_blob found;
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&row->row.id, hex);
    const struct pack_location *at = &row->row.where;
    if (!pack_find(c->pack, &row->row.id, &found) || found.frame != at->frame ||
        found.offset != at->offset || found.size != row->row.size) {
        verify_problem(c->v, "catalog: %s is not where it should be in pack %u", hex, at->pack);
        row->bad = true;
        return;
    }
    uint64_t frames = image_slices(found.size);
    for (uint32_t k = 0; k < frames; k++) {
        uint64_t left = found.size - (uint64_t)k * IMAGE_SLICE_SIZE;
        if (c->bad_frame[found.frame + k])
            row->bad = true;
        if (frames > 1 && pack_frame_size(c->pack, found.frame + k) !=
                              (left < IMAGE_SLICE_SIZE ? left : IMAGE_SLICE_SIZE)) {
            verify_problem(c->v, "pack %u: frames of %s have the wrong size", at->pack, hex);
            row->bad = true;
            return;
        }
    }
}

static int check_open_pack(struct pack_check *c, struct verified_blob **rows, size_t row_count,
                           struct verror *err)
{
    c->bad_frame = xcalloc(pack_frames(c->pack), sizeof(*c->bad_frame));
    if (c->v->full) {
        c->order = xcalloc(pack_blobs(c->pack), sizeof(*c->order));
        for (uint32_t i = 0; i < pack_blobs(c->pack); i++)
            c->order[i] = i;
        qsort_r(c->order, pack_blobs(c->pack), sizeof(*c->order), by_frame, c->pack);
    }
    int r = check_frames(c, err);
    for (size_t i = 0; r == 0 && i < row_count; i++)
        check_row(c, rows[i]);
    if (pack_damaged(c->pack)) {
        verify_problem(c->v, "pack %u became shorter, or cannot be read", pack_number(c->pack));
        for (size_t i = 0; i < row_count; i++)
            rows[i]->bad = true;
    }
    free(c->bad_frame);
    free(c->order);
    return r;
}

int verify_pack(struct verify *v, uint32_t number, uint64_t bytes, struct verified_blob **rows,
                size_t row_count, struct verror *err)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    _cleanup_free_ char *path = store_pack_path(v->store, number);
    struct pack_check c = {.v = v};
    int r = pack_open(path, number, &c.pack, &why);
    if (r == -ENOENT || r == -EBADMSG || r == -EIO) {
        if (r == -ENOENT)
            verify_problem(v, "pack %u is missing", number);
        else
            verify_problem(v, "%s", verror_message(&why));
        for (size_t i = 0; i < row_count; i++)
            rows[i]->bad = true;
        return 0;
    }
    if (r < 0)
        return verror_move(err, &why);
    if (pack_bytes(c.pack) != bytes)
        verify_problem(v, "pack %u has another size than the catalog says", number);
    r = check_open_pack(&c, rows, row_count, err);
    pack_unref(c.pack);
    return r;
}
