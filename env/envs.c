/* DESIGN
 *
 * An environment exists once ENVS/NAME/current does. Until then its folder is only somebody's
 * preparation, invisible to env_open() and env_list(); what a killed creator left is taken over by
 * the next creator of the name.
 *
 * INVARIANTS
 *   1. Only the holder of ENVS/NAME/lock writes in the folder. Removing renames the folder away
 *      under the lock, so whoever waited for it finds the name gone (lock_file() compares inodes).
 *   2. A slot number is given once: ENVS/.slots moves on before a folder can hold the number. Both
 *      are symlinks whose target is the number: replaced by rename, they need no fsync of their
 *      own, the fsync of their folders by the first commit makes them durable together.
 *   3. A manifest is complete and fsynced before `current` names it.
 *   4. A commit costs two fsyncs: manifest, folder. The first one makes the folder's own name and
 *      the slot counter durable, too: by the same fsync where the file system orders names
 *      (io_fsync_new_dir()), else by a third.
 */
#include "env/envs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/env_layer.h"
#include "env/env_names.h"
#include "env/env_number.h"
#include "env/manifest_check.h"

enum { MAX_MANIFEST = 256 * 1024 * 1024 };

/* Frees the name first, in one step, then the files. The caller holds the lock. */
static int remove_folder(const struct env *env, bool durable, struct verror *err)
{
    _cleanup_free_ char *envs = path_dirname(env->dir);
    _cleanup_free_ char *gone =
        xasprintf("%s/.removed-%s-%u-%ld", envs, env->name, env->slot, (long)getpid());
    int r = io_rename(env->dir, gone);
    if (r == 0 && durable)
        r = io_fsync_dir(envs);
    if (r < 0)
        return verror_errno(err, r, "removing %s", env->dir);
    r = path_remove_tree(gone);
    if (r < 0)
        return verror_errno(err, r, "%s is removed, but its files in %s remain", env->name, gone);
    return 0;
}

void env_free(struct env *env)
{
    if (!env)
        return;
    if (env->lock >= 0 && !env->manifest) /* created, never committed: leave nothing behind */
        (void)remove_folder(env, false, NULL);
    if (env->lock >= 0)
        close(env->lock);
    manifest_free(env->manifest);
    free(env->name);
    free(env->dir);
    free(env);
}

static struct env *env_new(const struct home *home, const char *name)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env->name = xstrdup(name);
    env->dir = path_join(home->envs, name);
    env->lock = -1;
    return env;
}

/* For a half-opened env: never removes anything. */
static void env_abandon(struct env *env)
{
    if (env->lock >= 0)
        close(env->lock);
    env->lock = -1;
    env_free(env);
}

/* ---- the lock ---- */

static void record_holder(int fd)
{
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* Only for messages: a failure does no harm. */
    if (ftruncate(fd, 0) == 0)
        (void)io_pwrite_all(fd, pid, (size_t)n, 0);
}

static int held_elsewhere(const char *path, const char *name, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf pid = STRBUF_INIT;
    long holder = io_read_file(path, &pid, 64) == 0 ? strtol(pid.buf, NULL, 10) : 0;
    if (holder > 0)
        return verror_set(err, EAGAIN, "environment %s is being changed by process %ld", name,
                          holder);
    return verror_set(err, EAGAIN, "environment %s is being changed by another process", name);
}

static int take_lock(struct env *env, bool wait, struct verror *err)
{
    _cleanup_free_ char *path = path_join(env->dir, "lock");
    int fd = lock_file(path, LOCK_EXCLUSIVE, wait);
    if (fd == -EAGAIN)
        return held_elsewhere(path, env->name, err);
    if (fd < 0)
        return verror_errno(err, fd, "%s", path);
    record_holder(fd);
    env->lock = fd;
    return 0;
}

/* ---- opening ---- */

