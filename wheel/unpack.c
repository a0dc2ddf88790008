#include "wheel/unpack.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "wheel/tree.h"
#include "wheel/zip.h"

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

char *unpack_pyc_path(const char *source, const char *cache_tag, unsigned level)
{
    const char *name = path_basename(source);
    size_t dir = (size_t)(name - source), stem = strlen(name) - strlen(".py");
    _cleanup_free_ char *opt = level ? xasprintf(".opt-%u", level) : xstrdup("");
    _cleanup_free_ char *pyc = xasprintf("%.*s.%s%s.pyc", (int)stem, name, cache_tag, opt);
    if (!stem || !path_component_ok(pyc, strlen(pyc)))
        return NULL;
    return xasprintf("%.*s__pycache__/%s", (int)dir, source, pyc);
}

/* co_filename: relative to site-packages, since the image holds no absolute path; importlib puts
 * the real one in when it loads the file. */
static const char *code_filename(const struct wheel_plan *plan, const struct plan_member *m)
{
    return m->place.path + strlen("lib//site-packages/") + strlen(plan->layout.python_dir);
}

static bool wants_bytecode(const struct unpack *u, const struct plan_member *m)
{
    if (!u->bytecode || m->dropped || !m->place.site || !ends_with(m->place.path, ".py") ||
        m->size > INT32_MAX)
        return false;
    _cleanup_free_ char *pyc = unpack_pyc_path(m->place.path, u->cache_tag, 0);
    return pyc != NULL;
}

/* Makes the requests of one source. They are sent only when all are in the member's list, since
 * from then on other threads look at them. Takes over `source`. */
static void request_bytecode(const struct unpack *u, struct wheel_plan *plan, struct plan_member *m,
                             void *source)
{
    for (unsigned level = 0; level <= 2; level++) {
        if (!(u->levels & 1u << level))
            continue;
        struct plan_pyc *pyc = xcalloc(1, sizeof(*pyc));
        *pyc = (struct plan_pyc){
            .request = {.path = code_filename(plan, m),
                        .size = m->size,
                        .mtime = image_time_of_blob(&m->blob.id),
                        .level = level},
            .next = m->pycs,
            .plan = plan,
            .member = m,
            .source = m->pycs ? xmemdup(source, m->size) : source,
        };
        pyc->request.source = pyc->source;
        m->pycs = pyc;
        atomic_fetch_add(&plan->open, 1);
    }
    if (!m->pycs)
        free(source);
    for (struct plan_pyc *pyc = m->pycs, *next; pyc; pyc = next) {
        next = pyc->next;
        bytecode_submit(u->bytecode, &pyc->request);
    }
}

/* The length of a first line "#!python..." with its newline, 0 when there is none (PEP 427). */
static uint32_t python_line(const char *data, size_t size)
{
    if (size < 8 || size > UINT32_MAX || memcmp(data, "#!python", 8) != 0)
        return 0;
    const char *newline = memchr(data, '\n', size);
    return (uint32_t)(newline ? newline + 1 - data : (ptrdiff_t)size);
}

static enum blob_kind kind_of(const struct plan_member *m, const char *data, size_t size)
{
    if (size > 4 && memcmp(data,
                           "\x7f"
                           "ELF",
                           4) == 0)
        return BLOB_NATIVE;
    return ends_with(m->name, ".pyc") ? BLOB_BYTECODE : BLOB_TEXT;
}

static int store_member(struct plan_member *m, bool is_tree, const char *data,
                        struct put_stream *stream, struct verror *err)
{
    struct sha256 id;
    sha256_of(data, m->size, &id);
    if (m->row && !record_row_matches(m->row, &id, data, m->size))
        return is_tree ? tree_changed(m->name, err)
                       : verror_set(err, EBADMSG, "member %s: its hash is not the one in RECORD",
                                    m->name);
    if (m->dropped)
        return 0;
    /* A script in a folder below bin/ keeps its line: no view makes scripts there. */
    if (m->place.kind == LAYOUT_SCRIPT && !strchr(m->place.path + strlen("bin/"), '/'))
        m->first_line = python_line(data, m->size);
    int r = put_stream_blob(stream, kind_of(m, data, m->size), data, m->size, &id, &m->blob, err);
    if (r < 0)
        return r;
    m->blob.id = id; /* also of an empty file, which is no blob */
    m->blob.size = m->size;
    return 0;
}

/* Memory that a thread keeps between members, up to a bound. */
struct scratch {
    char *buf;
    size_t size;
};

static char *scratch_get(struct scratch *s, size_t size)
{
    enum { KEEP = 8 * 1024 * 1024 };
    if (!s->buf || s->size < size || s->size > KEEP) {
        free(s->buf);
        s->size = size < 65536 ? 65536 : size;
        s->buf = malloc(s->size);
        if (!s->buf)
            s->size = 0;
    }
    return s->buf;
}

static int unpack_member(const struct unpack *u, struct wheel_zip *zip, struct wheel_plan *plan,
                         struct plan_member *m, struct scratch *scratch, struct put_stream *stream,
                         struct verror *err)
{
    bool compile = wants_bytecode(u, m);
    char *buf = compile ? malloc(m->size + 1) : scratch_get(scratch, m->size);
    if (!buf)
        return verror_errno(err, ENOMEM, "member %s", m->name);
    int r = plan->file ? wheel_zip_read(zip, m->index, m->size, buf, err)
                       : tree_read_member(plan->tree, m, buf, err);
    if (r == 0)
        r = store_member(m, !plan->file, buf, stream, err);
    if (r == 0 && compile)
        request_bytecode(u, plan, m, buf);
    else if (compile)
        free(buf);
    if (r == 0 && !compile)
        progress_advance(u->progress, 0, m->size);
    return r;
}

static int reopen_wheel(const struct wheel_file *file, struct wheel_zip **ret, struct verror *err)
{
    int fd = wheel_file_open(file, err);
    return fd < 0 ? fd : wheel_zip_reopen(fd, ret, err);
}

int unpack_members(const struct unpack *unpack, struct wheel_plan *plan, size_t first, size_t end,
                   struct put_stream *stream, size_t *at, struct verror *err)
{
    _cleanup_wheel_zip_ struct wheel_zip *zip = NULL;
    struct scratch scratch = {0};
    *at = first;
    int r = plan->file ? reopen_wheel(plan->file, &zip, err) : 0;
    for (size_t i = first; r == 0 && i < end && !atomic_load(unpack->stop); i++) {
        *at = i;
        r = unpack_member(unpack, zip, plan, &plan->members[i], &scratch, stream, err);
    }
    free(scratch.buf);
    if (r < 0)
        verror_prefix(err, "%s", plan->label);
    return r;
}

int unpack_take_pyc(const struct unpack *unpack, struct plan_pyc *pyc, const void *data,
                    size_t size, struct put_stream *stream, struct verror *err)
{
    int r = 0;
    if (data && !atomic_load(unpack->stop)) {
        r = put_stream_blob(stream, BLOB_BYTECODE, data, size, NULL, &pyc->blob, err);
        pyc->made = r == 0;
    }
    free(pyc->source);
    pyc->source = NULL;
    if (!pyc->next) /* the member's first request: count its bytes once */
        progress_advance(unpack->progress, 0, pyc->member->size);
    return r;
}
