#include "fs/announce.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/announce_internal.h"
#include "fs/nodeid.h"
#include "fs/ops_internal.h"

/* Milliseconds that the announcer waits, again and again, for somebody to list what is new. */
static const unsigned waits[] = {1, 1, 2, 4};

/* ---- names ---- */

static int compare_key(uint64_t folder, const char *name, uint64_t other, const char *other_name)
{
    if (folder != other)
        return folder < other ? -1 : 1;
    return strcmp(name, other_name);
}

static int by_key(const void *a, const void *b)
{
    const struct news *x = a, *y = b;
    return compare_key(x->folder, x->name, y->folder, y->name);
}

void news_add(struct news_list *l, const struct news *news)
{
    l->list = xgrow(l->list, &l->alloc, l->n + 1, sizeof(*l->list));
    l->list[l->n] = *news;
    l->list[l->n++].name = xstrdup(news->name);
}

void news_sort(struct news_list *l)
{
    if (l->n)
        qsort(l->list, l->n, sizeof(*l->list), by_key);
}

struct news *news_find(const struct news_list *l, uint64_t folder, const char *name)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_key(folder, name, l->list[mid].folder, l->list[mid].name);
        if (c == 0)
            return &l->list[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

void news_release(struct news_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->list[i].name);
    free(l->list);
    *l = (struct news_list){0};
}

static bool is_item(const struct announcement *a, uint64_t folder, const char *name)
{
    size_t lo = 0, hi = a->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_key(folder, name, a->items[mid].folder, a->items[mid].name);
        if (c == 0)
            return true;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return false;
}

/* ---- life (the control thread) ---- */

struct announcement *announce_prepare(struct session *s, const char *env_name)
{
    struct tree *before = realm_tree(s->realm, env_name);
    if (!before)
        return NULL;
    struct announcement *a = xcalloc(1, sizeof(*a));
    *a = (struct announcement){.session = s, .env_name = xstrdup(env_name), .before = before};
    return a;
}

void announcement_free(struct announcement *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        free(a->items[i].path);
        free(a->items[i].past);
        for (size_t k = 0; k < a->items[i].n_past; k++)
            tree_unref(a->items[i].past_trees[k]);
        free(a->items[i].past_trees);
    }
    free(a->items);
    free(a->listed);
    news_release(&a->news);
    tree_unref(a->before);
    tree_unref(a->after);
    free(a->env_name);
    free(a);
}

bool announce_begin(struct announcement *a, uint64_t client, pid_t pid)
{
    if (!a)
        return false;
    struct session *s = a->session;
    a->after = realm_tree(s->realm, a->env_name);
    if (a->after && pid > 0 && tree_generation(a->after) != tree_generation(a->before))
        announce_compare(a);
    if (!a->n) {
        announcement_free(a);
        return false;
    }
    announce_end(s, client); /* of an earlier switch */
    a->client = client;
    a->pid = pid;
    pthread_mutex_lock(&s->announce_lock);
    a->next = s->announcements;
    s->announcements = a;
    pthread_mutex_unlock(&s->announce_lock);
    atomic_fetch_add(&s->announcing, 1);
    return true;
}

/* Only this thread changes the list, so it may look without the lock. */
static struct announcement **find_client(struct session *s, uint64_t client)
{
    struct announcement **link = &s->announcements;
    while (*link && (*link)->client != client)
        link = &(*link)->next;
    return link;
}

void announce_end(struct session *s, uint64_t client)
{
    struct announcement **link = find_client(s, client), *a = *link;
    if (!a)
        return;
    pthread_mutex_lock(&s->announce_lock);
    *link = a->next;
    pthread_mutex_unlock(&s->announce_lock);
    atomic_fetch_sub(&s->announcing, 1);
    announcement_free(a);
}

void announce_release(struct session *s)
{
    while (s->announcements)
        announce_end(s, s->announcements->client);
}

static bool more_past(const struct announcement *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].n_past > a->pass)
            return true;
    return false;
}

/* The folders that were listed since the last time. */
static void list_listed(struct announcement *a, struct news_list *news, json_t *calls)
{
    struct session *s = a->session;
    for (;;) {
        pthread_mutex_lock(&s->announce_lock);
        uint64_t folder = a->n_told < a->n_listed ? a->listed[a->n_told++] : 0;
        pthread_mutex_unlock(&s->announce_lock);
        if (!folder)
            return;
        announce_list_files(a, folder, news, calls);
        a->waited = 0;
    }
}

