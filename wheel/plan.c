#include "wheel/plan.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "wheel/metadata.h"
#include "wheel/version.h"
#include "wheel/zip.h"

/* Far above any real one. */
#define MAX_METADATA (UINT64_C(16) << 20)
#define MAX_RECORD (UINT64_C(256) << 20)

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* ---- the dist-info folder and its files ---- */

static int find_dist_info(const struct wheel_zip *zip, struct wheel_plan *plan, struct verror *err)
{
    for (size_t i = 0; i < wheel_zip_members(zip); i++) {
        const char *name = wheel_zip_member(zip, i)->name;
        size_t top = strcspn(name, "/");
        if (!name[top] || top <= 10 || memcmp(name + top - 10, ".dist-info", 10) != 0)
            continue;
        if (plan->dist_info && strlen(plan->dist_info) == top &&
            memcmp(plan->dist_info, name, top) == 0)
            continue;
        if (plan->dist_info)
            return verror_set(err, EBADMSG, "has two .dist-info folders, %s and %.*s",
                              plan->dist_info, (int)top, name);
        plan->dist_info = xstrndup(name, top);
    }
    if (!plan->dist_info)
        return verror_set(err, EBADMSG, "has no .dist-info folder");
    return 0;
}

/* The folder must be named as the file is: NAME-VERSION.dist-info, both up to normalisation. */
static int check_dist_info(const struct wheel_plan *plan, struct verror *err)
{
    _cleanup_free_ char *stem = xstrndup(plan->dist_info, strlen(plan->dist_info) - 10);
    char *dash = strrchr(stem, '-');
    bool fits = dash != NULL;
    if (fits) {
        *dash = '\0';
        fits = dist_name_compare(stem, plan->name.dist) == 0 &&
               version_equal(dash + 1, plan->name.version);
    }
    return fits ? 0 : verror_set(err, EBADMSG, "%s does not fit the file name", plan->dist_info);
}

/* *ret: malloc'ed text, or NULL when there is no such file. */
static int read_info(struct wheel_zip *zip, const struct wheel_plan *plan, const char *name,
                     uint64_t limit, char **ret, size_t *len, struct verror *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", plan->dist_info, name);
    size_t i = wheel_zip_find(zip, path);
    *ret = NULL;
    *len = 0;
    if (i == SIZE_MAX)
        return 0;
    int r = wheel_zip_read_alloc(zip, i, limit, ret, err);
    if (r == 0)
        *len = wheel_zip_member(zip, i)->size;
    return r;
}

static int need_info(struct wheel_zip *zip, const struct wheel_plan *plan, const char *name,
                     uint64_t limit, char **ret, size_t *len, struct verror *err)
{
    int r = read_info(zip, plan, name, limit, ret, len, err);
    if (r == 0 && !*ret)
        return verror_set(err, EBADMSG, "has no %s/%s", plan->dist_info, name);
    return r;
}

static int read_wheel(struct wheel_zip *zip, struct wheel_plan *plan, struct verror *err)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = need_info(zip, plan, "WHEEL", MAX_METADATA, &text, &len, err);
    return r < 0 ? r : wheel_version_check(text, len, &plan->newer_minor, err);
}

static int read_metadata(struct wheel_zip *zip, struct wheel_plan *plan, struct verror *err)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = need_info(zip, plan, "METADATA", MAX_METADATA, &text, &len, err);
    return r < 0
               ? r
               : metadata_parse(text, len, &plan->name, &plan->dist_name, &plan->dist_version, err);
}

static int read_record(struct wheel_zip *zip, struct wheel_plan *plan, struct verror *err)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = need_info(zip, plan, "RECORD", MAX_RECORD, &text, &len, err);
    return r < 0 ? r : record_parse(text, len, &plan->record, err);
}

static int read_entry_points(struct wheel_zip *zip, const struct wheel_target *target,
                             struct wheel_plan *plan, struct verror *err)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = read_info(zip, plan, "entry_points.txt", MAX_METADATA, &text, &len, err);
    if (r < 0 || !text)
        return r;
    return entry_points_parse(text, len, target->major, target->minor, &plan->entry_points, err);
}

