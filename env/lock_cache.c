/* lock_cache: answers kept in the catalog, so that the usual path starts no Python.
 *
 * An answer is found by a key over all that was given and proved by re-reading what it names:
 * every file that was read, every variable that was expanded. It holds no credentials: only digests
 * of variables and URLs without user and password.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"

#define ANSWER_VERSION "venvfs lock 2"
enum { LOCK_FILE_MAX = 64 << 20 };
static const int64_t word_lifetime_ns = 600LL * 1000 * 1000 * 1000;

extern char **environ;

/* ---- the key ---- */

static void add_text(struct sha256_state *st, const char *s)
{
    sha256_update(st, s, strlen(s) + 1);
}

/* A list with its length, so that no two inputs run together. */
static void add_list(struct sha256_state *st, const char *what, const char *const *items, size_t n)
{
    _cleanup_free_ char *head = xasprintf("%s %zu", what, n);
    add_text(st, head);
    for (size_t i = 0; i < n; i++)
        add_text(st, items[i]);
}

static void add_optional(struct sha256_state *st, const char *what, const char *const *items)
{
    size_t n = 0;
    while (items && items[n])
        n++;
    add_list(st, items ? what : "default", items, n);
}

static void add_file(struct sha256_state *st, const char *path, const struct strbuf *content)
{
    struct sha256 digest;
    sha256_of(content->buf, content->len, &digest);
    add_text(st, path);
    sha256_update(st, digest.bytes, SHA256_SIZE);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* pip's variables (an index with its password is hashed, never kept). */
static void add_variables(struct sha256_state *st)
{
    const char **found = NULL;
    size_t n = 0, alloc = 0;
    for (char **e = environ; *e; e++) {
        if (strncmp(*e, "PIP_", 4) != 0)
            continue;
        found = xgrow(found, &alloc, n + 1, sizeof(*found));
        found[n++] = *e;
    }
    if (n)
        qsort(found, n, sizeof(*found), compare);
    add_list(st, "variables", found, n);
    free(found);
}

static void add_config(struct sha256_state *st, const char *dir, const char *name)
{
    if (!dir || !*dir)
        return;
    _cleanup_free_ char *path = name ? path_join(dir, name) : xstrdup(dir);
    _cleanup_strbuf_ struct strbuf content = STRBUF_INIT;
    if (io_read_file(path, &content, 1 << 20) == 0)
        add_file(st, path, &content);
}

/* Where pip looks for its configuration ("Configuration", Location). */
static void add_configs(struct sha256_state *st)
{
    const char *home = getenv("HOME"), *xdg = getenv("XDG_CONFIG_HOME");
    const char *dirs = getenv("XDG_CONFIG_DIRS");
    for (const char *p = dirs && *dirs ? dirs : "/etc/xdg"; *p;) {
        size_t n = strcspn(p, ":");
        _cleanup_free_ char *dir = xstrndup(p, n);
        add_config(st, dir, "pip/pip.conf");
        p += n + (p[n] == ':');
    }
    add_config(st, "/etc/pip.conf", NULL);
    add_config(st, home, ".pip/pip.conf");
    if (xdg && *xdg)
        add_config(st, xdg, "pip/pip.conf");
    else
        add_config(st, home, ".config/pip/pip.conf");
    add_config(st, getenv("PIP_CONFIG_FILE"), NULL);
}

void lock_add_settings(struct sha256_state *st)
{
    add_variables(st);
    add_configs(st);
}

int lock_cache_key(const struct lock_job *job, struct sha256 *ret, struct verror *err)
{
    const struct lock_request *q = job->request;
    struct sha256_state *st = sha256_begin();
    add_text(st, ANSWER_VERSION);
    add_text(st, job->target_key);
    _cleanup_free_ char *markers = json_dumps(job->interp->markers, JSON_SORT_KEYS | JSON_COMPACT);
    add_text(st, markers ? markers : "");
    add_list(st, "tags", job->interp->target.tags, job->interp->target.n_tags);
    _cleanup_strbuf_ struct strbuf content = STRBUF_INIT;
    for (size_t i = 0; i < q->n_files; i++) {
        int r = io_read_file(q->files[i], &content, LOCK_FILE_MAX);
        if (r < 0) {
            sha256_end(st, NULL);
            return verror_errno(err, r, "%s", q->files[i]);
        }
        add_file(st, q->files[i], &content);
    }
    add_list(st, "requirements", q->requirements, q->n_requirements);
    add_list(st, "constraints", q->constraints, q->n_constraints);
    add_optional(st, "groups", q->groups);
    add_optional(st, "extras", q->extras);
    add_text(st, q->no_deps ? "no-deps" : "deps");
    lock_add_settings(st);
    sha256_end(st, ret);
    return 0;
}

/* ---- reading ---- */

static bool inputs_hold(const json_t *inputs)
{
    const char *path;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)inputs, path, value)
    {
        const char *hex = json_string_value(value);
        struct sha256 want, have;
        _cleanup_close_ int fd = io_open(path, 0, 0);
        if (fd == -ENOENT && json_is_null(value))
            continue;
        if (fd < 0 || !hex || !sha256_from_hex(hex, strlen(hex), &want) ||
            sha256_of_fd(fd, &have) < 0 || !sha256_equal(&want, &have))
            return false;
    }
    return true;
}

