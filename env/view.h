/* view: the tree of one generation, composed from images and generated files.
 *
 * A folder that only one image has is served straight from the image. Only folders present in
 * several layers are merged (root, bin, lib, site-packages, its __pycache__, namespace packages);
 * root, bin, include, lib, lib/pythonX.Y and site-packages always are. Generated for the address:
 * pyvenv.cfg, bin/python*, lib64, activation files, console scripts, direct_url.json (and then
 * RECORD), the files of editable installs, and site-packages/_venvfs.pth for Python 3.8 to 3.13,
 * unless the manifest's settings say "import_hook": false: it lets importlib read modules without a
 * message to the daemon for each. Of a bare one only what belongs to packages is generated: without
 * any the view is an empty folder.
 *
 * Nodes are small values; what they mean is fixed for the life of the view, which is immutable.
 */
#ifndef VENVFS_ENV_VIEW_H
#define VENVFS_ENV_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "base/verror.h"
#include "env/manifest.h"
#include "store/image.h"

struct view;

enum view_layer_kind { VIEW_IMAGE, VIEW_MERGED, VIEW_GENERATED };

struct view_node {
    uint32_t layer; /* VIEW_IMAGE: index of the layer (package order of the manifest) */
    uint32_t
        index; /* VIEW_IMAGE: node in the image; VIEW_MERGED, VIEW_GENERATED: index in the view */
    uint8_t kind; /* enum view_layer_kind */
};

/* How images are obtained: the daemon shares opened ones between environments, commands open their
 * own. Returns a new reference. */
struct view_images {
    int (*open)(void *arg, const struct store_image *which, struct image **ret, struct verror *err);
    void *arg;
};

/* Composes. address: NULL takes the manifest's. -EBADMSG: an image is damaged. */
int view_compose(const struct manifest *m, const char *address, const struct view_images *images,
                 struct view **ret, struct verror *err);
struct view *view_ref(struct view *view);
void view_unref(struct view *view);

size_t view_layers(const struct view *view);
struct image *view_image(const struct view *view, uint32_t layer); /* borrowed */
const struct store_image *view_image_id(const struct view *view, uint32_t layer);
/* The layer that a node's attributes and bytes come from: its image's, or that of the package a
 * generated file belongs to. False: none, for merged folders and the environment's own files. */
bool view_layer_behind(const struct view *view, struct view_node node, uint32_t *layer);
/* -EBADMSG when the file of one of the images lost bytes since it was opened (image_damaged()), so
 * that what was read from the view may be wrong. The message names the image. */
int view_check_images(const struct view *view, struct verror *err);
/* The layer of an image by its number; false: not in this view. */
bool view_layer_of(const struct view *view, uint32_t image_number, uint32_t *layer);

/* Was the environment made from inside, so that the view has what belongs to packages alone? */
bool view_is_bare(const struct view *view);

struct view_node view_root(const struct view *view);
/* In a merged folder a name that an image has lost by damage is found as its node, not missing. */
bool view_lookup(const struct view *view, struct view_node dir, const char *name, size_t len,
                 struct view_node *ret);
/* Resolves a relative path without following symlinks. */
bool view_walk(const struct view *view, const char *path, struct view_node *ret);

struct view_attr {
    uint8_t type;  /* enum image_type */
    uint32_t mode; /* permission bits: 0755 or 0644, 0777 for a symlink */
    uint64_t size;
    int64_t mtime_ns;
    /* 1, for directories too (as btrfs has it): a count of subfolders would change with every
     * switch and cost a look at all children, and find, du and tar only take 2 and more for one. */
    uint32_t nlink;
};
/* The mtime of a file is derived from its content or the time its package entered the environment
 * (design 5; generated files that belong to a package, too); of a folder of one image, derived from
 * its names; of merged folders and all other generated files, the time of the generation. */
void view_stat(const struct view *view, struct view_node node, struct view_attr *ret);
/* As view_stat() for a node of an image by its layer's facts alone, for nodes of images that left
 * the view while the kernel still holds them. */
void view_image_stat(const struct image *image, uint32_t node, int64_t entered_ns,
                     struct view_attr *ret);

/* Entries of a folder in a fixed order, starting behind `cookie` (0: from the start). A cookie
 * stays valid across generations: merged folders are ordered by a 62-bit hash of the name, others
 * by position in their immutable image. "." and ".." are not among them. fn returns false to stop
 * (that entry counts as not delivered). */
typedef bool (*view_dir_fn)(void *arg, const char *name, size_t len, struct view_node node,
                            uint64_t cookie);
void view_readdir(const struct view *view, struct view_node dir, uint64_t cookie, view_dir_fn fn,
                  void *arg);

/* A symlink's target, or the bytes of a generated file: appended to sb. Reading blobs is store/'s.
 * A generated file may go on with the tail of a blob (a #!python script behind its new first line,
 * a RECORD behind its new row); then *layer, *blob and *skip say where, else *blob is
 * IMAGE_NO_BLOB. */
void view_readlink(const struct view *view, struct view_node node, struct strbuf *sb);
void view_generated(const struct view *view, struct view_node node, struct strbuf *sb,
                    uint32_t *layer, uint32_t *blob, uint64_t *skip);

/* The path of a merged folder or generated file, relative to the root; owned by the view. */
const char *view_path(const struct view *view, struct view_node node);
size_t view_count(const struct view *view,
                  enum view_layer_kind kind); /* VIEW_MERGED, VIEW_GENERATED */

/* Paths that two images ship with different bytes (or as file and folder, or as scripts of one
 * name); the later by normalised name won. What venvfs generates itself wins over any image.
 * Owned by the view. Two pycs of one path are not told of: they differ by nature. */
struct view_conflict {
    const char *path, *loser, *winner; /* distribution names; winner may be "venvfs" */
};
size_t view_conflicts(const struct view *view, const struct view_conflict **ret);

/* Calls fn for each path whose meaning differs between two views of one environment (either may be
 * NULL): the topmost changed entries only. parent: its folder's path, "" for the root. An entry is
 * the same when it is the same node of the same image that entered at the same time, a merged
 * folder in both, or a generated file of the same bytes; times of merged folders and generated
 * files alone are no change. */
void view_diff(const struct view *before, const struct view *after,
               void (*fn)(void *arg, const char *parent, const char *name, size_t len), void *arg);

#endif
