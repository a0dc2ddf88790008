/* entry_points.txt: the commands a distribution brings ("Entry points specification"). */
#ifndef VENVFS_WHEEL_ENTRY_POINTS_H
#define VENVFS_WHEEL_ENTRY_POINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"

struct entry_point {
    char *name, *module, *attr;
    bool gui; /* gui_scripts instead of console_scripts; the same on Linux */
};

struct entry_points {
    struct entry_point *list; /* each name once */
    size_t n;
};

#define ENTRY_POINTS_INIT                                                                          \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

/* Reads console_scripts and gui_scripts of an INI text: configparser's rules with '=' as the only
 * delimiter, names case-sensitive, the last of two equal names wins. As pip does, the entry points
 * `pip` and `easy_install` take the interpreter's version in their other names (pip3, pip3.11),
 * since the wheel was built by another one. -EBADMSG: a name that cannot be a file in bin/ or is
 * one of the environment's own files, or a reference that is not MODULE:ATTRIBUTE. */
int entry_points_parse(const char *text, size_t len, unsigned major, unsigned minor,
                       struct entry_points *ret, struct verror *err);
void entry_points_release(struct entry_points *eps);
bool entry_points_has(const struct entry_points *eps, const char *name, size_t len);

#define _cleanup_entry_points_ _cleanup_(entry_points_release)

#endif
