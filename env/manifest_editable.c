/* Editable installs in a manifest. */
#include "env/manifest_editable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/manifest.h"
#include "wheel/wheel.h"

enum {
    MAX_EDITABLES = 1000,
    MAX_FILES = 2000,
    MAX_TEXT = 1 << 20,       /* of one file */
    MAX_TEXTS = 16 * 1 << 20, /* of all together */
    MAX_FILE_PATH = 1000,
};

void manifest_editable_release(struct manifest_editable *e)
{
    for (size_t i = 0; i < e->n_files; i++) {
        free(e->files[i].path);
        free(e->files[i].text);
    }
    free(e->files);
    free(e->name);
    free(e->version);
    free(e->normalised);
    free(e->path);
    *e = (struct manifest_editable){0};
}

static char *dup_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

struct manifest_editable manifest_editable_copy(const struct manifest_editable *e)
{
    struct manifest_editable c = {
        .name = dup_or_null(e->name),
        .version = dup_or_null(e->version),
        .normalised = dup_or_null(e->normalised),
        .path = dup_or_null(e->path),
        .key = e->key,
        .files = xcalloc(e->n_files + 1, sizeof(*c.files)),
        .n_files = e->n_files,
    };
    for (size_t i = 0; i < e->n_files; i++)
        c.files[i] = (struct manifest_file){.path = xstrdup(e->files[i].path),
                                            .text = xstrdup(e->files[i].text),
                                            .exec = e->files[i].exec};
    return c;
}

static bool files_equal(const struct manifest_editable *a, const struct manifest_editable *b)
{
    if (a->n_files != b->n_files)
        return false;
    for (size_t i = 0; i < a->n_files; i++)
        if (strcmp(a->files[i].path, b->files[i].path) != 0 ||
            strcmp(a->files[i].text, b->files[i].text) != 0 || a->files[i].exec != b->files[i].exec)
            return false;
    return true;
}

bool manifest_editables_equal(const struct manifest *a, const struct manifest *b)
{
    if (a->n_editables != b->n_editables)
        return false;
    for (size_t i = 0; i < a->n_editables; i++) {
        const struct manifest_editable *x = &a->editables[i], *y = &b->editables[i];
        if (strcmp(x->name, y->name) != 0 || strcmp(x->version, y->version) != 0 ||
            strcmp(x->path, y->path) != 0 || !sha256_equal(&x->key, &y->key) || !files_equal(x, y))
            return false;
    }
    return true;
}

void manifest_add_editable(struct manifest *m, struct manifest_editable *e)
{
    size_t at = 0;
    manifest_drop_editable(m, e->normalised);
    while (at < m->n_editables && strcmp(m->editables[at].normalised, e->normalised) < 0)
        at++;
    m->editables = xrealloc(m->editables, (m->n_editables + 1) * sizeof(*m->editables));
    memmove(&m->editables[at + 1], &m->editables[at],
            (m->n_editables - at) * sizeof(*m->editables));
    m->editables[at] = *e;
    m->n_editables++;
    *e = (struct manifest_editable){0};
}

bool manifest_drop_editable(struct manifest *m, const char *normalised)
{
    for (size_t i = 0; i < m->n_editables; i++) {
        if (strcmp(m->editables[i].normalised, normalised) != 0)
            continue;
        manifest_editable_release(&m->editables[i]);
        m->n_editables--;
        memmove(&m->editables[i], &m->editables[i + 1],
                (m->n_editables - i) * sizeof(*m->editables));
        return true;
    }
    return false;
}

void manifest_drop_editables(struct manifest *m)
{
    for (size_t i = 0; i < m->n_editables; i++)
        manifest_editable_release(&m->editables[i]);
    free(m->editables);
    m->editables = NULL;
    m->n_editables = 0;
}

/* ---- JSON ---- */

static json_t *editable_to_json(const struct manifest_editable *e)
{
    char key[SHA256_BASE64_SIZE];
    json_t *files = json_array();
    sha256_to_base64(&e->key, key);
    for (size_t i = 0; files && i < e->n_files; i++) {
        const struct manifest_file *f = &e->files[i];
        json_t *one = json_pack("{s:s, s:i, s:s}", "path", f->path, "mode", f->exec ? 0755 : 0644,
                                "text", f->text);
        if (!one || json_array_append_new(files, one) < 0) {
            json_decref(files);
            files = NULL;
        }
    }
    if (!files)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", e->name, "version", e->version, "path",
                     e->path, "key", key, "files", files);
}

