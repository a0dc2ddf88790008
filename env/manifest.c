/* DESIGN. One object per manifest, one line per package, so that `diff` and people can read it. Two
 * things keep it small: an image's identity is written as RECORD writes digests (base64), and
 * `entered_ns` stands once at the top for the packages that have the earliest time, which is nearly
 * all of them. What is derived (the normalised name) is not stored.
 *
 * The lines are why it is read quickly: what libjansson makes of a manifest of 120 packages takes
 * half a millisecond, and a command and the daemon read it five times in one creation. So the head
 * is JSON to a JSON parser, and of the lines only those that are not the usual one. A text that is
 * laid out in another way, or wrong, is read whole by libjansson: what is accepted is the same. */
#include "env/manifest.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/manifest_check.h"
#include "wheel/wheel.h"

enum { FORMAT = 1 };

struct manifest *manifest_new(void)
{
    return xcalloc(1, sizeof(struct manifest));
}

static char *dup_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

struct manifest *manifest_bare(const struct manifest *of, const char *reason)
{
    struct manifest *m = manifest_new();
    m->bare = true;
    m->reason = xstrdup(reason);
    m->generation = of->generation;
    m->upper = of->upper;
    m->address = xstrdup(of->address);
    m->prompt = dup_or_null(of->prompt);
    m->project = dup_or_null(of->project);
    m->settings = of->settings ? json_deep_copy(of->settings) : NULL;
    return m;
}

static struct manifest_package package_copy(const struct manifest_package *p)
{
    struct manifest_package c = *p;
    c.name = dup_or_null(p->name);
    c.version = dup_or_null(p->version);
    c.normalised = dup_or_null(p->normalised);
    c.installer = dup_or_null(p->installer);
    c.direct_url = p->direct_url ? json_deep_copy(p->direct_url) : NULL;
    return c;
}

struct manifest *manifest_copy(const struct manifest *m)
{
    struct manifest *c = xmemdup(m, sizeof(*m));
    char **const strings[] = {
        &c->reason,  &c->address, &c->prompt,     &c->executable, &c->base_executable, &c->home,
        &c->version, &c->project, &c->python_dir, &c->platlibdir, &c->target_key,
    };
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        *strings[i] = dup_or_null(*strings[i]);
    c->settings = m->settings ? json_deep_copy(m->settings) : NULL;
    c->packages = xcalloc(m->n_packages + 1, sizeof(*c->packages));
    for (size_t i = 0; i < m->n_packages; i++)
        c->packages[i] = package_copy(&m->packages[i]);
    c->editables = xcalloc(m->n_editables + 1, sizeof(*c->editables));
    for (size_t i = 0; i < m->n_editables; i++)
        c->editables[i] = manifest_editable_copy(&m->editables[i]);
    return c;
}

void manifest_set_installer(struct manifest_package *p, const char *installer)
{
    free(p->installer);
    p->installer = installer && strcmp(installer, "venvfs") != 0 ? xstrdup(installer) : NULL;
}

static void package_release(struct manifest_package *p)
{
    free(p->name);
    free(p->version);
    free(p->normalised);
    free(p->installer);
    json_decref(p->direct_url);
}

static void drop_packages(struct manifest *m)
{
    for (size_t i = 0; i < m->n_packages; i++)
        package_release(&m->packages[i]);
    free(m->packages);
    m->packages = NULL;
    m->n_packages = 0;
}

void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    drop_packages(m);
    manifest_drop_editables(m);
    free(m->reason);
    free(m->address);
    free(m->prompt);
    free(m->executable);
    free(m->base_executable);
    free(m->home);
    free(m->version);
    free(m->python_dir);
    free(m->platlibdir);
    free(m->target_key);
    free(m->project);
    json_decref(m->settings);
    free(m);
}

