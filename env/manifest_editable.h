/* Editable installs in a manifest.
 *
 * What an editable install puts into an environment (a .pth, a finder, dist-info, scripts) names
 * the folder of its project, so the shared store never holds it. It is text of a few kilobytes, and
 * the manifest keeps it. A script begins with "#!python", as in a wheel: the line for the
 * environment's address is made by the view.
 */
#ifndef VENVFS_ENV_MANIFEST_EDITABLE_H
#define VENVFS_ENV_MANIFEST_EDITABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "base/verror.h"

struct manifest;

struct manifest_file {
    char *path; /* below lib/pythonX.Y/site-packages/, or a name in bin/ */
    char *text;
    bool exec; /* mode 0755, else 0644 */
};

struct manifest_editable {
    char *name, *version; /* as in METADATA */
    char *normalised;
    char *path;                  /* the project's folder */
    struct sha256 key;           /* of what it was built from; another one: build it again */
    struct manifest_file *files; /* sorted by path */
    size_t n_files;
};

void manifest_editable_release(struct manifest_editable *e);
struct manifest_editable manifest_editable_copy(const struct manifest_editable *e);
bool manifest_editables_equal(const struct manifest *a, const struct manifest *b);
/* Puts it in the place that its name has in the order, or replaces the one of that name. Takes *e
 * over. */
void manifest_add_editable(struct manifest *m, struct manifest_editable *e);
bool manifest_drop_editable(struct manifest *m, const char *normalised);
void manifest_drop_editables(struct manifest *m);

/* The member "editables", a list; NULL when something is not UTF-8. */
json_t *manifest_editables_to_json(const struct manifest *m);
/* Missing: none. The form only: manifest_check() looks at what it says. -EBADMSG. */
int manifest_editables_from_json(const json_t *list, struct manifest *m, struct verror *err);
/* One of lock.py's answers: path, text and mode of each file. */
int manifest_files_from_json(const json_t *list, struct manifest_editable *e, struct verror *err);
/* Hostile paths, sizes, duplicates; name, version and folder are manifest_check.c's. */
int manifest_check_files(const struct manifest *m, struct verror *err);

#endif
