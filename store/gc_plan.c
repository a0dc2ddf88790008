/* What becomes of each pack, and how what moves is to lie. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "store/gc.h"

/* A pack is made anew when at least this part of it would be freed, one in so many: copying the
 * rest costs as much as reading and writing it. Where a size is asked for it has to be less. */
enum { ANEW_PART = 4, ANEW_PART_FOR_SIZE = 20 };

/* New packs: one of what was compressed together again, and one of whole frames for each level of
 * zstd that a pack may be marked with, from -19 to 19. */
enum { GROUP_REMADE, GROUP_KEPT, LEVELS = 2 * STORE_OPTIMIZE_LEVEL_MAX + 1 };
static_assert(GROUP_KEPT + LEVELS <= PLAN_GROUPS_MAX, "a group for each level");

static int by_place(const void *pa, const void *pb, void *arg)
{
    const struct plan_blob *blobs = arg;
    const struct pack_location *a = &blobs[*(const uint32_t *)pa].from;
    const struct pack_location *b = &blobs[*(const uint32_t *)pb].from;
    if (a->pack != b->pack)
        return a->pack < b->pack ? -1 : 1;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void sort_blobs(struct gc *gc)
{
    const struct plan *p = &gc->plan;
    uint32_t at = 0, n = (uint32_t)p->blob_count;
    gc->by_place = xcalloc(p->blob_count + 1, sizeof(*gc->by_place));
    gc->packs = xcalloc(p->pack_count + 1, sizeof(*gc->packs));
    for (uint32_t i = 0; i < n; i++)
        gc->by_place[i] = i;
    qsort_r(gc->by_place, n, sizeof(*gc->by_place), by_place, p->blobs);
    for (size_t i = 0; i < p->pack_count; i++) {
        struct gc_pack *pack = &gc->packs[i];
        struct stat st;
        _cleanup_free_ char *path = store_pack_path(gc->store, p->packs[i].number);
        pack->bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
        while (at < n && p->blobs[gc->by_place[at]].from.pack < p->packs[i].number)
            at++;
        pack->first = at;
        while (at < n && p->blobs[gc->by_place[at]].from.pack == p->packs[i].number)
            at++;
        pack->count = at - pack->first;
    }
}

static struct plan_blob *blob_at(const struct gc *gc, uint32_t place)
{
    return &gc->plan.blobs[gc->by_place[place]];
}

/* Raw bytes of each frame that an image needs. malloc'ed. */
static uint32_t *live_bytes(const struct gc *gc, size_t i)
{
    const struct pack *pack = gc->plan.packs[i].pack;
    uint32_t frames = pack_frames(pack);
    uint32_t *live = xcalloc(frames + 1, sizeof(*live));
    for (uint32_t k = 0; k < gc->packs[i].count; k++) {
        const struct plan_blob *b = blob_at(gc, gc->packs[i].first + k);
        uint64_t rest = b->live ? b->size : 0;
        for (uint32_t f = b->from.frame; rest && f < frames; f++) {
            uint64_t n = rest < IMAGE_SLICE_SIZE ? rest : IMAGE_SLICE_SIZE;
            live[f] += (uint32_t)n;
            rest -= n;
        }
    }
    return live;
}

/* A frame of which three quarters live is copied as it is. */
static bool lives(uint32_t live, uint32_t raw)
{
    return live >= raw - raw / 4;
}

static uint64_t share(uint64_t stored, uint32_t part, uint32_t raw)
{
    return raw ? stored * part / raw : 0;
}

/* What making a pack anew would free, about. */
static uint64_t gain(const struct gc *gc, size_t i)
{
    const struct pack *pack = gc->plan.packs[i].pack;
    _cleanup_free_ uint32_t *live = live_bytes(gc, i);
    uint64_t bytes = 0;
    for (uint32_t f = 0; f < pack_frames(pack); f++) {
        uint32_t raw = pack_frame_size(pack, f);
        if (!lives(live[f], raw))
            bytes += share(pack_frame_stored(pack, f), raw - live[f], raw);
    }
    return bytes;
}

static uint8_t fate(const struct gc *gc, size_t i)
{
    const struct gc_pack *pack = &gc->packs[i];
    const struct plan_pack *at = &gc->plan.packs[i];
    bool any = false;
    uint64_t part = gc->options->max_size == UINT64_MAX ? ANEW_PART : ANEW_PART_FOR_SIZE;
    for (uint32_t k = 0; k < pack->count && !any; k++)
        any = blob_at(gc, pack->first + k)->live;
    _cleanup_free_ char *path = store_pack_path(gc->store, at->number);
    if (any && (!at->pack || gain(gc, i) < pack->bytes / part))
        return GC_STAYS;
    if (pack->bytes && rewrite_pack_is_needed(&gc->plan, path, at->number))
        return GC_STAYS;
    return any ? GC_ANEW : GC_GOES;
}

static void mark_moving(struct gc *gc)
{
    for (size_t i = 0; i < gc->plan.blob_count; i++)
        gc->plan.blobs[i].stays = true;
    for (size_t i = 0; i < gc->plan.pack_count; i++)
        for (uint32_t k = 0; gc->packs[i].fate == GC_ANEW && k < gc->packs[i].count; k++) {
            struct plan_blob *b = blob_at(gc, gc->packs[i].first + k);
            b->stays = !b->live;
        }
}

/* A pack with damage stays whole, for who mends it. */
static int check(struct gc *gc, const struct rewrite_options *options, struct verror *err)
{
    uint64_t damaged;
    int r = rewrite_check(&gc->plan, options, &damaged, err);
    for (size_t i = 0; r == 0 && i < gc->plan.pack_count; i++)
        for (uint32_t k = 0; gc->packs[i].fate == GC_ANEW && k < gc->packs[i].count; k++) {
            const struct plan_blob *b = blob_at(gc, gc->packs[i].first + k);
            if (b->live && b->damaged)
                gc->packs[i].fate = GC_STAYS;
        }
    mark_moving(gc);
    return r;
}

/* ---- frames ---- */

static uint8_t kept_group(const struct plan_pack *pack)
{
    int level = pack->level;
    if (level > STORE_OPTIMIZE_LEVEL_MAX || level < -STORE_OPTIMIZE_LEVEL_MAX)
        level = 0;
    return (uint8_t)(GROUP_KEPT + STORE_OPTIMIZE_LEVEL_MAX + level);
}

static void place(struct plan_blob *b, uint8_t group, uint32_t frame, uint32_t offset)
{
    b->group = group;
    b->to = (struct pack_location){.pack = group, .frame = frame, .offset = offset};
}

static void keep_slices(struct gc *gc, struct plan_blob *b, uint8_t group, uint32_t at)
{
    uint64_t slices = image_slices(b->size);
    place(b, group, gc->plan.group_frames[group], 0);
    for (uint32_t k = 0; k < slices; k++) {
        uint64_t rest = b->size - (uint64_t)k * IMAGE_SLICE_SIZE;
        struct plan_frame *f = plan_add_frame(&gc->plan, at, group);
        f->slice = k;
        f->size = (uint32_t)(rest < IMAGE_SLICE_SIZE ? rest : IMAGE_SLICE_SIZE);
        f->kept = true;
    }
}

/* The last frame of a group, or NULL; frames of other groups may follow it. */
struct layout {
    struct gc *gc;
    ssize_t remade; /* the open frame of GROUP_REMADE; -1: none */
};

/* A frame names neighbours in `order`, so that what is remade must not be interrupted. */
static void remake(struct layout *l, struct plan_blob *b, uint32_t at)
{
    struct plan *p = &l->gc->plan;
    struct plan_frame *open = l->remade >= 0 ? &p->frames[l->remade] : NULL;
    if (open && open->first + open->count == at && open->size + b->size <= IMAGE_SLICE_SIZE) {
        open->count++;
    } else {
        l->remade = (ssize_t)p->frame_count;
        open = plan_add_frame(p, at, GROUP_REMADE);
    }
    place(b, GROUP_REMADE, open->number, open->size);
    open->size += (uint32_t)b->size;
}

static void keep_frame(struct gc *gc, uint8_t group, uint32_t raw, uint32_t first, uint32_t count)
{
    struct plan *p = &gc->plan;
    struct plan_frame *f = plan_add_frame(p, first, group);
    f->count = count;
    f->size = raw;
    f->kept = true;
    for (uint32_t i = 0; i < count; i++) {
        struct plan_blob *b = &p->blobs[p->order[first + i]];
        place(b, group, f->number, b->from.offset);
    }
}

/* Adds the blobs of a pack that move to `order`: first those whose frames live, so that neighbours
 * among the others stay neighbours. */
static uint32_t order_blobs(struct gc *gc, size_t i, const uint32_t *live, bool kept)
{
    struct plan *p = &gc->plan;
    const struct pack *pack = p->packs[i].pack;
    uint32_t n = 0;
    for (uint32_t k = 0; k < gc->packs[i].count; k++) {
        uint32_t index = gc->by_place[gc->packs[i].first + k];
        const struct plan_blob *b = &p->blobs[index];
        uint32_t f = b->from.frame;
        bool whole = b->size > IMAGE_SLICE_SIZE || lives(live[f], pack_frame_size(pack, f));
        if (!plan_moves(b) || whole != kept)
            continue;
        p->order[p->order_count++] = index;
        n++;
    }
    return n;
}

static void lay_out_kept(struct gc *gc, size_t i, const uint32_t *live)
{
    struct plan *p = &gc->plan;
    uint8_t group = kept_group(&p->packs[i]);
    uint32_t first = (uint32_t)p->order_count, end = first + order_blobs(gc, i, live, true);
    for (uint32_t at = first, n; at < end; at += n) {
        struct plan_blob *b = &p->blobs[p->order[at]];
        n = 1;
        if (b->size > IMAGE_SLICE_SIZE) {
            keep_slices(gc, b, group, at);
            continue;
        }
        while (at + n < end && p->blobs[p->order[at + n]].from.frame == b->from.frame)
            n++;
        keep_frame(gc, group, pack_frame_size(p->packs[i].pack, b->from.frame), at, n);
    }
}

static void lay_out(struct gc *gc)
{
    struct plan *p = &gc->plan;
    struct layout l = {.gc = gc, .remade = -1};
    p->order = xrealloc(p->order, (p->blob_count + 1) * sizeof(*p->order));
    p->order_count = p->frame_count = 0;
    memset(p->group_frames, 0, sizeof(p->group_frames));
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < p->pack_count; i++) {
            if (gc->packs[i].fate != GC_ANEW)
                continue;
            _cleanup_free_ uint32_t *live = live_bytes(gc, i);
            if (pass == 0) {
                lay_out_kept(gc, i, live);
                continue;
            }
            uint32_t first = (uint32_t)p->order_count, n = order_blobs(gc, i, live, false);
            for (uint32_t at = first; at < first + n; at++)
                remake(&l, &p->blobs[p->order[at]], at);
        }
    for (size_t g = GROUP_KEPT; g < GROUP_KEPT + LEVELS; g++)
        gc->written[g].level = (int)g - GROUP_KEPT - STORE_OPTIMIZE_LEVEL_MAX;
}