/* ---- members ---- */

/* RECORD cannot hold its own hash, and signatures of RECORD cannot be in it (PEP 427). */
bool wheel_plan_is_exempt(const struct wheel_plan *plan, const char *name)
{
    static const char *const exempt[] = {"RECORD", "RECORD.jws", "RECORD.p7s"};
    size_t n = strlen(plan->dist_info);
    if (strncmp(name, plan->dist_info, n) != 0 || name[n] != '/')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(exempt); i++)
        if (strcmp(name + n + 1, exempt[i]) == 0)
            return true;
    return false;
}

static int attach_row(const struct wheel_plan *plan, struct plan_member *m, struct verror *err)
{
    const struct record_row *row = record_find(&plan->record, m->name);
    if (row && row->hash != RECORD_NO_HASH) {
        m->row = row;
        return 0;
    }
    if (wheel_plan_is_exempt(plan, m->name))
        return 0;
    return verror_set(err, EBADMSG, "member %s %s", m->name,
                      row ? "has no hash in RECORD" : "is not listed in RECORD");
}

/* Every row must be a file of the archive; rows and files are unique, so counting tells, but the
 * message should name one. */
static int check_rows(const struct wheel_zip *zip, const struct wheel_plan *plan,
                      struct verror *err)
{
    for (size_t i = 0; i < plan->record.n; i++) {
        const char *path = plan->record.rows[i].path;
        size_t at = wheel_zip_find(zip, path);
        if (at != SIZE_MAX)
            continue;
        _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
        layout_printable(path, strlen(path), &shown);
        return verror_set(err, EBADMSG, "RECORD lists %s, which is not in the archive", shown.buf);
    }
    return 0;
}

/* As pip does: scripts that setuptools made for an entry point give way to its wrapper. */
static bool gives_way(const struct wheel_plan *plan, const struct plan_member *m)
{
    static const char *const endings[] = {"", ".exe", "-script.py", ".pya"};
    if (strncmp(m->place.path, "bin/", 4) != 0)
        return false;
    const char *name = m->place.path + 4;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t n = strlen(name), k = strlen(endings[i]);
        if ((i == 0 || m->place.kind == LAYOUT_SCRIPT) && ends_with(name, endings[i]) &&
            entry_points_has(&plan->entry_points, name, n - k))
            return true;
    }
    return false;
}

static int add_member(struct wheel_plan *plan, const struct wheel_zip *zip, size_t index,
                      struct verror *err)
{
    const struct zip_member *z = wheel_zip_member(zip, index);
    struct plan_member *m = &plan->members[plan->n];
    int r = layout_place(&plan->layout, z->name, &m->place, err);
    if (r < 0)
        return r;
    plan->n++;
    m->index = index;
    m->name = xstrdup(z->name);
    m->size = z->size;
    m->packed = z->packed;
    m->executable = z->executable || m->place.kind == LAYOUT_SCRIPT;
    m->dropped = m->place.kind == LAYOUT_RECORD || gives_way(plan, m);
    plan->bytes += z->size;
    return attach_row(plan, m, err);
}

static int add_members(struct wheel_plan *plan, const struct wheel_zip *zip, struct verror *err)
{
    size_t n = wheel_zip_members(zip);
    plan->members = xcalloc(n + 1, sizeof(*plan->members));
    for (size_t i = 0; i < n; i++) {
        if (wheel_zip_member(zip, i)->folder)
            continue;
        int r = add_member(plan, zip, i, err);
        if (r < 0)
            return r;
    }
    return check_rows(zip, plan, err);
}

/* ---- places ---- */

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_path(char *const *paths, size_t n, const char *path)
{
    return bsearch(&path, paths, n, sizeof(*paths), by_string) != NULL;
}

