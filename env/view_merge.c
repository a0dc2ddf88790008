/* Composing a view: folders of several images become one.
 *
 * DESIGN. Folders to merge wait in a queue, each with its sources (the folders of images that it
 * unites); the root is the first. For each, all children of all sources, the files that venvfs
 * generates there and, in bin/, the images' scripts are collected, sorted by the hash of the name,
 * then the name, then who wins; so each name is one run of entries whose last decides. A folder
 * that one image has alone stays that image's and is not looked into, which is why composing costs
 * by packages and not by files. Nothing recurses, and what hostile images could make grow without
 * bound (paths) has a limit.
 */
#include "env/view_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"

#define MAX_PATH 4000u                  /* of a merged folder, relative to the root */
#define MAX_STRINGS (16u * 1024 * 1024) /* all paths of a view together */
#define MAX_CONFLICTS 10000u            /* more are not recorded */
#define NO_FIXED UINT32_MAX

enum entry_kind { ENTRY_SCRIPT, ENTRY_IMAGE, ENTRY_FIXED };

struct entry {
    uint64_t hash;
    uint64_t rank; /* among entries of one name: the highest wins */
    const char *name;
    uint32_t len;
    uint32_t layer;
    uint32_t index; /* ENTRY_IMAGE: node; ENTRY_SCRIPT: script; ENTRY_FIXED: index of the table */
    uint8_t kind;   /* enum entry_kind */
    bool is_dir;
};

struct source {
    uint32_t layer, node;
};

struct folder { /* what composing knows of merged[i] besides */
    uint32_t first_source, n_sources;
    uint32_t fixed; /* its entry in the table of fixed files, or NO_FIXED */
};

struct pending_conflict {
    uint32_t path, loser, winner; /* in strings; layers */
};

struct compose {
    struct view *view;
    struct view_fixed *fixed;
    size_t n_fixed;
    struct strbuf strings;
    struct folder *folders; /* parallel to view->merged */
    struct source *sources;
    struct entry *entries; /* of the folder in work */
    struct pending_conflict *conflicts;
    size_t folders_alloc, merged_alloc, generated_alloc, refs_alloc, tops_alloc;
    size_t n_sources, sources_alloc, n_entries, entries_alloc, n_conflicts, conflicts_alloc;
    struct verror *err;
};

/* PARENT/NAME in strings; *name is where NAME begins. */
static int add_path(struct compose *c, uint32_t parent, const char *name, size_t len,
                    uint32_t *path, uint32_t *name_at)
{
    size_t parent_len = strlen(c->strings.buf + parent);
    if (parent_len + len + 1 > MAX_PATH || c->strings.len + parent_len + len + 2 > MAX_STRINGS)
        return verror_set(c->err, ENAMETOOLONG,
                          "%.200s...: paths of the environment's packages are too long",
                          c->strings.buf + parent);
    strbuf_grow(&c->strings, parent_len + len + 2);
    *path = (uint32_t)c->strings.len;
    strbuf_add(&c->strings, c->strings.buf + parent, parent_len);
    if (parent_len > 0)
        strbuf_addch(&c->strings, '/');
    if (name_at != NULL)
        *name_at = (uint32_t)c->strings.len;
    strbuf_add(&c->strings, name, len);
    strbuf_addch(&c->strings, '\0');
    return 0;
}

/* A new merged folder whose sources are those added since `first_source`. */
static void add_merged(struct compose *c, struct view_merged merged, uint32_t first_source,
                       uint32_t fixed)
{
    struct view *v = c->view;
    v->merged = xgrow(v->merged, &c->merged_alloc, v->n_merged + 1u, sizeof(*v->merged));
    c->folders = xgrow(c->folders, &c->folders_alloc, v->n_merged + 1u, sizeof(*c->folders));
    v->merged[v->n_merged] = merged;
    c->folders[v->n_merged] = (struct folder){
        .first_source = first_source,
        .n_sources = (uint32_t)c->n_sources - first_source,
        .fixed = fixed,
    };
    v->n_merged++;
}

static void add_source(struct compose *c, uint32_t layer, uint32_t node)
{
    c->sources = xgrow(c->sources, &c->sources_alloc, c->n_sources + 1, sizeof(*c->sources));
    c->sources[c->n_sources++] = (struct source){layer, node};
}

