/* Strings as literals of each language that has an activation file. */
#include "env/activation_internal.h"

#include <stdint.h>
#include <string.h>

/* Quotes with ', in which `escaped` bytes get `prefix` before them. */
static void quote_with(const char *s, const char *escaped, const char *prefix, struct strbuf *sb)
{
    strbuf_addch(sb, '\'');
    for (; *s != '\0'; s++) {
        if (strchr(escaped, *s) != NULL)
            strbuf_addstr(sb, prefix);
        strbuf_addch(sb, *s);
    }
    strbuf_addch(sb, '\'');
}

void quote_posix(const char *s, struct strbuf *sb)
{
    strbuf_addch(sb, '\'');
    for (; *s != '\0'; s++) {
        if (*s == '\'')
            strbuf_addstr(sb, "'\\''");
        else
            strbuf_addch(sb, *s);
    }
    strbuf_addch(sb, '\'');
}

/* History is expanded and lines end within quotes, too, unless a backslash is before. */
void quote_csh(const char *s, struct strbuf *sb)
{
    strbuf_addch(sb, '\'');
    for (; *s != '\0'; s++) {
        if (*s == '\'')
            strbuf_addstr(sb, "'\\'");
        else if (*s == '!' || *s == '\n')
            strbuf_addch(sb, '\\');
        strbuf_addch(sb, *s);
    }
    strbuf_addch(sb, '\'');
}

void quote_fish(const char *s, struct strbuf *sb)
{
    quote_with(s, "\\'", "\\", sb);
}

/* PowerShell takes the typographic quotes U+2018 to U+201B for ' as well; doubled they stand for
 * themselves. */
void quote_powershell(const char *s, struct strbuf *sb)
{
    strbuf_addch(sb, '\'');
    while (*s != '\0') {
        size_t len = 1;
        bool quote = *s == '\'';
        if (strncmp(s, "\xe2\x80", 2) == 0 && (uint8_t)s[2] >= 0x98 && (uint8_t)s[2] <= 0x9b) {
            quote = true;
            len = 3;
        }
        strbuf_add(sb, s, len);
        if (quote)
            strbuf_add(sb, s, len);
        s += len;
    }
    strbuf_addch(sb, '\'');
}

/* A raw string, r#'...'#, with more # than any run of them behind a quote in it. */
void quote_nu(const char *s, struct strbuf *sb)
{
    size_t hashes = 1;
    for (const char *q = strchr(s, '\''); q != NULL; q = strchr(q + 1, '\'')) {
        size_t run = strspn(q + 1, "#");
        if (run >= hashes)
            hashes = run + 1;
    }
    strbuf_addch(sb, 'r');
    for (size_t i = 0; i < hashes; i++)
        strbuf_addch(sb, '#');
    strbuf_addf(sb, "'%s'", s);
    for (size_t i = 0; i < hashes; i++)
        strbuf_addch(sb, '#');
}

/* Decodes one character of UTF-8; a byte that begins none is a character of its own, as Python's
 * surrogateescape has it. Returns its length. */
static size_t decode(const char *s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)*s;
    size_t len = lead < 0x80   ? 1
                 : lead < 0xc0 ? 0
                 : lead < 0xe0 ? 2
                 : lead < 0xf0 ? 3
                 : lead < 0xf8 ? 4
                               : 0;
    uint32_t c = len == 1 ? lead : lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (((uint8_t)s[i] & 0xc0) != 0x80) {
            len = 0;
            break;
        }
        c = c << 6 | ((uint8_t)s[i] & 0x3f);
    }
    if (len == 0 || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        *ret = 0xdc00u + lead;
        return 1;
    }
    *ret = c;
    return len;
}

void quote_python(const char *s, struct strbuf *sb)
{
    strbuf_addch(sb, '"');
    while (*s != '\0') {
        uint32_t c;
        s += decode(s, &c);
        if (c == '"' || c == '\\')
            strbuf_addf(sb, "\\%c", (char)c);
        else if (c >= 0x20 && c < 0x7f)
            strbuf_addch(sb, (char)c);
        else if (c < 0x10000)
            strbuf_addf(sb, "\\u%04x", c);
        else
            strbuf_addf(sb, "\\U%08x", c);
    }
    strbuf_addch(sb, '"');
}
