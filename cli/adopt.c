#include "cli/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void adopt_release(struct adopt *a)
{
    installed_free(a->installed);
    leftovers_release(&a->leftovers);
    venv_release(&a->venv);
    free(a->edits);
    free(a->name);
    free(a->address);
    free(a->python);
    free(a->python_version);
    *a = (struct adopt){.name = NULL};
}

/* ---- distributions of one name ---- */

static size_t missing(const struct installed_dist *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_edits; i++)
        n += d->edits[i].kind == INSTALLED_MISSING;
    return n;
}

static void refuse_second(struct installed_dist *d, const struct installed_dist *first)
{
    d->state = INSTALLED_REFUSED;
    verror_set(&d->error, EEXIST, "%s: %s is there too, and is taken for %s", d->dist_info,
               first->dist_info, d->name);
}

static bool same_name(const struct installed_dist *a, const struct installed_dist *b)
{
    return dist_name_compare(a->name, b->name) == 0;
}

static void refuse_seconds(struct installed *in)
{
    for (size_t i = 0; i < installed_count(in); i++) {
        for (size_t j = i + 1; j < installed_count(in); j++) {
            struct installed_dist *a = installed_dist(in, i), *b = installed_dist(in, j);
            if (a->state != INSTALLED_PACKAGE || b->state != INSTALLED_PACKAGE || !same_name(a, b))
                continue;
            if (missing(b) < missing(a))
                refuse_second(a, b);
            else
                refuse_second(b, a);
        }
    }
}

/* ---- who owns what ---- */

/* Every path that a package owns, sorted. */
struct owned {
    const char **paths;
    size_t n;
};

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void owned_collect(struct installed *in, struct owned *ret)
{
    size_t total = 0;
    *ret = (struct owned){.n = 0};
    for (size_t i = 0; i < installed_count(in); i++)
        total += installed_dist(in, i)->n_owned;
    ret->paths = xcalloc(total + 1, sizeof(*ret->paths));
    for (size_t i = 0; i < installed_count(in); i++) {
        const struct installed_dist *d = installed_dist(in, i);
        for (size_t j = 0; d->state == INSTALLED_PACKAGE && j < d->n_owned; j++)
            ret->paths[ret->n++] = d->owned[j];
    }
    if (ret->n)
        qsort(ret->paths, ret->n, sizeof(*ret->paths), by_string);
}

static bool owns(void *arg, const char *path)
{
    const struct owned *o = arg;
    return o->n && bsearch(&path, o->paths, o->n, sizeof(*o->paths), by_string);
}

static int find_leftovers(struct adopt *a, struct verror *err)
{
    struct owned owned;
    owned_collect(a->installed, &owned);
    int r = leftovers_find(&a->venv, owns, &owned, &a->leftovers, err);
    free(owned.paths);
    return r;
}

/* ---- edits ---- */

static int by_edit(const void *a, const void *b)
{
    const struct installed_edit *const *ea = a, *const *eb = b;
    return strcmp((*ea)->path, (*eb)->path);
}

/* Two packages list one file, and the other's row is right. */
static bool is_others(struct installed *in, const struct installed_edit *edit)
{
    for (size_t i = 0; i < installed_count(in); i++) {
        const struct installed_dist *d = installed_dist(in, i);
        if (d->state == INSTALLED_PACKAGE && installed_owns(d, edit->path) &&
            !installed_edit_at(d, edit->path))
            return true;
    }
    return false;
}

static void collect_edits(struct adopt *a)
{
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < installed_count(a->installed); i++)
        total += installed_dist(a->installed, i)->n_edits;
    a->edits = xcalloc(total + 1, sizeof(*a->edits));
    for (size_t i = 0; i < installed_count(a->installed); i++) {
        const struct installed_dist *d = installed_dist(a->installed, i);
        for (size_t j = 0; d->state == INSTALLED_PACKAGE && j < d->n_edits; j++)
            if (!a->dry_run || !is_others(a->installed, &d->edits[j]))
                a->edits[a->n_edits++] = &d->edits[j];
    }
    if (a->n_edits)
        qsort(a->edits, a->n_edits, sizeof(*a->edits), by_edit);
    for (size_t i = 0; i < a->n_edits; i++)
        if (!kept || strcmp(a->edits[kept - 1]->path, a->edits[i]->path) != 0)
            a->edits[kept++] = a->edits[i];
    a->n_edits = kept;
}

int adopt_read(struct adopt *a, const struct wheel_target *target,
               const struct wheel_options *options, struct verror *err)
{
    const struct installed_tree tree = {.root = a->venv.root,
                                        .names = (const char *const *)a->venv.names};
    char **names;
    size_t n;
    int r = installed_scan(&tree, target, &names, &n, err);
    if (r < 0)
        return r;
    r = installed_read(&tree, target, (const char *const *)names, n, options, &a->installed, err);
    installed_scan_free(names, n);
    if (r < 0)
        return r;
    refuse_seconds(a->installed);
    collect_edits(a);
    return find_leftovers(a, err);
}