static void add_entry(struct compose *c, struct entry e)
{
    e.hash = view_hash(e.name, e.len);
    e.rank = e.kind == ENTRY_FIXED ? UINT64_MAX : (uint64_t)e.layer * 2 + (e.kind == ENTRY_IMAGE);
    c->entries = xgrow(c->entries, &c->entries_alloc, c->n_entries + 1, sizeof(*c->entries));
    c->entries[c->n_entries++] = e;
}

/* ---- collecting ---- */

static void collect_sources(struct compose *c, const struct folder *folder)
{
    for (uint32_t i = 0; i < folder->n_sources; i++) {
        struct source s = c->sources[folder->first_source + i];
        const struct view_layer *layer = &c->view->layers[s.layer];
        struct image_node dir = image_node(layer->image, s.node);
        for (uint32_t child = dir.first; child < dir.first + dir.count; child++) {
            size_t len;
            const char *name = image_name(layer->image, child, &len);
            if (!image_present(layer->image, child, layer->requested))
                continue;
            add_entry(c, (struct entry){
                             .name = name,
                             .len = (uint32_t)len,
                             .layer = s.layer,
                             .index = child,
                             .kind = ENTRY_IMAGE,
                             .is_dir = image_node(layer->image, child).type == IMAGE_DIR,
                         });
        }
    }
}

static void collect_fixed(struct compose *c, uint32_t parent)
{
    for (uint32_t i = 1; i < c->n_fixed; i++) {
        const struct view_fixed *f = &c->fixed[i];
        if (f->parent == parent)
            add_entry(c, (struct entry){
                             .name = f->name,
                             .len = (uint32_t)strlen(f->name),
                             .layer = f->layer,
                             .index = i,
                             .kind = ENTRY_FIXED,
                             .is_dir = f->is_dir,
                         });
    }
}

static void collect_scripts(struct compose *c)
{
    for (uint32_t layer = 0; layer < c->view->n_layers; layer++) {
        const struct image *image = c->view->layers[layer].image;
        for (uint32_t i = 0; i < image_scripts(image); i++) {
            struct image_script script = image_script(image, i);
            size_t len = strlen(script.name);
            if (path_component_ok(script.name, len))
                add_entry(c, (struct entry){
                                 .name = script.name,
                                 .len = (uint32_t)len,
                                 .layer = layer,
                                 .index = i,
                                 .kind = ENTRY_SCRIPT,
                             });
        }
    }
}

static bool is_bin(const struct compose *c, uint32_t fixed)
{
    return fixed != NO_FIXED && fixed != 0 && c->fixed[fixed].parent == 0 &&
           strcmp(c->fixed[fixed].name, "bin") == 0;
}

/* ---- deciding ---- */

static bool same_name(const struct entry *a, const struct entry *b)
{
    return a->hash == b->hash && a->len == b->len && memcmp(a->name, b->name, a->len) == 0;
}

static int compare_entries(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);
    if (order != 0)
        return order;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Would either of two files of one path read the same? Bytecode is compiled at ingest and up to
 * Python 3.10 differs between runs of one compiler, so it is never worth a report of its own. */
static bool same_file(const struct view *v, const struct entry *a, const struct entry *b)
{
    if (a->kind != ENTRY_IMAGE || b->kind != ENTRY_IMAGE)
        return false;
    const struct image *x = v->layers[a->layer].image, *y = v->layers[b->layer].image;
    struct image_node m = image_node(x, a->index), n = image_node(y, b->index);
    if (m.type != n.type || (m.flags & IMAGE_EXEC) != (n.flags & IMAGE_EXEC))
        return false;
    if (m.flags & n.flags & IMAGE_BYTECODE)
        return true;
    if (m.size != n.size)
        return false;
    if (m.type == IMAGE_SYMLINK) {
        size_t m_len, n_len;
        const char *to = image_target(x, a->index, &m_len);
        const char *other = image_target(y, b->index, &n_len);
        return m_len == n_len && memcmp(to, other, m_len) == 0;
    }
    if (m.blob == IMAGE_NO_BLOB || n.blob == IMAGE_NO_BLOB)
        return m.blob == n.blob;
    return sha256_equal(image_blob_id(x, m.blob), image_blob_id(y, n.blob));
}