/* n_packages: only a glance, which fills it; or NULL. */
static int read_manifest(const struct env *env, unsigned generation, struct manifest **ret,
                         size_t *n_packages, struct verror *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%u.json", env->dir, generation);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, MAX_MANIFEST);
    if (r < 0)
        return verror_errno(err, r, "reading %s", path);
    r = n_packages ? manifest_glance(text.buf, text.len, ret, n_packages, err)
                   : manifest_from_json(text.buf, text.len, ret, err);
    if (r < 0) {
        verror_prefix(err, "%s", path);
        return r;
    }
    if ((*ret)->generation != generation) {
        manifest_free(*ret);
        *ret = NULL;
        return verror_set(err, EBADMSG, "%s describes another generation", path);
    }
    return 0;
}

static int read_current(const struct env *env, struct manifest **ret, size_t *n_packages,
                        struct verror *err)
{
    _cleanup_free_ char *current = path_join(env->dir, "current");
    unsigned generation = 0;
    int r = number_read(current, ".json", MANIFEST_MAX_GENERATION, &generation);
    if (r == -ENOENT)
        return verror_errno(err, r, "%s", current);
    if (r < 0)
        return verror_set(err, EBADMSG, "%s is no link to a generation's manifest", current);
    r = read_manifest(env, generation, ret, n_packages, err);
    if (r == -ENOENT) /* not the caller's "no such environment" */
        return verror_set(err, EBADMSG, "%s/%u.json is missing, and %s names it", env->dir,
                          generation, current);
    return r;
}

static void read_emptied(struct env *env)
{
    const struct manifest *m = env->manifest;
    env->emptied = layer_ended(env->dir, m->upper) >= m->generation;
}

int env_open(const struct home *home, const char *name, bool lock, bool wait, struct env **ret,
             struct verror *err)
{
    if (!env_name_ok(name))
        return env_unknown(home, name, err);
    struct env *env = env_new(home, name);
    int r = lock ? take_lock(env, wait, err) : 0;
    if (r == 0)
        r = read_current(env, &env->manifest, NULL, err);
    if (r == -ENOENT || r == -ENOTDIR)
        r = env_unknown(home, name, err);
    if (r == 0) { /* of the layer that the current generation is shown under */
        read_emptied(env);
        r = layer_slot(env->dir, env->manifest->upper, &env->slot, err);
    }
    if (r < 0) {
        env_abandon(env);
        return r;
    }
    *ret = env;
    return 0;
}

int env_glance(const struct home *home, const char *name, struct env **ret, size_t *n_packages,
               struct verror *err)
{
    struct env *env = env_new(home, name);
    int r = env_name_ok(name) ? read_current(env, &env->manifest, n_packages, err) : -ENOENT;
    if (r < 0) {
        env_abandon(env);
        return r == -ENOENT || r == -ENOTDIR ? env_unknown(home, name, err) : r;
    }
    read_emptied(env);
    *ret = env;
    return 0;
}

/* ---- making ---- */

/* The folder, locked. It may be that of a creator who gave up meanwhile: then again. */
static int claim_folder(struct env *env, bool wait, struct verror *err)
{
    for (;;) {
        int r = io_mkdirat(AT_FDCWD, env->dir, 0700);
        if (r < 0 && r != -EEXIST)
            return verror_errno(err, r, "making %s", env->dir);
        r = take_lock(env, wait, err);
        if (r != -ENOENT)
            return r;
    }
}

static int bad_name(const char *name, struct verror *err)
{
    return verror_set(err, EINVAL,
                      "\"%.120s\" is no name for an environment (1 to 100 bytes, no slash, not "
                      "starting with '.' or '-')",
                      name);
}

