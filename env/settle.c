#include "env/settle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/settle_internal.h"
#include "env/upper_read.h"

static const char suffix[] = ".dist-info";

void settle_release(struct settle *s)
{
    for (size_t i = 0; i < s->n_files; i++)
        free(s->files[i].path);
    free(s->files);
    installed_free(s->own);
    installed_free(s->shown);
    free(s->dists);
    for (size_t i = 0; i < s->n_gone; i++)
        free(s->gone[i]);
    free(s->gone);
    for (size_t i = 0; i < s->n_problems; i++) {
        free(s->problems[i].what);
        free(s->problems[i].why);
    }
    free(s->problems);
    for (size_t i = 0; i < s->n_hidden; i++)
        free(s->hidden[i]);
    free(s->hidden);
    *s = (struct settle){.files = NULL};
}

static void add_problem(struct settle *s, const char *what, char *why)
{
    s->problems = xrealloc(s->problems, (s->n_problems + 1) * sizeof(*s->problems));
    s->problems[s->n_problems++] = (struct settle_problem){.what = xstrdup(what), .why = why};
}

/* ---- the files of the layer ---- */

struct scan {
    struct settle *settle;
    int root;
    char **todo; /* folders */
    size_t n, alloc;
    const char *folder; /* being read */
    int dir;
    int error;
};

static char *joined(const char *dir, const char *name, size_t len)
{
    return xasprintf("%s%s%.*s", dir, dir[0] ? "/" : "", (int)len, name);
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void scan_entry(void *arg, const char *name, size_t len, mode_t type)
{
    struct scan *c = arg;
    struct settle *s = c->settle;
    struct stat st;
    char *path = joined(c->folder, name, len);
    if (S_ISDIR(type)) {
        c->todo = xgrow(c->todo, &c->alloc, c->n + 1, sizeof(char *));
        c->todo[c->n++] = path;
        return;
    }
    _cleanup_free_ char *copy = xstrndup(name, len);
    _cleanup_close_ int fd = openat(c->dir, copy, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        if (errno != ENOENT)
            c->error = -errno;
        free(path);
        return;
    }
    upper_show_mode(fd, &st);
    s->files = xgrow(s->files, &s->alloc_files, s->n_files + 1, sizeof(*s->files));
    s->files[s->n_files++] = (struct settle_file){.path = path,
                                                  .mode = st.st_mode,
                                                  .uid = st.st_uid,
                                                  .links = st.st_nlink,
                                                  .ino = st.st_ino,
                                                  .size = st.st_size,
                                                  .mtime_ns = ns_of(st.st_mtim),
                                                  .ctime_ns = ns_of(st.st_ctim)};
}

static int scan_folder(struct scan *c)
{
    const struct upper_reader reader = {.entry = scan_entry, .arg = c};
    _cleanup_close_ int dir = upper_beneath(c->root, c->folder, O_PATH | O_DIRECTORY);
    if (dir < 0)
        return dir == -ENOENT ? 0 : dir;
    c->dir = dir;
    int r = upper_read_folder(c->root, c->folder, &reader);
    return r < 0 ? r : c->error;
}

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct settle_file *)a)->path, ((const struct settle_file *)b)->path);
}

