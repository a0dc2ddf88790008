#include "env/pyversion.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "env/interp.h"

size_t pyversion_parse(const char *s, struct pyversion *ret)
{
    struct pyversion v = {.n = 0};
    size_t i = 0;
    while (isdigit((unsigned char)s[i])) {
        unsigned part = 0;
        for (; isdigit((unsigned char)s[i]); i++) {
            part = part * 10 + (unsigned)(s[i] - '0');
            if (part > 99999)
                return 0;
        }
        v.part[v.n++] = part;
        if (v.n == PYVERSION_PARTS || s[i] != '.' || !isdigit((unsigned char)s[i + 1]))
            break;
        i++;
    }
    if (v.n == 0 || (s[i] == '.' && isdigit((unsigned char)s[i + 1])))
        return 0;
    *ret = v;
    return i;
}

int pyversion_cmp(const struct pyversion *a, const struct pyversion *b)
{
    for (unsigned i = 0; i < PYVERSION_PARTS; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}

bool pyversion_agrees(const struct pyversion *a, const struct pyversion *b)
{
    for (unsigned i = 0; i < a->n && i < b->n; i++)
        if (a->part[i] != b->part[i])
            return false;
    return true;
}

/* ---- ranges ---- */

enum range_op { OP_GE, OP_LE, OP_EQ, OP_NE, OP_COMPATIBLE, OP_GT, OP_LT };

static const struct {
    const char *text;
    enum range_op op;
} range_ops[] = {
    {">=", OP_GE}, {"<=", OP_LE},         {"===", OP_EQ}, {"==", OP_EQ},
    {"!=", OP_NE}, {"~=", OP_COMPATIBLE}, {">", OP_GT},   {"<", OP_LT},
};

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

static bool op_holds(enum range_op op, const struct pyversion *v, const struct pyversion *bound,
                     bool wildcard)
{
    int c = pyversion_cmp(v, bound);
    switch (op) {
    case OP_GE:
        return c >= 0;
    case OP_LE:
        return c <= 0;
    case OP_GT:
        return c > 0;
    case OP_LT:
        return c < 0;
    case OP_EQ: /* "==3.11" as virtualenv and people mean it: any 3.11 */
        return wildcard || bound->n < PYVERSION_PARTS ? pyversion_agrees(v, bound) : c == 0;
    case OP_NE:
        return wildcard || bound->n < PYVERSION_PARTS ? !pyversion_agrees(v, bound) : c != 0;
    case OP_COMPATIBLE: { /* PEP 440: >= bound, and the parts before its last agree */
        struct pyversion prefix = *bound;
        prefix.n--;
        return c >= 0 && pyversion_agrees(v, &prefix);
    }
    }
    return false;
}

/* Reads one clause; returns what follows it, or NULL when it is none. */
static const char *clause(const char *s, const struct pyversion *v, bool *holds)
{
    s = skip_space(s);
    for (size_t i = 0; i < ARRAY_SIZE(range_ops); i++) {
        size_t n = strlen(range_ops[i].text);
        if (strncmp(s, range_ops[i].text, n) != 0)
            continue;
        struct pyversion bound = {.n = 0};
        s = skip_space(s + n);
        size_t len = pyversion_parse(s, &bound);
        if (!len)
            return NULL;
        s += len;
        bool wildcard = s[0] == '.' && s[1] == '*';
        bool is_equality = range_ops[i].op == OP_EQ || range_ops[i].op == OP_NE;
        if ((wildcard && !is_equality) || (range_ops[i].op == OP_COMPATIBLE && bound.n < 2))
            return NULL;
        *holds = op_holds(range_ops[i].op, v, &bound, wildcard);
        return skip_space(wildcard ? s + 2 : s);
    }
    return NULL;
}

int interp_version_matches(const char *version, const char *range)
{
    struct pyversion v = {.n = 0};
    int all = 1;
    if (!pyversion_parse(version, &v))
        return -EINVAL;
    for (const char *s = range;;) {
        bool holds = false;
        s = clause(s, &v, &holds);
        if (!s || (*s && *s != ','))
            return -EINVAL;
        all = all && holds;
        if (!*s)
            return all;
        s++;
        if (!*skip_space(s)) /* a comma at the end */
            return all;
    }
}

/* ---- specs ---- */

/* What follows an implementation's name: "-3.11", "@3.11", "3.11" or nothing. */
static const char *after_name(const char *s, const char *name)
{
    size_t n = strlen(name);
    if (strncasecmp(s, name, n) != 0)
        return NULL;
    s += n;
    if (*s == '-' || *s == '@')
        s++;
    return s;
}

/* What follows a version or a range: "t", "-64", "-x86_64", and in uv's keys "-linux-x86_64-gnu".
 * Words that say nothing of the machine are passed over. */
static bool parse_build(const char *s, struct pyspec *spec)
{
    static const struct {
        const char *word, *machine;
    } machines[] = {{"x86_64", "x86_64"},   {"amd64", "x86_64"}, {"aarch64", "aarch64"},
                    {"arm64", "aarch64"},   {"i686", "i686"},    {"ppc64le", "ppc64le"},
                    {"riscv64", "riscv64"}, {"s390x", "s390x"}};
    if (strncmp(s, "+freethreaded", 13) == 0) {
        spec->threaded = true;
        s += 13;
    } else if (*s == 't') {
        spec->threaded = true;
        s++;
    }
    while (*s == '-') {
        size_t n = strcspn(++s, "-");
        if (n == 2 && (strncmp(s, "32", n) == 0 || strncmp(s, "64", n) == 0))
            spec->bits = *s == '3' ? 32 : 64;
        for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
            if (strlen(machines[i].word) == n && strncasecmp(s, machines[i].word, n) == 0)
                (void)snprintf(spec->machine, sizeof(spec->machine), "%s", machines[i].machine);
        s += n;
    }
    return *s == '\0';
}

/* "3.12", "312", "3.13t", "3.12-64", "3.11.7-linux-x86_64-gnu" (uv's keys). */
static bool parse_version_word(const char *s, struct pyspec *spec)
{
    size_t n = pyversion_parse(s, &spec->version);
    if (!n)
        return false;
    struct pyversion *v = &spec->version;
    if (v->n == 1 && v->part[0] >= 20 && v->part[0] < 1000) { /* "python312" */
        unsigned minor = v->part[0] < 100 ? v->part[0] % 10 : v->part[0] % 100;
        v->part[0] = v->part[0] < 100 ? v->part[0] / 10 : v->part[0] / 100;
        v->part[1] = minor;
        v->n = 2;
    }
    spec->kind = PYSPEC_VERSION;
    return parse_build(s + n, spec);
}

/* "cpython>=3.10,<3.13-64": the name says nothing more, the build is what a version's is. */
static bool parse_range(const char *text, struct pyspec *spec)
{
    static const char *const names[] = {"cpython", "python"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strncasecmp(text, names[i], strlen(names[i])) == 0) {
            text = skip_space(text + strlen(names[i]));
            break;
        }
    size_t n = strcspn(text, "-t+");
    if (n >= sizeof(spec->range))
        return false;
    memcpy(spec->range, text, n);
    spec->range[n] = '\0';
    return interp_version_matches("3.0", spec->range) >= 0 && parse_build(text + n, spec);
}

struct pyspec pyspec_parse(const char *text)
{
    static const char *const foreign[] = {"pypy", "graalpy", "pyston", "jython", "ironpython"};
    static const char *const ours[] = {"cpython", "python", "py"};
    struct pyspec spec = {.text = text, .kind = PYSPEC_NAME};
    if (strchr(text, '/')) {
        spec.kind = PYSPEC_PATH;
        return spec;
    }
    if (parse_range(text, &spec)) {
        spec.kind = PYSPEC_RANGE;
        return spec;
    }
    spec = (struct pyspec){.text = text, .kind = PYSPEC_NAME};
    if (strcmp(text, "system") == 0)
        spec.kind = PYSPEC_SYSTEM;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        if (after_name(text, foreign[i]))
            spec.kind = PYSPEC_FOREIGN;
    if (spec.kind != PYSPEC_NAME)
        return spec;
    const char *word = text;
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
        const char *rest = after_name(text, ours[i]);
        if (rest && (!*rest || isdigit((unsigned char)*rest))) {
            word = rest;
            break;
        }
    }
    if (!*word || strcmp(text, "any") == 0)
        spec.kind = PYSPEC_ANY;
    else if (!parse_version_word(word, &spec))
        spec.kind = PYSPEC_NAME;
    return spec;
}

bool pyspec_admits(const struct pyspec *spec, const struct pyversion *version)
{
    if (spec->kind == PYSPEC_VERSION)
        return pyversion_agrees(&spec->version, version);
    /* A range is decided by all three parts; with fewer it only may hold. */
    if (spec->kind == PYSPEC_RANGE && version->n == PYVERSION_PARTS) {
        char text[48];
        (void)snprintf(text, sizeof(text), "%u.%u.%u", version->part[0], version->part[1],
                       version->part[2]);
        return interp_version_matches(text, spec->range) == 1;
    }
    return version->part[0] >= 3;
}
