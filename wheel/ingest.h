/* ingest: what the store lacks is made, each image by one process; others wait for it. */
#ifndef VENVFS_WHEEL_INGEST_H
#define VENVFS_WHEEL_INGEST_H

#include "wheel/batch.h"

enum ingest_state { INGEST_UNKNOWN, INGEST_DONE, INGEST_CLAIMED, INGEST_ELSEWHERE };

struct ingest_item {
    struct sha256 id;              /* with the target's key: what the store knows the image by */
    const char *label;             /* for progress */
    const struct wheel_file *file; /* as in struct batch_item */
    struct wheel_plan *plan;
    struct store_image image; /* the result */
    /* For ingest_items() alone: */
    struct ingest_item *same; /* an earlier item of the same id, or NULL */
    enum ingest_state state;
    int claim; /* descriptor, or -1 */
};

/* Fills the image of every item (id, label and either file or plan set, the rest zero), making in
 * one put those that the store lacks; those that another process makes are waited for. A plan that
 * was used is empty afterwards. All or nothing for what this process makes. Takes the store's lock
 * shared. */
int ingest_items(struct store *store, const struct batch_options *options,
                 struct ingest_item *items, size_t n, struct verror *err);

#endif
