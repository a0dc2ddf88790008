#include "wheel/tree_plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "wheel/content.h"
#include "wheel/metadata.h"
#include "wheel/shebang.h"
#include "wheel/tree.h"
#include "wheel/wrapper.h"

/* Far above any real one. */
#define MAX_METADATA (UINT64_C(16) << 20)
#define MAX_RECORD (UINT64_C(256) << 20)
#define MAX_SCRIPT (UINT64_C(16) << 20)
#define MAX_LINE 200 /* of INSTALLER, a name, a version */

static const char suffix[] = ".dist-info";

/* A row of RECORD and where its file is. */
struct place {
    char *path; /* in the image */
    char *disk; /* from the root */
    const struct record_row *row;
};

struct reading {
    const struct tree_source *source;
    struct installed_dist *dist;
    struct wheel_plan *plan;
    struct record record; /* as it lies there; the plan's has what is true */
    struct place *places; /* sorted by path, each once */
    size_t n_places;
    size_t alloc_edits, alloc_owned, alloc_absent;
    struct content content, recorded;
    struct verror *err;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static int refuse_path(const char *path, const char *why, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(path, strlen(path), &shown);
    return verror_set(err, EBADMSG, "RECORD lists %s, which %s", shown.buf, why);
}

/* ---- the .dist-info folder ---- */

/* NAME-VERSION.dist-info */
static int read_folder_name(struct reading *rd)
{
    const char *folder = rd->plan->dist_info;
    if (!ends_with(folder, suffix) || strchr(folder, '/') ||
        layout_member_problem(folder, strlen(folder)))
        return verror_set(rd->err, EBADMSG, "its name is not that of a %s folder", suffix);
    _cleanup_free_ char *stem = xstrndup(folder, strlen(folder) - strlen(suffix));
    char *dash = strrchr(stem, '-');
    if (!dash || dash == stem || !dash[1])
        return verror_set(rd->err, EBADMSG, "its name is not NAME-VERSION%s", suffix);
    *dash = '\0';
    rd->plan->name.dist = xstrdup(stem);
    rd->plan->name.version = xstrdup(dash + 1);
    return 0;
}

static char *info_path(const struct reading *rd, const char *name)
{
    return xasprintf("%s/%s/%s", rd->source->site, rd->plan->dist_info, name);
}

/* *ret NULL: there is no such plain file. */
static int read_info(const struct reading *rd, const char *name, uint64_t limit, char **ret,
                     size_t *len)
{
    _cleanup_free_ char *path = info_path(rd, name);
    int r = tree_read_file(rd->source->root, path, limit, ret, len, rd->err);
    return r < 0 ? r : 0;
}

static int need_info(const struct reading *rd, const char *name, uint64_t limit, char **ret,
                     size_t *len)
{
    int r = read_info(rd, name, limit, ret, len);
    if (r == 0 && !*ret)
        return verror_set(rd->err, ENODATA, "has no %s", name);
    return r;
}

/* "Names and normalization"; what a manifest can hold. */
static bool is_name(const char *s)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(s);
    return n && n <= MAX_LINE && strspn(s, allowed) == n && !strchr("._-", s[0]) &&
           !strchr("._-", s[n - 1]);
}

static bool is_version(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] == '/' || s[i] == 0x7f)
            return false;
    return n && n <= MAX_LINE;
}

static int read_metadata(struct reading *rd)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = need_info(rd, "METADATA", MAX_METADATA, &text, &len);
    if (r == 0)
        r = metadata_parse(text, len, &rd->plan->name, &rd->plan->dist_name,
                           &rd->plan->dist_version, rd->err);
    if (r < 0)
        return r;
    if (!is_name(rd->plan->dist_name) || !is_version(rd->plan->dist_version))
        return verror_set(rd->err, EBADMSG, "METADATA has a Name or Version that cannot be one");
    rd->dist->name = xstrdup(rd->plan->dist_name);
    rd->dist->version = xstrdup(rd->plan->dist_version);
    return 0;
}

