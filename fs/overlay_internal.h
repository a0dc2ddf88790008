/* What the files named overlay*.c share; nobody else includes it. */
#ifndef VENVFS_FS_OVERLAY_INTERNAL_H
#define VENVFS_FS_OVERLAY_INTERNAL_H

#include <pthread.h>

#include "fs/nodeid.h"
#include "fs/overlay.h"
#include "fs/succession.h"
#include "fs/upper.h"

/* Nodeids of what is new: indices of the environment's table that no generated file reaches. */
#define UPPER_INDEX (UINT64_C(1) << (NODEID_INDEX_BITS - 1))

/* A name in a folder. */
struct oentry {
    struct onode *dir;
    struct onode *node;       /* NULL: only a whiteout */
    struct oentry *next_link; /* of the same node */
    uint64_t cookie;          /* 61-bit hash of the name, the order in the folder */
    bool whiteout;            /* on disk; a node beats it */
    uint8_t len;
    char name[];
};

struct onode {
    struct overlay *ov;
    struct onode *next; /* in its bucket of nodeids */
    uint64_t nodeid;
    struct oentry *links; /* its names; NULL: the root, or removed */
    mode_t type;          /* S_IFMT bits */
    bool upper;           /* it has a file of its own in the upper; else its bytes are below */
    bool removed;         /* no name leads to it any more */
    bool goes, differs;   /* overlay_settle.c, for the length of a call */
    bool let_go;          /* the kernel forgot it, and did not ask for it again */
    bool has_lower;
    struct view_node lower; /* in the overlay's tree, or in `tree` */
    struct tree *tree;      /* of a removed file whose bytes a replaced tree has; else NULL */
    bool leased;            /* that tree, for this node */

    /* folders */
    bool loaded; /* entries are what the disk has */
    bool opaque;
    bool fresh;                    /* made since the last sync: its own name may not be durable */
    struct sha256 *redirect_image; /* NULL: what is below has the folder's own path */
    char *redirect_path;
    struct onode *next_moved; /* of those with a redirect */
    struct oentry **entries;  /* sorted by cookie, then name */
    size_t n, alloc;
    uint32_t holding, parting; /* overlay_settle.c: entries that hold something, and that go */
    int64_t mtime_ns;          /* of the last change of its entries, 0: as on disk */
    bool own_mtime;            /* that was set by somebody: what is below does not matter */

    int fd;                      /* cached, or -1; of a folder O_PATH */
    struct onode *newer, *older; /* of those with a cached descriptor */
    int32_t shown;               /* its mode in the upper, UPPER_MODE_* of fs/upper.h */

    /* files */
    struct upper_attr attr; /* without a file of their own */
    int64_t ctime_ns;       /* likewise */
    uint64_t ino;           /* of the file in the upper, when it has several names; else 0 */
    uint64_t noted;         /* its inode in the upper as the succession has it, or 0 */
    bool dirty;             /* written since the last sync */
    bool pinned;            /* removed, and kept by its descriptor alone */
    uint64_t orphan;        /* its serial number in the orphans' folder, 0: none */
    struct onode *next_orphan;
};

/* Is something recorded of how it is shown? */
static inline bool onode_has_attr(const struct onode *node)
{
    const struct upper_attr *a = &node->attr;
    return a->mode >= 0 || a->uid >= 0 || a->gid >= 0 || a->mtime_ns != INT64_MIN;
}

#define BUCKETS_MIN 64u
#define MAX_DESCRIPTORS 128u
#define READY_MAX 1000u
#define MAX_PINNED 64u

struct overlay {
    pthread_mutex_t lock; /* recursive: two places of one environment may be resolved */
    struct upper upper;
    struct images *images;
    uint32_t slot;
    struct tree *tree; /* NULL: not composed yet */
    struct onode *root;
    struct onode **buckets;
    size_t n_buckets, n_nodes;
    uint64_t next_index;
    struct onode *newest, *oldest; /* cached descriptors, by last use */
    size_t n_descriptors, n_pinned;
    struct onode *moved;   /* folders with a redirect */
    struct onode *orphans; /* removed nodes of images: lookups are not counted for each */
    int wake;              /* an eventfd, written when settling begins to be wanted; or -1 */
    bool due;              /* overlay_is_due() */
    unsigned tries;        /* since then that did not settle it */
    int64_t tried_ms;      /* of the monotonic clock: the last of them */
    bool settling;         /* overlay_begin_settling() */
    int64_t changed_ms;    /* of the monotonic clock: the last change */
    char **ready;          /* .dist-info folders that got a RECORD, at most READY_MAX */
    size_t n_ready, alloc_ready;
    int64_t ready_ms;                      /* when the last of them got it */
    bool abandoned;                        /* its root was removed */
    struct succession *succession;         /* or NULL */
    uint64_t inherited_index;              /* the last that a predecessor had given out */
    const struct inherited_env *inherited; /* while what a predecessor had is read, else NULL */
};

/* ---- overlay.c ---- */

struct onode *onode_find(const struct overlay *ov, uint64_t nodeid);
struct onode *onode_new(struct overlay *ov, uint64_t nodeid, mode_t type);
void onode_free(struct onode *node); /* and takes it out of the table */
uint64_t overlay_new_nodeid(struct overlay *ov);

