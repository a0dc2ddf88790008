/* Makes installed trees, as pip leaves them and as nobody should. */
#ifndef VENVFS_TESTS_TREEMAKER_H
#define VENVFS_TESTS_TREEMAKER_H

#include <sys/types.h>

#include "base/strbuf.h"

struct made_tree {
    char *root;      /* of the environment */
    char *site;      /* lib/pythonX.Y/site-packages */
    char *dist_info; /* "foo-1.0.dist-info" */
    struct strbuf record;
};

/* METADATA and WHEEL of NAME VERSION in an environment that may have others. */
void tree_init(struct made_tree *t, const char *root, const char *python_dir, const char *name,
               const char *version);
/* Writes a file, without a row. path: below site-packages; with '/' at its start below the root. */
void tree_write(struct made_tree *t, const char *path, const char *text, mode_t mode);
/* The same with its row. */
void tree_add(struct made_tree *t, const char *path, const char *text, mode_t mode);
void tree_row(struct made_tree *t, const char *row);
/* Writes INSTALLER and RECORD. Frees. */
void tree_finish(struct made_tree *t);

/* As in the struct, for what goes on below a root. malloc'ed. */
char *tree_path(const struct made_tree *t, const char *path);

#endif
