/* The packages of two generations compared, editable ones included. */
#ifndef VENVFS_CLI_CHANGES_H
#define VENVFS_CLI_CHANGES_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "env/manifest.h"

struct change {
    char sign;             /* '+' added, '-' removed, '~' changed */
    const char *name;      /* borrowed from the manifests, as the versions are */
    const char *old, *new; /* versions; NULL where there is none */
};
struct changes {
    struct change *v; /* by normalised name; behind them the editables, likewise */
    size_t n, alloc;
    size_t added, removed, changed;
};

/* A package of the same version counts as changed only when its content is another although Python
 * is not. before NULL: everything is added. The manifests must outlive the result. */
void changes_find(const struct manifest *before, const struct manifest *after, struct changes *ret);
void changes_release(struct changes *c);
#define _cleanup_changes_ _cleanup_(changes_release)

/* "+ name version", "- name version" or "~ name old -> new", coloured on a terminal, with the sign
 * behind `indent`. */
void changes_print_line(FILE *stream, const char *indent, const struct change *c);
/* added and removed: arrays of name and version; changed: of name, from and to. */
json_t *facts_of_changes(const struct changes *c);

#endif
