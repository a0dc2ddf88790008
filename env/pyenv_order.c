#include "env/pyenv_order.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
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

int pyenv_order(const char *a, const char *b)
{
    const char *s = a, *t = b;
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
    return strcmp(a, b);
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
