/* First lines of scripts that name an environment's interpreter. */
#ifndef VENVFS_WHEEL_SHEBANG_H
#define VENVFS_WHEEL_SHEBANG_H

#include <stddef.h>

/* How many bytes at the start of a script name an interpreter of an environment, "ROOT/bin/python3"
 * for one of the NULL-terminated roots: "#!PATH\n", or the three lines for /bin/sh that pip and uv
 * write where the kernel would not take that. 0: the script starts otherwise, or gives the
 * interpreter arguments. */
size_t shebang_length(const char *data, size_t size, const char *const *roots);

#endif
