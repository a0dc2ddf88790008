/* lease: what the processes that show environments use, as locks on bytes of STORE/leases.
 *
 * A daemon locks the byte of an image, shared, before a view uses it, until the kernel holds
 * nothing of it any more. gc leaves what is leased, and locks the byte of each image that it
 * removes exclusively first. So neither has to wait, a killed process leaves nothing behind, and a
 * full disk is no reason not to show an environment: the file is always empty. Generations are
 * leased in the same way, as a slot (env/env_layer.h) and a number.
 */
#ifndef VENVFS_STORE_LEASE_H
#define VENVFS_STORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

static inline uint64_t lease_of_image(uint32_t number)
{
    return number;
}
static inline uint64_t lease_of_generation(uint32_t slot, unsigned generation)
{
    return UINT64_C(1) << 61 | (uint64_t)slot << 32 | generation;
}

/* Takes a lease for this open store; a second one of the same is the same one. Never blocks.
 * -ESTALE: gc is about to remove it. */
int store_lease(struct store *store, uint64_t lease, struct verror *err);
void store_lease_end(struct store *store, uint64_t lease);

/* Does another process, or another opening of the store, have a lease? *ret. */
int store_is_leased(struct store *store, uint64_t lease, bool *ret, struct verror *err);
/* Refuses it to others until the store is closed. *ret false: it is leased. */
int store_lease_refuse(struct store *store, uint64_t lease, bool *ret, struct verror *err);

#endif
