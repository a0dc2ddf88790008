/* assemble: a plan whose members are unpacked becomes an image. */
#ifndef VENVFS_WHEEL_ASSEMBLE_H
#define VENVFS_WHEEL_ASSEMBLE_H

#include "wheel/plan.h"

/* Builds the image with its bytecode, scripts, INSTALLER, REQUESTED and both RECORDs, and stages it
 * for the target's key. *index: for store_put_result(). */
int assemble_image(struct wheel_plan *plan, const char *cache_tag, const char *key,
                   struct store_put *put, struct put_stream *stream, size_t *index,
                   struct verror *err);

#endif
