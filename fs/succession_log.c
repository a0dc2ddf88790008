/* succession: the log of what nodeids mean. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/succession_internal.h"

enum kind { KIND_ID = 1, KIND_NODE, KIND_ORPHAN, KIND_LOWER, KIND_GONE, KIND_VIEW, KIND_UNVIEW };

struct record {
    uint16_t size; /* with the text behind it, a multiple of 8 */
    uint16_t kind;
    uint32_t slot;
    uint64_t a, b, c;
    char text[]; /* ends with a NUL */
};

/* ---- reading ---- */

static struct inherited_env *env_of(struct inheritance *h, uint32_t slot)
{
    size_t lo = 0, hi = h->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (h->envs[mid].slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < h->n && h->envs[lo].slot == slot)
        return &h->envs[lo];
    h->envs = xgrow(h->envs, &h->alloc, h->n + 1, sizeof(*h->envs));
    memmove(&h->envs[lo + 1], &h->envs[lo], (h->n - lo) * sizeof(*h->envs));
    h->envs[lo] = (struct inherited_env){.slot = slot};
    h->n++;
    return &h->envs[lo];
}

static void leave_view(struct inherited_env *e, unsigned generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->n_generations; i++)
        if (e->generations[i] != generation)
            e->generations[kept++] = e->generations[i];
    e->n_generations = kept;
    if (kept == 0) {
        free(e->name);
        e->name = NULL;
    }
}

static void enter_view(struct inherited_env *e, unsigned generation, const char *name)
{
    leave_view(e, generation);
    e->generations =
        xgrow(e->generations, &e->alloc_generations, e->n_generations + 1, sizeof(*e->generations));
    e->generations[e->n_generations++] = generation;
    free(e->name);
    e->name = xstrdup(name);
}

static void add_node(struct inherited_env *e, const struct inherited_node *node)
{
    e->nodes = xgrow(e->nodes, &e->alloc_nodes, e->n_nodes + 1, sizeof(*e->nodes));
    e->nodes[e->n_nodes++] = *node;
    if (node->nodeid > e->highest)
        e->highest = node->nodeid;
}

static void read_record(struct inheritance *h, const struct record *r)
{
    struct inherited_env *e = env_of(h, r->slot);
    switch (r->kind) {
    case KIND_ID:
        e->ids = xgrow(e->ids, &e->alloc_ids, e->n_ids + 1, sizeof(*e->ids));
        e->ids[e->n_ids++] = (struct inherited_id){.key = {r->a, r->b}, .index = (uint32_t)r->c};
        break;
    case KIND_NODE:
        add_node(e, &(struct inherited_node){.nodeid = r->a, .ino = r->b, .fd = -1});
        break;
    case KIND_ORPHAN:
        add_node(
            e, &(struct inherited_node){.nodeid = r->a, .serial = r->b, .fd = (int)(int64_t)r->c});
        break;
    case KIND_LOWER:
        add_node(e, &(struct inherited_node){.nodeid = r->a, .below = r->b, .fd = -1});
        break;
    case KIND_GONE: /* it has nothing */
        add_node(e, &(struct inherited_node){.nodeid = r->a, .fd = -1});
        break;
    case KIND_VIEW:
        enter_view(e, (unsigned)r->a, r->text);
        break;
    case KIND_UNVIEW:
        leave_view(e, (unsigned)r->a);
        break;
    default:
        break;
    }
}

/* Both sort by nodeid; the first keeps the order of equal ones, which is that of time. */
static int by_nodeid(const void *a, const void *b)
{
    const struct inherited_node *x = a, *y = b;
    if (x->nodeid != y->nodeid)
        return x->nodeid < y->nodeid ? -1 : 1;
    return 0;
}

static int by_ino(const void *a, const void *b)
{
    const struct inherited_node *x = a, *y = b;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return by_nodeid(a, b);
}

static int by_index(const void *a, const void *b)
{
    const struct inherited_id *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

/* The last that was said of each. glibc's qsort() merges, and is stable so; what must not depend on
 * that is made distinct by `order`. */
struct ordered_node {
    struct inherited_node node;
    size_t order;
};

static int by_nodeid_and_time(const void *a, const void *b)
{
    const struct ordered_node *x = a, *y = b;
    int c = by_nodeid(&x->node, &y->node);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void keep_last(struct inherited_env *e)
{
    struct ordered_node *all = xcalloc(e->n_nodes + 1, sizeof(*all));
    size_t n = e->n_nodes;
    for (size_t i = 0; i < n; i++)
        all[i] = (struct ordered_node){e->nodes[i], i};
    qsort(all, n, sizeof(*all), by_nodeid_and_time);
    e->n_nodes = 0;
    for (size_t i = 0; i < n; i++) {
        const struct inherited_node *node = &all[i].node;
        bool last = i + 1 == n || all[i + 1].node.nodeid != node->nodeid;
        if (last && (node->ino || node->serial || node->below || node->fd >= 0))
            e->nodes[e->n_nodes++] = *node;
    }
    free(all);
    if (e->n_nodes)
        qsort(e->nodes, e->n_nodes, sizeof(*e->nodes), by_ino);
    if (e->n_ids)
        qsort(e->ids, e->n_ids, sizeof(*e->ids), by_index);
}

void succession_read(const struct succession *s, struct inheritance *ret)
{
    const struct shared_log *log = &s->shared->logs[atomic_load(&s->shared->log) & 1];
    uint64_t used = atomic_load_explicit(&log->used, memory_order_acquire), at = 0;
    *ret = (struct inheritance){0};
    if (used > LOG_SIZE)
        used = 0;
    while (used - at >= sizeof(struct record)) {
        const struct record *r = (const void *)(log->records + at);
        if (r->size < sizeof(*r) || r->size % 8 || r->size > used - at)
            break;
        read_record(ret, r);
        at += r->size;
    }
    for (size_t i = 0; i < ret->n; i++)
        keep_last(&ret->envs[i]);
}

void inheritance_release(struct inheritance *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->envs[i].name);
        free(h->envs[i].generations);
        free(h->envs[i].ids);
        free(h->envs[i].nodes);
    }
    free(h->envs);
    *h = (struct inheritance){0};
}