static int scan_all(struct settle *s, const char *upper, struct verror *err)
{
    _cleanup_close_ int root = open(upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT ? 0 : verror_errno(err, errno, "%s", upper);
    struct scan c = {.settle = s, .root = root};
    c.todo = xgrow(NULL, &c.alloc, 1, sizeof(char *));
    c.todo[c.n++] = xstrdup("");
    int r = 0;
    while (c.n) {
        _cleanup_free_ char *folder = c.todo[--c.n];
        c.folder = folder;
        if (r == 0 && (r = scan_folder(&c)) < 0)
            verror_errno(err, r, "%s/%s", upper, folder);
    }
    free(c.todo);
    if (s->n_files)
        qsort(s->files, s->n_files, sizeof(*s->files), by_file);
    return r;
}

struct settle_file *settle_file_at(const struct settle *s, const char *path)
{
    const struct settle_file key = {.path = (char *)(uintptr_t)path};
    return s->n_files ? bsearch(&key, s->files, s->n_files, sizeof(key), by_file) : NULL;
}

/* ---- distributions ---- */

static char *site_of(const struct manifest *m)
{
    return xasprintf("lib/%s/site-packages/", m->python_dir);
}

static bool is_dist_info(const char *name, size_t len)
{
    const size_t k = sizeof(suffix) - 1;
    return len > k && memcmp(name + len - k, suffix, k) == 0;
}

/* The .dist-info folders with something in the upper. */
static size_t touched(const struct settle *s, const char *site, char ***ret)
{
    size_t n = 0, alloc = 0, k = strlen(site);
    *ret = NULL;
    for (size_t i = 0; i < s->n_files; i++) {
        const char *name = s->files[i].path + k;
        if (strncmp(s->files[i].path, site, k) != 0)
            continue;
        size_t len = strcspn(name, "/");
        if (!name[len] || !is_dist_info(name, len))
            continue;
        if (n && strlen((*ret)[n - 1]) == len && memcmp((*ret)[n - 1], name, len) == 0)
            continue;
        *ret = xgrow(*ret, &alloc, n + 1, sizeof(char *));
        (*ret)[n++] = xstrndup(name, len);
    }
    return n;
}

static bool misses_files(const struct installed_dist *d)
{
    for (size_t i = 0; i < d->n_edits; i++)
        if (d->edits[i].kind == INSTALLED_MISSING)
            return true;
    return false;
}

static int read_at(const struct settle_from *from, const char *root, char *const *names, size_t n,
                   const struct wheel_options *options, struct installed **ret, struct verror *err)
{
    const struct installed_tree tree = {.root = root, .names = from->names};
    return installed_read(&tree, from->target, (const char *const *)names, n, options, ret, err);
}

/* On disk first, which costs no message; what is not whole there may show its rest from below. */
static int read_dists(const struct settle_from *from, const struct wheel_options *options,
                      struct settle *s, struct verror *err)
{
    _cleanup_free_ char *site = site_of(from->manifest);
    char **names;
    size_t n = touched(s, site, &names), again = 0;
    int r = n ? read_at(from, from->upper, names, n, options, &s->own, err) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const struct installed_dist *d = installed_dist(s->own, i);
        if (d->state == INSTALLED_REFUSED || misses_files(d)) {
            char *name = names[again];
            names[again++] = names[i];
            names[i] = name;
        }
    }
    if (r == 0 && again)
        r = read_at(from, from->root, names, again, options, &s->shown, err);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return r;
}

/* Does the view show a path by this package? */
static bool in_view(const struct settle_from *from, const char *path, uint32_t layer)
{
    struct view_node node;
    uint32_t behind;
    return view_walk(from->view, path, &node) && view_layer_behind(from->view, node, &behind) &&
           behind == layer;
}

/* Does the package still show something of its own at this path? */
static bool still_shows(const struct settle *s, const struct settle_from *from, const char *path,
                        uint32_t layer)
{
    struct stat st;
    _cleanup_free_ char *full = path_join(from->root, path);
    return !settle_file_at(s, path) && in_view(from, path, layer) && lstat(full, &st) == 0;
}

struct scripts {
    const struct settle *settle;
    const struct settle_from *from;
    uint32_t layer;
    bool found;
};

static bool find_script(void *arg, const char *name, size_t len, struct view_node node,
                        uint64_t cookie)
{
    struct scripts *c = arg;
    _cleanup_free_ char *path = joined("bin", name, len);
    (void)node, (void)cookie;
    c->found = still_shows(c->settle, c->from, path, c->layer);
    return !c->found;
}

/* A path of the package that still shows, bytecode aside; malloc'ed, or NULL. */
static char *remains(const struct settle *s, const struct settle_from *from, uint32_t layer)
{
    const struct image *image = view_image(from->view, layer);
    for (uint32_t i = 0; i < image_nodes(image); i++) {
        if (i == IMAGE_ROOT || image_node(image, i).type == IMAGE_DIR)
            continue;
        _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
        image_node_path(image, i, &path);
        if (!path_has_suffix(path.buf, ".pyc") && still_shows(s, from, path.buf, layer))
            return strbuf_detach(&path, NULL);
    }
    struct scripts scripts = {.settle = s, .from = from, .layer = layer};
    struct view_node bin;
    if (view_walk(from->view, "bin", &bin))
        view_readdir(from->view, bin, 0, find_script, &scripts);
    return scripts.found ? xstrdup("a script in bin") : NULL;
}

static void add_gone(struct settle *s, const char *normalised)
{
    s->gone = xrealloc(s->gone, (s->n_gone + 1) * sizeof(char *));
    s->gone[s->n_gone++] = xstrdup(normalised);
}

