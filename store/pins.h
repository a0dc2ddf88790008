/* pins: images that are kept whether or not an environment has them.
 *
 * STORE/pins, a line for each: the image's number, its SHA-256, then name and version for people.
 * No file: nothing was ever pinned.
 */
#ifndef VENVFS_STORE_PINS_H
#define VENVFS_STORE_PINS_H

#include <stddef.h>

#include "store/store.h"

/* malloc'ed. -EBADMSG: a line is damaged, the message says which. */
int pins_read(struct store *store, struct store_image **ret, size_t *n, struct verror *err);

/* Pins the image, or no longer. *changed: false when it was so already. The caller has held
 * the store's lock shared since the image was found. Durable. */
int pins_set(struct store *store, const struct store_listing *image, bool pinned, bool *changed,
             struct verror *err);

#endif
