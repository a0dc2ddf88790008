/* Images in memory and manifests that name them, for tests of views. */
#ifndef VENVFS_TESTS_VIEW_FIXTURE_H
#define VENVFS_TESTS_VIEW_FIXTURE_H

#include "env/view.h"

#define SHELF_MAX 256
#define SITE "lib/python3.11/site-packages/"

struct shelf { /* images by number; [0] stays empty */
    struct strbuf bytes[SHELF_MAX];
    struct image *images[SHELF_MAX];
    uint32_t n;
};
void shelf_init(struct shelf *shelf);
void shelf_release(struct shelf *shelf);
/* Takes the builder over; returns the image's number. */
uint32_t shelf_add(struct shelf *shelf, struct image_builder *b);
struct view_images shelf_images(struct shelf *shelf);

/* A package NAME 1.0 with the dist-info NAME-1.0.dist-info and nothing in it. */
struct image_builder *package(const char *name);
void add_file(struct image_builder *b, const char *path, unsigned flags, const char *text);
void add_script(struct image_builder *b, const char *name, const char *module, const char *attr);
void add_python_script(struct image_builder *b, const char *name, const char *body);

/* A manifest for Python VERSION at /home/me/env, generation 1 at 1000 s, without packages. */
struct manifest *bare_manifest(const char *version);
/* Adds a package of this name; they have to be added in order. */
struct manifest_package *with(struct manifest *m, struct shelf *shelf, uint32_t number);
void drop_manifest(struct manifest *m);

struct view *composed(const struct manifest *m, struct shelf *shelf);

/* One line for people and comparisons: what is at a path. "none", "dir", "link TARGET",
 * "TYPE MODE SHA-256-or-text". */
void describe(const struct view *view, struct view_node node, struct strbuf *sb);
char *describe_path(const struct view *view, const char *path);
/* Calls fn for each entry of the whole tree, folders before what is in them. */
void each_path(const struct view *view,
               void (*fn)(void *arg, const char *path, struct view_node node), void *arg);

#endif
