/* tree: one composed generation of an environment with its nodeids. Immutable and counted, so any
 * number of requests may use it while a newer one takes its place. */
#ifndef VENVFS_FS_TREE_H
#define VENVFS_FS_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "env/view.h"
#include "fs/ids.h"
#include "fs/images.h"

struct tree;

struct tree_place {
    uint32_t slot;
    bool is_mount_root;  /* the environment's root is FUSE's root, nodeid 1 (explicit mounts) */
    const char *address; /* or NULL: the manifest's */
};

/* Composes a manifest. ids gains entries for what is new; the caller serialises its use. Errors of
 * images_get() and view_compose(); -ESTALE and -ENOENT also when the manifest was replaced and
 * collected meanwhile. Takes milliseconds. */
int tree_compose(const struct manifest *m, const struct tree_place *place, struct images *images,
                 struct ids *ids, struct tree **ret, struct verror *err);
/* A tree is leased when it is composed, once, for who shows it, until the last lease ends; a tree
 * without can be compared with others, but what its images name may be removed from the store.
 * Counted. False: it has been. */
bool tree_lease(struct tree *tree);
void tree_end_lease(struct tree *tree);
struct tree *tree_ref(struct tree *tree);
void tree_unref(struct tree *tree); /* NULL is accepted */

const struct view *tree_view(const struct tree *tree); /* borrowed */
uint32_t tree_slot(const struct tree *tree);
unsigned tree_generation(const struct tree *tree);
/* The opened image of a layer; borrowed. */
struct shared_image *tree_image(const struct tree *tree, uint32_t layer);

uint64_t tree_nodeid(const struct tree *tree, struct view_node node);
/* The node of a nodeid of this slot; false when it is not part of this generation. */
bool tree_resolve(const struct tree *tree, uint64_t nodeid, struct view_node *ret);
/* Everything stat shows except uid and gid. */
void tree_stat(const struct tree *tree, struct view_node node, struct stat *ret);
/* Do a node's attributes and bytes come from an image whose file lost bytes? */
bool tree_node_damaged(const struct tree *tree, struct view_node node);
/* Does a folder's list? Of a merged folder any image of the tree counts. */
bool tree_list_damaged(const struct tree *tree, struct view_node folder);
/* A node's path from the root; malloc'ed. */
char *tree_path(const struct tree *tree, struct view_node node);
/* The folder that holds a node; the root's is the root. */
struct view_node tree_parent(const struct tree *tree, struct view_node node);
/* Calls fn for each group of nodeids (nodeid_group()) of the tree until it returns false; returns
 * false then. */
bool tree_each_group(const struct tree *tree, bool (*fn)(void *arg, uint64_t group), void *arg);

/* What the kernel must be told to forget when `after` replaces `before`. Names in folders merged in
 * both whose nodeid or attributes changed, and (name NULL) nodes that stay while their attributes
 * or list changed: those folders, and of packages that stay the files that have the time of
 * entering and the folders of what depends on being asked for by name. The root and other folders
 * merged in both are never named as entries, so a live working folder keeps its path. */
typedef void (*tree_change_fn)(void *arg, uint64_t nodeid, const char *name, size_t len);
void tree_diff(const struct tree *before, const struct tree *after, tree_change_fn fn, void *arg);

#endif