static int add_conflict(struct compose *c, uint32_t dir_path, const struct entry *loser,
                        const struct entry *winner)
{
    if (loser->layer == winner->layer || c->n_conflicts >= MAX_CONFLICTS ||
        same_file(c->view, loser, winner))
        return 0;
    struct pending_conflict conflict = {.loser = loser->layer,
                                        .winner = winner->kind == ENTRY_FIXED ? VIEW_NO_LAYER
                                                                              : winner->layer};
    int r = add_path(c, dir_path, winner->name, winner->len, &conflict.path, NULL);
    if (r < 0)
        return r;
    c->conflicts =
        xgrow(c->conflicts, &c->conflicts_alloc, c->n_conflicts + 1, sizeof(*c->conflicts));
    c->conflicts[c->n_conflicts++] = conflict;
    return 0;
}

static int add_generated(struct compose *c, uint32_t dir_path, const struct entry *e, uint64_t *ref)
{
    struct view *v = c->view;
    struct view_generated g = {.kind = GENERATED_SCRIPT, .layer = e->layer, .item = e->index};
    if (e->kind == ENTRY_FIXED) {
        const struct view_fixed *f = &c->fixed[e->index];
        g = (struct view_generated){.kind = f->kind, .layer = f->layer, .item = f->item};
    }
    int r = add_path(c, dir_path, e->name, e->len, &g.path, &g.name);
    if (r < 0)
        return r;
    v->generated =
        xgrow(v->generated, &c->generated_alloc, v->n_generated + 1u, sizeof(*v->generated));
    *ref = view_ref_make(VIEW_GENERATED, 0, v->n_generated);
    v->generated[v->n_generated++] = g;
    return 0;
}

/* A folder: the only image's that has it, or a new merged one. Files of that name lose. */
static int resolve_dir(struct compose *c, uint32_t dir_path, const struct entry *e, size_t n,
                       uint64_t *ref)
{
    const struct entry *winner = &e[n - 1];
    uint32_t first_source = (uint32_t)c->n_sources;
    for (size_t i = 0; i < n; i++) {
        if (!e[i].is_dir) {
            int r = add_conflict(c, dir_path, &e[i], winner);
            if (r < 0)
                return r;
        } else if (e[i].kind == ENTRY_IMAGE) {
            add_source(c, e[i].layer, e[i].index);
        }
    }
    if (winner->kind == ENTRY_IMAGE && c->n_sources - first_source == 1) {
        c->n_sources = first_source;
        *ref = view_ref_make(VIEW_IMAGE, winner->layer, winner->index);
        return 0;
    }
    struct view_merged merged = {0};
    int r = add_path(c, dir_path, winner->name, winner->len, &merged.path, &merged.name);
    if (r < 0)
        return r;
    *ref = view_ref_make(VIEW_MERGED, 0, c->view->n_merged);
    add_merged(c, merged, first_source, winner->kind == ENTRY_FIXED ? winner->index : NO_FIXED);
    return 0;
}

/* All entries of one name, the winner last, become one child. */
static int resolve(struct compose *c, uint32_t dir_path, const struct entry *e, size_t n)
{
    struct view *v = c->view;
    const struct entry *winner = &e[n - 1];
    uint64_t ref = 0;
    int r = 0;
    if (winner->is_dir) {
        r = resolve_dir(c, dir_path, e, n, &ref);
    } else {
        for (size_t i = 0; i + 1 < n && r == 0; i++)
            r = add_conflict(c, dir_path, &e[i], winner);
        if (r == 0 && winner->kind == ENTRY_IMAGE)
            ref = view_ref_make(VIEW_IMAGE, winner->layer, winner->index);
        else if (r == 0)
            r = add_generated(c, dir_path, winner, &ref);
    }
    if (r < 0)
        return r;
    v->refs = xgrow(v->refs, &c->refs_alloc, v->n_refs + 1u, sizeof(*v->refs));
    v->tops = xgrow(v->tops, &c->tops_alloc, v->n_refs + 1u, sizeof(*v->tops));
    v->refs[v->n_refs] = ref;
    v->tops[v->n_refs++] = view_hash_top(winner->hash);
    return 0;
}

