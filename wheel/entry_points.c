#include "wheel/entry_points.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "wheel/layout.h"

static void entry_point_release(struct entry_point *ep)
{
    free(ep->name);
    free(ep->module);
    free(ep->attr);
}

void entry_points_release(struct entry_points *eps)
{
    for (size_t i = 0; i < eps->n; i++)
        entry_point_release(&eps->list[i]);
    free(eps->list);
    *eps = (struct entry_points)ENTRY_POINTS_INIT;
}

static struct entry_point *find(const struct entry_points *eps, const char *name, size_t len)
{
    for (size_t i = 0; i < eps->n; i++)
        if (strlen(eps->list[i].name) == len && memcmp(eps->list[i].name, name, len) == 0)
            return &eps->list[i];
    return NULL;
}

bool entry_points_has(const struct entry_points *eps, const char *name, size_t len)
{
    return find(eps, name, len) != NULL;
}

/* Takes over the strings. */
static void put(struct entry_points *eps, struct entry_point ep)
{
    struct entry_point *old = find(eps, ep.name, strlen(ep.name));
    if (old) {
        entry_point_release(old);
        *old = ep;
        return;
    }
    eps->list = xrealloc(eps->list, (eps->n + 1) * sizeof(*eps->list));
    eps->list[eps->n++] = ep;
}

/* Identifiers joined by dots; returns the length of the longest match. Letters outside ASCII are
 * let through: the interpreter will judge them. */
static size_t dotted_name(const char *s)
{
    size_t i = 0;
    for (bool first = true;; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x80 || isalpha(c) || c == '_' || (!first && isdigit(c))) {
            first = false;
        } else if (c == '.' && !first) {
            first = true;
        } else {
            return first ? 0 : i;
        }
    }
}

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

/* MODULE:ATTRIBUTE, perhaps followed by [extras], which a script does not need. */
static int parse_reference(const char *name, const char *value, struct entry_point *ep,
                           struct verror *err)
{
    const char *module = value;
    size_t module_len = dotted_name(module);
    const char *p = skip_blanks(module + module_len);
    const char *attr = *p == ':' ? skip_blanks(p + 1) : p;
    size_t attr_len = *p == ':' ? dotted_name(attr) : 0;
    const char *rest = skip_blanks(attr + attr_len);
    size_t rest_len = strlen(rest);
    bool extras = rest_len >= 2 && rest[0] == '[' && rest[rest_len - 1] == ']';
    if (!module_len || !attr_len || (rest_len && !extras))
        return verror_set(err, EBADMSG,
                          "entry_points.txt: the reference of \"%s\" is not MODULE:ATTRIBUTE",
                          name);
    ep->module = xstrndup(module, module_len);
    ep->attr = xstrndup(attr, attr_len);
    return 0;
}

static int check_name(const char *name, struct verror *err)
{
    const char *why = layout_bin_name_problem(name);
    if (!why)
        return 0;
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(name, strlen(name), &shown);
    return verror_set(err, EBADMSG, "entry_points.txt: the name \"%s\" %s", shown.buf, why);
}

struct parser {
    struct entry_points *eps;
    bool in_scripts, gui;
    size_t indent; /* of the option that a deeper line would continue */
    char *name;    /* that option, or NULL */
    struct strbuf value;
};

/* Ends the option being read. */
static int finish_option(struct parser *ps, struct verror *err)
{
    _cleanup_free_ char *name = steal_ptr(ps->name);
    if (!name)
        return 0;
    struct entry_point ep = {.gui = ps->gui};
    int r = check_name(name, err);
    if (r == 0)
        r = parse_reference(name, ps->value.buf, &ep, err);
    if (r < 0)
        return r;
    ep.name = steal_ptr(name);
    put(ps->eps, ep);
    return 0;
}

static int begin_section(struct parser *ps, const char *s, size_t len)
{
    static const char console[] = "[console_scripts]", gui[] = "[gui_scripts]";
    ps->gui = len == sizeof(gui) - 1 && memcmp(s, gui, len) == 0;
    ps->in_scripts = ps->gui || (len == sizeof(console) - 1 && memcmp(s, console, len) == 0);
    return 0;
}

