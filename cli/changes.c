#include "cli/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/print.h"

void changes_release(struct changes *c)
{
    free(c->v);
    *c = (struct changes){0};
}

static void add(struct changes *c, char sign, const char *name, const char *old, const char *new)
{
    c->v = xgrow(c->v, &c->alloc, c->n + 1, sizeof(*c->v));
    c->v[c->n++] = (struct change){.sign = sign, .name = name, .old = old, .new = new};
    size_t *count = sign == '+' ? &c->added : sign == '-' ? &c->removed : &c->changed;
    ++*count;
}

/* One name of the two sorted lists; NULL: it is not in that one. */
struct entry {
    const char *name, *normalised, *version;
    const struct sha256 *image; /* NULL: to be ignored */
};

static void compare(struct changes *c, const struct entry *old, const struct entry *new)
{
    if (!old)
        add(c, '+', new->name, NULL, new->version);
    else if (!new)
        add(c, '-', old->name, old->version, NULL);
    else if (strcmp(old->version, new->version) != 0 ||
             (old->image && new->image && !sha256_equal(old->image, new->image)))
        add(c, '~', new->name, old->version, new->version);
}

typedef struct entry (*entry_fn)(const struct manifest *m, size_t i);

static struct entry package_entry(const struct manifest *m, size_t i)
{
    const struct manifest_package *p = &m->packages[i];
    return (struct entry){p->name, p->normalised, p->version, &p->image.id};
}

/* For another Python every package has another image, and nobody means that. */
static struct entry package_entry_by_version(const struct manifest *m, size_t i)
{
    struct entry e = package_entry(m, i);
    e.image = NULL;
    return e;
}

static struct entry editable_entry(const struct manifest *m, size_t i)
{
    const struct manifest_editable *e = &m->editables[i];
    return (struct entry){e->name, e->normalised, e->version, NULL};
}

static void compare_lists(struct changes *c, const struct manifest *before, size_t n,
                          const struct manifest *after, size_t m, entry_fn entry)
{
    size_t i = 0, j = 0;
    while (i < n || j < m) {
        struct entry a = {.name = NULL}, b = {.name = NULL};
        if (i < n)
            a = entry(before, i);
        if (j < m)
            b = entry(after, j);
        int order = i == n ? 1 : j == m ? -1 : strcmp(a.normalised, b.normalised);
        compare(c, order <= 0 ? &a : NULL, order >= 0 ? &b : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

static bool same_target(const struct manifest *a, const struct manifest *b)
{
    return a->target_key && b->target_key && strcmp(a->target_key, b->target_key) == 0;
}

void changes_find(const struct manifest *before, const struct manifest *after, struct changes *ret)
{
    *ret = (struct changes){0};
    entry_fn entry =
        before && same_target(before, after) ? package_entry : package_entry_by_version;
    compare_lists(ret, before, before ? before->n_packages : 0, after, after->n_packages, entry);
    compare_lists(ret, before, before ? before->n_editables : 0, after, after->n_editables,
                  editable_entry);
}

void changes_print_line(FILE *stream, const char *indent, const struct change *c)
{
    enum style style = c->sign == '+' ? STYLE_GREEN : c->sign == '-' ? STYLE_RED : STYLE_YELLOW;
    fprintf(stream, "%s%s%c%s %s ", indent, print_style(stream, style), c->sign,
            print_style(stream, STYLE_PLAIN), c->name);
    if (c->old && c->new &&strcmp(c->old, c->new) == 0)
        fprintf(stream, "%s, another wheel\n", c->new);
    else if (c->old && c->new)
        fprintf(stream, "%s -> %s\n", c->old, c->new);
    else
        fprintf(stream, "%s\n", c->new ? c->new : c->old);
}

json_t *facts_of_changes(const struct changes *c)
{
    json_t *added = json_array(), *removed = json_array(), *changed = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const struct change *one = &c->v[i];
        if (one->sign == '~')
            json_array_append_new(changed, json_pack("{s:s, s:s, s:s}", "name", one->name, "from",
                                                     one->old, "to", one->new));
        else
            json_array_append_new(one->sign == '+' ? added : removed,
                                  json_pack("{s:s, s:s}", "name", one->name, "version",
                                            one->new ? one->new : one->old));
    }
    return json_pack("{s:o, s:o, s:o}", "added", added, "removed", removed, "changed", changed);
}
