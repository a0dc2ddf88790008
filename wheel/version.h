/* Are two spellings the same version? (PEP 440, "Version specifiers"). */
#ifndef VENVFS_WHEEL_VERSION_H
#define VENVFS_WHEEL_VERSION_H

#include <stdbool.h>

/* "2024.02.02" and "2024.2.2", "1.0-alpha.1" and "1a1", "1.0+cpu" and "1.0_cpu" (a file name may
 * escape the '+') are equal. Strings that are no versions are equal when they are the same but for
 * case and "-_.". */
bool version_equal(const char *a, const char *b);

#endif
