/* lock_fetch: pins that the store lacks, downloaded and built by pip, then ingested.
 *
 * Everything lies in one private folder below HOME that is removed at the end:
 *   TMP/N.txt   what the Nth pip is asked for (a file, because options may hold credentials)
 *   TMP/N/      the wheels it leaves     TMP/tmp/    its TMPDIR
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "env/lock_internal.h"

enum { SERIAL_MAX = 16 }; /* up to so many packages one pip is enough */

struct chunk {
    const struct lock_job *job;
    const char *tmp;
    char *list, *folder;
    const size_t *pins; /* indices into plan->pins, slice of the wanted */
    size_t n;
    bool hashed; /* --require-hashes */
    struct lock_pip_run run;
    int result;
    struct verror err;
    atomic_size_t *ended;
};

struct fetch {
    struct lock_job *job;
    const struct lock_plan *plan;
    const char *tmp;
    struct chunk *chunks;
    size_t n_chunks, alloc_chunks;
    char **files; /* per pin of the plan: its wheel file, or NULL */
};

void lock_choice_key(const struct lock_job *job, const struct lock_pin *pin, struct sha256 *ret)
{
    struct sha256_state *st = sha256_begin();
    static const char magic[] = "venvfs choice 1";
    sha256_update(st, magic, sizeof(magic));
    sha256_update(st, job->target_key, strlen(job->target_key) + 1);
    sha256_update(st, pin->name, strlen(pin->name) + 1);
    if (pin->version)
        sha256_update(st, pin->version, strlen(pin->version) + 1);
    sha256_update(st, pin->no_binary ? "built" : "any", 5 - (pin->no_binary ? 0 : 2));
    for (size_t i = 0; i < pin->n_hashes; i++)
        sha256_update(st, pin->hashes[i], strlen(pin->hashes[i]) + 1);
    sha256_end(st, ret);
}

/* ---- asking pip ---- */

/* Does the user's configuration name an index? Then a lock's URLs are only the second choice: a
 * mirror is set for a reason. */
static bool has_own_index(const struct lock_plan *plan)
{
    static const char *const names[] = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS",
                                        "PIP_NO_INDEX"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return true;
    }
    return plan->n_options > 0;
}

static const char *line_of(const struct lock_pin *pin, bool prefer_url)
{
    const char *first = prefer_url ? pin->by_url : pin->by_name;
    return first ? first : prefer_url ? pin->by_name : pin->by_url;
}

static int write_list(const struct fetch *f, const struct chunk *c, bool prefer_url,
                      struct verror *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i < f->plan->n_options; i++)
        strbuf_addf(&sb, "%s\n", f->plan->options[i]);
    for (size_t i = 0; i < c->n; i++) {
        const struct lock_pin *pin = &f->plan->pins[c->pins[i]];
        const char *line = line_of(pin, prefer_url);
        if (line)
            lock_stage_line(f->job, pin, line, &sb);
        else
            strbuf_addf(&sb, "%s%s%s", pin->name, pin->version ? "==" : "",
                        pin->version ? pin->version : "");
        strbuf_addch(&sb, '\n');
    }
    int r = io_write_file_atomic(c->list, sb.buf, sb.len, 0600, false);
    return r < 0 ? verror_errno(err, r, "writing %s", c->list) : 0;
}

static void run_chunk(void *arg, size_t worker)
{
    (void)worker;
    struct chunk *c = arg;
    const char *args[] = {"wheel", "--no-deps", "--progress-bar",
                          "off",   "-w",        c->folder,
                          "-r",    c->list,     c->hashed ? "--require-hashes" : NULL,
                          NULL};
    c->run = (struct lock_pip_run){
        .args = args, .tmpdir = c->tmp, .output = STRBUF_INIT, .diagnostics = STRBUF_INIT};
    c->result = lock_pip_start(c->job, &c->run, &c->err);
    if (c->result == 0 && c->run.status != 0)
        c->result = lock_pip_error(c->job, &c->run.diagnostics, &c->err);
    strbuf_release(&c->run.output);
    strbuf_release(&c->run.diagnostics);
    c->run.args = NULL;
    atomic_fetch_add(c->ended, 1);
}

/* Wheels and archives that have appeared so far. */
struct arrived {
    uint64_t items, bytes;
    struct timespec newest;
    char name[NAME_MAX + 1]; /* of the newest */
};

