/* content: the bytes of a tree's files: blobs of images, generated texts, and texts before blobs.
 */
#ifndef VENVFS_FS_CONTENT_H
#define VENVFS_FS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "fs/images.h"
#include "fs/tree.h"

/* Fills buf with exactly size bytes, which must lie within the file. nowait: -EAGAIN when the disk
 * is needed. -EUCLEAN: the image is damaged, of which the log has a line; -EIO: the blob is, or is
 * shorter than its attributes say; -ENOMEM. */
int content_read(struct images *images, struct tree *tree, struct view_node node, uint64_t offset,
                 char *buf, size_t size, bool nowait, struct verror *err);

/* The distribution's name of an image's file, else "an environment"; valid as long as the tree. */
const char *content_owner(const struct tree *tree, struct view_node node);

#endif