/* Index of the first package whose normalised name is not before `normalised`. */
static size_t lower_bound(const struct manifest *m, const char *normalised)
{
    size_t lo = 0, hi = m->n_packages;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(m->packages[mid].normalised, normalised) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct manifest_package *manifest_find(struct manifest *m, const char *normalised)
{
    size_t i = lower_bound(m, normalised);
    if (i < m->n_packages && strcmp(m->packages[i].normalised, normalised) == 0)
        return &m->packages[i];
    return NULL;
}

struct manifest_package *manifest_add(struct manifest *m, const char *name)
{
    _cleanup_free_ char *normalised = dist_name_normalise(name);
    struct manifest_package *p = manifest_find(m, normalised);
    if (p)
        return p;
    size_t i = lower_bound(m, normalised);
    m->packages = xrealloc(m->packages, (m->n_packages + 1) * sizeof(*m->packages));
    p = &m->packages[i];
    memmove(p + 1, p, (m->n_packages - i) * sizeof(*p));
    m->n_packages++;
    *p = (struct manifest_package){.name = xstrdup(name), .normalised = steal_ptr(normalised)};
    return p;
}

bool manifest_drop(struct manifest *m, const char *normalised)
{
    struct manifest_package *p = manifest_find(m, normalised);
    if (!p)
        return false;
    package_release(p);
    m->n_packages--;
    memmove(p, p + 1, (size_t)(m->packages + m->n_packages - p) * sizeof(*p));
    return true;
}

/* ---- writing ---- */

/* Takes value over; false when it is NULL (a string that is not UTF-8). */
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool put_string(json_t *object, const char *key, const char *value)
{
    return !value || put(object, key, json_string(value));
}

static bool put_flag(json_t *object, const char *key, bool value)
{
    return !value || put(object, key, json_true());
}

/* The earliest time any package entered: what lines without a time of their own mean. */
static int64_t earliest_entry(const struct manifest *m)
{
    int64_t t = m->n_packages ? m->packages[0].entered_ns : 0;
    for (size_t i = 1; i < m->n_packages; i++)
        if (m->packages[i].entered_ns < t)
            t = m->packages[i].entered_ns;
    return t;
}

static json_t *head_to_json(const struct manifest *m)
{
    json_t *o = json_object();
    bool ok =
        put(o, "format", json_integer(FORMAT)) &&
        put(o, "generation", json_integer(m->generation)) && put_string(o, "reason", m->reason) &&
        put(o, "time_ns", json_integer(m->time_ns)) && put_string(o, "address", m->address) &&
        put_string(o, "prompt", m->prompt) &&
        put_flag(o, "system_site_packages", m->system_site_packages) &&
        put_flag(o, "bare", m->bare) && (!m->upper || put(o, "upper", json_integer(m->upper))) &&
        put_string(o, "executable", m->executable) &&
        put_string(o, "base_executable", m->base_executable) && put_string(o, "home", m->home) &&
        put_string(o, "version", m->version) && put_string(o, "python_dir", m->python_dir) &&
        put_string(o, "platlibdir", m->platlibdir) &&
        put(o, "is_64bit", json_boolean(m->is_64bit)) &&
        put_string(o, "target_key", m->target_key) && put_string(o, "project", m->project) &&
        (!m->settings || put(o, "settings", json_incref(m->settings))) &&
        (!m->n_editables || put(o, "editables", manifest_editables_to_json(m))) &&
        put(o, "entered_ns", json_integer(earliest_entry(m)));
    if (!ok) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *package_to_json(const struct manifest_package *p, int64_t entered_ns)
{
    char wheel[SHA256_HEX_SIZE], id[SHA256_BASE64_SIZE];
    sha256_to_hex(&p->wheel, wheel);
    sha256_to_base64(&p->image.id, id);
    json_t *o = json_object();
    bool ok = put_string(o, "name", p->name) && put_string(o, "version", p->version) &&
              put(o, "image", json_integer(p->image.number)) && put_string(o, "id", id) &&
              put_string(o, "wheel", wheel) && put_flag(o, "requested", p->requested) &&
              put_flag(o, "seed", p->seed) &&
              (p->entered_ns == entered_ns || put(o, "entered_ns", json_integer(p->entered_ns))) &&
              (!p->installer || put_string(o, "installer", p->installer)) &&
              (!p->direct_url || put(o, "direct_url", json_incref(p->direct_url)));
    if (!ok) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static int append(const char *buffer, size_t size, void *sb)
{
    strbuf_add(sb, buffer, size);
    return 0;
}

/* Releases `value`; false when it is NULL. */
static bool dump(struct strbuf *sb, json_t *value, size_t flags)
{
    if (!value)
        return false;
    int r = json_dump_callback(value, append, sb, flags);
    json_decref(value);
    return r == 0;
}

char *manifest_to_json(const struct manifest *m)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (!dump(&sb, head_to_json(m), JSON_INDENT(1)))
        return NULL;
    strbuf_truncate(&sb, sb.len - strlen("\n}"));
    strbuf_addstr(&sb, ",\n \"packages\": [");
    int64_t entered_ns = earliest_entry(m);
    for (size_t i = 0; i < m->n_packages; i++) {
        strbuf_addstr(&sb, i ? ",\n  " : "\n  ");
        if (!dump(&sb, package_to_json(&m->packages[i], entered_ns), JSON_COMPACT))
            return NULL;
    }
    strbuf_addstr(&sb, m->n_packages ? "\n ]\n}\n" : "]\n}\n");
    return strbuf_detach(&sb, NULL);
}

/* ---- reading ---- */

static int wrong(struct verror *err, const char *key, const char *what)
{
    return verror_set(err, EBADMSG, "\"%s\" %s", key, what);
}

static int get_string(const json_t *o, const char *key, char **ret, struct verror *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v)
        return 0; /* manifest_check() knows which ones must be there */
    if (!json_is_string(v))
        return wrong(err, key, "is not a string");
    *ret = xstrdup(json_string_value(v));
    return 0;
}

static int get_integer(const json_t *o, const char *key, int64_t max, int64_t *ret,
                       struct verror *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v)
        return wrong(err, key, "is missing");
    if (!json_is_integer(v))
        return wrong(err, key, "is not an integer");
    int64_t i = json_integer_value(v);
    if (i < 0 || i > max)
        return wrong(err, key, "is out of range");
    *ret = i;
    return 0;
}