static bool is_newer(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void count_file(const char *name, const struct stat *st, struct arrived *a)
{
    a->items++;
    a->bytes += (uint64_t)st->st_size;
    if (a->name[0] && !is_newer(&st->st_mtim, &a->newest))
        return;
    a->newest = st->st_mtim;
    (void)snprintf(a->name, sizeof(a->name), "%s", name);
}

/* pip puts each into a folder of its own (depth 1) in its TMPDIR (depth 0). */
static void count_files(const char *folder, unsigned depth, struct arrived *a)
{
    DIR *dir = opendir(folder);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (de->d_name[0] == '.')
            continue;
        struct stat st;
        if (fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth == 0 && strncmp(de->d_name, "pip-unpack", 10) == 0) {
            _cleanup_free_ char *below = path_join(folder, de->d_name);
            count_files(below, 1, a);
        } else if (S_ISREG(st.st_mode) && depth == 1) {
            count_file(de->d_name, &st, a);
        }
    }
    if (dir)
        closedir(dir);
}

/* "numpy" of "numpy-2.1.3-cp311-...whl", "zope.event" of "zope.event-5.0.tar.gz". */
static void show_name(struct progress *p, char *filename)
{
    for (char *s = filename; *s; s++)
        if (s[0] == '-' && s[1] >= '0' && s[1] <= '9') {
            *s = '\0';
            break;
        }
    progress_item(p, filename);
}

/* What the pips that succeeded left: the last look at their folders may be older. */
static struct arrived left_by(const struct fetch *f)
{
    struct arrived all = {.items = 0};
    for (size_t i = 0; i < f->n_chunks; i++)
        if (f->chunks[i].result == 0)
            count_files(f->chunks[i].folder, 1, &all);
    return all;
}

struct watch {
    struct progress *progress;
    uint64_t total, items, bytes;
};

static void advance_to(struct watch *w, uint64_t items, uint64_t bytes)
{
    items = items > w->total ? w->total : items;
    items = items > w->items ? items : w->items; /* pip removes what it is done with */
    bytes = bytes > w->bytes ? bytes : w->bytes;
    progress_advance(w->progress, items - w->items, bytes - w->bytes);
    w->items = items;
    w->bytes = bytes;
}

/* Looks at what the n pips have got until all have ended. A pip downloads one file after another,
 * so of each that runs the newest is not complete. */
static void watch(const struct fetch *f, const char *work, const atomic_size_t *ended, size_t n)
{
    struct watch w = {.progress = progress_new("downloading", f->job->request->quiet)};
    for (size_t i = 0; i < f->n_chunks; i++)
        w.total += f->chunks[i].n;
    progress_add_total(w.progress, w.total, 0);
    for (size_t done; (done = atomic_load(ended)) < n;) {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
        struct arrived now = {.items = 0};
        count_files(work, 0, &now);
        advance_to(&w, now.items > n - done ? now.items - (n - done) : 0, now.bytes);
        if (now.name[0])
            show_name(w.progress, now.name);
    }
    struct arrived all = left_by(f);
    advance_to(&w, all.items, all.bytes);
    progress_finish(w.progress);
}

