/* METADATA and WHEEL: the two files of headers in a dist-info folder ("Core metadata", PEP 427). */
#ifndef VENVFS_WHEEL_METADATA_H
#define VENVFS_WHEEL_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"
#include "wheel/wheel.h"

/* Name and version from METADATA, malloc'ed, which must be those of the file name but for
 * normalisation. -EBADMSG. */
int metadata_parse(const char *text, size_t len, const struct wheel_name *filename, char **name,
                   char **version, struct verror *err);

/* Checks WHEEL's Wheel-Version against 1.0. *newer: malloc'ed version when it is a newer minor
 * (worth a warning), else NULL. -EOPNOTSUPP: a newer major; -EBADMSG: missing or malformed. */
int wheel_version_check(const char *text, size_t len, char **newer, struct verror *err);

#endif
