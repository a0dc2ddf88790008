#include "cli/conflicts.h"

#include <jansson.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/compose.h"
#include "cli/print.h"

enum { MAX_LINES = 20 };

static void key_of(const struct manifest *m, struct sha256 *ret)
{
    static const char purpose[] = "conflicts 1\n";
    struct sha256_state *state = sha256_begin();
    sha256_update(state, purpose, sizeof(purpose));
    for (size_t i = 0; i < m->n_packages; i++)
        sha256_update(state, m->packages[i].image.id.bytes, SHA256_SIZE);
    sha256_end(state, ret);
}

/* An array of [path, loser, winner], or NULL. */
static json_t *find(struct store *store, const struct manifest *m)
{
    struct view *view;
    if (compose_view(store, m, NULL, &view, NULL) < 0)
        return NULL;
    const struct view_conflict *list;
    size_t n = view_conflicts(view, &list);
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array,
                              json_pack("[s, s, s]", list[i].path, list[i].loser, list[i].winner));
    view_unref(view);
    return array;
}

static json_t *find_cached(struct store *store, const struct manifest *m)
{
    struct sha256 key;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    key_of(m, &key);
    if (store_cache_get(store, &key, &text, NULL) == 0) {
        json_t *cached = json_loadb(text.buf, text.len, 0, NULL);
        if (cached)
            return cached;
    }
    json_t *found = find(store, m);
    _cleanup_free_ char *dump = found ? json_dumps(found, JSON_COMPACT) : NULL;
    if (dump)
        (void)store_cache_put(store, &key, dump, strlen(dump), NULL);
    return found;
}

void conflicts_warn(struct store *store, const struct manifest *m)
{
    if (m->n_packages < 2)
        return;
    json_t *list = find_cached(store, m), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        const char *path, *loser, *winner;
        if (i == MAX_LINES)
            print_warning("%zu more such paths", json_array_size(list) - i);
        if (i >= MAX_LINES || json_unpack(entry, "[s, s, s]", &path, &loser, &winner) < 0)
            continue;
        print_warning("%s and %s ship %s with different bytes; that of %s is seen", loser, winner,
                      path, winner);
    }
    json_decref(list);
}