json_t *manifest_editables_to_json(const struct manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_editables; i++) {
        json_t *one = editable_to_json(&m->editables[i]);
        if (!one || json_array_append_new(list, one) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct manifest_file *)a)->path, ((const struct manifest_file *)b)->path);
}

int manifest_files_from_json(const json_t *list, struct manifest_editable *e, struct verror *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > MAX_FILES)
        return verror_set(err, EBADMSG, "\"files\" is not a list of a sane length");
    e->files = xcalloc(n + 1, sizeof(*e->files));
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        const char *path = json_string_value(json_object_get(o, "path"));
        const char *text = json_string_value(json_object_get(o, "text"));
        json_int_t mode = json_integer_value(json_object_get(o, "mode"));
        if (!path || !text || (mode != 0755 && mode != 0644))
            return verror_set(err, EBADMSG, "file %zu: it needs path, text and mode", i + 1);
        e->files[e->n_files++] = (struct manifest_file){
            .path = xstrdup(path), .text = xstrdup(text), .exec = mode == 0755};
    }
    if (e->n_files)
        qsort(e->files, e->n_files, sizeof(*e->files), by_path);
    return 0;
}

static int editable_from_json(const json_t *o, struct manifest_editable *e, struct verror *err)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *version = json_string_value(json_object_get(o, "version"));
    const char *path = json_string_value(json_object_get(o, "path"));
    const char *key = json_string_value(json_object_get(o, "key"));
    if (!name || !version || !path || !key || !sha256_from_base64(key, strlen(key), &e->key))
        return verror_set(err, EBADMSG, "it needs name, version, path and key");
    e->name = xstrdup(name);
    e->version = xstrdup(version);
    e->path = xstrdup(path);
    e->normalised = dist_name_normalise(name);
    return manifest_files_from_json(json_object_get(o, "files"), e, err);
}

int manifest_editables_from_json(const json_t *list, struct manifest *m, struct verror *err)
{
    if (!list)
        return 0;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > MAX_EDITABLES)
        return verror_set(err, EBADMSG, "\"editables\" is not a list of a sane length");
    m->editables = xcalloc(n + 1, sizeof(*m->editables));
    for (size_t i = 0; i < n; i++) {
        m->n_editables = i + 1;
        int r = editable_from_json(json_array_get(list, i), &m->editables[i], err);
        if (r < 0) {
            verror_prefix(err, "editable %zu", i + 1);
            return r;
        }
    }
    return 0;
}

/* ---- checking ---- */

static bool components_ok(const char *path)
{
    for (;;) {
        size_t len = strcspn(path, "/");
        if (!path_component_ok(path, len))
            return false;
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
                return false;
        path += len;
        if (!*path)
            return true;
        path++;
    }
}

static bool path_ok(const char *path, const char *site)
{
    if (strlen(path) > MAX_FILE_PATH || !components_ok(path))
        return false;
    if (strncmp(path, "bin/", 4) == 0)
        return strchr(path + 4, '/') == NULL;
    return strncmp(path, site, strlen(site)) == 0;
}

/* Is a folder of the path a file of the list? */
static bool is_below_a_file(const struct manifest_editable *e, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        _cleanup_free_ char *folder = xstrndup(path, (size_t)(slash - path));
        struct manifest_file key = {.path = folder};
        if (bsearch(&key, e->files, e->n_files, sizeof(key), by_path))
            return true;
    }
    return false;
}

static int check_files(const struct manifest_editable *e, const char *site, size_t *total,
                       struct verror *err)
{
    for (size_t i = 0; i < e->n_files; i++) {
        const char *path = e->files[i].path;
        size_t len = strlen(e->files[i].text);
        if (!path_ok(path, site))
            return verror_set(err, EBADMSG, "\"%.200s\" is no path in site-packages or bin", path);
        if (i && strcmp(e->files[i - 1].path, path) >= 0)
            return verror_set(err, EBADMSG, "\"%.200s\" is there twice", path);
        if (is_below_a_file(e, path))
            return verror_set(err, EBADMSG, "\"%.200s\" lies below a file", path);
        *total += len;
        if (len > MAX_TEXT || *total > MAX_TEXTS)
            return verror_set(err, EBADMSG,
                              "\"%.200s\" is too large for an environment's own files", path);
    }
    return 0;
}

int manifest_check_files(const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages/", m->python_dir);
    size_t total = 0;
    for (size_t i = 0; i < m->n_editables; i++) {
        const struct manifest_editable *e = &m->editables[i];
        int r = check_files(e, site, &total, err);
        if (r < 0) {
            verror_prefix(err, "editable %s", e->name);
            return r;
        }
    }
    return 0;
}
