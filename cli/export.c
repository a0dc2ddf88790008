#include "cli/export.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/facts.h"
#include "cli/print.h"
#include "env/lockfile.h"
#include "venvfs-config.h"

static const char *const format_names[] = {
    [EXPORT_REQUIREMENTS] = "requirements", [EXPORT_PYLOCK] = "pylock", [EXPORT_JSON] = "json"};

bool export_format_named(const char *name, enum export_format *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(format_names); i++)
        if (strcmp(name, format_names[i]) == 0) {
            *ret = (enum export_format)i;
            return true;
        }
    return false;
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

bool export_is_pylock_name(const char *path)
{
    static const char head[] = "pylock.", tail[] = ".toml";
    const char *name = path_basename(path);
    if (strcmp(name, "pylock.toml") == 0)
        return true;
    if (strncmp(name, head, strlen(head)) != 0 || !ends_with(name, tail) ||
        strlen(name) <= strlen(head) + strlen(tail))
        return false;
    const char *middle = name + strlen(head);
    return strcspn(middle, ".") == strlen(middle) - strlen(tail);
}

enum export_format export_format_of_file(const char *path)
{
    if (export_is_pylock_name(path))
        return EXPORT_PYLOCK;
    return ends_with(path, ".json") ? EXPORT_JSON : EXPORT_REQUIREMENTS;
}

/* ---- where a package comes from: PEP 610 ---- */

enum source { FROM_INDEX, FROM_ARCHIVE, FROM_VCS, FROM_FOLDER };

struct origin {
    enum source source;
    const char *url, *subdirectory;
    const char *vcs, *commit, *revision;
    const json_t *hashes; /* of an archive: algorithm -> value; NULL: unknown */
};

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static struct origin origin_of(const struct manifest_package *p)
{
    const json_t *record = p->direct_url, *vcs = json_object_get(record, "vcs_info");
    const json_t *archive = json_object_get(record, "archive_info");
    struct origin o = {.url = text_of(record, "url"),
                       .subdirectory = text_of(record, "subdirectory")};
    if (!o.url)
        return (struct origin){.source = FROM_INDEX};
    o.source = vcs ? FROM_VCS : json_object_get(record, "dir_info") ? FROM_FOLDER : FROM_ARCHIVE;
    o.vcs = text_of(vcs, "vcs");
    o.commit = text_of(vcs, "commit_id");
    o.revision = text_of(vcs, "requested_revision");
    o.hashes = json_object_get(archive, "hashes");
    return o;
}

/* The file name of the wheel that a package was made from. *ret NULL: there was none, it was taken
 * from an installed tree (wheel/installed.h), and the digest says nothing to others. */
static int wheel_file(struct store *store, const struct sha256 *digest, char **ret,
                      struct verror *err)
{
    struct store_wheel wheel;
    int r = store_find_wheel(store, digest, &wheel, err);
    if (r < 0)
        return r;
    *ret = ends_with(wheel.filename, ".whl") ? steal_ptr(wheel.filename) : NULL;
    store_wheel_release(&wheel);
    return 0;
}

/* ---- requirements ---- */

static void add_sha256(struct strbuf *sb, const struct sha256 *digest)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(digest, hex);
    strbuf_addf(sb, " \\\n    --hash=sha256:%s", hex);
}

static void add_hashes(struct strbuf *sb, const json_t *hashes)
{
    const char *algorithm;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)hashes, algorithm, value)
    {
        if (json_is_string(value))
            strbuf_addf(sb, " \\\n    --hash=%s:%s", algorithm, json_string_value(value));
    }
}

static void add_requirement(struct strbuf *sb, const struct manifest_package *p, bool hashed)
{
    struct origin o = origin_of(p);
    if (o.source == FROM_INDEX)
        strbuf_addf(sb, "%s==%s", p->normalised, p->version);
    else if (o.source == FROM_VCS)
        strbuf_addf(sb, "%s @ %s+%s@%s", p->normalised, o.vcs ? o.vcs : "git", o.url,
                    o.commit ? o.commit : "HEAD");
    else
        strbuf_addf(sb, "%s @ %s", p->normalised, o.url);
    if (o.subdirectory)
        strbuf_addf(sb, "#subdirectory=%s", o.subdirectory);
    if (hashed && o.source == FROM_INDEX)
        add_sha256(sb, &p->wheel);
    else if (hashed)
        add_hashes(sb, o.hashes);
    strbuf_addch(sb, '\n');
}