/* The entry of a name; NULL: the layer knows nothing of it. The folder must be loaded. */
struct oentry *onode_entry(const struct onode *dir, const char *name, size_t len);
/* The same, made without a node when there is none. */
struct oentry *onode_entry_make(struct onode *dir, const char *name, size_t len);
void onode_entry_drop(struct oentry *entry);
void onode_link(struct onode *node, struct oentry *entry);
void onode_unlink(struct oentry *entry);

/* No name leads to the node any more; it stays until the kernel forgets it. */
void overlay_removed(struct onode *node);

/* Takes both over; NULL and NULL: it has none any more. */
void onode_set_redirect(struct onode *dir, struct sha256 *image, char *path);
/* The folder that was moved and shows this folder of an image, or NULL. Its own nodeid may be
 * another. */
struct onode *onode_find_moved(const struct overlay *ov, uint64_t nodeid);
/* Does the folder show this folder of the tree? */
bool onode_shows(const struct onode *dir, uint64_t nodeid);
/* What is below a node that has a name; false: nothing of its type. */
bool onode_find_lower(const struct onode *node, struct view_node *ret);
/* The entry goes, when nothing is known of its name. */
void onode_drop_if_bare(struct oentry *entry);
/* Reads a folder's entries from disk once. */
int onode_load(struct onode *dir);
/* The name as the images have it, whatever the layer says; false: not there (or opaque). */
bool onode_lower(const struct onode *dir, const char *name, size_t len, struct view_node *ret);
/* The path in the upper of a node with a name, relative to it. */
void onode_path(const struct onode *node, struct strbuf *sb);
/* Fills a place (without the lock) for an onode. */
void onode_place(struct onode *node, struct place *ret);
void onode_touch(struct onode *dir); /* its entries changed now */
/* Bytes of a file, or what a folder holds, changed. name: an entry that was made, removed or moved,
 * or NULL. */
void overlay_note(struct overlay *ov, const struct onode *dir, const char *name);
void overlay_wake(const struct overlay *ov); /* whoever has it settled */
/* A child of a folder, whether or not the overlay knows the folder. */
int overlay_child(const struct place *folder, const char *name, size_t len, struct place *ret);
/* What is shown of a tree's node, with the attributes recorded for it. */
void onode_stat_lower(const struct onode *node, const struct tree *tree, struct view_node at,
                      struct stat *ret);
mode_t lower_type(const struct tree *tree, struct view_node node);

/* ---- overlay_inherit.c ---- */

/* For a successor; all do nothing without one. The kernel may hold the nodeid from now on, or does
 * and the node has this file in the upper now. */
void onode_note(struct onode *node, uint64_t ino);
/* The same of what has a nodeid of its own and its bytes below, where the tree calls it `below`. */
void onode_note_lower(struct onode *node, uint64_t below);
/* It is about to lose its last name, and a descriptor or the orphans' folder keeps it. */
void onode_note_orphan(struct onode *node);
/* It has lost it. */
void onode_note_removed(struct onode *node);
void onode_note_gone(struct onode *node);
/* The nodeid that a predecessor gave the file of a name on disk, unless it is in use; or 0. */
uint64_t overlay_inherited_nodeid(struct onode *dir, const char *name);

/* ---- overlay_change.c ---- */

/* -ENOTEMPTY when a folder shows something. */
int overlay_check_empty(const struct place *folder);
/* Moves a file of the node, NAME in a folder, to the orphans' folder. */
int overlay_make_orphan(struct onode *node, int dir, const char *name);
/* What keeps a removed file goes, its name in the orphans' folder or its descriptor. */
void overlay_drop_orphan(struct onode *node);

/* ---- overlay_empty.c ---- */

void overlay_close_unused(struct overlay *ov); /* of one that is abandoned */

/* ---- overlay_copy.c ---- */

/* The onode of a place, with a file of its own in the upper; folders above it are made. A file that
 * no name leads to gets one in the orphans' folder. truncate: its bytes are not needed. */
int overlay_raise(const struct place *place, bool truncate, struct onode **ret);
/* The onode of a place, without a file of its own unless it has one. */
int overlay_know(const struct place *place, struct onode **ret);
/* Gives a node's folder a part in the upper. */
int onode_raise_parent(struct onode *node);
/* Gives a folder its content independently of where it is (invariant 5). */
int overlay_detach(struct onode *dir);
/* Gives a folder all that shows in it as files of its own. IMAGE_MAX_DEPTH bounds the recursion. */
int overlay_bring_all(struct onode *dir);

/* ---- overlay_data.c ---- */

/* Descriptors of nodes with a part of their own in the upper, cached; borrowed, valid until
 * MAX_DESCRIPTORS others were asked for. */
int onode_open(struct onode *node);  /* of a file, for reading and writing */
int onode_dir_fd(struct onode *dir); /* of a folder, O_PATH; it stays good when the folder moves */
void onode_keep(struct onode *node, int fd); /* takes over a descriptor of the node's file */
void onode_close(struct onode *node);
/* Makes the descriptor of a file whose last name goes what keeps its bytes. False: there are enough
 * of them. */
bool onode_pin(struct onode *node);

#endif
