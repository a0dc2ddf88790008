/* overlay: an environment that can be written to: its upper layer over the images of its tree.
 *
 * DESIGN. A node is an object of the tree (a file or folder of an image, a merged folder, a
 * generated file) until something about it changes; then an onode stands for it, under the nodeid
 * it has. So a file that is open while it is edited, chmodded or moved stays the same file for the
 * kernel; what changes is where its bytes are. What is new gets a nodeid of its own (UPPER_NODEID).
 * Onodes of a folder's entries are read from disk when the folder is first looked into; the layer
 * has no other writer, so what is in memory is the truth from then on.
 *
 * Invariants of what is on disk, in the order in which changes are made:
 *  1. an entry of the upper beats a whiteout of its name, so creating never has to remove one;
 *  2. unlink, rmdir and rename write the whiteout of the old name first;
 *  3. a folder that replaces one from below is opaque before it gets the name;
 *  4. a file comes up from below as a temporary that is written, synced and renamed;
 *  5. a folder from below is told where its content is (a redirect, or all of its children by
 *     themselves) before it moves.
 * A crash between two steps leaves a tree in which at most the last operation is undone.
 *
 * LOCKS: one per overlay, held from resolving a place to its release. It comes after the realm's
 * and before those of images. Disk is touched under it: by the loop for what takes microseconds,
 * by workers only through descriptors of their own (fsync).
 *
 * All functions that take a place need its overlay's lock, which the place holds. They return 0 or
 * a negative errno, and say nothing else: they are answers to system calls.
 */
#ifndef VENVFS_FS_OVERLAY_H
#define VENVFS_FS_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "base/verror.h"
#include "fs/images.h"
#include "fs/place.h"

struct succession;
struct inherited_env;

/* What the overlays of a realm use; all outlives them. */
struct overlay_context {
    struct images *images;
    int wake; /* an eventfd, written when settling begins to be wanted (overlay_settle.h), or -1 */
    struct succession *succession; /* what a successor needs is noted there; or NULL */
};

/* slot: of nodeids. path: of the upper, which is made on disk by the first change. inherited: what
 * a predecessor noted of it, until overlay_inherit(); or NULL. -EAGAIN: another daemon writes to
 * it.
 */
int overlay_open(const char *path, uint32_t slot, const struct overlay_context *context,
                 const struct inherited_env *inherited, struct overlay **ret, struct verror *err);
/* Takes over the nodeids that the kernel holds of the predecessor's layer; once, when the tree that
 * it had is set. past: its older trees, newest first. What it had removed on disk and not noted is
 * found. */
void overlay_inherit(struct overlay *overlay, struct tree *const *past, size_t n_past);
void overlay_free(struct overlay *overlay); /* NULL is accepted */
/* The upper has another path now: its environment was renamed. A first change of all that comes
 * between the two fails. */
void overlay_moved(struct overlay *overlay, const char *path);

/* Puts a (new) tree below. Takes a reference. changed() is called for each folder of the overlay
 * whose content from below is another now, as tree_diff() does. */
void overlay_set_tree(struct overlay *overlay, struct tree *tree, tree_change_fn changed,
                      void *arg);

void overlay_lock(struct overlay *overlay);
void overlay_unlock(struct overlay *overlay);

struct onode *overlay_root(struct overlay *overlay);
/* The tree that is below, under the overlay's lock; NULL: not composed yet. */
const struct tree *overlay_tree(const struct overlay *overlay);

/* Does the overlay know this nodeid? Then place->up, ->tree and ->node are set. */
bool overlay_resolve(struct overlay *overlay, uint64_t nodeid, struct place *place);

/* Is what place->node says part of what is shown? Not when the upper has all of it. */
bool overlay_is_over(const struct place *place);

/* ---- looking ---- */

/* place: a folder. ret: tree, node, nodeid and up are set; overlay is not (no lock of its own). */
int overlay_lookup(const struct place *folder, const char *name, size_t len, struct place *ret);
/* A folder that is the tree's alone may have an entry whose nodeid is still that of something that
 * was removed, or moved away, and then came back with another generation. Then the overlay comes to
 * know the folder, so that the entry gets another nodeid: folder->up is set. */
int overlay_check_folder(struct place *folder, const char *name, size_t len);
int overlay_stat(const struct place *place, struct stat *ret);
int overlay_readlink(const struct place *place, struct strbuf *sb);
typedef bool (*overlay_dir_fn)(void *arg, const char *name, size_t len, const struct place *place,
                               uint64_t cookie);
/* Entries behind a cookie, without "." and "..". Names from below keep the cookies that the tree
 * gives them, also when they are edited; new ones are ordered by the hash of the name behind them.
 */
int overlay_readdir(const struct place *folder, uint64_t cookie, overlay_dir_fn fn, void *arg);
uint64_t overlay_parent(const struct place *folder);
int overlay_statvfs(const struct overlay *overlay, struct statvfs *ret);
/* A descriptor of the place's own file in the upper, borrowed until the lock is released; -ENODATA:
 * its bytes are the tree's. */
int overlay_fd(const struct place *place);

/* ---- changing ---- */

struct overlay_new {
    mode_t mode; /* type and permissions, the umask applied */
    dev_t rdev;
    uid_t uid;
    gid_t gid;
    const char *target; /* of a symlink */
};
int overlay_make(const struct place *folder, const char *name, const struct overlay_new *what,
                 struct place *ret);
int overlay_link(const struct place *file, const struct place *folder, const char *name,
                 struct place *ret);
int overlay_remove(const struct place *folder, const char *name, bool is_dir);
int overlay_rename(const struct place *from, const char *name, const struct place *to,
                   const char *to_name, unsigned flags);

/* What a SETATTR may set. */
struct overlay_attr {
    bool set_mode, set_uid, set_gid, set_size, set_atime, set_mtime;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    off_t size;
    struct timespec atime, mtime; /* tv_nsec may be UTIME_NOW */
};
int overlay_setattr(const struct place *place, const struct overlay_attr *attr);
ssize_t overlay_write(const struct place *place, const void *buf, size_t size, off_t offset);
int overlay_fallocate(const struct place *place, int mode, off_t offset, off_t length);

/* Descriptors to be synced for a file or folder to be durable with its name, with their own
 * references; the caller syncs (outside of the lock), closes and frees them. */
struct overlay_sync {
    int *fds;
    size_t n;
};
int overlay_sync_prepare(const struct place *place, struct overlay_sync *ret);

/* Of one that was taken over, or NULL: has the nodeid been given out since? */
bool overlay_is_since(const struct overlay *overlay, uint64_t nodeid);
/* The kernel holds the group of this nodeid no more: removed files of it go. */
void overlay_forget(struct overlay *overlay, uint64_t nodeid);

/* ---- an environment that was emptied from inside (overlay_empty.c); they lock ---- */

/* Is there no name in its root? */
bool overlay_shows_nothing(struct overlay *overlay);
/* The same, while there are some below. */
bool overlay_hides_all(struct overlay *overlay);
/* Drops the whiteouts of a root that shows nothing, because nothing is below any more. */
void overlay_clear(struct overlay *overlay);
/* The root, which shows nothing, was removed: nothing is made in it again. Removed files that are
 * still in use stay readable; with the last of them the layer's lock and descriptors go. */
void overlay_abandon(struct overlay *overlay);
/* Of one that is abandoned: does nobody use anything of it? */
bool overlay_is_unused(struct overlay *overlay);

#endif
