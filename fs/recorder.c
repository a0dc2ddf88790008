#include "fs/recorder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "env/view.h"
#include "fs/overlay.h"
#include "store/image.h"
#include "store/profiles.h"

enum {
    PAUSE_MS = 1000,       /* without a new read: then they are saved */
    TOUCHES_MAX = 1 << 20, /* remembered, 16 MiB; above that nothing new is noted */
    TABLE_MIN = 1 << 10,
};

/* image number (20 bits), node (19), slice (24); 0 is none, since images count from 1. */
#define SLICE_BITS 24
#define NODE_BITS 19

struct recorder {
    char *path;
    int wake;
    pthread_mutex_t lock; /* all below */
    uint64_t *known;      /* open addressing */
    size_t n_known, alloc_known;
    struct profile_touch *fresh; /* not saved yet; ranks count from 0 */
    size_t n_fresh, alloc_fresh;
    int64_t last_ms;
    bool saving, told;
    uint8_t *begun; /* a bit for each slot whose first import began */
    size_t alloc_begun;
    uint32_t *slots; /* of those, not taken yet */
    size_t n_slots, alloc_slots;
    pid_t pid; /* who read last */
    bool is_python;
};

struct recorder *recorder_new(const char *path, int wake)
{
    struct recorder *r = xcalloc(1, sizeof(*r));
    r->path = xstrdup(path);
    r->wake = wake;
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wake(const struct recorder *r)
{
    uint64_t one = 1;
    ssize_t ignored = write(r->wake, &one, sizeof(one));
    (void)ignored;
}

/* ---- noting ---- */

static bool runs_python(pid_t pid)
{
    char link[32], target[4096];
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    return slash && (strncmp(slash, "/python", 7) == 0 || strncmp(slash, "/pypy", 5) == 0);
}

static bool is_source(const struct image *image, uint32_t node)
{
    size_t len;
    const char *name = image_name(image, node, &len);
    return len > 3 && memcmp(name + len - 3, ".py", 3) == 0;
}

static uint64_t *slot_of(const struct recorder *r, uint64_t key)
{
    size_t i = (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (r->alloc_known - 1);
    while (r->known[i] && r->known[i] != key)
        i = (i + 1) & (r->alloc_known - 1);
    return &r->known[i];
}

static void grow(struct recorder *r)
{
    uint64_t *old = r->known;
    size_t n_old = r->alloc_known;
    r->alloc_known = n_old ? n_old * 2 : TABLE_MIN;
    r->known = xcalloc(r->alloc_known, sizeof(*r->known));
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            *slot_of(r, old[i]) = old[i];
    free(old);
}

static void note_slice(struct recorder *r, struct profile_touch touch)
{
    uint64_t key = (uint64_t)touch.image << (NODE_BITS + SLICE_BITS) |
                   (uint64_t)touch.node << SLICE_BITS | touch.slice;
    if (r->n_known >= TOUCHES_MAX)
        return;
    if (2 * r->n_known >= r->alloc_known)
        grow(r);
    uint64_t *at = slot_of(r, key);
    if (*at)
        return;
    *at = key;
    r->n_known++;
    touch.rank = (uint32_t)r->n_known;
    r->fresh = xgrow(r->fresh, &r->alloc_fresh, r->n_fresh + 1, sizeof(*r->fresh));
    r->fresh[r->n_fresh++] = touch;
    r->last_ms = now_ms();
    if (r->n_fresh == 1)
        wake(r);
}

static void note_slot(struct recorder *r, uint32_t slot)
{
    size_t byte = slot / 8, before = r->alloc_begun;
    uint8_t bit = (uint8_t)(1u << (slot % 8));
    if (byte >= before) {
        r->begun = xgrow(r->begun, &r->alloc_begun, byte + 1, 1);
        memset(r->begun + before, 0, r->alloc_begun - before);
    }
    if (r->begun[byte] & bit)
        return;
    r->begun[byte] |= bit;
    r->slots = xgrow(r->slots, &r->alloc_slots, r->n_slots + 1, sizeof(*r->slots));
    r->slots[r->n_slots++] = slot;
    wake(r);
}

/* Under the lock. */
static bool asks_a_python(struct recorder *r, pid_t pid)
{
    if (pid != r->pid) {
        r->pid = pid;
        r->is_python = pid > 0 && runs_python(pid);
    }
    return r->is_python;
}

void recorder_note_folder(struct recorder *r, pid_t pid, const struct place *folder)
{
    if (!folder->tree || (folder->up && !overlay_is_over(folder)) ||
        folder->node.kind != VIEW_IMAGE)
        return;
    const struct view *view = tree_view(folder->tree);
    const struct profile_touch touch = {.image = view_image_id(view, folder->node.layer)->number,
                                        .node = folder->node.index};
    pthread_mutex_lock(&r->lock);
    if (asks_a_python(r, pid))
        note_slice(r, touch);
    pthread_mutex_unlock(&r->lock);
}

void recorder_note(struct recorder *r, pid_t pid, const struct place *file, uint64_t offset,
                   size_t size)
{
    if (!file->tree || file->node.kind != VIEW_IMAGE || size == 0)
        return;
    const struct view *view = tree_view(file->tree);
    struct profile_touch touch = {.image = view_image_id(view, file->node.layer)->number,
                                  .node = file->node.index,
                                  .slice = (uint32_t)(offset / IMAGE_SLICE_SIZE)};
    uint64_t last = (offset + size - 1) / IMAGE_SLICE_SIZE;
    if (is_source(view_image(view, file->node.layer), touch.node) || last >> SLICE_BITS)
        return;
    pthread_mutex_lock(&r->lock);
    if (asks_a_python(r, pid)) {
        note_slot(r, tree_slot(file->tree));
        for (; touch.slice <= last; touch.slice++)
            note_slice(r, touch);
    }
    pthread_mutex_unlock(&r->lock);
}

bool recorder_take_begun(struct recorder *r, uint32_t *slot)
{
    pthread_mutex_lock(&r->lock);
    bool found = r->n_slots > 0;
    if (found)
        *slot = r->slots[--r->n_slots];
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* ---- saving ---- */

static int save(const char *path, struct profile_touch *list, size_t n, struct verror *err)
{
    struct profiles *profiles;
    uint32_t last;
    int r = profiles_open(path, &profiles, err);
    if (r < 0)
        return r;
    r = profiles_last_rank(profiles, &last, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        list[i].rank = last + 1 + (uint32_t)i;
    if (r == 0)
        r = profiles_add(profiles, list, n, err);
    profiles_close(profiles);
    return r;
}

static void save_fresh(struct recorder *r)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    pthread_mutex_lock(&r->lock);
    struct profile_touch *list = r->fresh;
    size_t n = r->n_fresh;
    r->fresh = NULL;
    r->n_fresh = r->alloc_fresh = 0;
    pthread_mutex_unlock(&r->lock);
    int saved = n ? save(r->path, list, n, &err) : 0;
    free(list);
    pthread_mutex_lock(&r->lock);
    if (saved < 0 && !r->told)
        log_line("what imports read is not noted: %s", verror_message(&err));
    r->told = r->told || saved < 0;
    r->saving = false;
    pthread_mutex_unlock(&r->lock);
}

static void save_in_worker(void *arg, size_t worker)
{
    (void)worker;
    save_fresh(arg);
}

int recorder_tick(struct recorder *r, struct pool *workers)
{
    int wait = -1;
    pthread_mutex_lock(&r->lock);
    int64_t left = r->last_ms + PAUSE_MS - now_ms();
    bool now = r->n_fresh && left <= 0 && !r->saving;
    if (now)
        r->saving = true;
    else if (r->n_fresh)
        wait = left > 0 ? (int)left : PAUSE_MS;
    pthread_mutex_unlock(&r->lock);
    if (now)
        pool_submit(workers, save_in_worker, r);
    return wait;
}

void recorder_free(struct recorder *r)
{
    if (!r)
        return;
    save_fresh(r);
    pthread_mutex_destroy(&r->lock);
    free(r->known);
    free(r->fresh);
    free(r->begun);
    free(r->slots);
    free(r->path);
    free(r);
}
