/* Path strings and small trees on disk. */
#ifndef VENVFS_BASE_PATH_H
#define VENVFS_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* DIR/NAME; an absolute NAME is returned alone. malloc'ed. */
char *path_join(const char *dir, const char *name);
/* The folder part: "." when there is none, "/" for the root. malloc'ed. */
char *path_dirname(const char *path);
/* The last component, within path. */
const char *path_basename(const char *path);
/* Does it end so, with something before the suffix? */
bool path_has_suffix(const char *path, const char *suffix);
/* Absolute and without ".", ".." (resolved by text, links are not followed) or doubled slashes;
 * relative paths start at the current folder. malloc'ed; NULL with errno when there is none. */
char *path_absolute(const char *path);
bool path_exists(const char *path); /* lstat succeeds */

/* A single path component that may appear in a tree: 1..251 bytes, no '/', no NUL, not "." or "..".
 * 251 leaves room for the upper's ".wh." prefix within NAME_MAX. */
bool path_component_ok(const char *name, size_t len);

/* mkdir -p with the given mode for what is missing. Returns 0 or a negative errno. */
int path_mkdirs(const char *path, mode_t mode);
/* Removes a file or a whole tree without following links, made writable where needed. ENOENT is
 * success. Never leaves the file system it started on. Returns 0 or a negative errno. */
int path_remove_tree(const char *path);

#endif