/* Two files at one place, or a file where another needs a folder. */
static int check_clashes(char **paths, size_t n, struct verror *err)
{
    qsort(paths, n, sizeof(*paths), by_string);
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(paths[i - 1], paths[i]) == 0)
            return verror_set(err, EBADMSG, "two of its files would be installed as %s", paths[i]);
        _cleanup_free_ char *parent = xstrdup(paths[i]);
        for (char *slash; (slash = strrchr(parent, '/'));) {
            *slash = '\0';
            if (has_path(paths, n, parent))
                return verror_set(err, EBADMSG, "installs %s both as a file and as a folder",
                                  parent);
        }
    }
    return 0;
}

int wheel_plan_check_places(const struct wheel_plan *plan, struct verror *err)
{
    size_t n = 0, total = plan->n + plan->entry_points.n;
    char **paths = xcalloc(total + 1, sizeof(*paths));
    for (size_t i = 0; i < plan->n; i++)
        if (!plan->members[i].dropped)
            paths[n++] = xstrdup(plan->members[i].place.path);
    for (size_t i = 0; i < plan->entry_points.n; i++)
        paths[n++] = xasprintf("bin/%s", plan->entry_points.list[i].name);
    int r = n ? check_clashes(paths, n, err) : 0;
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
    return r;
}

/* ---- all of it ---- */

static int check_tags(const struct wheel_plan *plan, const struct wheel_target *target,
                      struct verror *err)
{
    if (wheel_target_rank(target, plan->file->filename) >= 0)
        return 0;
    verror_set(err, ENOEXEC, "its tags %s do not fit Python %u.%u (%s)", plan->name.tags,
               target->major, target->minor, target->executable);
    verror_hint(err, "this interpreter takes %s and others",
                target->n_tags ? target->tags[0] : "no wheel");
    return -ENOEXEC;
}

static int fill(struct wheel_plan *plan, struct wheel_zip *zip, const struct wheel_target *target,
                struct verror *err)
{
    int r = find_dist_info(zip, plan, err);
    if (r == 0)
        r = read_wheel(zip, plan, err);
    if (r == 0)
        r = check_dist_info(plan, err);
    if (r == 0)
        r = read_metadata(zip, plan, err);
    if (r == 0)
        r = read_record(zip, plan, err);
    if (r == 0)
        r = read_entry_points(zip, target, plan, err);
    if (r < 0)
        return r;
    plan->headers = dist_name_normalise(plan->dist_name);
    plan->layout = (struct layout){
        .python_dir = target->python_dir, .dist_info = plan->dist_info, .headers = plan->headers};
    r = add_members(plan, zip, err);
    return r < 0 ? r : wheel_plan_check_places(plan, err);
}

int wheel_plan_make(const struct wheel_file *file, const struct wheel_target *target,
                    struct wheel_plan *ret, struct verror *err)
{
    *ret = (struct wheel_plan){.label = file->filename, .id = file->digest, .file = file};
    int r = wheel_name_parse(file->filename, &ret->name, err);
    if (r < 0)
        return r; /* the message names the file already */
    r = check_tags(ret, target, err);
    if (r == 0) {
        int fd = wheel_file_open(file, err);
        _cleanup_wheel_zip_ struct wheel_zip *zip = NULL;
        r = fd < 0 ? fd : wheel_zip_open(fd, &zip, err);
        if (r == 0)
            r = fill(ret, zip, target, err);
    }
    if (r < 0)
        verror_prefix(err, "%s", file->filename);
    if (r == -EFBIG)
        r = -EBADMSG;
    return r;
}

static void member_release(struct plan_member *m)
{
    free(m->name);
    free(m->place.path);
    blob_ref_release(&m->blob);
    while (m->pycs) {
        struct plan_pyc *pyc = m->pycs;
        m->pycs = pyc->next;
        free(pyc->source);
        blob_ref_release(&pyc->blob);
        free(pyc);
    }
}

void wheel_plan_release(struct wheel_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        member_release(&plan->members[i]);
    free(plan->members);
    record_release(&plan->record);
    record_release(&plan->absent);
    entry_points_release(&plan->entry_points);
    wheel_name_release(&plan->name);
    free(plan->dist_name);
    free(plan->dist_version);
    free(plan->dist_info);
    free(plan->headers);
    free(plan->newer_minor);
    *plan = (struct wheel_plan){0};
}
