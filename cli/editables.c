#include "cli/editables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/difference.h"
#include "cli/print.h"
#include "env/editable.h"

void editables_want(struct apply *a, const char *folder)
{
    editables_leave_out(a, folder);
    a->editables = xrealloc(a->editables, (a->n_editables + 1) * sizeof(*a->editables));
    a->editables[a->n_editables++] = xstrdup(folder);
}

void editables_leave_out(struct apply *a, const char *folder)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_editables; i++) {
        if (strcmp(a->editables[i], folder) == 0)
            free(a->editables[i]);
        else
            a->editables[n++] = a->editables[i];
    }
    a->n_editables = n;
}

bool editables_is_package(const struct manifest *m, const char *folder)
{
    for (size_t i = 0; i < m->n_packages; i++) {
        const char *url = json_string_value(json_object_get(m->packages[i].direct_url, "url"));
        _cleanup_free_ char *path = url ? lock_path_of_url(url) : NULL;
        if (path && strcmp(path, folder) == 0)
            return true;
    }
    return false;
}

/* What the manifest holds of a folder, if it is still right. */
static const struct manifest_editable *still_right(const struct apply *a, const char *folder)
{
    struct sha256 key;
    editable_key(folder, a->interp, &key);
    for (size_t i = 0; i < a->next->n_editables && !a->refresh; i++) {
        const struct manifest_editable *e = &a->next->editables[i];
        if (strcmp(e->path, folder) == 0 && sha256_equal(&e->key, &key))
            return e;
    }
    return NULL;
}

static int build(const struct apply *a, const char *folder, struct manifest_editable *ret,
                 struct verror *err)
{
    const struct editable_options options = {
        .offline = a->offline, .quiet = print_quiet(), .warn = print_wheel_warning};
    int r = editable_build(&a->session->home, a->interp, folder, &options, ret, err);
    if (r == 0) {
        print_note("%s %s is installed editable from %s", ret->name, ret->version, folder);
        return 0;
    }
    bool project = a->next->project && strcmp(a->next->project, folder) == 0;
    if (a->offline && r == -ENOENT)
        verror_hint(err,
                    "what the build needs is not there offline; run it once without --offline");
    else if (project)
        verror_hint(err, "venvfs mount --no-project leaves the project itself out");
    return r;
}

static int same_name(const struct manifest *made, const struct manifest_editable *e,
                     struct verror *err)
{
    for (size_t i = 0; i < made->n_editables; i++)
        if (strcmp(made->editables[i].normalised, e->normalised) == 0)
            return verror_set(err, EINVAL, "%s and %s both are the project %s",
                              made->editables[i].path, e->path, e->name);
    return 0;
}

/* Collects in `made`, which is a manifest for its list of editables only. */
static int make(const struct apply *a, const char *folder, struct manifest *made,
                struct verror *err)
{
    const struct manifest_editable *old = still_right(a, folder);
    struct manifest_editable e = {0};
    int r = 0;
    if (old)
        e = manifest_editable_copy(old);
    else
        r = build(a, folder, &e, err);
    if (r == 0)
        r = same_name(made, &e, err);
    if (r == 0)
        manifest_add_editable(made, &e);
    manifest_editable_release(&e);
    return r;
}

int apply_editables(struct apply *a, struct verror *err)
{
    struct manifest *made = manifest_new();
    int r = 0;
    for (size_t i = 0; i < a->n_editables && r == 0; i++)
        r = make(a, a->editables[i], made, err);
    if (r == 0) {
        manifest_drop_editables(a->next);
        a->next->editables = steal_ptr(made->editables);
        a->next->n_editables = made->n_editables;
        made->n_editables = 0;
        for (size_t i = 0; i < a->next->n_editables; i++)
            manifest_drop(a->next, a->next->editables[i].normalised);
    }
    manifest_free(made);
    return r;
}
