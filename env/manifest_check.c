#include "env/manifest_check.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/path.h"

static int bad(struct verror *err, const char *key, const char *value, const char *what)
{
    if (!value)
        return verror_set(err, EBADMSG, "\"%s\" is missing", key);
    return verror_set(err, EBADMSG, "\"%s\" %s: \"%.200s\"", key, what, value);
}

/* Text that goes into one line of pyvenv.cfg or of a shebang. */
static bool is_line(const char *s)
{
    if (!s || !*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static bool is_path(const char *s)
{
    return is_line(s) && s[0] == '/' && strlen(s) < 4096;
}

/* A folder name that the tree of every environment is built from: "python3.11", "lib64". */
static bool is_plain_component(const char *s)
{
    if (!s || !path_component_ok(s, strlen(s)))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '.' && *s != '_' && *s != '-')
            return false;
    return true;
}

/* "Names and normalization": letters, digits, ".-_" inside, 1..200 bytes. */
static bool is_dist_name(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > 200 || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static bool is_dist_version(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n == 0 || n > 200)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] == '/' || s[i] == 0x7f)
            return false;
    return true;
}

static int check_package(const struct manifest_package *p, struct verror *err)
{
    if (!is_dist_name(p->name))
        return bad(err, "name", p->name, "is no distribution name");
    if (!is_dist_version(p->version))
        return bad(err, "version", p->version, "is no version");
    if (p->installer && (!is_line(p->installer) || strlen(p->installer) > 200))
        return bad(err, "installer", p->installer, "is no short line of text");
    if (p->image.number < 1 || p->image.number > MANIFEST_MAX_IMAGE)
        return verror_set(err, EBADMSG, "\"image\" is out of range: %u", p->image.number);
    if (p->entered_ns <= 0)
        return verror_set(err, EBADMSG, "\"entered_ns\" is not a time after 1970");
    return 0;
}

static int check_packages(const struct manifest *m, struct verror *err)
{
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        int r = check_package(p, err);
        if (r < 0) {
            verror_prefix(err, "package %zu (%s)", i + 1, p->name ? p->name : "?");
            return r;
        }
        if (i && strcmp(m->packages[i - 1].normalised, p->normalised) >= 0)
            return verror_set(err, EBADMSG,
                              "package %zu (%s) is there twice or not in the order of names", i + 1,
                              p->name);
    }
    return 0;
}

static int check_editables(const struct manifest *m, struct verror *err)
{
    for (size_t i = 0; i < m->n_editables; i++) {
        const struct manifest_editable *e = &m->editables[i];
        int r = 0;
        if (!is_dist_name(e->name))
            r = bad(err, "name", e->name, "is no distribution name");
        else if (!is_dist_version(e->version))
            r = bad(err, "version", e->version, "is no version");
        else if (!is_path(e->path))
            r = bad(err, "path", e->path, "is no absolute path of one line");
        else if (i && strcmp(m->editables[i - 1].normalised, e->normalised) >= 0)
            r = bad(err, "name", e->name, "is there twice or not in the order of names");
        if (r < 0) {
            verror_prefix(err, "editable %zu", i + 1);
            return r;
        }
    }
    return manifest_check_files(m, err);
}

/* One that is bare has an interpreter or none, and packages only with one. */
static int check_bare(const struct manifest *m, struct verror *err)
{
    const char *const facts[] = {m->base_executable, m->home, m->version, m->python_dir,
                                 m->platlibdir};
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
        if (!facts[i] != !m->executable)
            return verror_set(err, EBADMSG, "half of the interpreter is missing");
    if (!m->executable && (m->n_packages || m->n_editables))
        return verror_set(err, EBADMSG, "there are packages and no interpreter");
    return 0;
}

int manifest_check(const struct manifest *m, struct verror *err)
{
    bool bare = m->bare;
    if (m->generation < 1 || m->generation > MANIFEST_MAX_GENERATION)
        return verror_set(err, EBADMSG, "\"generation\" is out of range");
    if (m->upper > m->generation)
        return verror_set(err, EBADMSG, "\"upper\" is out of range");
    if (m->time_ns <= 0)
        return verror_set(err, EBADMSG, "\"time_ns\" is not a time after 1970");
    const struct {
        const char *key, *value;
        bool optional;
        bool (*ok)(const char *);
        const char *what;
    } rules[] = {
        {"reason", m->reason, false, is_line, "is no line of text"},
        {"address", m->address, false, is_path, "is no absolute path of one line"},
        {"prompt", m->prompt, true, is_line, "is no line of text"},
        {"executable", m->executable, bare, is_path, "is no absolute path of one line"},
        {"base_executable", m->base_executable, bare, is_path, "is no absolute path of one line"},
        {"home", m->home, bare, is_path, "is no absolute path of one line"},
        {"version", m->version, bare, is_dist_version, "is no version"},
        {"python_dir", m->python_dir, bare, is_plain_component, "is no plain folder name"},
        {"platlibdir", m->platlibdir, bare, is_plain_component, "is no plain folder name"},
        {"target_key", m->target_key, bare, is_line, "is no line of text"},
        {"project", m->project, true, is_path, "is no absolute path of one line"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (rules[i].optional && !rules[i].value)
            continue;
        if (!rules[i].ok(rules[i].value))
            return bad(err, rules[i].key, rules[i].value, rules[i].what);
    }
    int r = bare ? check_bare(m, err) : 0;
    if (r == 0)
        r = check_packages(m, err);
    return r < 0 ? r : check_editables(m, err);
}
