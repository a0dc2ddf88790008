/* content: what a distribution installs, whatever installed it.
 *
 * The digest of a distribution's files (paths, x bits, SHA-256) and scripts, without what differs
 * from one installation to the next: bytecode, INSTALLER, REQUESTED, RECORD, direct_url.json and
 * the first lines of scripts. An installed tree has it before anything is compiled, and an image
 * has it however it was made; so the two are found to be the same. */
#ifndef VENVFS_WHEEL_CONTENT_H
#define VENVFS_WHEEL_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "store/image.h"
#include "wheel/entry_points.h"

struct content {
    char **lines;
    size_t n, alloc;
};

void content_begin(struct content *c, const char *name, const char *version, const char *dist_info);
/* path: from the environment's root. */
void content_file(struct content *c, const char *path, bool executable, const struct sha256 *id);
/* A row of RECORD whose file is not there (id NULL: without a hash). */
void content_absent(struct content *c, const char *path, const struct sha256 *id);
/* A script whose first `skip` bytes give way; id: of the whole, as in the image. */
void content_script(struct content *c, const char *name, uint32_t skip, const struct sha256 *id);
void content_entry_point(struct content *c, const char *name, const char *module, const char *attr,
                         bool gui);
void content_end(struct content *c, struct sha256 *ret); /* frees */

/* All of it for an image. */
void content_of_image(const struct image *image, struct sha256 *ret);

#endif
