#include "cli/throwaway.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/difference.h"
#include "cli/fallback.h"
#include "cli/in_use.h"
#include "cli/print.h"
#include "cli/show_env.h"

#define PREFIX "throwaway-"
#define SETTING "throwaway"
#define USED "used" /* a file in the environment's folder whose time is its last use */

bool throwaway_is(const struct env *env)
{
    return strncmp(env->name, PREFIX, sizeof(PREFIX) - 1) == 0 && env->manifest &&
           settings_flag(env->manifest, SETTING);
}

bool throwaway_named(const struct home *home, const char *name)
{
    struct env *env;
    size_t n_packages;
    if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0 ||
        env_glance(home, name, &env, &n_packages, NULL) < 0)
        return false;
    bool is = throwaway_is(env);
    env_free(env);
    return is;
}

/* ---- keys and the links called after them ---- */

struct sha256_state *throwaway_key_begin(const char *kind)
{
    struct sha256_state *st = sha256_begin();
    throwaway_key_add(st, "venvfs throwaway 1");
    throwaway_key_add(st, kind);
    lock_add_settings(st);
    return st;
}

void throwaway_key_add(struct sha256_state *st, const char *s)
{
    sha256_update(st, s ? "+" : "-", 1);
    if (s)
        sha256_update(st, s, strlen(s) + 1);
}

static char *links_folder(const struct home *home)
{
    return path_join(home->root, "throwaway");
}

static char *link_of(const struct home *home, const struct sha256 *key)
{
    enum { DIGITS = 32 };
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(key, hex);
    _cleanup_free_ char *folder = links_folder(home);
    return xasprintf("%s/%.*s", folder, DIGITS, hex);
}

static void note_use(const struct env *env)
{
    _cleanup_free_ char *path = path_join(env->dir, USED);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0)
        return;
    _cleanup_close_ int fd = io_open(path, O_WRONLY | O_CREAT, 0600);
    (void)fd; /* an environment without it counts as used when it was made */
}

/* Opened without its lock; -ENOENT where it cannot serve. */
static int open_usable(const struct home *home, const char *name, struct env **ret,
                       struct verror *err)
{
    struct env *env;
    int r = env_open(home, name, false, false, &env, err);
    if (r < 0)
        return r == -EBADMSG ? -ENOENT : r;
    const struct manifest *m = env->manifest;
    if (!throwaway_is(env) || env->emptied || m->bare || access(m->executable, X_OK) < 0) {
        env_free(env);
        return verror_set(err, ENOENT, "environment %s cannot be used", name);
    }
    note_use(env);
    *ret = env;
    return 0;
}

int throwaway_recall(struct session *s, const struct sha256 *key, struct env **ret,
                     struct verror *err)
{
    char name[NAME_MAX + 1];
    _cleanup_free_ char *link = link_of(&s->home, key);
    ssize_t n = readlink(link, name, sizeof(name) - 1);
    if (n < 0)
        return -ENOENT;
    name[n] = '\0';
    if (!env_name_ok(name))
        return -ENOENT;
    int r = open_usable(&s->home, name, ret, err);
    if (r == -ENOENT && err)
        verror_release(err);
    return r;
}

static int remember_name(const struct home *home, const struct sha256 *key, const char *name,
                         struct verror *err)
{
    _cleanup_free_ char *link = link_of(home, key);
    _cleanup_free_ char *part = xasprintf("%s.%ld", link, (long)getpid());
    int r = io_symlinkat(name, AT_FDCWD, part);
    if (r == 0)
        r = io_rename(part, link);
    return r < 0 ? verror_errno(err, r, "writing %s", link) : 0;
}

/* ---- bounds ---- */

struct old_one {
    char *name;
    time_t used;
};

static long number_of(const char *variable, long otherwise)
{
    enum { LARGEST = 1000000 };
    const char *value = getenv(variable);
    char *end;
    if (!value || !*value)
        return otherwise;
    long n = strtol(value, &end, 10);
    return *end || n < 0 || n > LARGEST ? otherwise : n;
}

static int last_used_first(const void *va, const void *vb)
{
    const struct old_one *a = va, *b = vb;
    return a->used < b->used ? 1 : a->used > b->used ? -1 : strcmp(a->name, b->name);
}

static time_t used_at(const struct env *env)
{
    _cleanup_free_ char *path = path_join(env->dir, USED);
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mtime : (time_t)(env->manifest->time_ns / 1000000000);
}