/* Why pip could not check a hash of it; NULL: it can. -ENOENT: the store does not know it. */
static int why_unhashed(struct session *s, const struct manifest_package *p, const char **ret,
                        struct verror *err)
{
    struct origin o = origin_of(p);
    _cleanup_free_ char *file = NULL;
    *ret = NULL;
    if (o.source == FROM_VCS)
        *ret = "comes from a repository";
    else if (o.source == FROM_FOLDER)
        *ret = "comes from a folder";
    else if (o.source == FROM_ARCHIVE && !json_object_size(o.hashes))
        *ret = "comes from a URL without a hash";
    if (*ret || o.source == FROM_ARCHIVE)
        return 0;
    int r = wheel_file(s->store, &p->wheel, &file, err);
    if (r == 0 && !file)
        *ret = "was taken from an installed tree, so that its wheel is not known";
    return r;
}

/* pip wants hashes of all or none. Editable installs beside hashes are uv's convention, which
 * venvfs reads. */
static int first_unhashed(struct session *s, const struct manifest *m, bool all, char **ret,
                          struct verror *err)
{
    int r = 0;
    *ret = NULL;
    for (size_t i = 0; r == 0 && !*ret && i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        const char *why = NULL;
        if (all || !p->seed)
            r = why_unhashed(s, p, &why, err);
        if (why)
            *ret = xasprintf("%s %s", p->name, why);
    }
    return r;
}

static int requirements(struct session *s, const struct env *env, bool all, struct strbuf *sb,
                        char **unhashed, struct verror *err)
{
    const struct manifest *m = env->manifest;
    int r = first_unhashed(s, m, all, unhashed, err);
    if (r < 0)
        return r;
    strbuf_addf(sb, "# Environment %s, generation %u, Python %s: venvfs export\n", env->name,
                m->generation, manifest_python(m));
    for (size_t i = 0; i < m->n_editables; i++) {
        _cleanup_free_ char *word = print_word(m->editables[i].path);
        strbuf_addf(sb, "-e %s\n", word);
    }
    for (size_t i = 0; i < m->n_packages; i++)
        if (all || !m->packages[i].seed)
            add_requirement(sb, &m->packages[i], !*unhashed);
    return 0;
}

/* ---- pylock.toml ---- */