static int create(const struct home *home, const char *name, bool wait, struct env **ret,
                  struct verror *err)
{
    if (!env_name_ok(name))
        return bad_name(name, err);
    struct env *env = env_new(home, name);
    _cleanup_free_ char *current = path_join(env->dir, "current");
    _cleanup_free_ char *slot_path = path_join(env->dir, "slot");
    _cleanup_free_ char *upper = path_join(env->dir, "upper");
    unsigned slot = 0;
    int r = 0;
    bool exists = path_exists(current);
    if (!exists && (r = claim_folder(env, wait, err)) == 0)
        exists = path_exists(current); /* made by whom we waited for */
    if (exists)
        r = verror_set(err, EEXIST, "environment %s exists already%s", name,
                       env_is_emptied(home, name) ? ", though it was emptied from inside" : "");
    bool ours = r == 0; /* no number is spent on a name that is not */
    /* Of an unfinished creator; else it would show in the new environment. */
    if (ours && (r = path_remove_tree(upper)) < 0)
        verror_errno(err, r, "removing %s", upper);
    if (r == 0)
        r = slot_next(home->envs, &slot, err);
    if (r == 0 && (r = number_write(slot_path, slot, "")) < 0)
        verror_errno(err, r, "writing %s", slot_path);
    if (r < 0) {
        (ours ? env_free : env_abandon)(env);
        return r;
    }
    env->slot = slot;
    *ret = env;
    return 0;
}

int env_create(const struct home *home, const char *name, struct env **ret, struct verror *err)
{
    return create(home, name, true, ret, err);
}

int env_try_create(const struct home *home, const char *name, struct env **ret, struct verror *err)
{
    return create(home, name, false, ret, err);
}

/* ---- committing ---- */

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Times only grow, by a microsecond at least: importers compare them as floating point seconds. */
static void set_times(struct manifest *m, struct manifest *before)
{
    m->generation = before ? before->generation + 1 : 1;
    m->time_ns = now_ns();
    if (before && m->time_ns < before->time_ns + 1000)
        m->time_ns = before->time_ns + 1000;
    for (size_t i = 0; i < m->n_packages; i++) {
        struct manifest_package *p = &m->packages[i];
        const struct manifest_package *old = before ? manifest_find(before, p->normalised) : NULL;
        bool same = old && sha256_equal(&old->image.id, &p->image.id);
        bool later = before && p->entered_ns > before->time_ns && p->entered_ns < m->time_ns;
        if (same)
            p->entered_ns = old->entered_ns;
        else if (!later)
            p->entered_ns = m->time_ns;
    }
}

static int write_manifest(const struct env *env, const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%u.json", env->dir, m->generation);
    _cleanup_free_ char *tmp = xasprintf("%s.tmp", path);
    int r = manifest_check(m, err);
    if (r < 0) {
        verror_prefix(err, "the new manifest of %s", env->name);
        return r;
    }
    _cleanup_free_ char *text = manifest_to_json(m);
    if (!text)
        return verror_set(err, EILSEQ,
                          "environment %s: its address, prompt, project or interpreter has a name "
                          "that is not UTF-8",
                          env->name);
    _cleanup_close_ int fd = io_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    r = fd < 0 ? fd : io_write_all(fd, text, strlen(text));
    if (r == 0)
        r = io_fsync(fd);
    if (r == 0)
        r = io_rename(tmp, path);
    if (r < 0) {
        (void)unlink(tmp);
        return verror_errno(err, r, "writing %s", path);
    }
    return 0;
}

static int swap_current(const struct env *env, const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *current = path_join(env->dir, "current");
    int r = number_write(current, m->generation, ".json");
    if (r < 0)
        return verror_errno(err, r, "writing %s", current);
    return 0;
}

/* The folder's names, and for the first generation the folder's own name and the slot counter. */
static int make_durable(const struct env *env, const struct manifest *m, struct verror *err)
{
    int r = m->generation == 1 ? io_fsync_new_dir(env->dir) : io_fsync_dir(env->dir);
    return r < 0 ? verror_errno(err, r, "making %s durable", env->dir) : 0;
}