static int get_flag(const json_t *o, const char *key, bool *ret, struct verror *err)
{
    const json_t *v = json_object_get(o, key);
    if (v && !json_is_boolean(v))
        return wrong(err, key, "is neither true nor false");
    *ret = json_is_true(v);
    return 0;
}

static int get_object(const json_t *o, const char *key, json_t **ret, struct verror *err)
{
    json_t *v = json_object_get(o, key);
    if (v && !json_is_object(v))
        return wrong(err, key, "is not an object");
    *ret = json_incref(v);
    return 0;
}

static int get_digests(const json_t *o, struct manifest_package *p, struct verror *err)
{
    const char *id = json_string_value(json_object_get(o, "id"));
    const char *wheel = json_string_value(json_object_get(o, "wheel"));
    if (!id || !sha256_from_base64(id, strlen(id), &p->image.id))
        return wrong(err, "id", "is not a SHA-256 in base64");
    if (!wheel || !sha256_from_hex(wheel, strlen(wheel), &p->wheel))
        return wrong(err, "wheel", "is not a SHA-256");
    return 0;
}

static int package_from_json(const json_t *o, int64_t entered_ns, struct manifest_package *p,
                             struct verror *err)
{
    int64_t number = 0;
    p->entered_ns = entered_ns;
    int r;
    if (!json_is_object(o))
        return verror_set(err, EBADMSG, "it is not an object");
    if ((r = get_string(o, "name", &p->name, err)) < 0 ||
        (r = get_string(o, "version", &p->version, err)) < 0 ||
        (r = get_integer(o, "image", MANIFEST_MAX_IMAGE, &number, err)) < 0 ||
        (r = get_digests(o, p, err)) < 0 ||
        (r = get_flag(o, "requested", &p->requested, err)) < 0 ||
        (r = get_flag(o, "seed", &p->seed, err)) < 0 ||
        (r = get_object(o, "direct_url", &p->direct_url, err)) < 0)
        return r;
    if (json_object_get(o, "installer") && (r = get_string(o, "installer", &p->installer, err)) < 0)
        return r;
    if (json_object_get(o, "entered_ns") &&
        (r = get_integer(o, "entered_ns", INT64_MAX, &p->entered_ns, err)) < 0)
        return r;
    if (p->name)
        p->normalised = dist_name_normalise(p->name);
    p->image.number = (uint32_t)number;
    return 0;
}