/* A basic string of TOML. */
static void add_string(struct strbuf *sb, const char *text)
{
    strbuf_addch(sb, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            strbuf_addf(sb, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            strbuf_addf(sb, "\\u%04x", c);
        else
            strbuf_addch(sb, (char)c);
    }
    strbuf_addch(sb, '"');
}

static void add_key(struct strbuf *sb, const char *key, const char *value)
{
    if (!value)
        return;
    strbuf_addf(sb, "%s = ", key);
    add_string(sb, value);
    strbuf_addch(sb, '\n');
}

/* An inline table: begins with separator "" and goes on with ", ". */
static void add_member(struct strbuf *sb, const char **separator, const char *key,
                       const char *value)
{
    if (!value)
        return;
    strbuf_addf(sb, "%s%s = ", *separator, key);
    add_string(sb, value);
    *separator = ", ";
}

static void add_vcs(struct strbuf *sb, const struct origin *o)
{
    const char *separator = "";
    strbuf_addstr(sb, "vcs = {");
    add_member(sb, &separator, "type", o->vcs ? o->vcs : "git");
    add_member(sb, &separator, "url", o->url);
    add_member(sb, &separator, "requested-revision", o->revision);
    add_member(sb, &separator, "commit-id", o->commit);
    add_member(sb, &separator, "subdirectory", o->subdirectory);
    strbuf_addstr(sb, "}\n");
}

static void add_archive(struct strbuf *sb, const struct origin *o, const struct sha256 *wheel)
{
    const char *separator = "", *algorithm;
    char hex[SHA256_HEX_SIZE];
    json_t *value;
    strbuf_addstr(sb, "archive = {");
    add_member(sb, &separator, "url", o->url);
    add_member(sb, &separator, "subdirectory", o->subdirectory);
    strbuf_addf(sb, "%shashes = {", separator);
    separator = "";
    json_object_foreach((json_t *)(uintptr_t)o->hashes, algorithm, value)
    {
        add_member(sb, &separator, algorithm, json_string_value(value));
    }
    sha256_to_hex(wheel, hex);
    if (!*separator) /* not told by who installed it; of a wheel it is known all the same */
        add_member(sb, &separator, "sha256", hex);
    strbuf_addstr(sb, "}}\n");
}

static void add_directory(struct strbuf *sb, const char *path, const char *subdirectory,
                          bool editable)
{
    const char *separator = "";
    strbuf_addstr(sb, "directory = {");
    add_member(sb, &separator, "path", path);
    add_member(sb, &separator, "subdirectory", subdirectory);
    if (editable)
        strbuf_addstr(sb, ", editable = true");
    strbuf_addstr(sb, "}\n");
}

static int no_wheel(const struct manifest_package *p, struct verror *err)
{
    verror_set(err, ENODATA,
               "%s %s was taken from an installed tree, and pylock.toml must name its wheel, which "
               "is not known",
               p->name, p->version);
    return verror_hint(err, "--format requirements needs none; once it is installed by venvfs "
                            "install, its wheel is known");
}

static int add_wheel(struct session *s, struct strbuf *sb, const struct manifest_package *p,
                     struct verror *err)
{
    _cleanup_free_ char *file = NULL;
    char hex[SHA256_HEX_SIZE];
    const char *separator = "";
    int r = wheel_file(s->store, &p->wheel, &file, err);
    if (r < 0)
        return verror_prefix(err, "%s %s", p->name, p->version);
    if (!file)
        return no_wheel(p, err);
    sha256_to_hex(&p->wheel, hex);
    strbuf_addstr(sb, "wheels = [{");
    add_member(sb, &separator, "name", file);
    strbuf_addf(sb, ", hashes = {sha256 = \"%s\"}}]\n", hex);
    return 0;
}

/* The version of a folder or repository is what a build of it says. */
static int add_package(struct session *s, struct strbuf *sb, const struct manifest_package *p,
                       struct verror *err)
{
    struct origin o = origin_of(p);
    _cleanup_free_ char *path = o.source == FROM_FOLDER ? lock_path_of_url(o.url) : NULL;
    int r = 0;
    strbuf_addstr(sb, "\n[[packages]]\n");
    add_key(sb, "name", p->normalised);
    if (o.source != FROM_FOLDER)
        add_key(sb, "version", p->version);
    if (o.source == FROM_INDEX)
        r = add_wheel(s, sb, p, err);
    else if (o.source == FROM_VCS)
        add_vcs(sb, &o);
    else if (o.source == FROM_ARCHIVE)
        add_archive(sb, &o, &p->wheel);
    else
        add_directory(sb, path ? path : o.url, o.subdirectory, false);
    if (!p->requested)
        strbuf_addstr(sb, "[packages.tool.venvfs]\nrequested = false\n");
    return r;
}

static int pylock(struct session *s, const struct env *env, bool all, struct strbuf *sb,
                  struct verror *err)
{
    const struct manifest *m = env->manifest;
    int r = 0;
    strbuf_addf(sb, "# Environment %s, generation %u, Python %s: venvfs export\n", env->name,
                m->generation, manifest_python(m));
    strbuf_addf(sb, "lock-version = \"1.0\"\ncreated-by = \"venvfs %s\"\n", VENVFS_VERSION);
    if (!m->n_packages && !m->n_editables)
        strbuf_addstr(sb, "packages = []\n");
    for (size_t i = 0; i < m->n_editables; i++) {
        strbuf_addstr(sb, "\n[[packages]]\n");
        add_key(sb, "name", m->editables[i].normalised);
        add_directory(sb, m->editables[i].path, NULL, true);
    }
    for (size_t i = 0; r == 0 && i < m->n_packages; i++)
        if (all || !m->packages[i].seed)
            r = add_package(s, sb, &m->packages[i], err);
    return r;
}

/* ---- JSON ---- */

static int add_filename(struct session *s, json_t *package, struct verror *err)
{
    const char *hex = text_of(package, "wheel");
    _cleanup_free_ char *file = NULL;
    struct sha256 digest;
    if (!hex || !sha256_from_hex(hex, strlen(hex), &digest))
        return 0;
    int r = wheel_file(s->store, &digest, &file, err);
    if (r == 0)
        json_object_set_new(package, "file", file ? json_string(file) : json_null());
    return r;
}

static int json_text(struct session *s, const struct env *env, bool all, struct strbuf *sb,
                     struct verror *err)
{
    json_t *packages = facts_of_packages(env->manifest),
           *facts = facts_of_env(&s->home, env, env->manifest->n_packages);
    int r = 0;
    for (size_t i = json_array_size(packages); r == 0 && i-- > 0;) {
        json_t *one = json_array_get(packages, i);
        if (!all && json_is_true(json_object_get(one, "seed")))
            json_array_remove(packages, i);
        else
            r = add_filename(s, one, err);
    }
    json_object_set_new(facts, "packages", packages);
    _cleanup_free_ char *text = r == 0 ? json_dumps(facts, JSON_INDENT(2)) : NULL;
    json_decref(facts);
    if (text)
        strbuf_addf(sb, "%s\n", text);
    return r;
}

int export_text(struct session *s, const struct env *env, enum export_format format, bool all,
                struct strbuf *ret, char **unhashed, struct verror *err)
{
    *unhashed = NULL;
    int r = session_store(s, err);
    if (r < 0)
        return r;
    if (format == EXPORT_JSON)
        return json_text(s, env, all, ret, err);
    if (format == EXPORT_PYLOCK)
        return pylock(s, env, all, ret, err);
    return requirements(s, env, all, ret, unhashed, err);
}