static bool variables_hold(const json_t *variables)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)variables, name, value)
    {
        const char *now = getenv(name), *hex = json_string_value(value);
        struct sha256 want, have;
        if (!now != !hex)
            return false;
        if (!now)
            continue;
        sha256_of(now, strlen(now), &have);
        if (!sha256_from_hex(hex, strlen(hex), &want) || !sha256_equal(&want, &have))
            return false;
    }
    return true;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool fresh(const struct lock_job *job, const json_t *answer)
{
    const char *cwd = json_string_value(json_object_get(answer, "cwd"));
    if (cwd && strcmp(cwd, job->cwd) != 0)
        return false;
    int64_t resolved = json_integer_value(json_object_get(answer, "resolved_ns"));
    if (resolved && job->request->n_requirements && !job->request->offline &&
        (now_ns() - resolved > word_lifetime_ns || resolved > now_ns()))
        return false;
    return inputs_hold(json_object_get(answer, "inputs")) &&
           variables_hold(json_object_get(answer, "variables"));
}

static int load_package(const struct lock_job *job, const json_t *o, struct lock_package *ret)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *version = json_string_value(json_object_get(o, "version"));
    const char *wheel = json_string_value(json_object_get(o, "wheel"));
    const char *direct = json_string_value(json_object_get(o, "direct_url"));
    if (!name || !version || !wheel || !sha256_from_hex(wheel, strlen(wheel), &ret->wheel))
        return -EBADMSG;
    int r = store_find_image(job->store, &ret->wheel, job->target_key, &ret->image, NULL);
    if (r < 0)
        return r;
    ret->name = xstrdup(name);
    ret->version = xstrdup(version);
    ret->requested = json_is_true(json_object_get(o, "requested"));
    ret->direct_url = direct ? xstrdup(direct) : NULL;
    return 0;
}

static int load_packages(const struct lock_job *job, const json_t *answer, struct lock_result *ret)
{
    const json_t *packages = json_object_get(answer, "packages");
    const json_t *editables = json_object_get(answer, "editables");
    size_t n = json_array_size(packages);
    ret->packages = xcalloc(n + 1, sizeof(*ret->packages));
    for (size_t i = 0; i < n; i++) {
        int r = load_package(job, json_array_get(packages, i), &ret->packages[i]);
        if (r < 0)
            return r;
        ret->n_packages++;
    }
    ret->editables = xcalloc(json_array_size(editables) + 1, sizeof(*ret->editables));
    for (size_t i = 0; i < json_array_size(editables); i++) {
        const json_t *o = json_array_get(editables, i);
        const char *name = json_string_value(json_object_get(o, "name"));
        const char *path = json_string_value(json_object_get(o, "path"));
        if (!path)
            return -EBADMSG;
        ret->editables[ret->n_editables++] =
            (struct lock_editable){.name = name ? xstrdup(name) : NULL, .path = xstrdup(path)};
    }
    const char *text = json_string_value(json_object_get(answer, "lock_text"));
    ret->lock_text = text ? xstrdup(text) : NULL;
    ret->resolved_ns = json_integer_value(json_object_get(answer, "resolved_ns"));
    ret->resolved = ret->resolved_ns != 0;
    return 0;
}

