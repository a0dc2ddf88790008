/* image: the immutable tree of one package as installed for one interpreter.
 *
 * An image's root is the environment's root: its nodes are lib/python3.11/site-packages/...,
 * bin/..., include/..., share/.... It holds no absolute path, no user and no time (design 10). The
 * bytes of its files are blobs in packs; the image names them by SHA-256 and checks them by XXH3.
 *
 * FORMAT (version 1, little-endian; offsets from the start of the file; the sections lie in the
 * order below, each 8-aligned, zeros between them)
 *   header   magic "VFSIMAGE", u32 version, u32 section count, then per section
 *            u32 id, u32 zero, u64 offset, u64 size
 *   NODE     32 bytes each, breadth-first: node 0 is the root, a directory's children are
 *            contiguous and sorted by name (memcmp, then shorter first); two siblings may share a
 *            name only as the two variants IMAGE_IF_REQUESTED and IMAGE_IF_NOT_REQUESTED of a file,
 *            adjacent in this order.
 *            u32 name offset, u8 name length, u8 type, u8 flags, u8 zero, u32 parent,
 *            u32 blob | first child | offset of the target, u64 size, u32 children, u32 time
 *   NAME     the names' bytes, and the targets of symlinks
 *   BLOB     48 bytes each: SHA-256, u64 index of its first slice checksum, u64 size
 *   SLICE    u64 each: XXH3 of every 256 KiB slice of a blob (the last may be shorter)
 *   SCRIPT   32 bytes each, scripts that the view makes for the environment's address:
 *            u8 kind, 3 zeros, u32 name, u32 module, u32 attr (offsets in INFO), u32 blob,
 *            u32 skip, u64 size
 *   INFO     u32 offset of the distribution's name, of its version, of its dist-info folder's name,
 *            u32 zero, then NUL-terminated strings
 *   trailer  the SHA-256 of everything before it, which is the image's identity, then the XXH3 of
 *            everything before that
 *
 * A reader checks every offset, count, name and the tree's shape once, at image_open(); accessors
 * may then index without checks. Hostile bytes may be refused; they may not crash. A mapped file
 * that is cut off later, or that the disk no longer delivers, reads as zeros: whoever answers from
 * an image asks image_damaged() between reading and answering.
 */
#ifndef VENVFS_STORE_IMAGE_H
#define VENVFS_STORE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/strbuf.h"
#include "base/verror.h"

#define IMAGE_SLICE_SIZE (256u * 1024u) /* also the raw size of a full frame */
#define IMAGE_MAX_NODES (1u << 19)      /* nodeids have 19 bits for the node (design 7) */
#define IMAGE_MAX_DEPTH 128u            /* folders below each other, so that a walk may recurse */
#define IMAGE_ROOT 0u
#define IMAGE_NO_BLOB UINT32_MAX /* an empty file */

enum image_type { IMAGE_FILE = 1, IMAGE_DIR = 2, IMAGE_SYMLINK = 3 };

enum image_flags {
    IMAGE_EXEC = 1 << 0, /* file: served 0755 instead of 0644 */
    /* The file's mtime is derived from its content (a .py that has a pyc, design 5); without it the
     * file has the time its package entered the environment. */
    IMAGE_TIME_DERIVED = 1 << 1,
    /* Present only when the package was (was not) asked for by name: REQUESTED, the two RECORDs. */
    IMAGE_IF_REQUESTED = 1 << 2,
    IMAGE_IF_NOT_REQUESTED = 1 << 3,
    IMAGE_BYTECODE = 1 << 4, /* file: a pyc made at ingest */
};

struct image_node {
    uint8_t type;  /* enum image_type */
    uint8_t flags; /* enum image_flags */
    uint32_t parent;
    uint64_t size;     /* file: bytes; symlink: bytes of the target; directory: 0 */
    uint32_t blob;     /* file: index into the blobs, or IMAGE_NO_BLOB when empty */
    uint32_t first;    /* directory: its first child's node */
    uint32_t count;    /* directory: number of children (both variants of a name counted) */
    uint32_t dir_time; /* directory: seconds derived from its sorted list of names */
};

enum image_script_kind {
    IMAGE_SCRIPT_CONSOLE, /* console_scripts entry point */
    IMAGE_SCRIPT_GUI,     /* gui_scripts entry point */
    /* .data/scripts file that starts with #!python or #!pythonw: its first line is replaced, the
     * rest is `blob` from byte `skip` on. */
    IMAGE_SCRIPT_PYTHON,
};

struct image_script {
    uint8_t kind;              /* enum image_script_kind */
    const char *name;          /* file name in bin/, NUL-terminated */
    const char *module, *attr; /* entry points; attr may hold dots */
    uint32_t blob;             /* IMAGE_SCRIPT_PYTHON */
    uint32_t skip;             /* bytes of the original first line, its newline included */
    uint64_t size;             /* of the original file */
};

struct image; /* one mapped, checked image; immutable, so any number of threads may read it */

