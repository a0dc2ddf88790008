#include "fs/realm_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/envs.h"
#include "fs/nodeid.h"

/* https://bford.info/cachedir/: backup programs leave the hub out. */
#define TAG_NODEID NODEID_TABLE /* slot 0, index 0 */
#define TAG_COOKIE 1u
static const char tag_text[] = "Signature: 8a477f597d28d172789f06886806bc55\n"
                               "# The environments of venvfs, shown from its store.\n";

/* ---- tables (under the lock) ---- */

/* Directory offsets must survive additions and removals, so names are ordered by a hash. */
static uint64_t name_cookie(const char *name, size_t len)
{
    uint64_t h = checksum_of(name, len) >> 2;
    return h > TAG_COOKIE ? h : h + TAG_COOKIE + 1;
}

static int compare_name(const struct realm_name *n, uint64_t cookie, const char *name, size_t len)
{
    if (n->cookie != cookie)
        return n->cookie < cookie ? -1 : 1;
    int c = strncmp(n->name, name, len);
    return c ? c : n->name[len] != '\0';
}

size_t realm_find_name(const struct realm *r, const char *name, size_t len, bool *found)
{
    uint64_t cookie = name_cookie(name, len);
    size_t lo = 0, hi = r->n_names;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_name(&r->names[mid], cookie, name, len);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct realm_name *realm_add_name(struct realm *r, const char *name, size_t len)
{
    bool found;
    size_t i = realm_find_name(r, name, len, &found);
    if (found)
        return &r->names[i];
    r->names = xgrow(r->names, &r->alloc_names, r->n_names + 1, sizeof(*r->names));
    memmove(&r->names[i + 1], &r->names[i], (r->n_names - i) * sizeof(*r->names));
    r->names[i] =
        (struct realm_name){.cookie = name_cookie(name, len), .name = xstrndup(name, len)};
    r->n_names++;
    return &r->names[i];
}

static size_t env_position(const struct realm *r, uint32_t slot)
{
    size_t lo = 0, hi = r->n_envs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->envs[mid]->slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct liveenv *realm_find_env(const struct realm *r, uint32_t slot)
{
    size_t i = env_position(r, slot);
    return i < r->n_envs && r->envs[i]->slot == slot ? r->envs[i] : NULL;
}

struct liveenv *realm_add_env(struct realm *r, const char *name, uint32_t slot)
{
    struct liveenv *env = realm_find_env(r, slot);
    if (env)
        return env;
    env = xcalloc(1, sizeof(*env));
    env->name = xstrdup(name);
    env->slot = slot;
    size_t i = env_position(r, slot);
    r->envs = xgrow(r->envs, &r->alloc_envs, r->n_envs + 1, sizeof(struct liveenv *));
    memmove(&r->envs[i + 1], &r->envs[i], (r->n_envs - i) * sizeof(struct liveenv *));
    r->envs[i] = env;
    r->n_envs++;
    return env;
}

/* ---- life ---- */

static struct realm *realm_new(const struct home *home, struct images *images)
{
    struct realm *r = xcalloc(1, sizeof(*r));
    r->home = home;
    r->images = images;
    pthread_mutex_init(&r->composing, NULL);
    pthread_mutex_init(&r->lock, NULL);
    clock_gettime(CLOCK_REALTIME, &r->changed);
    return r;
}

int realm_new_hub(const struct home *home, struct images *images,
                  const struct overlay_context *overlays, bool resume, struct realm **ret,
                  struct verror *err)
{
    char **names;
    size_t n;
    int e = env_list(home, &names, &n, err);
    if (e < 0)
        return e;
    struct realm *r = realm_new(home, images);
    r->overlays = *overlays;
    for (size_t i = 0; i < n; i++)
        if (!env_is_emptied(home, names[i]))
            realm_add_name(r, names[i], strlen(names[i]));
    env_list_free(names, n);
    if (resume)
        realm_await(r);
    *ret = r;
    return 0;
}

int realm_new_single(const struct home *home, struct images *images, const char *env_name,
                     const char *address, struct realm **ret, struct verror *err)
{
    struct realm *r = realm_new(home, images);
    r->address = xstrdup(address);
    struct liveenv *env;
    struct tree *tree;
    pthread_mutex_lock(&r->composing);
    int e = realm_compose(r, env_name, &env, &tree, err);
    pthread_mutex_unlock(&r->composing);
    if (e < 0) {
        realm_free(r);
        return e;
    }
    env->current = tree;
    held_add(&r->held, REALM_ROOT); /* never pruned: FUSE's root is not looked up */
    *ret = r;
    return 0;
}

void realm_free(struct realm *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_envs; i++) {
        struct liveenv *env = r->envs[i];
        overlay_free(env->overlay);
        tree_unref(env->current);
        past_free(env->past);
        ids_release(&env->ids);
        free(env->name);
        free(env);
    }
    for (size_t i = 0; i < r->n_names; i++)
        free(r->names[i].name);
    free(r->envs);
    free(r->names);
    inheritance_release(&r->inheritance);
    held_release(&r->held);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->composing);
    free(r->address);
    free(r);
}