static int merge_folder(struct compose *c, uint32_t at)
{
    struct view *v = c->view;
    struct folder folder = c->folders[at];
    uint32_t path = v->merged[at].path, first = v->n_refs;
    c->n_entries = 0;
    collect_sources(c, &folder);
    if (folder.fixed != NO_FIXED)
        collect_fixed(c, folder.fixed);
    if (is_bin(c, folder.fixed))
        collect_scripts(c);
    if (c->n_entries > 1)
        qsort(c->entries, c->n_entries, sizeof(*c->entries), compare_entries);
    unsigned equal = 0;
    for (size_t i = 0, n; i < c->n_entries; i += n) {
        for (n = 1; i + n < c->n_entries && same_name(&c->entries[i], &c->entries[i + n]);)
            n++;
        equal = i > 0 && c->entries[i - 1].hash == c->entries[i].hash ? equal + 1 : 0;
        if (equal >= VIEW_MAX_EQUAL_HASHES)
            return verror_set(c->err, EBADMSG,
                              "%s: names in this folder were made to have the same hash",
                              c->strings.buf + path);
        int r = resolve(c, path, &c->entries[i], n);
        if (r < 0)
            return r;
    }
    v->merged[at].first = first;
    v->merged[at].count = v->n_refs - first;
    return 0;
}

/* ---- beginning and end ---- */

static char *copy_or_null(const char *s)
{
    return s == NULL ? NULL : xstrdup(s);
}

static struct view_file copy_file(const struct manifest_file *f)
{
    static const char mark[] = "#!python\n";
    struct view_file c = {.path = xstrdup(f->path), .path_len = strlen(f->path), .exec = f->exec};
    c.script = f->exec && strncmp(f->text, mark, sizeof(mark) - 1) == 0;
    c.text = xstrdup(f->text + (c.script ? sizeof(mark) - 1 : 0));
    for (char *slash = c.path; (slash = strchr(slash, '/')) != NULL; slash++)
        *slash = '\0';
    return c;
}

static void copy_files(struct view *v, const struct manifest *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_editables; i++)
        n += m->editables[i].n_files;
    v->files = xcalloc(n + 1, sizeof(*v->files));
    for (size_t i = 0; i < m->n_editables; i++)
        for (size_t k = 0; k < m->editables[i].n_files; k++)
            v->files[v->n_files++] = copy_file(&m->editables[i].files[k]);
}

/* What generated texts need of the manifest. */
static void copy_facts(struct view *v, const struct manifest *m, const char *address)
{
    v->facts = (struct manifest){
        .generation = m->generation,
        .time_ns = m->time_ns,
        .system_site_packages = m->system_site_packages,
        .is_64bit = m->is_64bit,
        .bare = m->bare,
        .prompt = copy_or_null(m->prompt),
        .executable = copy_or_null(m->executable),
        .base_executable = copy_or_null(m->base_executable),
        .home = copy_or_null(m->home),
        .version = copy_or_null(m->version),
        .python_dir = copy_or_null(m->python_dir),
        .platlibdir = copy_or_null(m->platlibdir),
        .settings = m->settings ? json_deep_copy(m->settings) : NULL,
    };
    copy_files(v, m);
    v->accelerator = !json_is_false(json_object_get(m->settings, "import_hook"));
    v->address = xstrdup(address);
    v->interpreter = xasprintf("%s/bin/python", address);
    if (m->executable == NULL)
        return;
    /* As venv, keep the name by which the interpreter was called, unless that leads elsewhere. */
    _cleanup_free_ char *dir = path_dirname(m->executable);
    v->link_target = xstrdup(strcmp(dir, m->home) == 0 ? m->executable : m->base_executable);
    v->link_name = path_basename(v->link_target);
}

static int check_facts(const struct manifest *m, const char *address, struct verror *err)
{
    if (address != NULL && m->bare && m->executable == NULL && m->n_packages == 0)
        return 0;
    if (address == NULL || m->executable == NULL || m->base_executable == NULL || m->home == NULL ||
        m->version == NULL || m->python_dir == NULL)
        return verror_set(err, EINVAL, "the manifest lacks its address or interpreter");
    if (!path_component_ok(m->python_dir, strlen(m->python_dir)))
        return verror_set(err, EINVAL, "the manifest's python_dir is no folder name");
    return 0;
}