static int read_record(struct reading *rd)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = need_info(rd, "RECORD", MAX_RECORD, &text, &len);
    if (r == 0)
        r = record_parse(text, len, &rd->record, rd->err);
    if (r == 0 && rd->record.n > ZIP_MAX_MEMBERS)
        return verror_set(rd->err, EBADMSG, "RECORD lists %zu files; at most %d can be",
                          rd->record.n, ZIP_MAX_MEMBERS);
    return r;
}

static int read_entry_points(struct reading *rd)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = read_info(rd, "entry_points.txt", MAX_METADATA, &text, &len);
    if (r < 0 || !text)
        return r;
    const struct wheel_target *target = rd->source->target;
    return entry_points_parse(text, len, target->major, target->minor, &rd->plan->entry_points,
                              rd->err);
}

/* PEP 610. An editable install is one of a folder, {"dir_info": {"editable": true}}. */
static int read_direct_url(struct reading *rd, bool *editable)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    *editable = false;
    int r = read_info(rd, "direct_url.json", MAX_METADATA, &text, &len);
    if (r < 0 || !text)
        return r;
    json_t *json = json_loadb(text, len, 0, NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return verror_set(rd->err, EBADMSG, "direct_url.json is no JSON object");
    }
    const json_t *info = json_object_get(json, "dir_info");
    *editable = json_is_true(json_object_get(info, "editable"));
    json_decref(json);
    rd->dist->direct_url = steal_ptr(text);
    return 0;
}

static int read_installation(struct reading *rd)
{
    _cleanup_free_ char *text = NULL, *requested = NULL;
    size_t len, n = 0;
    int r = read_info(rd, "INSTALLER", MAX_METADATA, &text, &len);
    if (r < 0)
        return r;
    while (text && n < len && n < MAX_LINE && (unsigned char)text[n] >= 0x20 && text[n] != 0x7f)
        n++;
    if (n)
        rd->dist->installer = xstrndup(text, n);
    r = read_info(rd, "REQUESTED", MAX_METADATA, &requested, &len);
    rd->dist->requested = requested != NULL;
    return r;
}

/* ---- rows and their places ---- */

static char *disk_path(const struct reading *rd, const char *path)
{
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages/", rd->plan->layout.python_dir);
    size_t n = strlen(site);
    if (strncmp(path, site, n) == 0)
        return xasprintf("%s/%s", rd->source->site, path + n);
    return xstrdup(path);
}

/* An absolute path counts where it lies in the environment, by one of its names. */
static char *absolute_place(const struct reading *rd, const char *path)
{
    for (const char *const *root = rd->source->names; *root; root++) {
        size_t n = strlen(*root);
        if (n && strncmp(path, *root, n) == 0 && path[n] == '/') {
            _cleanup_free_ char *relative = xasprintf("../../../%s", path + n);
            return layout_record_place(&rd->plan->layout, relative);
        }
    }
    return NULL;
}

static int find_place(const struct reading *rd, const struct record_row *row, struct place *ret)
{
    char *path = row->path[0] == '/' ? absolute_place(rd, row->path)
                                     : layout_record_place(&rd->plan->layout, row->path);
    if (!path)
        return refuse_path(row->path, "lies outside the environment", rd->err);
    const char *problem = layout_member_problem(path, strlen(path));
    if (problem) {
        free(path);
        return refuse_path(row->path, problem, rd->err);
    }
    *ret = (struct place){.path = path, .disk = disk_path(rd, path), .row = row};
    return 0;
}