/* The names and calls of a step. */
static void fill_step(struct announcement *a, struct news_list *news, json_t *calls)
{
    if (a->step == STEP_LISTED)
        list_listed(a, news, calls);
    else
        announce_list(a, news, calls);
    news_sort(news);
}

static bool go_on_waiting(struct announcement *a)
{
    return announce_has_fresh(a) && ++a->waited < ARRAY_SIZE(waits) && a->calls < ANNOUNCE_CALLS;
}

static void go_on(struct announcement *a)
{
    if (a->step == STEP_PAST && more_past(a))
        a->pass++;
    else if (a->step != STEP_LISTED || !go_on_waiting(a))
        a->step++;
}

bool announce_step(struct session *s, uint64_t client, json_t *answer)
{
    struct announcement *a = *find_client(s, client);
    if (!a)
        return false;
    if (a->step == STEP_PAST && a->pass == 0)
        announce_find_past(a);
    json_t *calls = json_array();
    while (a->step != STEP_END && json_array_size(calls) == 0) {
        struct news_list news = {0};
        bool waited = a->step == STEP_LISTED;
        fill_step(a, &news, calls);
        pthread_mutex_lock(&s->announce_lock);
        struct news_list old = a->news;
        a->news = news;
        a->shown_name = NULL;
        pthread_mutex_unlock(&s->announce_lock);
        news_release(&old);
        go_on(a);
        if (waited)
            break;
    }
    json_object_set_new(answer, "calls", calls);
    bool wait = a->step == STEP_LISTED && announce_has_fresh(a);
    json_object_set_new(answer, "wait", json_integer(wait ? waits[a->waited] : 0));
    if (a->step != STEP_END || json_array_size(calls))
        return true;
    announce_end(s, client);
    return false;
}

/* ---- the announcer's requests (the loop) ---- */

/* Under the lock. */
static struct announcement *announcer(struct session *s, fuse_req_t req)
{
    pid_t pid = fuse_req_ctx(req)->pid;
    struct announcement *a = s->announcements;
    while (a && a->pid != pid)
        a = a->next;
    return a;
}

/* What a request is answered with; copied out of the lock. */
struct answer {
    bool announcer;
    bool listed; /* in the step's news, which the rest is from */
    bool shown;  /* it was the announcer's last lookup, which showed what is to be removed */
    struct news news;
};

/* A lookup that shows a name to be removed is remembered, anything else forgets it. */
static struct answer ask(struct session *s, fuse_req_t req, uint64_t folder, const char *name,
                         bool lookup)
{
    struct answer answer = {0};
    if (atomic_load(&s->announcing) == 0)
        return answer;
    pthread_mutex_lock(&s->announce_lock);
    struct announcement *a = announcer(s, req);
    if (a) {
        struct news *news = name ? news_find(&a->news, folder, name) : NULL;
        answer.announcer = true;
        answer.shown = news && a->shown_name == news->name;
        if (news) {
            answer.listed = true;
            answer.news = *news;
        }
        a->shown_name = lookup && news && news->call == CALL_REMOVE ? news->name : NULL;
        if (news && !lookup) /* done: from now on it is what it is */
            *news = (struct news){.folder = folder, .name = news->name, .call = CALL_LOOK};
    }
    pthread_mutex_unlock(&s->announce_lock);
    return answer;
}

/* False: it has been forgotten meanwhile, or it is the user's now, who moved it away. */
static bool reply_node(struct session *s, fuse_req_t req, uint64_t nodeid)
{
    _cleanup_place_ struct place place = {0};
    struct fuse_entry_param entry;
    int r = realm_resolve(s->realm, nodeid, &place);
    if (r == 0 && place.up)
        return false;
    if (r == 0)
        r = fill_entry(s, &place, &entry);
    if (r < 0)
        return false;
    entry.entry_timeout = 0;
    reply_entry(s, req, &place, &entry);
    return true;
}

