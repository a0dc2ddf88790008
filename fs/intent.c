#include "fs/intent.h"

#include <stdatomic.h>
#include <stddef.h>

static _Thread_local struct intent *current;
static _Thread_local uint64_t request;
static _Thread_local struct intent before; /* what a predecessor left of it */

void intent_begin(struct intent *intent, uint64_t unique)
{
    current = intent;
    request = unique;
    before = intent && intent->unique == unique ? *intent : (struct intent){0};
}

void intent_end(void)
{
    current = NULL;
    before = (struct intent){0};
}

void intent_set(uint64_t ino)
{
    if (!current)
        return;
    /* In this order for who reads it when this process is no more. */
    current->ino = ino;
    atomic_signal_fence(memory_order_seq_cst);
    current->unique = request;
    atomic_signal_fence(memory_order_seq_cst);
}

bool intent_was_set(uint64_t *ino)
{
    if (ino)
        *ino = before.ino;
    return before.unique != 0;
}
