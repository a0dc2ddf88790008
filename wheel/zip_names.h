/* The raw names of a zip's central directory (APPNOTE 4.3.12). */
#ifndef VENVFS_WHEEL_ZIP_NAMES_H
#define VENVFS_WHEEL_ZIP_NAMES_H

#include <stdint.h>

#include "base/verror.h"

/* libzip shows a NUL inside a name as a space, Python's zipfile cuts the name there: so two readers
 * of one wheel see two files. This refuses such an archive, and one whose directory cannot be
 * walked. *members: how many the directory has. -EBADMSG or errno of a read. */
int zip_names_check(int fd, uint64_t *members, struct verror *err);

#endif