/* Maps and checks the image at path. Damage is found by the XXH3, which costs a tenth of the
 * digest; the digest itself is computed for copies, in image_open_memory() and by
 * image_check_digest(). `expect` is the identity it must have (NULL: take what is there). `copy`:
 * read it into private memory instead of mapping it (a store owned by someone else). -ENOENT: no
 * such file; -EBADMSG: damaged or hostile, the message says where; else errno of the call. */
int image_open(const char *path, const struct sha256 *expect, bool copy, struct image **ret,
               struct verror *err);
/* As above from memory, which is not copied and must outlive the image (tests, fuzzing). */
int image_open_memory(const void *data, size_t size, struct image **ret, struct verror *err);
/* Does the content have the digest that the image carries? -EBADMSG when not. */
int image_check_digest(const struct image *image, struct verror *err);
struct image *image_ref(struct image *image);
void image_unref(struct image *image); /* NULL is accepted; atomic count */

/* Did the file lose bytes since it was opened, so that what was read from it may be zeros? Once
 * true it stays so. Costs a load from the file's last page. */
bool image_damaged(const struct image *image);

const struct sha256 *image_id(const struct image *image);
const char *image_dist_name(const struct image *image);    /* as in METADATA, "Jinja2" */
const char *image_dist_version(const struct image *image); /* as in METADATA */
const char *image_dist_info(const struct image *image);    /* "jinja2-3.1.4.dist-info" */
uint64_t image_file_bytes(const struct image *image);      /* sum of the sizes of all files */

uint32_t image_nodes(const struct image *image);
/* node < image_nodes(). */
struct image_node image_node(const struct image *image, uint32_t node);
/* The name, not NUL-terminated; the root's is empty. */
const char *image_name(const struct image *image, uint32_t node, size_t *len);
/* Its path from the image's root, appended to sb; nothing for the root itself. */
void image_node_path(const struct image *image, uint32_t node, struct strbuf *sb);
const char *image_target(const struct image *image, uint32_t node, size_t *len);
/* Binary search among the children of a directory that are present for `requested`. */
bool image_lookup(const struct image *image, uint32_t dir, const char *name, size_t len,
                  bool requested, uint32_t *ret);
/* Is this node part of the tree for `requested`? */
bool image_present(const struct image *image, uint32_t node, bool requested);

uint32_t image_blobs(const struct image *image);
const struct sha256 *image_blob_id(const struct image *image, uint32_t blob);
/* The XXH3 of slice number `slice` of a blob; slice < image_slices(size of the blob). */
uint64_t image_slice_checksum(const struct image *image, uint32_t blob, uint32_t slice);
static inline uint64_t image_slices(uint64_t size)
{
    return size / IMAGE_SLICE_SIZE + (size % IMAGE_SLICE_SIZE != 0);
}
uint64_t image_blob_size(const struct image *image, uint32_t blob);

size_t image_scripts(const struct image *image);
struct image_script image_script(const struct image *image, size_t i);

/* Derived times (design 5): 1,000,000,000 + hash mod 2^28 seconds. */
uint32_t image_time_of_blob(const struct sha256 *id);
/* What the above gives for the SHA-256 of no bytes: an empty file has no blob, but an empty
 * __init__.py has a derived time and a pyc that names it. */
#define IMAGE_TIME_OF_EMPTY 1046444771u

/* Seconds derived from a folder's sorted names, each followed by a NUL. */
uint32_t image_time_of_names(const void *names, size_t size);

/* Making one. Paths are relative, '/'-separated, every component path_component_ok(); folders
 * appear by themselves. A second file at a path is -EEXIST, a file where a folder is needed
 * -ENOTDIR. Not thread-safe. */
struct image_builder;
struct image_builder *image_builder_new(const char *dist_name, const char *version,
                                        const char *dist_info);
/* checksums: one XXH3 per slice, copied; blob id is ignored when size is 0. */
int image_builder_file(struct image_builder *b, const char *path, unsigned flags,
                       const struct sha256 *blob, uint64_t size, const uint64_t *checksums,
                       struct verror *err);
int image_builder_symlink(struct image_builder *b, const char *path, const char *target,
                          struct verror *err);
int image_builder_dir(struct image_builder *b, const char *path,
                      struct verror *err); /* may be empty */
/* script->blob is ignored: for IMAGE_SCRIPT_PYTHON give the blob's id and checksums. */
int image_builder_script(struct image_builder *b, const struct image_script *script,
                         const struct sha256 *blob, const uint64_t *checksums, struct verror *err);
/* Has this path been added? */
bool image_builder_has(const struct image_builder *b, const char *path);
/* Sorts, lays out and digests; the same content always gives the same bytes, in whatever order it
 * was added. Replaces *ret. -E2BIG beyond IMAGE_MAX_NODES or IMAGE_MAX_DEPTH. */
int image_builder_finish(struct image_builder *b, struct strbuf *ret, struct sha256 *id,
                         struct verror *err);
void image_builder_free(struct image_builder *b);

#endif
