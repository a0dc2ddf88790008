/* batch: wheels that this process ingests together, in one put.
 *
 * DESIGN. Three phases on one pool of threads. First every wheel is planned (opened and checked by
 * its metadata), so that a bad one is refused before any work is done. Then the members are
 * unpacked in parts, the biggest wheels first; sources go to the bytecode workers as they appear,
 * so both sides keep all CPUs busy to the end. When a wheel's last part and last bytecode file are
 * done, its image is assembled. Then all is committed at once.
 *
 * Of several failures the one of the first wheel and member is told, so that the same input gives
 * the same message whatever the threads did. */
#ifndef VENVFS_WHEEL_BATCH_H
#define VENVFS_WHEEL_BATCH_H

#include "base/pool.h"
#include "wheel/plan.h"

struct batch_item {
    const struct wheel_file *file; /* a wheel; or */
    struct wheel_plan *plan;       /* what is planned already: taken over */
    struct store_image *image;     /* the result */
};

struct batch_options {
    const struct wheel_target *target;
    const char *key; /* wheel_target_key() */
    const struct wheel_options *wheel;
    struct pool *pool;
};

/* Ingests all items or none; the claims are the caller's. */
int batch_ingest(struct store *store, const struct batch_item *items, size_t n,
                 const struct batch_options *options, struct verror *err);

#endif
