/* What view.c, view_merge.c, view_generated.c and view_diff.c share; nobody else includes it.
 *
 * A view of 118 packages (60,000 nodes) is about 20 KB: nothing is kept for a node that an image
 * describes. Three tables say the rest: layers, merged folders, generated files. A merged folder
 * is a slice of `refs`, one 8-byte reference for each child, in the order of the hash of the
 * child's name, which serves both lookups (binary search in `tops`, then the name is compared) and
 * directory cookies.
 */
#ifndef VENVFS_ENV_VIEW_INTERNAL_H
#define VENVFS_ENV_VIEW_INTERNAL_H

#include "env/view.h"

struct view_layer {
    struct image *image;
    struct store_image id;
    uint32_t direct_url; /* text of direct_url.json in strings, 0: none */
    uint32_t installer;  /* text of INSTALLER in strings, 0: the image's */
    int64_t entered_ns;
    bool requested;
};

struct view_file { /* a file that the manifest itself holds (manifest_editable.h) */
    char *path;    /* with a NUL in place of each slash; path_len bytes */
    size_t path_len;
    char *text;
    bool exec, script; /* script: its first line is made for the address */
};

struct view_merged {
    uint32_t path, name;   /* in strings; the name is the path's last component */
    uint32_t first, count; /* children: refs[first .. first + count) */
};

enum view_generated_kind {
    GENERATED_LIB64,             /* lib64 -> lib */
    GENERATED_INTERPRETER,       /* bin/python -> the base interpreter */
    GENERATED_INTERPRETER_ALIAS, /* bin/python3 -> python */
    GENERATED_PYVENV_CFG,
    GENERATED_GITIGNORE,
    GENERATED_ACTIVATION,  /* item: index of activation_files */
    GENERATED_SCRIPT,      /* item: index of the image's scripts */
    GENERATED_ACCELERATOR, /* _venvfs.pth */
    GENERATED_DIRECT_URL,
    GENERATED_INSTALLER,
    GENERATED_FILE,   /* item: index of the view's own files */
    GENERATED_RECORD, /* a row for direct_url.json, then the image's RECORD */
};

struct view_generated {
    uint32_t path, name; /* as above */
    uint32_t layer;      /* of the package it belongs to, or VIEW_NO_LAYER */
    uint32_t item;
    uint32_t text_size; /* of the text made on demand, without the blob behind it */
    uint8_t kind;       /* enum view_generated_kind */
};
#define VIEW_NO_LAYER UINT32_MAX

struct view {
    unsigned refs_held; /* atomic */
    struct view_layer *layers;
    uint32_t *by_number; /* layers in the order of their images' numbers */
    uint64_t *refs;
    uint32_t *tops;             /* the upper half of the hash of each name in refs */
    struct view_merged *merged; /* [0] is the root */
    struct view_generated *generated;
    struct view_conflict *conflicts;
    char *strings; /* NUL-terminated, "" at 0 */
    struct view_file *files;
    uint32_t n_files;
    uint32_t n_layers, n_refs, n_merged, n_generated, n_conflicts;
    struct manifest facts; /* of the interpreter and the environment; no packages */
    bool accelerator;      /* is _venvfs.pth shown? */
    char *address;
    char *interpreter;     /* ADDRESS/bin/python, for scripts */
    char *link_target;     /* where bin/python leads */
    const char *link_name; /* the name in bin/ that leads there, within link_target */
};

/* Children of merged folders: kind, layer and index in one integer. */
static inline uint64_t view_ref_make(enum view_layer_kind kind, uint32_t layer, uint32_t index)
{
    return (uint64_t)kind << 62 | (uint64_t)(layer & 0x3fffffffu) << 32 | index;
}

static inline struct view_node view_ref_node(uint64_t ref)
{
    return (struct view_node){.layer = (uint32_t)(ref >> 32) & 0x3fffffffu,
                              .index = (uint32_t)ref,
                              .kind = (uint8_t)(ref >> 62)};
}

/* 54 bits of a name's hash; a cookie is this, then 8 bits that tell apart equal ones. */
#define VIEW_HASH_BITS 54
#define VIEW_MAX_EQUAL_HASHES 255u
static inline uint64_t view_hash(const char *name, size_t len)
{
    return checksum_of(name, len) >> (64 - VIEW_HASH_BITS);
}

static inline uint32_t view_hash_top(uint64_t hash)
{
    return (uint32_t)(hash >> (VIEW_HASH_BITS - 32));
}

/* The name of a child of a merged folder, not NUL-terminated. */
const char *view_ref_name(const struct view *view, uint64_t ref, size_t *len);

/* ---- view_generated.c ---- */

/* Where generated files go before merging: folders that always exist, and what is in them. */
struct view_fixed {
    const char *name;
    uint32_t parent; /* index of a folder of this table */
    bool is_dir;
    uint8_t kind; /* enum view_generated_kind */
    uint32_t layer, item;
};
/* Fills a malloc'ed table whose [0] is the root; parents come before their children. */
struct view_fixed *view_fixed_list(const struct view *view, size_t *n);
/* The text of a generated file that is no symlink: appended to sb. */
void view_generated_text(const struct view *view, const struct view_generated *g,
                         struct strbuf *sb);
/* The blob behind that text; false: there is none. */
bool view_generated_tail(const struct view *view, const struct view_generated *g, uint32_t *blob,
                         uint64_t *skip, uint64_t *size);
void view_generated_target(const struct view *view, const struct view_generated *g,
                           struct strbuf *sb);
bool view_generated_is_link(const struct view_generated *g);
bool view_generated_is_exec(const struct view *view, const struct view_generated *g);

#endif