static int too_many(struct verror *err)
{
    return wrong(err, "packages", "is not a list of a sane length");
}

static int bad_package(size_t i, int r, struct verror *err)
{
    verror_prefix(err, "package %zu", i + 1);
    return r;
}

static int packages_from_json(const json_t *o, struct manifest *m, int64_t entered_ns,
                              struct verror *err)
{
    const json_t *list = json_object_get(o, "packages");
    if (!json_is_array(list) || json_array_size(list) > MANIFEST_MAX_PACKAGES)
        return too_many(err);
    m->packages = xcalloc(json_array_size(list) + 1, sizeof(*m->packages));
    for (size_t i = 0; i < json_array_size(list); i++) {
        m->n_packages = i + 1; /* so that manifest_free() sees a half-read one */
        int r = package_from_json(json_array_get(list, i), entered_ns, &m->packages[i], err);
        if (r < 0)
            return bad_package(i, r, err);
    }
    return 0;
}

/* ---- lines of packages ---- */

/* A text as manifest_to_json() lays it out: the head, and one line for each package. */
struct layout {
    size_t head; /* bytes before ",\n \"packages\"" */
    const char *lines, *end;
    size_t n_lines;
};

static bool starts_with(const char *s, const char *end, const char *prefix)
{
    size_t n = strlen(prefix);
    return (size_t)(end - s) >= n && memcmp(s, prefix, n) == 0;
}

/* One package, and no more, as far as can be seen without reading it: another object's '{' may be
 * that of a record within. */
static bool is_line_of_one(const char *s, const char *end)
{
    static const char first[] = "{\"name\":", key[] = "\"name\"";
    size_t head = sizeof(first) - 1;
    return starts_with(s, end, first) &&
           (!memchr(s + head, '{', (size_t)(end - s) - head) ||
            !memmem(s + head, (size_t)(end - s) - head, key, sizeof(key) - 1));
}

/* False: it is laid out in another way, as by somebody's editor. */
static bool find_lines(const char *text, size_t len, struct layout *ret)
{
    static const char key[] = ",\n \"packages\": [", last[] = "\n ]\n}\n";
    const char *end = text + len;
    /* No string can hold this: JSON escapes newlines. */
    const char *at = memmem(text, len, key, sizeof(key) - 1);
    if (!at)
        return false;
    *ret = (struct layout){.head = (size_t)(at - text), .lines = at + sizeof(key) - 1, .end = end};
    const char *s = ret->lines;
    for (bool more = true; more && starts_with(s, end, "\n  {");) {
        const char *line = s + strlen("\n  ");
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end || line_end - line < 16 || !is_line_of_one(line, line_end))
            return false;
        more = line_end[-1] == ',';
        ret->n_lines++;
        s = line_end;
        if (more && !starts_with(s, end, "\n  {"))
            return false;
    }
    const char *rest = ret->n_lines ? last : "]\n}\n";
    return (size_t)(end - s) == strlen(rest) && starts_with(s, end, rest);
}

/* Takes KEY and a string without escapes off the front of a line; NULL: something else is there. */
static const char *take_text(const char **s, const char *end, const char *key, size_t *len)
{
    if (!starts_with(*s, end, key))
        return NULL;
    const char *text = *s + strlen(key), *p = text;
    while (p<end && * p> 0x1f && *p < 0x7f && *p != '"' && *p != '\\')
        p++;
    if (p == end || *p != '"')
        return NULL;
    *len = (size_t)(p - text);
    *s = p + 1;
    return text;
}

