/* How many messages of each kind the kernel sent: the cost of a file system in user space. */
#ifndef VENVFS_FS_COUNTERS_H
#define VENVFS_FS_COUNTERS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS_OPCODES 64

struct counters {
    _Atomic uint64_t messages[COUNTERS_OPCODES]; /* by opcode of <linux/fuse.h>; 0: all unknown */
};

/* Relaxed: each number is exact, their order among each other is not promised. */
static inline void counters_count(struct counters *c, uint32_t opcode)
{
    atomic_fetch_add_explicit(&c->messages[opcode < COUNTERS_OPCODES ? opcode : 0], 1,
                              memory_order_relaxed);
}

/* {"LOOKUP": 12, ...}: the usual kinds always, others when they occurred. A new reference. */
json_t *counters_json(const struct counters *c);

#endif
