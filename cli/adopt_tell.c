#include "cli/adopt.h"

#include <jansson.h>

#include "cli/print.h"

enum { SHOWN = 20 };

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static const char *kind_name(enum installed_edit_kind kind)
{
    static const char *const names[] = {
        [INSTALLED_CHANGED] = "changed",
        [INSTALLED_MISSING] = "missing",
        [INSTALLED_LINK] = "symlink",
        [INSTALLED_OTHER] = "other",
    };
    return names[kind];
}

static void tell_rest(size_t n)
{
    if (n > SHOWN)
        print_note("  and %zu more (--json lists all)", n - SHOWN);
}

static void tell_edits(const struct adopt *a)
{
    if (!a->n_edits)
        return;
    print_note(
        "%zu file%s of packages %s not what RECORD says, and stay%s as they are:", a->n_edits,
        plural(a->n_edits), a->n_edits == 1 ? "is" : "are", a->n_edits == 1 ? "s" : "");
    for (size_t i = 0; i < a->n_edits && i < SHOWN; i++)
        print_note("  %s (%s)", a->edits[i]->path, kind_name(a->edits[i]->kind));
    tell_rest(a->n_edits);
}

/* Bytecode is taken along with its source, and not told of. */
static bool is_told(const struct leftover *l)
{
    return !l->bytecode && !l->problem;
}

static void tell_leftovers(const struct adopt *a)
{
    size_t n = 0, shown = 0;
    uint64_t bytes = 0;
    char size[PRINT_BYTES_SIZE];
    for (size_t i = 0; i < a->leftovers.n; i++) {
        n += is_told(&a->leftovers.list[i]);
        bytes += is_told(&a->leftovers.list[i]) ? a->leftovers.list[i].size : 0;
    }
    if (!n)
        return;
    print_note("%zu file%s (%s) %s in no RECORD %s:", n, plural(n), print_bytes(bytes, size),
               n == 1 ? "is" : "are",
               a->no_leftovers ? "and left out" : "and taken along as the environment's own");
    for (size_t i = 0; i < a->leftovers.n && shown < SHOWN; i++) {
        if (is_told(&a->leftovers.list[i])) {
            print_note("  %s", a->leftovers.list[i].path);
            shown++;
        }
    }
    tell_rest(n);
}

static void tell_skipped(const struct adopt *a)
{
    for (size_t i = 0; i < a->leftovers.n && !a->no_leftovers; i++)
        if (a->leftovers.list[i].problem)
            print_warning("%s/%s %s, and is left out", a->venv.root, a->leftovers.list[i].path,
                          a->leftovers.list[i].problem);
}

static void tell_distributions(const struct adopt *a)
{
    const char *fate = a->no_leftovers ? "it is left out" : "its files are taken as they are";
    for (size_t i = 0; i < installed_count(a->installed); i++) {
        const struct installed_dist *d = installed_dist(a->installed, i);
        if (d->state == INSTALLED_EDITABLE)
            print_note("%s %s is an editable install; %s", d->name, d->version, fate);
        else if (d->state == INSTALLED_REFUSED)
            print_warning("%s; %s", verror_message(&d->error), fate);
    }
}

static void tell_packages(const struct adopt *a)
{
    size_t n = 0, found = 0;
    for (size_t i = 0; i < installed_count(a->installed); i++) {
        const struct installed_dist *d = installed_dist(a->installed, i);
        n += d->state == INSTALLED_PACKAGE;
        found += d->state == INSTALLED_PACKAGE && d->found;
    }
    if (a->dry_run)
        print_note("%s: %zu package%s, Python %s; would become %s", a->venv.root, n, plural(n),
                   a->python_version, a->address);
    else
        print_note("%s: %zu package%s, %zu of them in the store before", a->venv.root, n, plural(n),
                   found);
}

void adopt_tell(const struct adopt *a)
{
    if (!a->own_python && a->venv.version)
        print_note("its Python %s is not where it was; %s (%s) takes its place", a->venv.version,
                   a->python, a->python_version);
    tell_packages(a);
    tell_distributions(a);
    tell_edits(a);
    tell_leftovers(a);
    tell_skipped(a);
}

/* ---- JSON ---- */

/* Names on disk may be no UTF-8. */
static json_t *path_text(const char *path)
{
    json_t *text = json_string(path);
    return text ? text : json_string("(a name that is not UTF-8)");
}

static json_t *package_facts(const struct adopt *a, const struct installed_dist *d)
{
    json_t *facts =
        json_pack("{s:s, s:s, s:b, s:s?, s:s}", "name", d->name, "version", d->version, "requested",
                  d->requested, "installer", d->installer, "dist_info", d->dist_info);
    if (facts && !a->dry_run)
        json_object_set_new(facts, "found", json_boolean(d->found));
    return facts;
}

static void add_distributions(const struct adopt *a, json_t *json)
{
    json_t *packages = json_array(), *editable = json_array(), *refused = json_array();
    for (size_t i = 0; i < installed_count(a->installed); i++) {
        const struct installed_dist *d = installed_dist(a->installed, i);
        if (d->state == INSTALLED_PACKAGE)
            json_array_append_new(packages, package_facts(a, d));
        else if (d->state == INSTALLED_EDITABLE)
            json_array_append_new(editable,
                                  json_pack("{s:s, s:s}", "name", d->name, "version", d->version));
        else
            json_array_append_new(refused,
                                  json_pack("{s:o, s:o}", "dist_info", path_text(d->dist_info),
                                            "error", path_text(verror_message(&d->error))));
    }
    json_object_set_new(json, "packages", packages);
    json_object_set_new(json, "editable", editable);
    json_object_set_new(json, "refused", refused);
}

static json_t *edit_list(const struct adopt *a)
{
    json_t *array = json_array();
    for (size_t i = 0; i < a->n_edits; i++)
        json_array_append_new(array, json_pack("{s:o, s:s}", "path", path_text(a->edits[i]->path),
                                               "kind", kind_name(a->edits[i]->kind)));
    return array;
}

static void add_leftovers(const struct adopt *a, json_t *json)
{
    json_t *left = json_array(), *skipped = json_array();
    for (size_t i = 0; i < a->leftovers.n; i++) {
        const struct leftover *l = &a->leftovers.list[i];
        if (l->problem)
            json_array_append_new(skipped, json_pack("{s:o, s:s}", "path", path_text(l->path),
                                                     "problem", l->problem));
        else if (!l->bytecode)
            json_array_append_new(left, json_pack("{s:o, s:I}", "path", path_text(l->path), "bytes",
                                                  (json_int_t)l->size));
    }
    json_object_set_new(json, "leftovers", left);
    json_object_set_new(json, "skipped", skipped);
}

int adopt_print_json(const struct adopt *a)
{
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:s, s:s, s:b, s:b}", "name", a->name, "address", a->address,
                  "venv", path_text(a->venv.root), "python", a->python_version, "executable",
                  a->python, "own_python", a->own_python, "dry_run", a->dry_run);
    add_distributions(a, json);
    json_object_set_new(json, "edits", edit_list(a));
    add_leftovers(a, json);
    return print_json(json);
}