/* Runs all chunks that have not succeeded yet. */
static int run_chunks(struct fetch *f, bool prefer_url, struct verror *err)
{
    _cleanup_free_ char *work = path_join(f->tmp, "tmp");
    int r = path_mkdirs(work, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", work);
    size_t jobs = f->job->request->jobs ? f->job->request->jobs : pool_cpus();
    struct pool *pool = pool_new(jobs < f->n_chunks ? jobs : f->n_chunks);
    if (!pool)
        return verror_errno(err, errno, "starting threads");
    atomic_size_t ended = 0;
    size_t started = 0;
    for (size_t i = 0; i < f->n_chunks && r == 0; i++) {
        struct chunk *c = &f->chunks[i];
        if (c->result == 0)
            continue;
        verror_release(&c->err);
        c->tmp = work;
        c->ended = &ended;
        r = write_list(f, c, prefer_url, err);
        if (r == 0) {
            pool_submit(pool, run_chunk, c);
            started++;
        }
    }
    watch(f, work, &ended, started);
    pool_free(pool);
    (void)path_remove_tree(work);
    for (size_t i = 0; i < f->n_chunks && r == 0; i++)
        if (f->chunks[i].result < 0)
            r = f->chunks[i].result;
    return r;
}

static void add_chunk(struct fetch *f, const size_t *pins, size_t n, bool hashed)
{
    f->chunks = xgrow(f->chunks, &f->alloc_chunks, f->n_chunks + 1, sizeof(*f->chunks));
    struct chunk *c = &f->chunks[f->n_chunks];
    *c = (struct chunk){.job = f->job,
                        .list = xasprintf("%s/%zu.txt", f->tmp, f->n_chunks),
                        .folder = xasprintf("%s/%zu", f->tmp, f->n_chunks),
                        .pins = pins,
                        .n = n,
                        .hashed = hashed,
                        .result = -EAGAIN};
    f->n_chunks++;
}

/* Downloads of one pip are serial, so a long list is shared out. */
static void make_chunks(struct fetch *f, const size_t *pins, size_t n, bool hashed)
{
    size_t jobs = f->job->request->jobs ? f->job->request->jobs : pool_cpus();
    size_t chunks = n > SERIAL_MAX ? (n + SERIAL_MAX - 1) / SERIAL_MAX : 1;
    if (chunks > jobs)
        chunks = jobs;
    for (size_t i = 0, done = 0; n && i < chunks; i++) {
        size_t share = (n - done) / (chunks - i);
        add_chunk(f, pins + done, share, hashed);
        done += share;
    }
}

static bool both_forms(const struct fetch *f)
{
    for (size_t i = 0; i < f->n_chunks; i++)
        for (size_t k = 0; k < f->chunks[i].n && f->chunks[i].result < 0; k++) {
            const struct lock_pin *pin = &f->plan->pins[f->chunks[i].pins[k]];
            if (pin->by_name && pin->by_url)
                return true;
        }
    return false;
}

/* The error of a pip rather than `r`, which may be of the preparations. */
static int first_error(struct fetch *f, int r, struct verror *err)
{
    for (size_t i = 0; i < f->n_chunks; i++)
        if (f->chunks[i].result < 0 && f->chunks[i].err.errnum)
            return verror_move(err, &f->chunks[i].err);
    return r;
}

static int ask_pip(struct fetch *f, struct verror *err)
{
    bool prefer_url = !has_own_index(f->plan);
    int r = run_chunks(f, prefer_url, err);
    if (r == 0)
        return 0;
    r = first_error(f, r, err);
    if (both_forms(f)) {
        _cleanup_verror_ struct verror second = VERROR_INIT;
        if (run_chunks(f, !prefer_url, &second) == 0) {
            verror_release(err);
            return 0;
        }
    }
    return r == -ENOENT ? lock_explain_missing(f->job, f->plan, err) : r;
}

/* ---- what pip left ---- */

static int take_wheel(struct fetch *f, const struct chunk *c, const char *filename,
                      struct verror *err)
{
    struct wheel_name name;
    int r = wheel_name_parse(filename, &name, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *normalised = dist_name_normalise(name.dist);
    wheel_name_release(&name);
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(f->plan->pins[c->pins[i]].name, normalised) != 0)
            continue;
        free(f->files[c->pins[i]]);
        f->files[c->pins[i]] = path_join(c->folder, filename);
        return 0;
    }
    return verror_set(err, EBADMSG, "pip left %s, which was not asked for", filename);
}

static int take_wheels(struct fetch *f, const struct chunk *c, struct verror *err)
{
    DIR *dir = opendir(c->folder);
    int r = 0;
    for (struct dirent *de; dir && r == 0 && (de = readdir(dir));) {
        size_t len = strlen(de->d_name);
        if (len > 4 && strcmp(de->d_name + len - 4, ".whl") == 0)
            r = take_wheel(f, c, de->d_name, err);
    }
    if (dir)
        closedir(dir);
    for (size_t i = 0; i < c->n && r == 0; i++)
        if (!f->files[c->pins[i]])
            r = verror_set(err, ENOENT, "%s: pip left no wheel of %s",
                           f->plan->pins[c->pins[i]].where, f->plan->pins[c->pins[i]].name);
    return r;
}

/* ---- into the store ---- */