/* ---- resolving ---- */

static struct owner own;

static void ask_owner(void)
{
    own = (struct owner){.uid = geteuid(), .gid = getegid()};
}

const struct owner *place_owner(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ask_owner);
    return &own;
}

void place_release(struct place *p)
{
    tree_unref(p->tree);
    if (p->overlay)
        overlay_unlock(p->overlay);
    *p = (struct place){0};
}

static bool resolve_in(struct liveenv *env, uint64_t nodeid, struct place *ret)
{
    struct tree *found = NULL;
    if (env->current && tree_resolve(env->current, nodeid, &ret->node))
        found = env->current;
    for (struct past *p = env->past; p && !found; p = p->next)
        if (tree_resolve(p->tree, nodeid, &ret->node))
            found = p->tree;
    if (!found)
        return false;
    ret->tree = tree_ref(found);
    return true;
}

int realm_resolve(struct realm *r, uint64_t nodeid, struct place *ret)
{
    *ret = (struct place){.nodeid = nodeid};
    if (realm_is_hub(r) && (nodeid == REALM_ROOT || nodeid == TAG_NODEID))
        return 0;
    realm_inherit_slot(r, nodeid_slot(nodeid));
    pthread_mutex_lock(&r->lock);
    struct liveenv *env = realm_is_hub(r) ? realm_find_env(r, nodeid_slot(nodeid)) : r->envs[0];
    struct overlay *overlay = env ? env->overlay : NULL;
    pthread_mutex_unlock(&r->lock);
    /* In this order, and never the overlay's lock under the realm's: disk is touched under it. */
    if (overlay) {
        overlay_lock(overlay);
        ret->overlay = overlay;
        if (overlay_resolve(overlay, nodeid, ret))
            return 0;
    }
    pthread_mutex_lock(&r->lock);
    bool found = env && resolve_in(env, nodeid, ret);
    pthread_mutex_unlock(&r->lock);
    if (!found)
        place_release(ret);
    return found ? 0 : -ESTALE;
}

const char *realm_own_text(const struct place *p)
{
    return !p->tree && p->nodeid == TAG_NODEID ? tag_text : NULL;
}

/* The root of an environment that is in view; false: it is not. Under the lock. */
static bool root_in_view(struct liveenv *env, struct place *ret)
{
    if (!env || !env->current)
        return false;
    ret->tree = tree_ref(env->current);
    ret->node = view_root(tree_view(ret->tree));
    ret->nodeid = tree_nodeid(ret->tree, ret->node);
    if (env->overlay)
        ret->up = overlay_root(env->overlay);
    return true;
}

/* A name that the scan did not see may have been made since: then it is on disk. */
static bool on_disk(const struct realm *r, const char *name)
{
    if (!env_name_ok(name))
        return false;
    _cleanup_free_ char *dir = path_join(r->home->envs, name);
    _cleanup_free_ char *current = path_join(dir, "current");
    return path_exists(current) && !env_is_emptied(r->home, name);
}

