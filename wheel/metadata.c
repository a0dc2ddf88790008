#include "wheel/metadata.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "wheel/version.h"

/* The first header of this name, trimmed and malloc'ed, or NULL. The headers end at an empty line;
 * a line that starts with a blank continues the one before, which none of those asked for needs. */
static char *header(const char *text, size_t len, const char *name)
{
    const char *p = text, *end = text + len;
    size_t n = strlen(name);
    if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end;
        while (stop > p && isspace((unsigned char)stop[-1]))
            stop--;
        if (stop == p)
            break;
        if ((size_t)(stop - p) > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
            p += n + 1;
            while (p < stop && isspace((unsigned char)*p))
                p++;
            return xstrndup(p, (size_t)(stop - p));
        }
        p = newline ? newline + 1 : end;
    }
    return NULL;
}

static bool printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

int metadata_parse(const char *text, size_t len, const struct wheel_name *filename, char **name,
                   char **version, struct verror *err)
{
    _cleanup_free_ char *n = header(text, len, "Name");
    _cleanup_free_ char *v = header(text, len, "Version");
    if (!n || !*n || !v || !*v)
        return verror_set(err, EBADMSG, "METADATA has no %s", n && *n ? "Version" : "Name");
    if (!printable(n) || !printable(v))
        return verror_set(err, EBADMSG, "METADATA has control characters in Name or Version");
    if (dist_name_compare(n, filename->dist) != 0)
        return verror_set(err, EBADMSG, "METADATA is of %s, the file name says %s", n,
                          filename->dist);
    if (!version_equal(v, filename->version))
        return verror_set(err, EBADMSG, "METADATA is of version %s, the file name says %s", v,
                          filename->version);
    *name = steal_ptr(n);
    *version = steal_ptr(v);
    return 0;
}

int wheel_version_check(const char *text, size_t len, char **newer, struct verror *err)
{
    _cleanup_free_ char *v = header(text, len, "Wheel-Version");
    if (!v)
        return verror_set(err, EBADMSG, "WHEEL has no Wheel-Version");
    size_t major = strspn(v, "0123456789");
    size_t minor = v[major] == '.' ? strspn(v + major + 1, "0123456789") : 0;
    if (!major || !minor || major > 9 || minor > 9 || v[major + 1 + minor])
        return verror_set(err, EBADMSG, "WHEEL has a malformed Wheel-Version");
    unsigned long number = strtoul(v, NULL, 10);
    if (number > 1) {
        verror_set(err, EOPNOTSUPP, "Wheel-Version %s is not supported (1.x is)", v);
        verror_hint(err, "a newer venvfs may know it");
        return -EOPNOTSUPP;
    }
    bool is_newer = number == 1 && strtoul(v + major + 1, NULL, 10) > 0;
    *newer = is_newer ? steal_ptr(v) : NULL;
    return 0;
}