static int ingest(struct fetch *f, const size_t *wanted, size_t n, struct lock_found *found,
                  struct verror *err)
{
    struct lock_job *job = f->job;
    _cleanup_free_ struct wheel_source *sources = xcalloc(n, sizeof(*sources));
    _cleanup_free_ struct sha256 *digests = xcalloc(n, sizeof(*digests));
    _cleanup_free_ struct store_image *images = xcalloc(n, sizeof(*images));
    for (size_t i = 0; i < n; i++) {
        const char *path = f->files[wanted[i]];
        _cleanup_close_ int fd = io_open(path, O_RDONLY, 0);
        int r = fd < 0 ? fd : sha256_of_fd(fd, &digests[i]);
        if (r < 0)
            return verror_errno(err, r, "%s", path);
        sources[i] = (struct wheel_source){.path = path, .expect = &digests[i]};
    }
    int r = wheel_ingest(job->store, &job->interp->target, sources, n, job->wheel, images, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct lock_pin *pin = &f->plan->pins[wanted[i]];
        found[wanted[i]] =
            (struct lock_found){.known = true, .wheel = digests[i], .image = images[i]};
        struct sha256 key;
        lock_choice_key(job, pin, &key);
        if (pin->n_hashes) /* only a cache: the next call would ask pip again */
            (void)store_cache_put(job->store, &key, digests[i].bytes, SHA256_SIZE, NULL);
    }
    return r;
}

static int offline(const struct lock_plan *plan, const size_t *asked, size_t n, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i < n && i < 8; i++)
        strbuf_addf(&sb, "%s%s %s", i ? ", " : "", plan->pins[asked[i]].name,
                    plan->pins[asked[i]].version ? plan->pins[asked[i]].version : "");
    verror_set(err, ENETUNREACH, "offline, and not in the store: %s%s", sb.buf,
               n > 8 ? ", ..." : "");
    return verror_hint(err, "run it once without --offline, or add the wheels: venvfs store add");
}

/* A hash that the lock names for a local wheel was checked by lock.py, a download's by pip. */
static int fetch_all(struct fetch *f, const size_t *asked, size_t n_asked, size_t n_hashed,
                     struct verror *err)
{
    if (n_asked == 0)
        return 0;
    if (f->job->request->offline)
        return offline(f->plan, asked, n_asked, err);
    int r = lock_pip_choose(f->job, err);
    if (r < 0)
        return r;
    f->tmp = lock_tmp(f->job, err);
    if (!f->tmp)
        return err ? -err->errnum : -EIO;
    r = lock_stage_pins(f->job, f->plan, asked, n_asked, err);
    if (r < 0)
        return r;
    make_chunks(f, asked, n_hashed, true);
    make_chunks(f, asked + n_hashed, n_asked - n_hashed, false);
    r = ask_pip(f, err);
    for (size_t i = 0; i < f->n_chunks && r == 0; i++)
        r = take_wheels(f, &f->chunks[i], err);
    return r;
}

static void fetch_release(struct fetch *f)
{
    for (size_t i = 0; i < f->n_chunks; i++) {
        free(f->chunks[i].list);
        free(f->chunks[i].folder);
        verror_release(&f->chunks[i].err);
    }
    free(f->chunks);
    for (size_t i = 0; i < f->plan->n_pins; i++)
        free(f->files[i]);
    free(f->files);
}

int lock_fetch(struct lock_job *job, const struct lock_plan *plan, const size_t *wanted, size_t n,
               struct lock_found *found, struct verror *err)
{
    struct fetch f = {.job = job, .plan = plan, .files = xcalloc(plan->n_pins + 1, sizeof(char *))};
    _cleanup_free_ size_t *asked = xcalloc(n + 1, sizeof(*asked));
    size_t n_asked = 0, n_hashed = 0;
    for (int hashed = 1; hashed >= 0; hashed--) {
        for (size_t i = 0; i < n; i++) {
            const struct lock_pin *pin = &plan->pins[wanted[i]];
            if ((pin->n_hashes > 0) != hashed)
                continue;
            if (pin->path)
                f.files[wanted[i]] = xstrdup(pin->path);
            else
                asked[n_asked++] = wanted[i];
        }
        if (hashed)
            n_hashed = n_asked;
    }
    int r = fetch_all(&f, asked, n_asked, n_hashed, err);
    if (r == 0)
        r = ingest(&f, wanted, n, found, err);
    fetch_release(&f);
    return r;
}
