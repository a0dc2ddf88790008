#include <string.h>

#include "base/mem.h"
#include "wheel/wheel.h"

/* What the installed form of this program's making is; a change of what an image holds for the same
 * wheel and target (a file, a flag, RECORD's rows) needs a new number, so that images of an older
 * program are made again. */
#define INSTALLED_FORM 1

/* "cpython-311" as the tags write it, "cp311"; other implementations keep their cache tag. */
static char *python_tag(const char *cache_tag)
{
    if (strncmp(cache_tag, "cpython-", 8) == 0)
        return xasprintf("cp%s", cache_tag + 8);
    return xstrdup(cache_tag);
}

char *wheel_target_key(const struct wheel_target *target, const struct wheel_compile *compile)
{
    _cleanup_free_ char *tag = python_tag(target->cache_tag);
    /* CPython's magic is a 16-bit number followed by "\r\n". */
    bool plain = target->magic >> 16 == 0x0a0d;
    return xasprintf("%s-%u-lib/%s-c%u-f%d", tag,
                     plain ? (unsigned)(target->magic & 0xffff) : (unsigned)target->magic,
                     target->python_dir, compile->enabled ? compile->levels : 0, INSTALLED_FORM);
}

/* Is [s, s + len) one of the '.'-separated members of [set, set + set_len)? */
static bool in_set(const char *set, size_t set_len, const char *s, size_t len)
{
    const char *end = set + set_len;
    while (set <= end) {
        const char *dot = memchr(set, '.', (size_t)(end - set));
        size_t n = (size_t)((dot ? dot : end) - set);
        if (n == len && memcmp(set, s, len) == 0)
            return true;
        if (!dot)
            break;
        set = dot + 1;
    }
    return false;
}

struct span {
    const char *s;
    size_t len;
};

/* Cuts "python-abi-platform" into its parts. */
static bool split(const char *tags, struct span part[3])
{
    for (size_t i = 0; i < 3; i++) {
        size_t n = strcspn(tags, "-");
        part[i] = (struct span){tags, n};
        if ((tags[n] == '-') != (i < 2))
            return false;
        tags += n + 1;
    }
    return true;
}

int wheel_target_rank(const struct wheel_target *target, const char *wheel_filename)
{
    struct wheel_name name;
    if (wheel_name_parse(wheel_filename, &name, NULL) < 0)
        return -1;
    struct span have[3], want[3];
    int rank = -1;
    if (split(name.tags, have)) {
        for (size_t i = 0; i < target->n_tags && rank < 0; i++) {
            bool fits = split(target->tags[i], want);
            for (size_t k = 0; k < 3 && fits; k++)
                fits = in_set(have[k].s, have[k].len, want[k].s, want[k].len);
            if (fits)
                rank = (int)i;
        }
    }
    wheel_name_release(&name);
    return rank;
}
