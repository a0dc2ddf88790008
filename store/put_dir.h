/* put_dir: a put's folder in STORE/tmp, and what dead puts left there.
 *
 * Each folder holds a file `lock` that its owner keeps locked, so a folder whose lock can be had
 * belongs to nobody. A folder is emptied with its lock last, while the lock is held: an owner that
 * had just opened the file notices that it is gone and makes a new folder.
 */
#ifndef VENVFS_STORE_PUT_DIR_H
#define VENVFS_STORE_PUT_DIR_H

#include "base/verror.h"

/* Removes what dead puts left in tmp. With nothing there it costs the listing of a folder. */
void put_dir_sweep(const char *tmp);
/* The same, then makes a folder. *path is malloc'ed; returns the lock's
 * descriptor or a negative errno. */
int put_dir_make(const char *tmp, char **path, struct verror *err);
/* Removes the folder and closes the lock. */
void put_dir_remove(const char *path, int lock);

#endif