/* A node that nothing leads to: of slot 0, where the hub has one of its own. */
static void reply_phantom(struct session *s, fuse_req_t req, mode_t type)
{
    struct place place = {.nodeid = NODEID_TABLE | ++s->phantoms};
    struct fuse_entry_param entry = {
        .ino = place.nodeid,
        .attr_timeout = FOREVER,
        .attr = {.st_ino = place.nodeid,
                 .st_mode = type | (S_ISDIR(type) ? 0755 : 0644),
                 .st_nlink = 1,
                 .st_uid = place_owner()->uid,
                 .st_gid = place_owner()->gid},
    };
    reply_entry(s, req, &place, &entry);
}

bool announce_lookup(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct answer a = ask(s, req, parent, name, true);
    const struct news *n = &a.news;
    if (a.announcer && strcmp(name, ANNOUNCE_PROBE) == 0) {
        reply_phantom(s, req, S_IFREG);
        return true;
    }
    if (a.listed && n->call == CALL_MAKE) {
        fuse_reply_err(req, ENOENT); /* without a timeout: nobody remembers it */
        return true;
    }
    if (a.listed && n->as && reply_node(s, req, n->as))
        return true;
    if (a.listed && n->call == CALL_REMOVE) {
        reply_phantom(s, req, n->type);
        return true;
    }
    return false;
}

/* What is there, as the answer to making it. */
static void reply_real(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_place_ struct place folder = {0};
    _cleanup_place_ struct place place = {0};
    struct fuse_entry_param entry;
    int r = realm_resolve(s->realm, parent, &folder);
    if (r == 0)
        r = realm_lookup(s->realm, &folder, name, strlen(name), &place, &err);
    if (r == 0)
        r = fill_entry(s, &place, &entry);
    if (r < 0)
        fuse_reply_err(req, EAGAIN); /* somebody took it away meanwhile */
    else
        reply_entry(s, req, &place, &entry);
}

bool announce_make(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name,
                   mode_t mode)
{
    struct answer a = ask(s, req, parent, name, false);
    const struct news *n = &a.news;
    if (!a.announcer)
        return false;
    if (!a.listed || n->call != CALL_MAKE || n->type != (mode & S_IFMT))
        fuse_reply_err(req, EAGAIN);
    else if (n->real)
        reply_real(s, req, parent, name);
    else
        reply_phantom(s, req, n->type);
    return true;
}

bool announce_remove(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct answer a = ask(s, req, parent, name, false);
    if (!a.announcer)
        return false;
    bool known = a.listed && a.news.call == CALL_REMOVE && (a.shown || a.news.past_file);
    fuse_reply_err(req, known ? 0 : EAGAIN);
    return true;
}

bool announce_touch(struct session *s, fuse_req_t req, fuse_ino_t ino)
{
    struct answer a = ask(s, req, ino, NULL, false);
    if (!a.announcer)
        return false;
    _cleanup_place_ struct place place = {0};
    struct stat now;
    int r = realm_resolve(s->realm, ino, &place);
    if (r == 0)
        r = realm_stat(s->realm, &place, &now);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &now, FOREVER);
    return true;
}

bool announce_refuse(struct session *s, fuse_req_t req)
{
    struct answer a = ask(s, req, 0, NULL, false);
    if (a.announcer)
        fuse_reply_err(req, EAGAIN);
    return a.announcer;
}

void announce_listed(struct session *s, fuse_ino_t folder)
{
    if (atomic_load(&s->announcing) == 0)
        return;
    pthread_mutex_lock(&s->announce_lock);
    for (struct announcement *a = s->announcements; a; a = a->next) {
        bool known = !announce_is_fresh(a, folder) || a->n_listed == ANNOUNCE_CALLS;
        for (size_t i = 0; i < a->n_listed && !known; i++)
            known = a->listed[i] == folder;
        if (known)
            continue;
        a->listed = xgrow(a->listed, &a->alloc_listed, a->n_listed + 1, sizeof(*a->listed));
        a->listed[a->n_listed++] = folder;
    }
    pthread_mutex_unlock(&s->announce_lock);
}

double announce_memory(struct session *s, fuse_ino_t parent, const char *name)
{
    bool announced = false;
    if (atomic_load(&s->announcing) == 0)
        return FOREVER;
    pthread_mutex_lock(&s->announce_lock);
    for (const struct announcement *a = s->announcements; a && !announced; a = a->next)
        announced = is_item(a, parent, name) || news_find(&a->news, parent, name);
    pthread_mutex_unlock(&s->announce_lock);
    return announced ? 0 : FOREVER;
}