/* The package of the manifest whose .dist-info folder this is; -1: none. */
static long package_of(const struct settle_from *from, const char *site, const char *name,
                       size_t len)
{
    struct view_node node;
    uint32_t layer;
    _cleanup_free_ char *path = xasprintf("%s%.*s/METADATA", site, (int)len, name);
    if (!view_walk(from->view, path, &node) || !view_layer_behind(from->view, node, &layer))
        return -1;
    return layer;
}

struct leaving {
    struct settle *settle;
    const struct settle_from *from;
    const char *site;
};

/* view_dir_fn: is the .dist-info folder of a package not seen any more? */
static bool find_leaving(void *arg, const char *name, size_t len, struct view_node node,
                         uint64_t cookie)
{
    struct leaving *l = arg;
    struct stat st;
    (void)node, (void)cookie;
    if (!is_dist_info(name, len))
        return true;
    long package = package_of(l->from, l->site, name, len);
    _cleanup_free_ char *path =
        xasprintf("%s/%s%.*s/METADATA", l->from->root, l->site, (int)len, name);
    if (package < 0 || lstat(path, &st) == 0 || errno != ENOENT)
        return true;
    const struct manifest_package *p = &l->from->manifest->packages[package];
    _cleanup_free_ char *rest = remains(l->settle, l->from, (uint32_t)package);
    if (rest)
        add_problem(l->settle, p->name,
                    xasprintf("it was uninstalled, but %s of it is still there", rest));
    else
        add_gone(l->settle, p->normalised);
    return true;
}

static void find_gone_editables(struct settle *s, const struct settle_from *from, const char *site)
{
    for (size_t i = 0; i < from->manifest->n_editables; i++) {
        const struct manifest_editable *e = &from->manifest->editables[i];
        bool there = false;
        for (size_t j = 0; j < e->n_files && !there; j++) {
            struct stat st;
            bool script = !strchr(e->files[j].path, '/') && e->files[j].exec;
            _cleanup_free_ char *path =
                xasprintf("%s/%s%s", from->root, script ? "bin/" : site, e->files[j].path);
            there = lstat(path, &st) == 0;
        }
        if (!there)
            add_gone(s, e->normalised);
    }
}

static void find_gone(struct settle *s, const struct settle_from *from)
{
    _cleanup_free_ char *site = site_of(from->manifest);
    _cleanup_free_ char *folder = xstrndup(site, strlen(site) - 1);
    struct leaving leaving = {.settle = s, .from = from, .site = site};
    struct view_node node;
    if (view_walk(from->view, folder, &node))
        view_readdir(from->view, node, 0, find_leaving, &leaving);
    find_gone_editables(s, from, site);
}

/* ---- which become packages ---- */

static bool is_gone(const struct settle *s, const char *normalised)
{
    for (size_t i = 0; i < s->n_gone; i++)
        if (strcmp(s->gone[i], normalised) == 0)
            return true;
    return false;
}

/* The package of the same name that it takes the place of must not show any more. */
static char *in_the_way(const struct settle *s, const struct settle_from *from,
                        const struct installed_dist *d)
{
    _cleanup_free_ char *name = dist_name_normalise(d->name);
    for (size_t i = 0; i < from->manifest->n_packages; i++) {
        const struct manifest_package *p = &from->manifest->packages[i];
        if (strcmp(p->normalised, name) != 0 || is_gone(s, name))
            continue;
        _cleanup_free_ char *own =
            xasprintf("lib/%s/site-packages/%s/METADATA", from->manifest->python_dir, d->dist_info);
        if (in_view(from, own, (uint32_t)i)) /* this very package, touched */
            return NULL;
        _cleanup_free_ char *rest = remains(s, from, (uint32_t)i);
        return rest ? xasprintf("%s of version %s is still there", rest, p->version) : NULL;
    }
    return NULL;
}

static bool is_second(const struct settle *s, const struct installed_dist *d)
{
    for (size_t i = 0; i < s->n_dists; i++)
        if (dist_name_compare(d->name, s->dists[i]->name) == 0)
            return true;
    return false;
}

