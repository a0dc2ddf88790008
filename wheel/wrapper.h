/* Scripts of entry points, as installers write them ("Entry points specification"). */
#ifndef VENVFS_WHEEL_WRAPPER_H
#define VENVFS_WHEEL_WRAPPER_H

#include <stdbool.h>
#include <stddef.h>

#include "wheel/entry_points.h"

/* Does the script, behind its first lines, do what the entry point asks for and nothing else? data
 * ends with a NUL behind its size. So a wrapper without a hash is known (virtualenv's own packages
 * have none, and venvfs's), and one that was written anew when its environment moved. */
bool wrapper_is_plain(const char *data, size_t size, const struct entry_point *ep);

#endif
