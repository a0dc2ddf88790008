/* recorder: what imports read, noted while they do.
 *
 * A read counts when a Python asks for it and the file is of an image and no source: what is
 * imported has bytecode, and who reads sources compiles, searches or shows them. What was read goes
 * into the store's profiles a little later, in a worker.
 *
 * LOCKS: one, a leaf, for moments. Sessions' loops note; the control thread does the rest.
 */
#ifndef VENVFS_FS_RECORDER_H
#define VENVFS_FS_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/pool.h"
#include "fs/place.h"

struct recorder;

/* path: of the profiles; not opened before something is to be written. wake: an eventfd, written
 * when an environment's first import of this daemon begins and when something is to be saved. */
struct recorder *recorder_new(const char *path, int wake);
/* Saves what is left; no worker may be saving. NULL is accepted. */
void recorder_free(struct recorder *recorder);

/* A process, as the daemon sees its number, reads some bytes that are below: `file` has a node. */
void recorder_note(struct recorder *recorder, pid_t pid, const struct place *file, uint64_t offset,
                   size_t size);

/* A name in a folder is asked for, or its list. */
void recorder_note_folder(struct recorder *recorder, pid_t pid, const struct place *folder);

/* The slot of an environment whose first import of this daemon has begun, the latest first; false:
 * there is none that was not taken. */
bool recorder_take_begun(struct recorder *recorder, uint32_t *slot);
/* Has what is new saved once reading has paused. Returns as autosettle_tick(). */
int recorder_tick(struct recorder *recorder, struct pool *workers);

#endif