static int open_layers(struct compose *c, const struct manifest *m,
                       const struct view_images *images)
{
    struct view *v = c->view;
    v->layers = xcalloc(m->n_packages + 1, sizeof(*v->layers));
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        struct view_layer *layer = &v->layers[i];
        int r = images->open(images->arg, &p->image, &layer->image, c->err);
        if (r < 0)
            return r;
        v->n_layers++;
        layer->id = p->image;
        layer->entered_ns = p->entered_ns;
        layer->requested = p->requested;
        if (p->installer) {
            layer->installer = (uint32_t)c->strings.len;
            strbuf_addf(&c->strings, "%s\n", p->installer);
            strbuf_addch(&c->strings, '\0');
        }
        if (p->direct_url == NULL)
            continue;
        /* As pip writes it: sorted keys, ", " and ": ". */
        char *text = json_dumps(p->direct_url, JSON_SORT_KEYS | JSON_ENSURE_ASCII);
        if (text == NULL)
            return verror_set(c->err, EINVAL, "%s: direct_url of the manifest is no object",
                              p->name);
        layer->direct_url = (uint32_t)c->strings.len;
        strbuf_add(&c->strings, text, strlen(text) + 1);
        free(text);
        if (c->strings.len > MAX_STRINGS)
            return verror_set(c->err, E2BIG, "%s: direct_url of the manifest is too long", p->name);
    }
    return 0;
}

static int compare_numbers(const void *x, const void *y, void *arg)
{
    const struct view *v = arg;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    uint32_t m = v->layers[a].id.number, n = v->layers[b].id.number;
    if (m != n)
        return m < n ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void index_layers(struct view *v)
{
    v->by_number = xcalloc(v->n_layers + 1u, sizeof(*v->by_number));
    for (uint32_t i = 0; i < v->n_layers; i++)
        v->by_number[i] = i;
    qsort_r(v->by_number, v->n_layers, sizeof(*v->by_number), compare_numbers, v);
}

/* Gives back what the doubling of arrays took too much: views live as long as the daemon. */
#define TRIM(array, n) ((array) = xrealloc((array), ((n) > 0 ? (size_t)(n) : 1) * sizeof(*(array))))

static void finish(struct compose *c)
{
    struct view *v = c->view;
    size_t strings_len = c->strings.len;
    v->strings = strbuf_detach(&c->strings, NULL);
    v->strings = xrealloc(v->strings, strings_len + 1);
    TRIM(v->merged, v->n_merged);
    TRIM(v->generated, v->n_generated);
    TRIM(v->refs, v->n_refs);
    TRIM(v->tops, v->n_refs);
    v->n_conflicts = (uint32_t)c->n_conflicts;
    v->conflicts = xcalloc(c->n_conflicts + 1, sizeof(*v->conflicts));
    for (size_t i = 0; i < c->n_conflicts; i++) {
        const struct pending_conflict *p = &c->conflicts[i];
        v->conflicts[i] = (struct view_conflict){
            .path = v->strings + p->path,
            .loser = image_dist_name(v->layers[p->loser].image),
            .winner =
                p->winner == VIEW_NO_LAYER ? "venvfs" : image_dist_name(v->layers[p->winner].image),
        };
    }
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    for (uint32_t i = 0; i < v->n_generated; i++) {
        strbuf_reset(&text);
        view_generated_text(v, &v->generated[i], &text);
        v->generated[i].text_size = (uint32_t)text.len;
    }
}

static int compose(struct compose *c, const struct manifest *m, const struct view_images *images)
{
    struct view *v = c->view;
    strbuf_add(&c->strings, "", 1); /* offset 0 is "" */
    int r = open_layers(c, m, images);
    if (r < 0)
        return r;
    index_layers(v);
    /* The texts of direct_url.json are looked at while composing. */
    v->strings = c->strings.buf;
    c->fixed = view_fixed_list(v, &c->n_fixed);
    v->strings = NULL;
    for (uint32_t i = 0; i < v->n_layers; i++)
        add_source(c, i, IMAGE_ROOT);
    add_merged(c, (struct view_merged){0}, 0, 0);
    for (uint32_t at = 0; at < v->n_merged; at++) {
        r = merge_folder(c, at);
        if (r < 0)
            return r;
    }
    finish(c);
    return view_check_images(v, c->err);
}

int view_compose(const struct manifest *m, const char *address, const struct view_images *images,
                 struct view **ret, struct verror *err)
{
    if (address == NULL)
        address = m->address;
    int r = check_facts(m, address, err);
    if (r < 0)
        return r;
    struct compose c = {
        .view = xcalloc(1, sizeof(struct view)), .strings = STRBUF_INIT, .err = err};
    c.view->refs_held = 1;
    copy_facts(c.view, m, address);
    r = compose(&c, m, images);
    free(c.fixed);
    free(c.folders);
    free(c.sources);
    free(c.entries);
    free(c.conflicts);
    strbuf_release(&c.strings);
    if (r < 0)
        view_unref(c.view);
    else
        *ret = c.view;
    return r;
}