/* One line without its leading blanks and trailing white space. */
static int parse_line(struct parser *ps, size_t indent, const char *s, size_t len,
                      struct verror *err)
{
    if (!len || *s == '#' || *s == ';')
        return 0;
    if (ps->name && indent > ps->indent) {
        strbuf_addch(&ps->value, '\n');
        strbuf_add(&ps->value, s, len);
        return 0;
    }
    int r = finish_option(ps, err);
    if (r < 0)
        return r;
    if (*s == '[' && s[len - 1] == ']')
        return begin_section(ps, s, len);
    if (!ps->in_scripts)
        return 0;
    const char *equals = memchr(s, '=', len);
    if (!equals)
        return verror_set(err, EBADMSG, "entry_points.txt: a line without '=': %.*s",
                          (int)(len > 80 ? 80 : len), s);
    size_t name_len = (size_t)(equals - s);
    while (name_len && isspace((unsigned char)s[name_len - 1]))
        name_len--;
    const char *value = equals + 1;
    while (value < s + len && isspace((unsigned char)*value))
        value++;
    ps->name = xstrndup(s, name_len);
    ps->indent = indent;
    strbuf_reset(&ps->value);
    strbuf_add(&ps->value, value, (size_t)(s + len - value));
    return 0;
}

static int parse_lines(struct parser *ps, const char *text, size_t len, struct verror *err)
{
    const char *end = text + len;
    for (const char *p = text; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end, *s = p;
        while (s < stop && isspace((unsigned char)*s))
            s++;
        while (stop > s && isspace((unsigned char)stop[-1]))
            stop--;
        int r = parse_line(ps, (size_t)(s - p), s, (size_t)(stop - s), err);
        if (r < 0)
            return r;
        p = newline ? newline + 1 : end;
    }
    return finish_option(ps, err);
}

/* PREFIX, PREFIX + N or PREFIX + N.N, the digits wanted or not. */
static bool is_versioned(const char *name, const char *prefix, bool dot_required)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0)
        return false;
    const char *p = name + n;
    size_t major = strspn(p, "0123456789");
    if (!major)
        return false;
    p += major;
    if (!*p)
        return !dot_required;
    return *p == '.' && p[1] && !p[1 + strspn(p + 1, "0123456789")];
}

static void drop_versioned(struct entry_points *eps, const char *prefix, bool dot_required)
{
    size_t kept = 0;
    for (size_t i = 0; i < eps->n; i++) {
        struct entry_point *ep = &eps->list[i];
        if (!ep->gui && is_versioned(ep->name, prefix, dot_required))
            entry_point_release(ep);
        else
            eps->list[kept++] = *ep;
    }
    eps->n = kept;
}

/* Takes over `name`. */
static void add_copy(struct entry_points *eps, const char *of, char *name)
{
    const struct entry_point *ep = find(eps, of, strlen(of));
    if (!ep) {
        free(name);
        return;
    }
    put(eps, (struct entry_point){.name = name,
                                  .module = xstrdup(ep->module),
                                  .attr = xstrdup(ep->attr),
                                  .gui = ep->gui});
}

static void fix_versioned(struct entry_points *eps, unsigned major, unsigned minor)
{
    if (entry_points_has(eps, "pip", 3)) {
        drop_versioned(eps, "pip", false);
        add_copy(eps, "pip", xasprintf("pip%u", major));
        add_copy(eps, "pip", xasprintf("pip%u.%u", major, minor));
    }
    if (entry_points_has(eps, "easy_install", 12)) {
        drop_versioned(eps, "easy_install-", true);
        add_copy(eps, "easy_install", xasprintf("easy_install-%u.%u", major, minor));
    }
}

int entry_points_parse(const char *text, size_t len, unsigned major, unsigned minor,
                       struct entry_points *ret, struct verror *err)
{
    _cleanup_entry_points_ struct entry_points eps = ENTRY_POINTS_INIT;
    struct parser ps = {.eps = &eps, .value = STRBUF_INIT};
    int r = 0;
    if (memchr(text, '\0', len))
        r = verror_set(err, EBADMSG, "entry_points.txt has a NUL byte");
    else
        r = parse_lines(&ps, text, len, err);
    free(ps.name);
    strbuf_release(&ps.value);
    if (r < 0)
        return r;
    fix_versioned(&eps, major, minor);
    *ret = eps;
    eps = (struct entry_points)ENTRY_POINTS_INIT;
    return 0;
}