int lock_cache_load(const struct lock_job *job, const struct sha256 *key, struct lock_result *ret,
                    struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = store_cache_get(job->store, key, &text, err);
    if (r < 0)
        return r;
    json_t *answer = json_loadb(text.buf, text.len, 0, NULL);
    struct lock_result result = {0};
    r = json_is_object(answer) && fresh(job, answer) ? load_packages(job, answer, &result)
                                                     : -ENOENT;
    json_decref(answer);
    if (r < 0) {
        lock_result_release(&result);
        return -ENOENT;
    }
    *ret = result;
    return 0;
}

/* ---- writing ---- */

static void set_digest(json_t *o, const char *key, const struct sha256 *digest)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(digest, hex);
    json_object_set_new(o, key, json_string(hex));
}

static json_t *packages_json(const struct lock_result *result)
{
    json_t *array = json_array();
    for (size_t i = 0; i < result->n_packages; i++) {
        const struct lock_package *p = &result->packages[i];
        json_t *o = json_object();
        json_object_set_new(o, "name", json_string(p->name));
        json_object_set_new(o, "version", json_string(p->version));
        json_object_set_new(o, "requested", json_boolean(p->requested));
        set_digest(o, "wheel", &p->wheel);
        if (p->direct_url)
            json_object_set_new(o, "direct_url", json_string(p->direct_url));
        json_array_append_new(array, o);
    }
    return array;
}

static json_t *proof_json(const struct lock_job *job, const struct lock_plan *plan)
{
    json_t *o = json_object(), *inputs = json_object(), *variables = json_object();
    for (size_t i = 0; i < plan->n_inputs; i++) {
        const struct lock_input *in = &plan->inputs[i];
        if (in->missing)
            json_object_set_new(inputs, in->path, json_null());
        else
            set_digest(inputs, in->path, &in->digest);
    }
    for (size_t i = 0; i < plan->n_variables; i++) {
        if (plan->variables[i].set)
            set_digest(variables, plan->variables[i].name, &plan->variables[i].digest);
        else
            json_object_set_new(variables, plan->variables[i].name, json_null());
    }
    json_object_set_new(o, "inputs", inputs);
    json_object_set_new(o, "variables", variables);
    if (plan->relative)
        json_object_set_new(o, "cwd", json_string(job->cwd));
    return o;
}

int lock_cache_save(const struct lock_job *job, const struct sha256 *key,
                    const struct lock_plan *plan, const struct lock_result *result,
                    struct verror *err)
{
    json_t *o = proof_json(job, plan), *editables = json_array();
    json_object_set_new(o, "packages", packages_json(result));
    for (size_t i = 0; i < result->n_editables; i++) {
        json_t *one = json_object();
        if (result->editables[i].name)
            json_object_set_new(one, "name", json_string(result->editables[i].name));
        json_object_set_new(one, "path", json_string(result->editables[i].path));
        json_array_append_new(editables, one);
    }
    json_object_set_new(o, "editables", editables);
    json_object_set_new(o, "resolved_ns", json_integer(result->resolved_ns));
    if (result->lock_text)
        json_object_set_new(o, "lock_text", json_string(result->lock_text));
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    if (!text)
        return 0; /* a name that is not UTF-8: not kept, asked again next time */
    int r = store_cache_put(job->store, key, text, strlen(text), err);
    free(text);
    return r;
}