bool env_leaves_upper(const struct env *env, const struct manifest *m)
{
    const struct manifest *now = env->manifest;
    unsigned upper = m->generation ? m->upper : now->upper;
    unsigned shown = m->generation ? m->generation : now->generation;
    return upper != now->upper || layer_ended(env->dir, upper) >= shown;
}

/* The layer that a manifest is to be shown under: the one it was in, where that can show it, else a
 * new one. */
static int choose_layer(const struct env *env, struct manifest *m, unsigned *slot,
                        struct verror *err)
{
    const struct manifest *now = env->manifest;
    *slot = env->slot;
    if (!now || !m->generation)
        m->upper = now ? now->upper : 0;
    if (!now)
        return 0;
    unsigned shown = m->generation ? m->generation : now->generation;
    if (layer_ended(env->dir, m->upper) < shown)
        return m->upper == now->upper ? 0 : layer_slot(env->dir, m->upper, slot, err);
    m->upper = now->generation + 1;
    if (m->target_key) /* what a tool wrote is gone: its packages come back with files of ours */
        m->bare = false;
    return layer_make(env->dir, m->upper, slot, err);
}

static int commit(struct env *env, struct manifest *m, unsigned slot, struct verror *err)
{
    set_times(m, env->manifest);
    int r = write_manifest(env, m, err);
    if (r == 0)
        r = swap_current(env, m, err);
    if (r < 0) {
        manifest_free(m);
        return r;
    }
    /* From here on the generation is the current one for everybody, durable or not. */
    if (env->emptied && env->manifest->upper != m->upper)
        layer_drop(env->dir, env->manifest->upper);
    manifest_free(env->manifest);
    env->manifest = m;
    env->slot = slot;
    env->emptied = false;
    return make_durable(env, m, err);
}

int env_commit(struct env *env, struct manifest *m, struct verror *err)
{
    unsigned slot;
    assert(env->lock >= 0 && m != env->manifest);
    int r = choose_layer(env, m, &slot, err);
    if (r < 0) {
        manifest_free(m);
        return r;
    }
    return commit(env, m, slot, err);
}

int env_commit_over(struct env *env, struct manifest *m, struct verror *err)
{
    assert(env->lock >= 0 && env->manifest && m != env->manifest);
    m->upper = env->manifest->upper;
    return commit(env, m, env->slot, err);
}

int env_empty(struct env *env, struct verror *err)
{
    assert(env->lock >= 0);
    int r = layer_end(env->dir, env->manifest->upper, env->manifest->generation, err);
    env->emptied = env->emptied || r == 0;
    return r;
}

bool env_is_emptied(const struct home *home, const char *name)
{
    _cleanup_free_ char *dir = path_join(home->envs, name);
    _cleanup_free_ char *first = path_join(dir, "emptied"), *later = path_join(dir, "uppers");
    struct env *env;
    struct stat st;
    if ((lstat(first, &st) < 0 && lstat(later, &st) < 0) ||
        env_open(home, name, false, false, &env, NULL) < 0)
        return false;
    bool emptied = env->emptied;
    env_free(env);
    return emptied;
}

/* ---- generations ---- */