/* The same of a number from 1 to max without a leading zero; 0: something else. */
static int64_t take_number(const char **s, const char *end, const char *key, int64_t max)
{
    if (!starts_with(*s, end, key))
        return 0;
    const char *p = *s + strlen(key);
    int64_t n = 0;
    if (p < end && *p == '0')
        return 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (n > (max - (*p - '0')) / 10)
            return 0;
        n = n * 10 + (*p - '0');
    }
    *s = p;
    return n;
}

static bool take_flag(const char **s, const char *end, const char *text)
{
    bool there = starts_with(*s, end, text);
    *s += there ? strlen(text) : 0;
    return there;
}

/* The usual line, as package_to_json() writes it for a package without a record of its own; false:
 * it is another, of which nothing was taken. */
static bool take_line(const char *s, const char *end, struct manifest_package *p)
{
    static const char entered[] = ",\"entered_ns\":";
    size_t name_len, version_len, id_len, wheel_len;
    const char *name = take_text(&s, end, "{\"name\":\"", &name_len);
    const char *version = name ? take_text(&s, end, ",\"version\":\"", &version_len) : NULL;
    int64_t number = version ? take_number(&s, end, ",\"image\":", MANIFEST_MAX_IMAGE) : 0;
    const char *id = number ? take_text(&s, end, ",\"id\":\"", &id_len) : NULL;
    const char *wheel = id ? take_text(&s, end, ",\"wheel\":\"", &wheel_len) : NULL;
    if (!wheel || !sha256_from_base64(id, id_len, &p->image.id) ||
        !sha256_from_hex(wheel, wheel_len, &p->wheel))
        return false;
    p->requested = take_flag(&s, end, ",\"requested\":true");
    p->seed = take_flag(&s, end, ",\"seed\":true");
    if (starts_with(s, end, entered)) {
        p->entered_ns = take_number(&s, end, entered, INT64_MAX);
        if (!p->entered_ns)
            return false;
    }
    if (!starts_with(s, end, "}") || s + 1 != end)
        return false;
    p->image.number = (uint32_t)number;
    p->name = xstrndup(name, name_len);
    p->version = xstrndup(version, version_len);
    p->normalised = dist_name_normalise(p->name);
    return true;
}

static int package_from_line(const char *s, const char *end, int64_t entered_ns,
                             struct manifest_package *p, struct verror *err)
{
    json_error_t at;
    p->entered_ns = entered_ns;
    if (take_line(s, end, p))
        return 0;
    *p = (struct manifest_package){.name = NULL};
    json_t *o = json_loadb(s, (size_t)(end - s), JSON_REJECT_DUPLICATES, &at);
    if (!o)
        return verror_set(err, EBADMSG, "not JSON: %s", at.text);
    int r = package_from_json(o, entered_ns, p, err);
    json_decref(o);
    return r;
}

static int packages_from_lines(const struct layout *l, struct manifest *m, int64_t entered_ns,
                               struct verror *err)
{
    if (l->n_lines > MANIFEST_MAX_PACKAGES)
        return too_many(err);
    m->packages = xcalloc(l->n_lines + 1, sizeof(*m->packages));
    const char *s = l->lines + strlen("\n  ");
    for (size_t i = 0; i < l->n_lines; i++) {
        const char *line_end = memchr(s, '\n', (size_t)(l->end - s));
        const char *end = line_end - (i + 1 < l->n_lines); /* the comma */
        m->n_packages = i + 1; /* so that manifest_free() sees a half-read one */
        int r = package_from_line(s, end, entered_ns, &m->packages[i], err);
        if (r < 0)
            return bad_package(i, r, err);
        s = line_end + strlen("\n  ");
    }
    return 0;
}