static int by_place(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

static const struct place *place_at(const struct reading *rd, const char *path)
{
    const struct place key = {.path = (char *)(uintptr_t)path};
    if (!rd->n_places)
        return NULL;
    return bsearch(&key, rd->places, rd->n_places, sizeof(key), by_place);
}

static bool same_hash(const struct record_row *a, const struct record_row *b)
{
    return a->hash == b->hash && memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

static void place_release(struct place *p)
{
    free(p->path);
    free(p->disk);
    *p = (struct place){.path = NULL};
}

/* record_parse() has merged equal rows; these are other spellings of one path. */
static int merge_places(struct reading *rd)
{
    size_t kept = 0;
    for (size_t i = 0; i < rd->n_places; i++) {
        struct place *p = &rd->places[i], *last = kept ? &rd->places[kept - 1] : NULL;
        if (last && strcmp(last->path, p->path) == 0) {
            if (!same_hash(last->row, p->row))
                return refuse_path(p->row->path, "another row lists with another hash", rd->err);
            place_release(p);
            continue;
        }
        struct place copy = *p;
        *p = (struct place){.path = NULL};
        rd->places[kept++] = copy;
    }
    rd->n_places = kept;
    return 0;
}

static int find_places(struct reading *rd)
{
    rd->places = xcalloc(rd->record.n + 1, sizeof(*rd->places));
    for (size_t i = 0; i < rd->record.n; i++) {
        int r = find_place(rd, &rd->record.rows[i], &rd->places[rd->n_places]);
        if (r < 0)
            return r;
        rd->n_places++;
    }
    qsort(rd->places, rd->n_places, sizeof(*rd->places), by_place);
    return merge_places(rd);
}

/* ---- what is found ---- */

static void add_owned(struct reading *rd, const char *path)
{
    struct installed_dist *d = rd->dist;
    d->owned = xgrow(d->owned, &rd->alloc_owned, d->n_owned + 1, sizeof(*d->owned));
    d->owned[d->n_owned++] = xstrdup(path);
}

static void add_edit(struct reading *rd, const char *path, enum tree_state state)
{
    static const enum installed_edit_kind kinds[] = {
        [TREE_FILE] = INSTALLED_CHANGED,
        [TREE_MISSING] = INSTALLED_MISSING,
        [TREE_LINK] = INSTALLED_LINK,
        [TREE_OTHER] = INSTALLED_OTHER,
    };
    struct installed_dist *d = rd->dist;
    d->edits = xgrow(d->edits, &rd->alloc_edits, d->n_edits + 1, sizeof(*d->edits));
    d->edits[d->n_edits++] = (struct installed_edit){.path = xstrdup(path), .kind = kinds[state]};
}

static void add_absent(struct reading *rd, const struct place *p, bool executable)
{
    struct record *absent = &rd->plan->absent;
    absent->rows = xgrow(absent->rows, &rd->alloc_absent, absent->n + 1, sizeof(*absent->rows));
    struct record_row *row = &absent->rows[absent->n++];
    *row = *p->row;
    row->path = xstrdup(p->path);
    if (row->hash != RECORD_SHA256) {
        row->hash = RECORD_NO_HASH;
        content_absent(&rd->content, p->path, NULL);
        content_absent(&rd->recorded, p->path, NULL);
        return;
    }
    struct sha256 id;
    memcpy(id.bytes, row->digest, SHA256_SIZE);
    content_absent(&rd->content, p->path, &id);
    content_file(&rd->recorded, p->path, executable, &id);
}

/* A file as it is read now. */
struct found {
    struct sha256 id; /* as the image will have it */
    uint64_t size;
    uint32_t shebang; /* bytes of first lines that were made for the environment */
    bool executable;
    bool matches; /* its row */
};

/* The hash of the script as its wheel had it. */
static void undo_shebang(const struct reading *rd, const char *data, size_t size,
                         struct found *found)
{
    size_t n = shebang_length(data, size, rd->source->names);
    if (!n)
        return;
    struct sha256_state *st = sha256_begin();
    sha256_update(st, TREE_SHEBANG, strlen(TREE_SHEBANG));
    sha256_update(st, data + n, size - n);
    sha256_end(st, &found->id);
    found->shebang = (uint32_t)n;
    found->size = size - n + strlen(TREE_SHEBANG);
}

static bool row_fits(const struct record_row *row, const struct sha256 *id, const void *data,
                     size_t size)
{
    return row->hash == RECORD_NO_HASH || record_row_matches(row, id, data, size);
}

static int hash_whole(const struct reading *rd, const struct place *p, bool script,
                      struct found *found)
{
    _cleanup_free_ char *data = NULL;
    size_t size;
    int r = tree_read_file(rd->source->root, p->disk, TREE_MAX_FILE, &data, &size, rd->err);
    if (r != TREE_FILE)
        return r;
    sha256_of(data, size, &found->id);
    found->size = size;
    found->matches = row_fits(p->row, &found->id, data, size);
    if (script && found->matches)
        undo_shebang(rd, data, size, found);
    return TREE_FILE;
}

/* Returns an enum tree_state. */
static int look_at(const struct reading *rd, const struct place *p, bool script,
                   struct found *found)
{
    _cleanup_close_ int fd = -1;
    struct stat st;
    *found = (struct found){.matches = false};
    int r = tree_open_file(rd->source->root, p->disk, &fd, &st, rd->err);
    if (r != TREE_FILE)
        return r;
    found->executable = st.st_mode & 0111;
    found->size = (uint64_t)st.st_size;
    if ((script && found->size <= MAX_SCRIPT) || p->row->hash == RECORD_SHA384 ||
        p->row->hash == RECORD_SHA512)
        return hash_whole(rd, p, script, found);
    r = sha256_of_fd(fd, &found->id);
    if (r < 0)
        return verror_errno(rd->err, r, "reading %s", p->disk);
    found->matches = row_fits(p->row, &found->id, NULL, 0);
    return TREE_FILE;
}

/* The rows of the plan are reallocated while it is filled: members are tied to them afterwards. */
static void add_member(struct reading *rd, const struct place *p, const struct found *found)
{
    struct wheel_plan *plan = rd->plan;
    struct plan_member *m = &plan->members[plan->n++];
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages/", plan->layout.python_dir);
    bool script = found->shebang > 0;
    *m = (struct plan_member){
        .name = xstrdup(p->disk),
        .size = found->size,
        .shebang = found->shebang,
        .executable = found->executable || script,
        .place = {.path = xstrdup(p->path),
                  .kind = script ? LAYOUT_SCRIPT : LAYOUT_FILE,
                  .site = strncmp(p->path, site, strlen(site)) == 0},
    };
    plan->bytes += found->size;
    struct record_row *row = &plan->record.rows[plan->record.n++];
    *row = (struct record_row){.path = xstrdup(p->disk), .hash = RECORD_SHA256};
    memcpy(row->digest, found->id.bytes, SHA256_SIZE);
    m->row = m->place.site && wheel_plan_is_exempt(plan, p->path + strlen(site)) ? NULL : row;
    if (script) {
        const char *name = p->path + strlen("bin/");
        content_script(&rd->content, name, (uint32_t)strlen(TREE_SHEBANG), &found->id);
        content_script(&rd->recorded, name, (uint32_t)strlen(TREE_SHEBANG), &found->id);
    } else {
        content_file(&rd->content, p->path, m->executable, &found->id);
        content_file(&rd->recorded, p->path, m->executable, &found->id);
    }
}

/* ---- rows that are no members ---- */

static bool is_of_installation(const struct reading *rd, const char *path)
{
    static const char *const names[] = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"};
    _cleanup_free_ char *dir =
        xasprintf("lib/%s/site-packages/%s/", rd->plan->layout.python_dir, rd->plan->dist_info);
    size_t n = strlen(dir);
    if (strncmp(path, dir, n) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(path + n, names[i]) == 0)
            return true;
    return false;
}

/* DIR/NAME.py for DIR/__pycache__/NAME.TAG.pyc or .opt-N.pyc of the target's tag; malloc'ed, NULL
 * for other paths. */
static char *source_of_pyc(const struct reading *rd, const char *path)
{
    const char *name = path_basename(path);
    static const char cache[] = "__pycache__/";
    const size_t n = sizeof(cache) - 1;
    if ((size_t)(name - path) < n || memcmp(name - n, cache, n) != 0)
        return NULL;
    _cleanup_free_ char *tag = xasprintf(".%s.", rd->source->target->cache_tag);
    const char *at = strstr(name, tag);
    if (!at)
        return NULL;
    return xasprintf("%.*s%.*s.py", (int)((size_t)(name - path) - n), path, (int)(at - name), name);
}

static bool is_missing(const struct reading *rd, const char *disk)
{
    struct stat st;
    int fd;
    bool missing = tree_open_file(rd->source->root, disk, &fd, &st, NULL) == TREE_MISSING;
    if (fd >= 0)
        (void)close(fd);
    return missing;
}

/* Bytecode that an installer made, or might have made (virtualenv lists what could be there), or
 * that ours replaces. */
static bool is_bytecode(const struct reading *rd, const struct place *p)
{
    bool unhashed = p->row->hash == RECORD_NO_HASH;
    if (unhashed && strcmp(path_basename(p->path), "__pycache__") == 0)
        return true;
    if (!ends_with(p->path, ".pyc"))
        return false;
    if (!strstr(p->path, "__pycache__/"))
        return unhashed && is_missing(rd, p->disk);
    if (unhashed)
        return true;
    _cleanup_free_ char *source = source_of_pyc(rd, p->path);
    return source && place_at(rd, source);
}

static bool is_in_bin(const char *path)
{
    return strncmp(path, "bin/", 4) == 0 && !strchr(path + 4, '/');
}

static bool is_wrapper(const struct reading *rd, const char *path)
{
    return is_in_bin(path) && entry_points_has(&rd->plan->entry_points, path + 4, strlen(path + 4));
}

/* A row that names a folder, with or without '/' at its end: some builders write them, no installer
 * does anything with them. */
static bool is_folder_row(const struct place *p)
{
    size_t n = strlen(p->row->path);
    return n && p->row->path[n - 1] == '/';
}

static int read_row(struct reading *rd, const struct place *p)
{
    add_owned(rd, p->path);
    if (is_of_installation(rd, p->path) || is_bytecode(rd, p) || is_wrapper(rd, p->path) ||
        is_folder_row(p))
        return 0;
    int r = layout_check_path(&rd->plan->layout, p->path, rd->err);
    if (r < 0)
        return r;
    struct found found;
    int state = look_at(rd, p, is_in_bin(p->path), &found);
    if (state < 0)
        return state;
    if (state == TREE_FILE && found.matches) {
        add_member(rd, p, &found);
        if (rd->plan->bytes <= TREE_MAX_TOTAL)
            return 0;
        return verror_set(rd->err, EBADMSG, "its files have over %llu GiB",
                          (unsigned long long)(TREE_MAX_TOTAL >> 30));
    }
    add_edit(rd, p->path, (enum tree_state)state);
    add_absent(rd, p, state == TREE_FILE && found.executable);
    return 0;
}

/* ---- wrappers of entry points ---- */

/* Returns an enum tree_state; *fits: it is the wrapper that was installed. */
static int look_at_wrapper(const struct reading *rd, const struct entry_point *ep, const char *path,
                           bool *fits)
{
    const struct place *p = place_at(rd, path);
    _cleanup_free_ char *data = NULL;
    size_t size;
    *fits = false;
    int r = tree_read_file(rd->source->root, path, MAX_SCRIPT, &data, &size, rd->err);
    if (r == -EFBIG) {
        verror_release(rd->err);
        return TREE_FILE;
    }
    if (r != TREE_FILE)
        return r;
    if (p && p->row->hash != RECORD_NO_HASH) {
        struct sha256 id;
        sha256_of(data, size, &id);
        *fits = record_row_matches(p->row, &id, data, size);
    }
    size_t lead = shebang_length(data, size, rd->source->names);
    *fits = *fits || (lead && wrapper_is_plain(data + lead, size - lead, ep));
    return TREE_FILE;
}

static int read_wrapper(struct reading *rd, const struct entry_point *ep)
{
    _cleanup_free_ char *path = xasprintf("bin/%s", ep->name);
    bool fits;
    int state = look_at_wrapper(rd, ep, path, &fits);
    if (state < 0)
        return state;
    if (!place_at(rd, path))
        add_owned(rd, path);
    if (!fits)
        add_edit(rd, path, (enum tree_state)state);
    content_entry_point(&rd->content, ep->name, ep->module, ep->attr, ep->gui);
    content_entry_point(&rd->recorded, ep->name, ep->module, ep->attr, ep->gui);
    return 0;
}

/* ---- all of it ---- */

static int read_files(struct reading *rd)
{
    struct wheel_plan *plan = rd->plan;
    plan->members = xcalloc(rd->n_places + 1, sizeof(*plan->members));
    plan->record.rows = xcalloc(rd->n_places + 1, sizeof(*plan->record.rows));
    int r = 0;
    for (size_t i = 0; r == 0 && i < rd->n_places; i++)
        r = read_row(rd, &rd->places[i]);
    for (size_t i = 0; r == 0 && i < plan->entry_points.n; i++)
        r = read_wrapper(rd, &plan->entry_points.list[i]);
    return r < 0 ? r : wheel_plan_check_places(plan, rd->err);
}

static void own_installation(struct reading *rd)
{
    static const char *const names[] = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *path =
            xasprintf("lib/%s/site-packages/%s/%s", rd->plan->layout.python_dir,
                      rd->plan->dist_info, names[i]);
        if (!place_at(rd, path))
            add_owned(rd, path);
    }
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_edit(const void *a, const void *b)
{
    return strcmp(((const struct installed_edit *)a)->path,
                  ((const struct installed_edit *)b)->path);
}

static void sort_notes(struct installed_dist *d)
{
    if (d->n_owned)
        qsort(d->owned, d->n_owned, sizeof(*d->owned), by_string);
    if (d->n_edits)
        qsort(d->edits, d->n_edits, sizeof(*d->edits), by_edit);
}

static int read_distribution(struct reading *rd, bool *editable)
{
    int r = read_folder_name(rd);
    if (r == 0)
        r = read_metadata(rd);
    if (r == 0)
        r = read_direct_url(rd, editable);
    if (r == 0)
        r = read_installation(rd);
    if (r < 0 || *editable)
        return r;
    r = read_record(rd);
    if (r == 0)
        r = read_entry_points(rd);
    if (r == 0)
        r = find_places(rd);
    if (r < 0)
        return r;
    struct wheel_plan *plan = rd->plan;
    content_begin(&rd->content, plan->dist_name, plan->dist_version, plan->dist_info);
    content_begin(&rd->recorded, plan->dist_name, plan->dist_version, plan->dist_info);
    r = read_files(rd);
    content_end(&rd->content, &rd->dist->content);
    content_end(&rd->recorded, &rd->dist->recorded);
    own_installation(rd);
    return r;
}

static void reading_release(struct reading *rd)
{
    for (size_t i = 0; i < rd->n_places; i++)
        place_release(&rd->places[i]);
    free(rd->places);
    record_release(&rd->record);
}

int tree_plan_make(const struct tree_source *source, struct installed_dist *dist,
                   struct wheel_plan *plan, bool *editable, struct verror *err)
{
    *plan = (struct wheel_plan){.label = dist->dist_info, .tree = source->root};
    plan->dist_info = xstrdup(dist->dist_info);
    plan->layout =
        (struct layout){.python_dir = source->target->python_dir, .dist_info = plan->dist_info};
    struct reading rd = {.source = source, .dist = dist, .plan = plan, .err = err};
    *editable = false;
    int r = read_distribution(&rd, editable);
    plan->id = dist->content;
    sort_notes(dist);
    reading_release(&rd);
    return r;
}
