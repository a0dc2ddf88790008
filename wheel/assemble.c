#include "wheel/assemble.h"

#include <string.h>

#include "base/mem.h"
#include "wheel/unpack.h"

/* A row of the RECORD to be written: "PATH,HASH,SIZE". */
struct row {
    char *path;
    char *rest;
    bool if_requested;
};

struct assembly {
    struct wheel_plan *plan;
    const char *cache_tag;
    struct image_builder *builder;
    struct put_stream *stream;
    char **pycs; /* paths of the bytecode made, sorted */
    size_t n_pycs;
    struct row *rows;
    size_t n_rows, alloc_rows;
};

/* ---- rows ---- */

/* blob NULL: neither hash nor size, for files that differ by address or may be made anew. */
static void add_row(struct assembly *a, const char *path, const struct blob_ref *blob,
                    bool if_requested)
{
    char base64[SHA256_BASE64_SIZE];
    struct row row = {.path = layout_record_path(&a->plan->layout, path),
                      .if_requested = if_requested};
    if (blob) {
        sha256_to_base64(&blob->id, base64);
        row.rest = xasprintf("sha256=%s,%llu", base64, (unsigned long long)blob->size);
    } else {
        row.rest = xstrdup(",");
    }
    a->rows = xgrow(a->rows, &a->alloc_rows, a->n_rows + 1, sizeof(*a->rows));
    a->rows[a->n_rows++] = row;
}

/* What RECORD lists stays listed, so that an uninstall finds it: its bytes are others, and not in
 * the image. The size is not known. */
static void add_absent_rows(struct assembly *a)
{
    for (size_t i = 0; i < a->plan->absent.n; i++) {
        const struct record_row *from = &a->plan->absent.rows[i];
        char base64[SHA256_BASE64_SIZE];
        struct sha256 id;
        add_row(a, from->path, NULL, false);
        if (from->hash != RECORD_SHA256)
            continue;
        memcpy(id.bytes, from->digest, SHA256_SIZE);
        sha256_to_base64(&id, base64);
        struct row *row = &a->rows[a->n_rows - 1];
        free(row->rest);
        row->rest = xasprintf("sha256=%s,", base64);
    }
}

static int row_order(const void *pa, const void *pb)
{
    return strcmp(((const struct row *)pa)->path, ((const struct row *)pb)->path);
}

/* Lines end as Python's csv module, and so pip, ends them. */
static void write_rows(const struct assembly *a, bool requested, struct strbuf *sb)
{
    for (size_t i = 0; i < a->n_rows; i++) {
        if (a->rows[i].if_requested && !requested)
            continue;
        record_add_field(sb, a->rows[i].path);
        strbuf_addf(sb, ",%s\r\n", a->rows[i].rest);
    }
}

/* ---- files ---- */