int realm_compose_name(struct realm *r, const char *name, struct place *ret, struct verror *err)
{
    struct liveenv *env;
    struct tree *tree;
    int e = realm_compose(r, name, &env, &tree, err);
    if (e < 0)
        return e == -ENOENT ? -ENOENT : -EIO;
    pthread_mutex_lock(&r->lock);
    liveenv_retire(env);
    env->current = tree;
    realm_add_name(r, name, strlen(name))->env = env;
    tree_ref(tree);
    pthread_mutex_unlock(&r->lock);
    succession_note_view(r->overlays.succession, env->slot, tree_generation(tree), name);
    /* Before anybody can look into it: the folder's inode is not known to the kernel yet. */
    if (env->overlay)
        overlay_set_tree(env->overlay, tree, NULL, NULL);
    pthread_mutex_lock(&r->lock);
    root_in_view(env, ret);
    pthread_mutex_unlock(&r->lock);
    tree_unref(tree);
    return 0;
}

enum known { UNKNOWN, HIDDEN, KNOWN, IN_VIEW };

static enum known find_in_view(struct realm *r, const char *name, size_t len, struct place *ret)
{
    bool found;
    enum known known = UNKNOWN;
    pthread_mutex_lock(&r->lock);
    size_t i = realm_find_name(r, name, len, &found);
    if (found && r->names[i].hidden)
        known = HIDDEN;
    else if (found)
        known = root_in_view(r->names[i].env, ret) ? IN_VIEW : KNOWN;
    pthread_mutex_unlock(&r->lock);
    return known;
}

static int lookup_env(struct realm *r, const char *name, size_t len, struct place *ret,
                      struct verror *err)
{
    realm_inherit_name(r, name, len);
    enum known known = find_in_view(r, name, len, ret);
    if (known == IN_VIEW)
        return 0;
    _cleanup_free_ char *copy = xstrndup(name, len);
    if (known == HIDDEN || (known == UNKNOWN && !on_disk(r, copy)))
        return -ENOENT;
    pthread_mutex_lock(&r->composing);
    int e = 0; /* a switch may just have composed it */
    if (find_in_view(r, name, len, ret) != IN_VIEW)
        e = realm_compose_name(r, copy, ret, err);
    pthread_mutex_unlock(&r->composing);
    return e;
}

int realm_lookup(struct realm *r, const struct place *folder, const char *name, size_t len,
                 struct place *ret, struct verror *err)
{
    *ret = (struct place){0};
    if (realm_is_root(folder)) {
        if (len == strlen(REALM_TAG_NAME) && memcmp(name, REALM_TAG_NAME, len) == 0) {
            ret->nodeid = TAG_NODEID;
            return 0;
        }
        return lookup_env(r, name, len, ret, err);
    }
    struct place known = *folder; /* its references are the caller's */
    int e = folder->tree && folder->overlay && !folder->up ? overlay_check_folder(&known, name, len)
                                                           : 0;
    if (e < 0)
        return e;
    if (known.up)
        return overlay_lookup(&known, name, len, ret);
    if (!folder->tree)
        return -ENOTDIR;
    if (!view_lookup(tree_view(folder->tree), folder->node, name, len, &ret->node))
        return -ENOENT;
    ret->tree = tree_ref(folder->tree);
    ret->nodeid = tree_nodeid(ret->tree, ret->node);
    return 0;
}

/* ---- attributes and lists ---- */

static void stat_own(struct realm *r, const struct place *p, struct stat *ret)
{
    *ret = (struct stat){.st_ino = p->nodeid, .st_blksize = 4096, .st_nlink = 1};
    pthread_mutex_lock(&r->lock);
    ret->st_mtim = ret->st_ctim = ret->st_atim = r->changed;
    if (realm_is_root(p)) {
        ret->st_mode = S_IFDIR | 0755;
    } else {
        ret->st_mode = S_IFREG | 0644;
        ret->st_size = sizeof(tag_text) - 1;
        ret->st_blocks = 1;
    }
    pthread_mutex_unlock(&r->lock);
}

int realm_stat(struct realm *r, const struct place *p, struct stat *ret)
{
    if (p->up)
        return overlay_stat(p, ret);
    if (p->tree)
        tree_stat(p->tree, p->node, ret);
    else
        stat_own(r, p, ret);
    ret->st_uid = place_owner()->uid;
    ret->st_gid = place_owner()->gid;
    return 0;
}

int realm_readlink(const struct place *p, struct strbuf *sb)
{
    if (p->up)
        return overlay_readlink(p, sb);
    view_readlink(tree_view(p->tree), p->node, sb);
    return 0;
}

