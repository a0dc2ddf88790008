#include "cli/variables.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "cli/print.h"

enum { MAX_INI = 1 << 20 };

void variables_release(struct variables *v)
{
    for (size_t i = 0; i < v->n_owned; i++)
        free(v->owned[i]);
    free(v->owned);
    free(v->ini);
    *v = (struct variables){.prefix = NULL};
}

/* Takes the string over and gives it back. */
static char *keep(struct variables *v, char *s)
{
    v->owned = xgrow(v->owned, &v->alloc, v->n_owned + 1, sizeof(*v->owned));
    return v->owned[v->n_owned++] = s;
}

int variables_read(struct variables *v, const char *path, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, MAX_INI);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return verror_errno(err, r, "reading %s", path);
    const char *start = strncmp(text.buf, "\xef\xbb\xbf", 3) == 0 ? text.buf + 3 : text.buf;
    v->ini = xstrdup(start);
    return 0;
}

/* ---- the ini file ---- */

static char *trimmed(const char *s, size_t n)
{
    while (n && isspace((unsigned char)*s))
        s++, n--;
    while (n && isspace((unsigned char)s[n - 1]))
        n--;
    return xstrndup(s, n);
}

/* "no_seed" and "no-seed" are one option. */
static bool is_key(const char *s, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        int c = s[i] == '_' ? '-' : tolower((unsigned char)s[i]);
        if (c != name[i])
            return false;
    }
    return name[n] == '\0';
}

/* The lines behind the first that are indented belong to the value. */
static char *value_at(const char *first)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    const char *line = first;
    do {
        size_t n = strcspn(line, "\n");
        _cleanup_free_ char *text = trimmed(line, n);
        if (*text && *text != '#' && *text != ';')
            strbuf_addf(&sb, "%s%s", sb.len ? "\n" : "", text);
        line += n + (line[n] == '\n');
    } while (*line == ' ' || *line == '\t');
    return xstrdup(sb.buf);
}

/* The value of a key in the section, as configparser reads it; malloc'ed, or NULL. */
static char *from_ini(const struct variables *v, const char *name)
{
    bool inside = false;
    const char *next = NULL;
    for (const char *line = v->ini; line && *line; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] == '\n');
        if (*line == '[') {
            size_t end = strcspn(line + 1, "]\n");
            inside = strlen(v->section) == end && strncmp(line + 1, v->section, end) == 0;
        } else if (inside && *line != '#' && *line != ';' && !isspace((unsigned char)*line)) {
            size_t key = strcspn(line, "=:\n"), end = key;
            while (end && isspace((unsigned char)line[end - 1]))
                end--;
            if (key < n && is_key(line, end, name))
                return value_at(line + key + 1);
        }
    }
    return NULL;
}

/* ---- values ---- */

/* The variable's value, else the file's. *from: what to call it, malloc'ed. */
static char *value_of(struct variables *v, const char *name, char **from)
{
    char *variable = xasprintf("%s_%s", v->prefix, name);
    for (char *p = variable; *p; p++)
        if (*p == '-')
            *p = '_';
        else
            *p = (char)toupper((unsigned char)*p);
    const char *set = getenv(variable);
    *from = variable;
    if (set && *set)
        return xstrdup(set);
    return from_ini(v, name);
}

static void take_flag(const char *from, const char *text, bool *ret)
{
    static const char *const yes[] = {"1", "yes", "true", "on"};
    static const char *const no[] = {"0", "no", "false", "off"};
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return;
        }
    }
    print_warning("%s: \"%s\" is neither yes nor no, and does not count", from, text);
}

/* ">=3.9,<3.12" is one word: a comma before an operator separates nothing. */
static bool goes_on(const char *after_comma)
{
    after_comma += strspn(after_comma, " \t");
    return *after_comma && strchr("<>=!~", *after_comma);
}

void variables_split(struct variables *v, const char *text, struct words *ret)
{
    bool lines = text && strchr(text, '\n');
    for (const char *start = text; start && *start;) {
        size_t n = 0;
        while (start[n] && start[n] != ':' &&
               (lines ? start[n] != '\n' : start[n] != ',' || goes_on(start + n + 1)))
            n++;
        char *word = trimmed(start, n);
        if (*word)
            words_add(ret, keep(v, word));
        else
            free(word);
        start += n + (start[n] != '\0');
    }
}

static bool is_set(const struct option_spec *spec)
{
    if (spec->kind == OPTION_FLAG)
        return *(bool *)spec->value;
    if (spec->kind == OPTION_STRING)
        return *(const char **)spec->value != NULL;
    return spec->kind != OPTION_WORDS || ((struct words *)spec->value)->n;
}

void variables_apply(struct variables *v, const struct option_spec *specs)
{
    for (; specs->name; specs++) {
        if (!specs->help || is_set(specs))
            continue;
        _cleanup_free_ char *from = NULL;
        _cleanup_free_ char *text = value_of(v, specs->name, &from);
        if (!text || !*text)
            continue;
        if (specs->kind == OPTION_FLAG)
            take_flag(from, text, specs->value);
        else if (specs->kind == OPTION_STRING)
            *(const char **)specs->value = keep(v, steal_ptr(text));
        else
            variables_split(v, text, specs->value);
    }
}