static void consider(struct settle *s, const struct settle_from *from, struct installed_dist *d)
{
    if (d->state == INSTALLED_EDITABLE)
        return;
    if (d->state == INSTALLED_REFUSED) {
        add_problem(s, d->dist_info, xstrdup(verror_message(&d->error)));
        /* What is there and no RECORD stays so, and must not keep the others waiting. */
        s->unfinished |= d->error.errnum == ENODATA;
        return;
    }
    char *why =
        is_second(s, d) ? xstrdup("another version of it is there, too") : in_the_way(s, from, d);
    if (why) {
        add_problem(s, d->dist_info, why);
        return;
    }
    s->unfinished |= misses_files(d);
    s->dists = xrealloc(s->dists, (s->n_dists + 1) * sizeof(*s->dists));
    s->dists[s->n_dists++] = d;
}

static bool was_read_again(const struct settle *s, const struct installed_dist *d)
{
    for (size_t i = 0; s->shown && i < installed_count(s->shown); i++)
        if (strcmp(installed_dist(s->shown, i)->dist_info, d->dist_info) == 0)
            return true;
    return false;
}

/* What has a problem gets no image. */
static void leave_out(const struct settle *s, struct installed_dist *d)
{
    for (size_t i = 0; i < s->n_dists; i++)
        if (s->dists[i] == d)
            return;
    d->state = INSTALLED_EDITABLE;
}

/* Those that were read again count as they show. */
static void choose(struct settle *s, const struct settle_from *from)
{
    for (size_t i = 0; s->own && i < installed_count(s->own); i++) {
        struct installed_dist *d = installed_dist(s->own, i);
        if (was_read_again(s, d))
            d->state = INSTALLED_EDITABLE; /* installed_ingest() passes it over */
        else
            consider(s, from, d);
    }
    for (size_t i = 0; s->shown && i < installed_count(s->shown); i++)
        consider(s, from, installed_dist(s->shown, i));
    for (size_t i = 0; s->own && i < installed_count(s->own); i++)
        leave_out(s, installed_dist(s->own, i));
    for (size_t i = 0; s->shown && i < installed_count(s->shown); i++)
        leave_out(s, installed_dist(s->shown, i));
}

int settle_read(const struct settle_from *from, const struct wheel_options *options,
                struct settle *ret, struct verror *err)
{
    *ret = (struct settle){.files = NULL};
    int r = scan_all(ret, from->upper, err);
    if (r == 0)
        r = read_dists(from, options, ret, err);
    if (r < 0) {
        settle_release(ret);
        return r;
    }
    find_gone(ret, from);
    choose(ret, from);
    return 0;
}

/* ---- packages ---- */

int settle_ingest(struct settle *s, struct store *store, const struct wheel_options *options,
                  struct verror *err)
{
    int r = s->own ? installed_ingest(s->own, store, options, err) : 0;
    return r == 0 && s->shown ? installed_ingest(s->shown, store, options, err) : r;
}

/* When its last file was written: with that time its other files change theirs least. */
static int64_t time_of(const struct settle *s, const struct manifest *m,
                       const struct installed_dist *d)
{
    _cleanup_free_ char *record =
        xasprintf("lib/%s/site-packages/%s/RECORD", m->python_dir, d->dist_info);
    const struct settle_file *f = settle_file_at(s, record);
    return f ? f->mtime_ns : 0;
}

static void add_package(const struct settle *s, struct manifest *m, const struct installed_dist *d)
{
    _cleanup_free_ char *name = dist_name_normalise(d->name);
    const struct manifest_package *old = manifest_find(m, name);
    bool seed = old && old->seed;
    bool same = old && sha256_equal(&old->image.id, &d->image.id);
    struct manifest_package *p = manifest_add(m, d->name);
    free(p->version);
    p->version = xstrdup(d->version);
    p->image = d->image;
    if (!same) {
        p->wheel = d->wheel;
        p->entered_ns = time_of(s, m, d);
    }
    p->requested = d->requested;
    p->seed = seed;
    manifest_set_installer(p, d->installer);
    json_decref(p->direct_url);
    p->direct_url = d->direct_url ? json_loads(d->direct_url, 0, NULL) : NULL;
    manifest_drop_editable(m, name);
}

void settle_apply(const struct settle *s, struct manifest *next)
{
    for (size_t i = 0; i < s->n_dists; i++)
        add_package(s, next, s->dists[i]);
    for (size_t i = 0; i < s->n_gone; i++) {
        bool back = false;
        for (size_t j = 0; j < s->n_dists && !back; j++)
            back = dist_name_compare(s->dists[j]->name, s->gone[i]) == 0;
        if (!back) {
            manifest_drop(next, s->gone[i]);
            manifest_drop_editable(next, s->gone[i]);
        }
    }
}