/* One entry of the hub's root behind a cookie; names may come and go between two calls. */
static bool next_name(struct realm *r, uint64_t cookie, struct realm_name *ret, struct place *place)
{
    bool found = false;
    pthread_mutex_lock(&r->lock);
    size_t lo = 0, hi = r->n_names;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->names[mid].cookie <= cookie)
            lo = mid + 1;
        else
            hi = mid;
    }
    while (lo < r->n_names && r->names[lo].hidden)
        lo++;
    if (lo < r->n_names) {
        found = true;
        *ret = r->names[lo];
        ret->name = xstrdup(ret->name);
        root_in_view(ret->env, place);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

static void readdir_hub(struct realm *r, uint64_t cookie, realm_dir_fn fn, void *arg)
{
    struct place tag = {.nodeid = TAG_NODEID};
    if (cookie < TAG_COOKIE && !fn(arg, REALM_TAG_NAME, strlen(REALM_TAG_NAME), &tag, TAG_COOKIE))
        return;
    bool more = true;
    while (more) {
        struct realm_name name;
        _cleanup_place_ struct place place = {0};
        if (!next_name(r, cookie < TAG_COOKIE ? TAG_COOKIE : cookie, &name, &place))
            return;
        cookie = name.cookie;
        more = fn(arg, name.name, strlen(name.name), &place, cookie);
        free(name.name);
    }
}

struct listing {
    struct tree *tree;
    realm_dir_fn fn;
    void *arg;
};

static bool list_node(void *arg, const char *name, size_t len, struct view_node node,
                      uint64_t cookie)
{
    struct listing *l = arg;
    struct place p = {.tree = l->tree, .node = node, .nodeid = tree_nodeid(l->tree, node)};
    return l->fn(l->arg, name, len, &p, cookie);
}

int realm_readdir(struct realm *r, const struct place *folder, uint64_t cookie, realm_dir_fn fn,
                  void *arg)
{
    struct place known = *folder; /* its references are the caller's */
    int e =
        folder->tree && folder->overlay && !folder->up ? overlay_check_folder(&known, NULL, 0) : 0;
    if (e < 0)
        return e;
    if (known.up)
        return overlay_readdir(&known, cookie, fn, arg);
    if (realm_is_root(folder)) {
        readdir_hub(r, cookie, fn, arg);
    } else if (folder->tree) {
        struct listing l = {.tree = folder->tree, .fn = fn, .arg = arg};
        view_readdir(tree_view(folder->tree), folder->node, cookie, list_node, &l);
    }
    return 0;
}

uint64_t realm_parent_ino(struct realm *r, const struct place *folder)
{
    if (folder->up) {
        uint64_t up = overlay_parent(folder);
        return up == folder->nodeid ? REALM_ROOT : up;
    }
    if (!folder->tree)
        return REALM_ROOT;
    struct view_node parent = tree_parent(folder->tree, folder->node);
    uint64_t ino = tree_nodeid(folder->tree, parent);
    return ino == folder->nodeid && realm_is_hub(r) ? REALM_ROOT : ino;
}

bool realm_is_writable(const struct realm *r)
{
    return realm_is_hub(r);
}

unsigned realm_generation(const struct realm *r)
{
    return tree_generation(r->envs[0]->current);
}

size_t realm_names(struct realm *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->n_names - r->n_hidden;
    pthread_mutex_unlock(&r->lock);
    return n;
}

char *realm_name_of_slot(struct realm *r, uint32_t slot, unsigned *generation)
{
    char *name = NULL;
    pthread_mutex_lock(&r->lock);
    const struct liveenv *env = realm_find_env(r, slot);
    if (env && env->current) {
        name = xstrdup(env->name);
        *generation = tree_generation(env->current);
    }
    pthread_mutex_unlock(&r->lock);
    return name;
}

json_t *realm_in_view(struct realm *r)
{
    json_t *list = json_array();
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_envs; i++) {
        const struct liveenv *env = r->envs[i];
        if (env->current)
            json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", env->name, "slot",
                                                  (json_int_t)env->slot, "generation",
                                                  (json_int_t)tree_generation(env->current)));
    }
    pthread_mutex_unlock(&r->lock);
    return list;
}
