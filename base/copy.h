/* Copying the bytes of a file. */
#ifndef VENVFS_BASE_COPY_H
#define VENVFS_BASE_COPY_H

#include <stdint.h>

/* Fills the empty file `to` with the first `size` bytes of `from`: by reflink where the file system
 * can, else range by range in the kernel, keeping holes. Returns 0 or a negative errno; -ESTALE
 * when `from` ended before. Both file offsets are undefined afterwards. */
int copy_bytes(int from, int to, uint64_t size);

#endif
