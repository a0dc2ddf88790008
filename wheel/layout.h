/* Where the files of a wheel go in an environment (PEP 427, "Binary distribution format"). */
#ifndef VENVFS_WHEEL_LAYOUT_H
#define VENVFS_WHEEL_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "base/verror.h"

struct layout {
    const char *python_dir; /* "python3.11" */
    const char *dist_info;  /* "foo-1.0.dist-info" */
    const char *headers;    /* normalised name: the folder of the headers */
};

enum layout_kind {
    LAYOUT_FILE,
    LAYOUT_SCRIPT, /* .data/scripts: executable, perhaps with a first line to replace */
    LAYOUT_RECORD, /* RECORD, INSTALLER, REQUESTED: written anew */
};

struct layout_place {
    char *path; /* from the environment's root; malloc'ed */
    enum layout_kind kind;
    bool site; /* below site-packages other than by .data/data: its .py files get bytecode */
};

/* Where a member goes; its name has passed layout_check_member(). -EBADMSG: an unknown key in
 * .data, a second .dist-info, or a place where the environment's own files and folders are
 * (pyvenv.cfg, bin/python*, bin/activate*, lib64, site-packages/_venvfs* ...). */
int layout_place(const struct layout *layout, const char *member, struct layout_place *ret,
                 struct verror *err);

/* May a package have a file at this path from the environment's root (it has passed
 * layout_member_problem())? -EBADMSG as above. */
int layout_check_path(const struct layout *layout, const char *path, struct verror *err);

/* What RECORD means by a path: the opposite of layout_record_path(), for whatever an installer may
 * have written, but for absolute paths. "." and ".." are resolved by text, lib64/ is lib/.
 * malloc'ed; NULL: it leads out of the environment. */
char *layout_record_place(const struct layout *layout, const char *path);

/* A path as RECORD writes it, relative to site-packages; malloc'ed. */
char *layout_record_path(const struct layout *layout, const char *path);

/* May a file of a package have this name in bin/? NULL, or why not ("is empty", ...). */
const char *layout_bin_name_problem(const char *name);

/* Is it one of the environment's own files in bin/: its interpreters and activation files? */
bool layout_is_reserved_in_bin(const char *name);

/* May a zip member have this name? A folder's name ends in '/'. NULL, or why not. */
const char *layout_member_problem(const char *name, size_t len);

/* Appends a hostile name so that it fits on one line of a terminal. */
void layout_printable(const char *name, size_t len, struct strbuf *sb);

#endif
