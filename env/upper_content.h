/* upper_content: all that a folder of an upper layer says, gathered by name. */
#ifndef VENVFS_ENV_UPPER_CONTENT_H
#define VENVFS_ENV_UPPER_CONTENT_H

#include "env/upper_read.h"
#include "env/view.h"

struct upper_name {
    char *text;
    mode_t type;                    /* of the entry: its S_IFMT bits */
    bool entry, whiteout, attr_set; /* what the folder says of it; an entry beats a whiteout */
    struct upper_attr attr;
    size_t order; /* in which it was said */
};

struct upper_content {
    struct upper_name *v; /* sorted by text, one for each */
    size_t n, alloc;
    bool opaque, moved;
    struct sha256 image; /* moved: what lies below is this folder of this image */
    char *path;
};

/* path: of the folder in the layer, as upper_read_folder() takes it, whose errors it returns. The
 * caller releases, after an error too. */
int upper_content_read(int root, const char *path, struct upper_content *ret);
void upper_content_release(struct upper_content *content);
const struct upper_name *upper_content_find(const struct upper_content *content, const char *name);

/* The folder or file of an image of the view that a redirect names; false: it is not in the view.
 */
bool upper_redirect_target(const struct view *view, const struct sha256 *image, const char *path,
                           struct view_node *ret);

#endif