int gc_plan_packs(struct gc *gc, const struct rewrite_options *options, struct verror *err)
{
    bool anew = false;
    sort_blobs(gc);
    for (size_t i = 0; i < gc->plan.pack_count; i++) {
        gc->packs[i].fate = fate(gc, i);
        anew |= gc->packs[i].fate == GC_ANEW;
    }
    mark_moving(gc);
    int r = anew ? check(gc, options, err) : 0;
    if (r == 0)
        lay_out(gc);
    return r;
}

void gc_keep_packs(struct gc *gc)
{
    for (size_t i = 0; i < gc->plan.pack_count; i++)
        if (gc->packs[i].fate == GC_ANEW)
            gc->packs[i].fate = GC_STAYS;
    mark_moving(gc);
    lay_out(gc);
}

uint64_t gc_dead_bytes(const struct gc *gc)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < gc->plan.pack_count; i++) {
        const struct pack *pack = gc->plan.packs[i].pack;
        if (!pack || gc->packs[i].fate == GC_GOES)
            continue;
        _cleanup_free_ uint32_t *live = live_bytes(gc, i);
        for (uint32_t f = 0; f < pack_frames(pack); f++) {
            uint32_t raw = pack_frame_size(pack, f);
            bool copied = gc->packs[i].fate == GC_STAYS || lives(live[f], raw);
            if (copied && live[f] < raw)
                bytes += share(pack_frame_stored(pack, f), raw - live[f], raw);
        }
    }
    return bytes;
}
