/* plan: what is known of a wheel once it is opened and checked, before anything is unpacked but its
 * metadata; then the place where the results of unpacking are gathered. An installed tree makes a
 * plan too (wheel/tree_plan.h), so that one program writes the images of both. */
#ifndef VENVFS_WHEEL_PLAN_H
#define VENVFS_WHEEL_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/verror.h"
#include "store/store.h"
#include "wheel/bytecode.h"
#include "wheel/entry_points.h"
#include "wheel/layout.h"
#include "wheel/record.h"
#include "wheel/wheel.h"

/* The file itself, so that what is unpacked is what was hashed. */
struct wheel_file {
    const char *path;     /* the caller's */
    const char *filename; /* its last component */
    struct sha256 digest;
    uint64_t size;
    dev_t device;
    ino_t inode;
    struct timespec mtime;
};

/* Opens and hashes. -EBADMSG when the digest is not `expect` (which may be NULL). */
int wheel_file_identify(const char *path, const struct sha256 *expect, struct wheel_file *ret,
                        struct verror *err);
/* Opens the same file again: a descriptor, or -ESTALE when it is another one now. */
int wheel_file_open(const struct wheel_file *file, struct verror *err);

/* One bytecode file to be made. */
struct plan_pyc {
    struct bytecode_request request; /* first, so that a request leads back here */
    struct plan_pyc *next;           /* of the same member */
    struct wheel_plan *plan;
    struct plan_member *member;
    void *source; /* owned until compiled */
    bool made;
    struct blob_ref blob;
};

struct plan_member {
    size_t index; /* in the zip */
    char *name;   /* of the member; of a tree: its path on disk, from the environment's root */
    uint64_t size, packed;
    uint32_t shebang; /* of a tree: so many bytes on disk stand for TREE_SHEBANG; 0: none */
    bool executable;
    bool dropped; /* checked against RECORD, not installed */
    struct layout_place place;
    const struct record_row
        *row; /* NULL: RECORD and its signatures, which cannot list themselves */
    /* Results of unpacking: */
    struct blob_ref blob;
    uint32_t first_line; /* bytes of a "#!python" line that is to be replaced, else 0 */
    struct plan_pyc *pycs;
};

/* As #!python lines were in the wheel, when an installed script does not say. */
#define TREE_SHEBANG "#!python\n"

struct wheel_plan {
    const char *label;              /* for messages and the catalog: the wheel's file name, or the
                                     * .dist-info folder of a tree */
    struct sha256 id;               /* what the store knows the image's origin by */
    const struct wheel_file *file;  /* NULL: an installed tree */
    int tree;                       /* then a descriptor of its root, borrowed */
    struct wheel_name name;         /* of the file name */
    char *dist_name, *dist_version; /* of METADATA */
    char *dist_info;
    char *headers;
    struct layout layout; /* points into this plan */
    struct record record;
    struct entry_points entry_points;
    struct record absent; /* rows of RECORD to keep, by their path in the environment, though the
                           * image has no such file; a hash is SHA-256 or none */
    struct plan_member *members; /* files only, in the order of the zip */
    size_t n;
    uint64_t bytes;     /* of all members */
    char *newer_minor;  /* Wheel-Version when it is a newer 1.x, else NULL */
    atomic_size_t open; /* parts and bytecode files not done yet; at 0 the image can be built */
};

/* Opens the wheel and checks all that needs no unpacking of members. */
int wheel_plan_make(const struct wheel_file *file, const struct wheel_target *target,
                    struct wheel_plan *ret, struct verror *err);
void wheel_plan_release(struct wheel_plan *plan);

/* Would two of the plan's files, or its scripts, be at one place, or a file where another needs a
 * folder? -EBADMSG. */
int wheel_plan_check_places(const struct wheel_plan *plan, struct verror *err);
/* RECORD and its signatures, which cannot be listed with a hash (PEP 427). name: relative to
 * site-packages. */
bool wheel_plan_is_exempt(const struct wheel_plan *plan, const char *name);

#endif
