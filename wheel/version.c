#include "wheel/version.h"

#include <ctype.h>
#include <string.h>

#include "base/strbuf.h"
#include "wheel/wheel.h"

static const char *skip_separator(const char *p)
{
    return *p && strchr("-_.", *p) ? p + 1 : p;
}

/* A number without leading zeros ("0" when there is none); returns what follows it. */
static const char *add_number(const char *p, struct strbuf *out)
{
    while (*p == '0' && isdigit((unsigned char)p[1]))
        p++;
    size_t n = strspn(p, "0123456789");
    if (n)
        strbuf_add(out, p, n);
    else
        strbuf_addch(out, '0');
    return p + n;
}

/* [N!]N(.N)*, without trailing zero components. */
static const char *add_release(const char *p, struct strbuf *out)
{
    size_t n = strspn(p, "0123456789");
    if (p[n] == '!') {
        (void)add_number(p, out);
        strbuf_addch(out, '!');
        p += n + 1;
    }
    size_t significant = out->len;
    for (bool first = true;; first = false) {
        if (!isdigit((unsigned char)p[0]))
            break;
        if (!first)
            strbuf_addch(out, '.');
        size_t at = out->len;
        p = add_number(p, out);
        if (first || strcmp(out->buf + at, "0") != 0)
            significant = out->len;
        if (p[0] != '.' || !isdigit((unsigned char)p[1]))
            break;
        p++;
    }
    strbuf_truncate(out, significant);
    return p;
}

struct spelling {
    const char *word, *canonical;
};

/* A word of the list with its optional separators and number, or p when there is none. */
static const char *add_phase(const char *p, const struct spelling *words, struct strbuf *out)
{
    const char *at = skip_separator(p);
    for (; words->word; words++) {
        size_t n = strlen(words->word);
        if (strncmp(at, words->word, n) != 0 || isalpha((unsigned char)at[n]))
            continue;
        strbuf_addstr(out, words->canonical);
        at += n;
        const char *digits = skip_separator(at);
        return add_number(isdigit((unsigned char)*digits) ? digits : at, out);
    }
    return p;
}

static const char *add_post(const char *p, struct strbuf *out)
{
    static const struct spelling post[] = {
        {"post", ".post"}, {"rev", ".post"}, {"r", ".post"}, {NULL, NULL}};
    if (p[0] == '-' && isdigit((unsigned char)p[1])) {
        strbuf_addstr(out, ".post");
        return add_number(p + 1, out);
    }
    return add_phase(p, post, out);
}

static void add_local(const char *p, struct strbuf *out)
{
    strbuf_addch(out, '+');
    while (*p) {
        if (isdigit((unsigned char)*p)) {
            p = add_number(p, out);
            continue;
        }
        strbuf_addch(out, (char)(strchr("-_.", *p) ? '.' : *p));
        p++;
    }
}

/* Returns false when s is not a version. */
static bool canonical(const char *s, struct strbuf *out)
{
    static const struct spelling pre[] = {{"alpha", "a"}, {"a", "a"},        {"beta", "b"},
                                          {"b", "b"},     {"preview", "rc"}, {"pre", "rc"},
                                          {"rc", "rc"},   {"c", "rc"},       {NULL, NULL}};
    static const struct spelling dev[] = {{"dev", ".dev"}, {NULL, NULL}};
    _cleanup_strbuf_ struct strbuf lower = STRBUF_INIT;
    for (; *s; s++)
        if (!isspace((unsigned char)*s))
            strbuf_addch(&lower, (char)tolower((unsigned char)*s));
    const char *p = lower.buf;
    if (*p == 'v')
        p++;
    if (!isdigit((unsigned char)*p))
        return false;
    p = add_release(p, out);
    p = add_phase(p, pre, out);
    p = add_post(p, out);
    p = add_phase(p, dev, out);
    if (*p && strchr("+_-", *p)) {
        add_local(p + 1, out);
        return p[1] != '\0';
    }
    return *p == '\0';
}

bool version_equal(const char *a, const char *b)
{
    _cleanup_strbuf_ struct strbuf ca = STRBUF_INIT, cb = STRBUF_INIT;
    if (canonical(a, &ca) && canonical(b, &cb))
        return strcmp(ca.buf, cb.buf) == 0;
    return dist_name_compare(a, b) == 0;
}
