#include "env/pyenv_order.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "env/pyenv_versions.h"

/* Where a sign sorts within a run of none-digits. */
static int weight(char c)
{
    if (c == '~')
        return -1;
    if (!c || isdigit((unsigned char)c))
        return 0;
    return isalpha((unsigned char)c) ? (unsigned char)c : (unsigned char)c + 256;
}

static int compare_numbers(const char **a, const char **b)
{
    while (**a == '0')
        (*a)++;
    while (**b == '0')
        (*b)++;
    size_t n = strspn(*a, "0123456789"), m = strspn(*b, "0123456789");
    int c = n != m ? (n < m ? -1 : 1) : strncmp(*a, *b, n);
    *a += n;
    *b += m;
    return c;
}

/* Without what looks like the suffixes of a file (".tar.gz", also ".hidden"). */
static char *without_suffix(const char *name)
{
    size_t n = strlen(name), end = n;
    while (end) {
        size_t dot = end;
        while (dot && (isalnum((unsigned char)name[dot - 1]) || name[dot - 1] == '~'))
            dot--;
        if (!dot || dot == end || name[dot - 1] != '.' || isdigit((unsigned char)name[dot]))
            break;
        end = dot - 1;
    }
    return xstrndup(name, end);
}

static int compare(const char *s, const char *t)
{
    while (*s || *t) {
        while ((*s && !isdigit((unsigned char)*s)) || (*t && !isdigit((unsigned char)*t))) {
            int c = weight(*s) - weight(*t);
            if (c)
                return c;
            s++;
            t++;
        }
        int c = compare_numbers(&s, &t);
        if (c)
            return c;
    }
    return 0;
}

int pyenv_order(const char *a, const char *b)
{
    _cleanup_free_ char *s = without_suffix(a), *t = without_suffix(b);
    int c = compare(s, t);
    if (c == 0)
        c = compare(a, b);
    return c ? c : strcmp(a, b);
}

static bool ends_with(const char *s, size_t n, const char *suffix)
{
    size_t m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool pyenv_is_unfinished(const char *name)
{
    size_t n = strlen(name), digits = 0;
    while (digits < n && isdigit((unsigned char)name[n - 1 - digits]))
        digits++;
    if (digits && digits < n && (name[n - 1 - digits] == 'a' || name[n - 1 - digits] == 'b'))
        return true;
    return ends_with(name, n, "-dev") || ends_with(name, n, "-src") ||
           ends_with(name, n, "-latest") || (digits && ends_with(name, n - digits, "rc"));
}

bool pyenv_is_threaded(const char *name)
{
    size_t n = strlen(name);
    return n >= 2 && name[n - 1] == 't' && isdigit((unsigned char)name[n - 2]);
}

static bool has_prefix(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    if (pyenv_is_threaded(prefix))
        n--;
    if (pyenv_is_threaded(name) != pyenv_is_threaded(prefix) || pyenv_is_unfinished(name))
        return false;
    return n && strncmp(name, prefix, n) == 0 && (name[n] == '.' || name[n] == '-');
}

/* Behind the prefix only numbers matter: "miniconda3-24.1.2-0". */
static int compare_behind(const char *a, const char *b)
{
    for (;;) {
        a += strcspn(a, "0123456789");
        b += strcspn(b, "0123456789");
        if (!*a || !*b)
            return (*a != '\0') - (*b != '\0');
        int c = compare_numbers(&a, &b);
        if (c)
            return c;
    }
}

const char *pyenv_newest(const char *prefix, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t skip = strlen(prefix) - (pyenv_is_threaded(prefix) ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        if (!has_prefix(names[i], prefix))
            continue;
        int c = best ? compare_behind(names[i] + skip, best + skip) : 1;
        if (c > 0 || (c == 0 && strcmp(names[i], best) < 0))
            best = names[i];
    }
    return best;
}
