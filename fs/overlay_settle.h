/* overlay_settle: what the upper holds gives way to the trees below it.
 *
 * When a generation has come below that brings what the upper has, the files up there are redundant
 * (settling); when a package leaves, the edits of its files are set aside. Every step by itself
 * leaves the shown tree as it is or as the command wants it, so a crash between two of them needs
 * no undoing: whiteouts that a step needs are written before it, and names that are to be seen are
 * freed of theirs last.
 *
 * Paths are relative to the environment's root. All functions take the overlay's lock for each
 * path, never for long. They return 0 or a negative errno: -ENOENT no such thing in the upper,
 * -ESTALE it is not what it was, -EXDEV it lies in a folder that was moved, or over one that may
 * have been.
 */
#ifndef VENVFS_FS_OVERLAY_SETTLE_H
#define VENVFS_FS_OVERLAY_SETTLE_H

#include "fs/overlay.h"

struct overlay_settling {
    /* Layers of the tree that were installed in the upper: their files may show, and no folder of
     * theirs is one that was moved (overlay_absorb()). */
    const bool *layers;
    size_t n_layers;
    /* Does the kernel hold this nodeid? */
    bool (*held)(void *arg, uint64_t nodeid);
    void *held_arg;
    /* What the kernel must be told: names, and nodes whose attributes (attributes()) or attributes
     * and content (changed(), name NULL) are others. */
    tree_change_fn changed;
    void (*attributes)(void *arg, uint64_t nodeid);
    void *arg;
};

/* A file as it was looked at on disk. */
struct overlay_version {
    uint64_t ino;
    int64_t size, mtime_ns, ctime_ns;
};

struct overlay_file {
    const char *path;
    struct overlay_version version;
    bool same;  /* the tree has the same bytes; else others that mean the same */
    int result; /* 0: it gave way; -EMLINK: it has other names; else as above */
};

/* From now on until the next sweep, or the end, a name that is removed stays hidden, even if
 * nothing lies below it: a tree is being made that has what the layer has now. */
void overlay_begin_settling(struct overlay *overlay);
void overlay_end_settling(struct overlay *overlay);
/* A name that is not there shall stay so when a tree brings it. */
int overlay_hide(struct overlay *overlay, const char *path);
/* The files go; the tree has the same at their paths. Where it has the same bytes, the nodeid stays
 * while the kernel holds it, and writing to it brings the file up again; else who has the file open
 * keeps it, bytecode excepted, which nobody keeps open. A folder in which nothing else is goes as
 * one, so what goes together should be in one call. What is to be removed from disk is moved to
 * `trash`, a folder on the same file system that is made when it is missing, for the caller to
 * empty. An error that is not a file's own ends it. */
int overlay_give_way(struct overlay *overlay, struct overlay_file *files, size_t n,
                     const char *trash, const struct overlay_settling *s);
/* Marks that say nothing any more go, and folders that hold nothing: after the tree has changed,
 * and after files gave way. */
int overlay_sweep(struct overlay *overlay, const struct overlay_settling *s);
/* The file, link or special file moves to the same path below the folder `to`; what the tree has
 * shows again. Who has it open keeps it. */
int overlay_set_aside(struct overlay *overlay, const char *path, int to,
                      const struct overlay_settling *s);
/* A whiteout goes. */
int overlay_unhide(struct overlay *overlay, const char *path, const struct overlay_settling *s);
/* Moved folders of these images get files of their own, since the images leave. */
int overlay_absorb(struct overlay *overlay, const struct sha256 *images, size_t n);

/* ---- when ---- */

/* A .dist-info folder was touched since the last sweep, or the layer was there before this daemon.
 */
bool overlay_is_due(struct overlay *overlay);
/* In how many milliseconds it is to be settled, when that is due: once nothing was written for
 * quiet_ms, and, behind each try that did not settle it (an installation was under way, another
 * process had the environment's lock), after twice as long. 0: now; -1: it is not due. */
int64_t overlay_settling_ms(struct overlay *overlay, int64_t quiet_ms);
void overlay_tried_settling(struct overlay *overlay);
/* Names of .dist-info folders whose RECORD was written at least `ms` ago, and takes them off the
 * list. malloc'ed, each too; NULL: none. */
char **overlay_take_ready(struct overlay *overlay, int64_t ms, size_t *n);
bool overlay_has_ready(struct overlay *overlay);

#endif