/* All of them, the last used first. */
static size_t collect(const struct home *home, struct old_one **ret)
{
    char **names;
    size_t n, count = 0;
    if (env_list(home, &names, &n, NULL) < 0)
        return 0;
    struct old_one *list = xcalloc(n + 1, sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        struct env *env;
        size_t n_packages;
        if (strncmp(names[i], PREFIX, sizeof(PREFIX) - 1) != 0 ||
            env_glance(home, names[i], &env, &n_packages, NULL) < 0)
            continue;
        if (throwaway_is(env))
            list[count++] = (struct old_one){.name = xstrdup(names[i]), .used = used_at(env)};
        env_free(env);
    }
    env_list_free(names, n);
    qsort(list, count, sizeof(*list), last_used_first);
    *ret = list;
    return count;
}

/* Removes it unless somebody uses or changes it. */
static int evict(struct session *s, const char *name, struct verror *err)
{
    struct env *env;
    int r = env_open(&s->home, name, true, false, &env, err);
    if (r < 0)
        return r == -EAGAIN ? 0 : r;
    _cleanup_in_use_ struct in_use users = {0};
    in_use_find(&s->home, env, USE_FOLDER | USE_OPEN | USE_MAPPED | USE_PROGRAM, &users);
    if (!users.n) {
        _cleanup_free_ char *address = xstrdup(env->manifest->address);
        bool plain = fallback_owns(&s->home, name, address);
        r = hide_env(&s->home, name, true, err);
        if (r == 0) {
            session_end_use(s, env->manifest);
            r = env_remove(env, err);
        }
        if (r == 0 && plain && (r = path_remove_tree(address)) < 0)
            verror_errno(err, r, "removing %s", address);
    }
    env_free(env);
    return r;
}