/* ---- writing ---- */

static bool put(struct shared_log *log, const struct record *r, const char *text)
{
    uint64_t used = atomic_load_explicit(&log->used, memory_order_relaxed);
    if (LOG_SIZE - used < r->size)
        return false;
    struct record *to = (void *)(log->records + used);
    memcpy(to, r, sizeof(*r));
    if (text)
        memcpy(to->text, text, strlen(text) + 1);
    atomic_store_explicit(&log->used, used + r->size, memory_order_release);
    return true;
}

static bool rewrite_env(struct shared_log *log, const struct inherited_env *e)
{
    struct record r = {.size = sizeof(r), .slot = e->slot};
    bool fits = true;
    r.kind = KIND_ID;
    for (size_t i = 0; fits && i < e->n_ids; i++) {
        r.a = e->ids[i].key[0], r.b = e->ids[i].key[1], r.c = e->ids[i].index;
        fits = put(log, &r, NULL);
    }
    if (fits && e->highest) { /* first, so that it says nothing of one that still counts */
        r.kind = KIND_GONE;
        r.a = e->highest, r.b = r.c = 0;
        fits = put(log, &r, NULL);
    }
    for (size_t i = 0; fits && i < e->n_nodes; i++) {
        const struct inherited_node *n = &e->nodes[i];
        r.kind = n->ino ? KIND_NODE : n->below ? KIND_LOWER : KIND_ORPHAN;
        r.a = n->nodeid, r.c = (uint64_t)(int64_t)n->fd;
        r.b = n->ino ? n->ino : n->below ? n->below : n->serial;
        fits = put(log, &r, NULL);
    }
    r.b = r.c = 0;
    r.kind = KIND_VIEW;
    for (size_t i = 0; fits && e->name && i < e->n_generations; i++) {
        r.size = (uint16_t)((sizeof(r) + strlen(e->name) + 1 + 7) & ~(size_t)7);
        r.a = e->generations[i];
        fits = put(log, &r, e->name);
    }
    return fits;
}

/* What still counts, into the other log. False: that is more than half of it, so it would happen
 * again soon. */
static bool rewrite(struct succession *s)
{
    uint32_t now = atomic_load(&s->shared->log) & 1;
    struct shared_log *other = &s->shared->logs[1 - now];
    struct inheritance h;
    succession_read(s, &h);
    atomic_store(&other->used, 0);
    bool fits = true;
    for (size_t i = 0; fits && i < h.n; i++)
        fits = rewrite_env(other, &h.envs[i]);
    inheritance_release(&h);
    atomic_store(&s->shared->log, 1 - now);
    return fits && atomic_load(&other->used) < LOG_SIZE / 2;
}

static void note(struct succession *s, const struct record *given, const char *text)
{
    struct record r = *given;
    if (!s)
        return;
    size_t size = (sizeof(r) + (text ? strlen(text) + 1 : 0) + 7) & ~(size_t)7;
    r.size = (uint16_t)size;
    pthread_mutex_lock(&s->lock);
    if (!put(&s->shared->logs[atomic_load(&s->shared->log) & 1], &r, text) &&
        !(rewrite(s) && put(&s->shared->logs[atomic_load(&s->shared->log) & 1], &r, text)) &&
        !succession_has_ended(s)) {
        log_line("too many files are in use for another daemon to go on with them if this is "
                 "killed");
        succession_end(s);
    }
    pthread_mutex_unlock(&s->lock);
}

void succession_note_id(struct succession *s, uint32_t slot, const uint64_t key[2], uint32_t index)
{
    note(s, &(struct record){.kind = KIND_ID, .slot = slot, .a = key[0], .b = key[1], .c = index},
         NULL);
}

void succession_note_node(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t ino)
{
    note(s, &(struct record){.kind = KIND_NODE, .slot = slot, .a = nodeid, .b = ino}, NULL);
}

void succession_note_orphan(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t serial,
                            int fd)
{
    note(s,
         &(struct record){.kind = KIND_ORPHAN,
                          .slot = slot,
                          .a = nodeid,
                          .b = serial,
                          .c = (uint64_t)(int64_t)fd},
         NULL);
}

void succession_note_lower(struct succession *s, uint32_t slot, uint64_t nodeid, uint64_t below)
{
    note(s, &(struct record){.kind = KIND_LOWER, .slot = slot, .a = nodeid, .b = below}, NULL);
}

void succession_note_gone(struct succession *s, uint32_t slot, uint64_t nodeid)
{
    note(s, &(struct record){.kind = KIND_GONE, .slot = slot, .a = nodeid}, NULL);
}

void succession_note_view(struct succession *s, uint32_t slot, unsigned generation,
                          const char *name)
{
    note(s, &(struct record){.kind = KIND_VIEW, .slot = slot, .a = generation}, name);
}

void succession_note_unview(struct succession *s, uint32_t slot, unsigned generation)
{
    note(s, &(struct record){.kind = KIND_UNVIEW, .slot = slot, .a = generation}, NULL);
}