/* "N.json" of a number, else 0. */
static unsigned number_of_manifest(const char *name)
{
    char *end;
    if (name[0] < '1' || name[0] > '9')
        return 0;
    errno = 0;
    unsigned long n = strtoul(name, &end, 10);
    return errno || n > MANIFEST_MAX_GENERATION || strcmp(end, ".json") != 0 ? 0 : (unsigned)n;
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

int env_generations(const struct env *env, unsigned **ret, size_t *n, struct verror *err)
{
    unsigned *numbers = NULL;
    size_t used = 0, alloc = 0;
    DIR *dir = opendir(env->dir);
    const struct dirent *de;
    if (!dir)
        return verror_errno(err, errno, "%s", env->dir);
    for (errno = 0; (de = readdir(dir)); errno = 0) {
        unsigned number = number_of_manifest(de->d_name);
        if (!number || number > env->manifest->generation)
            continue;
        numbers = xgrow(numbers, &alloc, used + 1, sizeof(*numbers));
        numbers[used++] = number;
    }
    int e = errno;
    closedir(dir);
    if (e) {
        free(numbers);
        return verror_errno(err, e, "reading %s", env->dir);
    }
    if (used)
        qsort(numbers, used, sizeof(*numbers), by_number);
    *ret = numbers;
    *n = used;
    return 0;
}

static int no_generation(const struct env *env, unsigned number, struct verror *err)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    int r = env_generations(env, &numbers, &n, err);
    if (r < 0)
        return r;
    verror_set(err, ENOENT, "environment %s has no generation %u", env->name, number);
    if (n > 1)
        verror_hint(err, "it has %zu, from %u to %u: venvfs history -n %s lists them", n,
                    numbers[0], numbers[n - 1], env->name);
    else
        verror_hint(err, "it has one, %u", env->manifest->generation);
    return -ENOENT;
}

int env_generation(const struct env *env, unsigned number, struct manifest **ret,
                   struct verror *err)
{
    if (number == 0 || number > env->manifest->generation)
        return no_generation(env, number, err);
    int r = read_manifest(env, number, ret, NULL, err);
    return r == -ENOENT ? no_generation(env, number, err) : r;
}

/* ---- renaming ---- */

/* What a killed creator left under the name goes, as the next creator would take it over. */
static int free_name(const struct home *home, const char *name, struct verror *err)
{
    struct env *left;
    _cleanup_free_ char *dir = path_join(home->envs, name);
    if (!path_exists(dir))
        return 0;
    int r = env_try_create(home, name, &left, err);
    if (r == 0)
        env_free(left);
    return r;
}

int env_rename(const struct home *home, struct env *env, const char *name, struct verror *err)
{
    assert(env->lock >= 0);
    if (!env_name_ok(name))
        return bad_name(name, err);
    _cleanup_free_ char *dir = path_join(home->envs, name);
    int r = free_name(home, name, err);
    if (r < 0)
        return r;
    r = io_rename(env->dir, dir); /* no environment's folder is empty: none is replaced */
    if (r == -ENOTEMPTY || r == -EEXIST)
        return verror_set(err, EEXIST, "environment %s exists already", name);
    if (r == 0) {
        free(env->dir);
        free(env->name);
        env->dir = steal_ptr(dir);
        env->name = xstrdup(name);
        r = io_fsync_dir(home->envs);
    }
    return r < 0 ? verror_errno(err, r, "renaming environment %s to %s", env->name, name) : 0;
}

/* ---- removing ---- */

int env_remove(struct env *env, struct verror *err)
{
    assert(env->lock >= 0);
    int r = remove_folder(env, true, err);
    if (!path_exists(env->dir)) { /* the name may be another's from now on: hands off */
        close(env->lock);
        env->lock = -1;
    }
    return r;
}

int env_remove_unread(const struct home *home, const char *name, bool wait, struct verror *err)
{
    if (!env_name_ok(name))
        return env_unknown(home, name, err);
    struct env *env = env_new(home, name);
    int r = take_lock(env, wait, err);
    if (r == -ENOENT || r == -ENOTDIR)
        r = env_unknown(home, name, err);
    if (r == 0)
        r = remove_folder(env, true, err);
    env_abandon(env);
    return r;
}

void manifest_set_interp(struct manifest *m, const struct interp *interp)
{
    const struct {
        char **field;
        const char *value;
    } strings[] = {
        {&m->executable, interp->executable},
        {&m->base_executable, interp->base_executable},
        {&m->home, interp->home},
        {&m->version, interp->version},
        {&m->python_dir, interp->target.python_dir},
        {&m->platlibdir, interp->platlibdir},
    };
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
        free(*strings[i].field);
        *strings[i].field = xstrdup(strings[i].value);
    }
    m->is_64bit = interp->is_64bit;
}
