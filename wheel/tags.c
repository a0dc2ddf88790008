#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
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

/* Takes the first of the '.'-separated members of a set off it; false: it is empty. */
static bool next_member(struct span *set, struct span *ret)
{
    if (!set->s)
        return false;
    const char *dot = memchr(set->s, '.', set->len);
    size_t n = dot ? (size_t)(dot - set->s) : set->len;
    *ret = (struct span){set->s, n};
    *set = dot ? (struct span){dot + 1, set->len - n - 1} : (struct span){NULL, 0};
    return true;
}

static void put_tag(struct strbuf *tag, const struct span part[3])
{
    strbuf_reset(tag);
    for (size_t i = 0; i < 3; i++) {
        strbuf_add(tag, part[i].s, part[i].len);
        if (i < 2)
            strbuf_addch(tag, '-');
    }
}

static int rank_of(const struct wheel_target *target, const char *tag, int best)
{
    size_t n = best < 0 ? target->n_tags : (size_t)best;
    for (size_t i = 0; i < n; i++)
        if (target->tags[i][0] == tag[0] && strcmp(target->tags[i], tag) == 0)
            return (int)i;
    return best;
}

int wheel_target_rank(const struct wheel_target *target, const char *wheel_filename)
{
    /* A wheel has a few tags and a target hundreds: each of the wheel's is looked for. No real name
     * stands for so many that it matters to stop. */
    enum { MAX_TAGS = 1024 };
    struct wheel_name name;
    if (wheel_name_parse(wheel_filename, &name, NULL) < 0)
        return -1;
    struct span set[3], part[3];
    int rank = -1;
    size_t tried = 0;
    _cleanup_strbuf_ struct strbuf tag = STRBUF_INIT;
    if (!split(name.tags, set))
        set[0].s = NULL;
    for (struct span pythons = set[0]; next_member(&pythons, &part[0]);)
        for (struct span abis = set[1]; next_member(&abis, &part[1]);)
            for (struct span platforms = set[2];
                 tried < MAX_TAGS && next_member(&platforms, &part[2]); tried++) {
                put_tag(&tag, part);
                rank = rank_of(target, tag.buf, rank);
            }
    wheel_name_release(&name);
    return tried < MAX_TAGS ? rank : -1;
}