static int add_file(struct assembly *a, const char *path, unsigned flags,
                    const struct blob_ref *blob, struct verror *err)
{
    return image_builder_file(a->builder, path, flags, &blob->id, blob->size, blob->checksums, err);
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_pyc(struct assembly *a, const struct plan_pyc *pyc, size_t *alloc,
                   struct verror *err)
{
    char *path = unpack_pyc_path(pyc->member->place.path, a->cache_tag, pyc->request.level);
    if (!path)
        return 0;
    a->pycs = xgrow(a->pycs, alloc, a->n_pycs + 1, sizeof(*a->pycs));
    a->pycs[a->n_pycs++] = path;
    add_row(a, path, NULL, false);
    return add_file(a, path, IMAGE_BYTECODE, &pyc->blob, err);
}

static int add_pycs(struct assembly *a, struct verror *err)
{
    size_t alloc = 0;
    for (size_t i = 0; i < a->plan->n; i++) {
        for (const struct plan_pyc *pyc = a->plan->members[i].pycs; pyc; pyc = pyc->next) {
            int r = pyc->made ? add_pyc(a, pyc, &alloc, err) : 0;
            if (r < 0)
                return r;
        }
    }
    if (a->n_pycs)
        qsort(a->pycs, a->n_pycs, sizeof(*a->pycs), by_string);
    return 0;
}

static bool has_pyc(const struct plan_member *m)
{
    for (const struct plan_pyc *pyc = m->pycs; pyc; pyc = pyc->next)
        if (pyc->made)
            return true;
    return false;
}

/* A pyc that the wheel ships where ours is: ours fits the time of its source. */
static bool is_replaced(const struct assembly *a, const struct plan_member *m)
{
    const char *path = m->place.path;
    return a->n_pycs && bsearch(&path, a->pycs, a->n_pycs, sizeof(*a->pycs), by_string);
}

static int add_script(struct assembly *a, const struct plan_member *m, struct verror *err)
{
    struct image_script script = {.kind = IMAGE_SCRIPT_PYTHON,
                                  .name = m->place.path + strlen("bin/"),
                                  .skip = m->first_line,
                                  .size = m->blob.size};
    add_row(a, m->place.path, NULL, false);
    return image_builder_script(a->builder, &script, &m->blob.id, m->blob.checksums, err);
}

static int add_member(struct assembly *a, const struct plan_member *m, struct verror *err)
{
    if (m->dropped || is_replaced(a, m))
        return 0;
    if (m->first_line)
        return add_script(a, m, err);
    unsigned flags = (m->executable ? IMAGE_EXEC : 0u) | (has_pyc(m) ? IMAGE_TIME_DERIVED : 0u);
    /* A signature of RECORD has no row in the wheel's, so pip's gives it neither hash nor size. */
    add_row(a, m->place.path, m->row ? &m->blob : NULL, false);
    return add_file(a, m->place.path, flags, &m->blob, err);
}

static int add_members(struct assembly *a, struct verror *err)
{
    for (size_t i = 0; i < a->plan->n; i++) {
        int r = add_member(a, &a->plan->members[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_entry_points(struct assembly *a, struct verror *err)
{
    for (size_t i = 0; i < a->plan->entry_points.n; i++) {
        const struct entry_point *ep = &a->plan->entry_points.list[i];
        struct image_script script = {.kind = ep->gui ? IMAGE_SCRIPT_GUI : IMAGE_SCRIPT_CONSOLE,
                                      .name = ep->name,
                                      .module = ep->module,
                                      .attr = ep->attr};
        _cleanup_free_ char *path = xasprintf("bin/%s", ep->name);
        add_row(a, path, NULL, false);
        int r = image_builder_script(a->builder, &script, NULL, NULL, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- what says how it was installed ---- */

static char *info_path(const struct assembly *a, const char *name)
{
    return xasprintf("lib/%s/site-packages/%s/%s", a->plan->layout.python_dir, a->plan->dist_info,
                     name);
}

static int add_text(struct assembly *a, const char *path, unsigned flags, const char *text,
                    size_t size, bool row, struct verror *err)
{
    struct blob_ref blob = {0};
    struct sha256 id;
    sha256_of(text, size, &id);
    int r = put_stream_blob(a->stream, BLOB_TEXT, text, size, &id, &blob, err);
    if (r < 0)
        return r;
    blob.id = id;
    blob.size = size;
    if (row)
        add_row(a, path, &blob, flags & IMAGE_IF_REQUESTED);
    r = add_file(a, path, flags, &blob, err);
    blob_ref_release(&blob);
    return r;
}

static int add_record(struct assembly *a, const char *path, bool requested, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    write_rows(a, requested, &text);
    return add_text(a, path, requested ? IMAGE_IF_REQUESTED : IMAGE_IF_NOT_REQUESTED, text.buf,
                    text.len, false, err);
}

static int add_installation(struct assembly *a, struct verror *err)
{
    static const char installer[] = "venvfs\n";
    _cleanup_free_ char *installer_path = info_path(a, "INSTALLER");
    _cleanup_free_ char *requested_path = info_path(a, "REQUESTED");
    _cleanup_free_ char *record_path = info_path(a, "RECORD");
    /* An environment may show another one: the row has neither hash nor size. */
    add_row(a, installer_path, NULL, false);
    int r = add_text(a, installer_path, 0, installer, sizeof(installer) - 1, false, err);
    if (r == 0)
        r = add_text(a, requested_path, IMAGE_IF_REQUESTED, "", 0, true, err);
    if (r < 0)
        return r;
    add_row(a, record_path, NULL, false);
    add_absent_rows(a);
    qsort(a->rows, a->n_rows, sizeof(*a->rows), row_order);
    r = add_record(a, record_path, true, err);
    return r < 0 ? r : add_record(a, record_path, false, err);
}

static void assembly_release(struct assembly *a)
{
    for (size_t i = 0; i < a->n_rows; i++) {
        free(a->rows[i].path);
        free(a->rows[i].rest);
    }
    free(a->rows);
    for (size_t i = 0; i < a->n_pycs; i++)
        free(a->pycs[i]);
    free(a->pycs);
    image_builder_free(a->builder);
}

int assemble_image(struct wheel_plan *plan, const char *cache_tag, const char *key,
                   struct store_put *put, struct put_stream *stream, size_t *index,
                   struct verror *err)
{
    struct assembly a = {
        .plan = plan,
        .cache_tag = cache_tag,
        .builder = image_builder_new(plan->dist_name, plan->dist_version, plan->dist_info),
        .stream = stream,
    };
    int r = add_pycs(&a, err);
    if (r == 0)
        r = add_members(&a, err);
    if (r == 0)
        r = add_entry_points(&a, err);
    if (r == 0)
        r = add_installation(&a, err);
    if (r == 0) {
        const struct store_wheel wheel = {.id = plan->id,
                                          .filename = (char *)(uintptr_t)plan->label};
        r = store_put_image(put, a.builder, &wheel, key, index, err);
    }
    assembly_release(&a);
    if (r < 0)
        verror_prefix(err, "%s", plan->label);
    return r;
}