static int head_from_json(const json_t *o, struct manifest *m, struct verror *err)
{
    int64_t generation = 0, upper = 0;
    int r;
    if ((r = get_integer(o, "generation", MANIFEST_MAX_GENERATION, &generation, err)) < 0 ||
        (r = get_integer(o, "time_ns", INT64_MAX, &m->time_ns, err)) < 0 ||
        (r = get_flag(o, "system_site_packages", &m->system_site_packages, err)) < 0 ||
        (r = get_flag(o, "bare", &m->bare, err)) < 0 ||
        (r = get_flag(o, "is_64bit", &m->is_64bit, err)) < 0 ||
        (json_object_get(o, "upper") &&
         (r = get_integer(o, "upper", MANIFEST_MAX_GENERATION, &upper, err)) < 0) ||
        (r = get_object(o, "settings", &m->settings, err)) < 0)
        return r;
    m->generation = (unsigned)generation;
    m->upper = (unsigned)upper;
    const struct {
        const char *key;
        char **ret;
    } strings[] = {
        {"reason", &m->reason},
        {"address", &m->address},
        {"prompt", &m->prompt},
        {"executable", &m->executable},
        {"home", &m->home},
        {"base_executable", &m->base_executable},
        {"version", &m->version},
        {"python_dir", &m->python_dir},
        {"platlibdir", &m->platlibdir},
        {"target_key", &m->target_key},
        {"project", &m->project},
    };
    for (size_t i = 0; i < ARRAY_SIZE(strings) && r == 0; i++)
        r = get_string(o, strings[i].key, strings[i].ret, err);
    return r;
}

static int check_format(const json_t *o, struct verror *err)
{
    int64_t format = 0;
    if (!json_is_object(o))
        return verror_set(err, EBADMSG, "not a JSON object");
    int r = get_integer(o, "format", INT64_MAX, &format, err);
    if (r == 0 && format != FORMAT)
        r = verror_set(err, EBADMSG, "format %lld, and this venvfs reads format %d",
                       (long long)format, FORMAT);
    return r;
}

/* l: where the lines of packages are, which are then not in o; NULL: everything is in o. */
static int fill(const json_t *o, const struct layout *l, bool packages, struct manifest *m,
                struct verror *err)
{
    int64_t entered_ns = 0;
    int r = check_format(o, err);
    if (r == 0)
        r = head_from_json(o, m, err);
    if (r == 0)
        r = get_integer(o, "entered_ns", INT64_MAX, &entered_ns, err);
    if (r == 0 && l && json_object_get(o, "packages"))
        r = wrong(err, "packages", "is there twice");
    if (r == 0 && packages)
        r = l ? packages_from_lines(l, m, entered_ns, err)
              : packages_from_json(o, m, entered_ns, err);
    if (r == 0)
        r = manifest_editables_from_json(json_object_get(o, "editables"), m, err);
    return r < 0 ? r : manifest_check(m, err);
}

static int read_json(const char *text, size_t len, const struct layout *l, bool packages,
                     struct manifest **ret, struct verror *err)
{
    json_error_t at;
    json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &at);
    if (!o)
        return verror_set(err, EBADMSG, "not JSON at line %d: %s", at.line, at.text);
    struct manifest *m = manifest_new();
    int r = fill(o, l, packages, m, err);
    json_decref(o);
    if (r < 0)
        manifest_free(m);
    else
        *ret = m;
    return r;
}

static int read_laid_out(const char *text, const struct layout *l, bool packages,
                         struct manifest **ret, struct verror *err)
{
    _cleanup_free_ char *head = xmalloc(l->head + 2);
    memcpy(head, text, l->head);
    memcpy(head + l->head, "}", 2);
    return read_json(head, l->head + 1, l, packages, ret, err);
}

int manifest_from_json(const char *text, size_t len, struct manifest **ret, struct verror *err)
{
    struct layout l;
    if (find_lines(text, len, &l) && read_laid_out(text, &l, true, ret, NULL) == 0)
        return 0;
    return read_json(text, len, NULL, true, ret, err); /* which also says best what is wrong */
}

int manifest_glance(const char *text, size_t len, struct manifest **ret, size_t *n_packages,
                    struct verror *err)
{
    struct layout l;
    if (find_lines(text, len, &l) && read_laid_out(text, &l, false, ret, NULL) == 0) {
        *n_packages = l.n_lines;
        return 0;
    }
    int r = read_json(text, len, NULL, true, ret, err);
    if (r == 0) {
        *n_packages = (*ret)->n_packages;
        drop_packages(*ret);
    }
    return r;
}