/* Links to environments that are gone. */
static void sweep_links(const struct home *home)
{
    _cleanup_free_ char *folder = links_folder(home);
    DIR *dir = opendir(folder);
    for (const struct dirent *de; dir && (de = readdir(dir));) {
        char name[NAME_MAX + 1];
        ssize_t n = readlinkat(dirfd(dir), de->d_name, name, sizeof(name) - 1);
        if (n < 0)
            continue;
        name[n] = '\0';
        _cleanup_free_ char *env = path_join(home->envs, name);
        if (!path_exists(env))
            (void)io_unlinkat(dirfd(dir), de->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* An eviction that fails is no reason to refuse what the user wants; it is said. */
static void keep_bounds(struct session *s)
{
    enum { GRACE = 600, DAY = 86400, KEEP = 64, DAYS = 30 };
    long keep = number_of("VENVFS_THROWAWAY_KEEP", KEEP);
    long days = number_of("VENVFS_THROWAWAY_DAYS", DAYS);
    time_t now = time(NULL);
    struct old_one *list = NULL;
    size_t n = collect(&s->home, &list), gone = 0;
    for (size_t i = 0; i < n; i++) {
        time_t age = now - list[i].used;
        if (age > GRACE && ((long)i >= keep || age > days * DAY)) {
            _cleanup_verror_ struct verror err = VERROR_INIT;
            gone++;
            if (evict(s, list[i].name, &err) < 0)
                print_warning("%s", verror_message(&err));
        }
        free(list[i].name);
    }
    free(list);
    if (gone)
        sweep_links(&s->home);
}

/* ---- making ---- */

/* What is in it decides its name. */
static char *name_of(const struct apply *a)
{
    enum { DIGITS = 12 };
    char hex[SHA256_HEX_SIZE];
    struct sha256 key;
    const struct manifest *m = a->next;
    struct sha256_state *st = sha256_begin();
    throwaway_key_add(st, m->executable);
    throwaway_key_add(st, m->version);
    throwaway_key_add(st, m->target_key);
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        _cleanup_free_ char *direct =
            p->direct_url ? json_dumps(p->direct_url, JSON_SORT_KEYS) : NULL;
        throwaway_key_add(st, p->normalised);
        sha256_update(st, p->image.id.bytes, SHA256_SIZE);
        throwaway_key_add(st, p->requested ? "requested" : NULL);
        throwaway_key_add(st, direct);
    }
    sha256_end(st, &key);
    sha256_to_hex(&key, hex);
    return xasprintf(PREFIX "%.*s", DIGITS, hex);
}

/* Options are lines of a file that lies there as long as it is read; it may hold credentials. */
static int write_options(const char *link, char *const *options, char **ret, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (size_t i = 0; options && options[i]; i++)
        strbuf_addf(&text, "%s\n", options[i]);
    if (!text.len)
        return 0;
    char *path = xasprintf("%s.options", link);
    int r = io_write_file_atomic(path, text.buf, text.len, 0600, false);
    if (r < 0) {
        verror_errno(err, r, "writing %s", path);
        free(path);
        return r;
    }
    *ret = path;
    return 0;
}

static int resolve(struct apply *a, const char *link, const struct throwaway_needs *needs,
                   struct verror *err)
{
    _cleanup_free_ char *file = NULL;
    size_t n_constraints = 0;
    while (needs->constraints && needs->constraints[n_constraints])
        n_constraints++;
    int r = needs->n_requirements ? write_options(link, needs->options, &file, err) : 0;
    if (r < 0 || !needs->n_requirements)
        return r;
    struct lock_request request = {
        .files = (const char *const[]){file, NULL},
        .n_files = file ? 1 : 0,
        .requirements = needs->requirements,
        .n_requirements = needs->n_requirements,
        .constraints = (const char *const *)needs->constraints,
        .n_constraints = n_constraints,
    };
    struct lock_result result = {0};
    r = apply_fulfil(a, &request, true, &result, err);
    if (file)
        (void)io_unlink(file);
    if (r == 0) {
        a->resolved = steal_ptr(result.lock_text);
        lock_result_release(&result);
    }
    return r;
}

/* One with this name that cannot serve any more gives way. */
static int replace_unusable(struct session *s, struct apply *a, const char *name,
                            const char *address, struct verror *err)
{
    int r = hide_env(&s->home, name, true, err);
    if (r == 0)
        r = env_remove_unread(&s->home, name, true, err);
    return r < 0 ? r : apply_begin_env(a, name, address, err);
}

static int make(struct session *s, const char *link, struct throwaway_needs *needs,
                struct env **ret, struct verror *err)
{
    _cleanup_apply_ struct apply a = {
        .compile = true, .offline = needs->offline, .refresh = needs->refresh};
    int r = apply_begin(&a, s, steal_ptr(needs->interp), err);
    if (r == 0)
        r = resolve(&a, link, needs, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *name = name_of(&a), *address = hub_path(&s->home, name);
    r = open_usable(&s->home, name, ret, NULL);
    if (r == 0)
        return 0;
    r = apply_begin_env(&a, name, address, err);
    if (r == -EEXIST && open_usable(&s->home, name, ret, NULL) == 0)
        return 0; /* another process was faster */
    if (r == -EEXIST)
        r = replace_unusable(s, &a, name, address, err);
    if (r < 0)
        return r;
    settings_set_flag(a.next, SETTING, true);
    r = apply_commit(&a, needs->reason, err);
    if (r < 0)
        return r;
    print_difference(NULL, a.env->manifest);
    a.created = false;
    apply_release(&a); /* its lock */
    return open_usable(&s->home, name, ret, err);
}

int throwaway_make(struct session *s, const struct sha256 *key, struct throwaway_needs *needs,
                   bool remember, struct env **ret, struct verror *err)
{
    _cleanup_free_ char *folder = links_folder(&s->home), *link = link_of(&s->home, key);
    _cleanup_free_ char *lock_path = path_join(folder, "lock");
    uint64_t offset = 0;
    memcpy(&offset, key->bytes, sizeof(offset));
    int r = path_mkdirs(folder, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", folder);
    _cleanup_close_ int lock = lock_byte(lock_path, offset >> 2, true);
    if (lock < 0)
        return verror_errno(err, lock, "locking %s", lock_path);
    if (remember && !needs->refresh && throwaway_recall(s, key, ret, err) == 0)
        return 0; /* made while this process waited */
    r = make(s, link, needs, ret, err);
    if (r == 0 && remember) {
        r = remember_name(&s->home, key, (*ret)->name, err);
        if (r < 0)
            env_free(steal_ptr(*ret));
    }
    if (r == 0)
        keep_bounds(s);
    return r;
}

/* ---- words ---- */

int throwaway_requirement(const char *word, char **ret, bool *changes, struct verror *err)
{
    if (!word[0] || word[0] == '-' || strpbrk(word, "\n\r"))
        return verror_set(err, EINVAL, "\"%s\" does not name a package", word);
    bool path = strchr("./~", word[0]) || (strchr(word, '/') && !strstr(word, "://"));
    if (path && word[0] != '~') {
        char *absolute = path_absolute(word);
        if (!absolute)
            return verror_errno(err, errno, "%s", word);
        *ret = absolute;
    } else {
        *ret = xstrdup(word);
    }
    *changes |= path || strstr(word, "file:");
    return 0;
}
