#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "wheel/wheel.h"

/* What PEP 427 lets stand in a part of the name once escaped, and what versions need besides. */
static bool part_ok(const char *s, size_t len)
{
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!isalnum(c) && !strchr("._+!~", c) && c < 0x80)
            return false;
    }
    return true;
}

int wheel_name_parse(const char *filename, struct wheel_name *ret, struct verror *err)
{
    enum { MIN_PARTS = 5, MAX_PARTS = 6 };
    const char *start[MAX_PARTS];
    size_t len[MAX_PARTS], n = 0;
    const char *base = path_basename(filename);
    size_t total = strlen(base);

    if (total <= 4 || strcmp(base + total - 4, ".whl") != 0)
        return verror_set(err, EBADMSG, "%s: not the name of a wheel (it does not end in .whl)",
                          base);
    for (const char *p = base, *end = base + total - 4;;) {
        const char *dash = memchr(p, '-', (size_t)(end - p));
        size_t part = (size_t)((dash ? dash : end) - p);
        if (n == MAX_PARTS || !part_ok(p, part)) {
            n = 0;
            break;
        }
        start[n] = p;
        len[n++] = part;
        if (!dash)
            break;
        p = dash + 1;
    }
    bool has_build = n == MAX_PARTS;
    if (n < MIN_PARTS || (has_build && !isdigit((unsigned char)start[2][0])))
        return verror_set(err, EBADMSG,
                          "%s: not the name of a wheel (NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM)",
                          base);
    size_t tags = has_build ? 3 : 2;
    *ret = (struct wheel_name){
        .dist = xstrndup(start[0], len[0]),
        .version = xstrndup(start[1], len[1]),
        .build = has_build ? xstrndup(start[2], len[2]) : NULL,
        .tags = xstrndup(start[tags], (size_t)(base + total - 4 - start[tags])),
    };
    return 0;
}

void wheel_name_release(struct wheel_name *name)
{
    free(name->dist);
    free(name->version);
    free(name->build);
    free(name->tags);
    *name = (struct wheel_name){0};
}

/* Takes the next character of the normalised name; '\0' at its end, where it stays. */
static char next_normalised(const char **name)
{
    char c = **name;
    if (c == '-' || c == '_' || c == '.') {
        *name += strspn(*name, "-_.");
        return '-';
    }
    *name += c != '\0';
    return (char)tolower((unsigned char)c);
}

char *dist_name_normalise(const char *name)
{
    char *out = xmalloc(strlen(name) + 1), *o = out;
    while ((*o = next_normalised(&name)))
        o++;
    return out;
}

int dist_name_compare(const char *a, const char *b)
{
    char x, y;
    do {
        x = next_normalised(&a);
        y = next_normalised(&b);
    } while (x == y && x);
    return (unsigned char)x - (unsigned char)y;
}
