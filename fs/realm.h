/* realm: what one mount shows. The hub's realm shows every environment as a folder; an explicit
 * mount's realm shows one generation of one environment as its root.
 *
 * DESIGN. A name of the hub is known from a scan of ENVS; its tree is composed when the name is
 * first looked up, and again by realm_attach() when a newer generation is current. A replaced tree
 * stays in its environment's `past` while the kernel holds lookup counts for nodes that only it
 * explains, so running processes keep reading what they opened. An environment of which the kernel
 * holds nothing gives its tree back.
 *
 * LOCKS, in this order: `composing` (one composition at a time; milliseconds), then `lock` (tables;
 * never held while an image is read, a file opened, or a message sent). Notifications are sent by
 * the caller, who holds neither.
 */
#ifndef VENVFS_FS_REALM_H
#define VENVFS_FS_REALM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/home.h"
#include "base/verror.h"
#include "fs/images.h"
#include "fs/overlay.h"
#include "fs/place.h"
#include "fs/tree.h"

#define REALM_ROOT 1u /* FUSE's root */

struct realm;

/* The hub: scans the names of all environments. resume: what a predecessor had in view is in view
 * again, under the nodeids that it noted in the overlays' succession; each environment is composed
 * when something of it is asked for, or by realm_inherit(). */
int realm_new_hub(const struct home *home, struct images *images,
                  const struct overlay_context *overlays, bool resume, struct realm **ret,
                  struct verror *err);
/* Composes what was taken over and not asked for yet, and brings all of it up to what is on disk.
 * What a predecessor may not have told the kernel is told (again): change() as realm_attach(). */
void realm_inherit(struct realm *realm, tree_change_fn change, void *arg);
/* The current generation of one environment, with `address` as its path. */
int realm_new_single(const struct home *home, struct images *images, const char *env_name,
                     const char *address, struct realm **ret, struct verror *err);
void realm_free(struct realm *realm); /* NULL is accepted */

/* -ESTALE: a nodeid that means nothing (any more). */
int realm_resolve(struct realm *realm, uint64_t nodeid, struct place *ret);
/* The child of a folder. -ENOENT; -ENOTDIR; -EIO: the environment cannot be composed (err says
 * why, for one line in the log). */
int realm_lookup(struct realm *realm, const struct place *folder, const char *name, size_t len,
                 struct place *ret, struct verror *err);
/* Everything but uid and gid of what no overlay knows, which are the daemon's. */
int realm_stat(struct realm *realm, const struct place *place, struct stat *ret);
int realm_readlink(const struct place *place, struct strbuf *sb);
/* Is this the hub's CACHEDIR.TAG? Then its text, else NULL. */
const char *realm_own_text(const struct place *place);

/* Entries of a folder behind a cookie (0: from the start), without "." and "..". A place without a
 * nodeid is an environment that is not in view. fn returns false to stop. */
typedef overlay_dir_fn realm_dir_fn;
int realm_readdir(struct realm *realm, const struct place *folder, uint64_t cookie, realm_dir_fn fn,
                  void *arg);
uint64_t realm_parent_ino(struct realm *realm, const struct place *folder);

/* Lookup counts, as the kernel keeps them. Hold comes before the reply that carries the nodeid. */
void realm_hold(struct realm *realm, const struct place *place);
void realm_forget(struct realm *realm, uint64_t nodeid, uint64_t count);
/* Gives back replaced trees that nobody needs; after the invalidations of a change were sent. */
void realm_settle(struct realm *realm);

/* A reference to the tree in view under a name, or NULL. */
struct tree *realm_tree(struct realm *realm, const char *name);
/* References to the replaced trees that are kept, newest first; malloc'ed. Returns how many. */
size_t realm_past(struct realm *realm, uint32_t slot, struct tree ***ret);

/* Makes the current generation of an environment visible; composes it only when an older one is in
 * view. change() gets what must be invalidated, afterwards, holding no lock. */
int realm_attach(struct realm *realm, const char *name, tree_change_fn change, void *arg,
                 struct verror *err);
/* Hides an environment from the hub until it is attached again. -ENOENT. */
int realm_detach(struct realm *realm, const char *name, tree_change_fn change, void *arg,
                 struct verror *err);

/* The environment `from` has the name `to` on disk now. What the kernel holds of it stays valid
 * under its new name. Then as realm_attach(). */
int realm_rename(struct realm *realm, const char *from, const char *to, tree_change_fn change,
                 void *arg, struct verror *err);

/* The writable layer of an environment that is in view, for the life of the realm; NULL: none. */
struct overlay *realm_overlay(struct realm *realm, const char *name);
/* Calls, without any lock, for each of them. */
void realm_each_overlay(struct realm *realm,
                        void (*fn)(void *arg, const char *name, struct overlay *overlay),
                        void *arg);
/* Does the kernel hold this nodeid, or another one of its image? realm: a struct realm. */
bool realm_is_held(void *realm, uint64_t nodeid);

/* ---- folders made and removed in the hub's root (realm_root.c) ----
 * They write to ENVS and sync it, so they are for workers. An environment's lock is waited for no
 * longer than a second: -EBUSY, while a command changes it. err says what an errno cannot, for the
 * log. */

/* A new environment, bare and empty, to be written to from inside; or the one of this name that was
 * emptied, as a new generation of that kind. ret: its root. -EEXIST;
 * -ENAMETOOLONG or -EINVAL: it is no name for one; -EROFS: not the hub. */
int realm_make(struct realm *realm, const char *name, mode_t mode, struct place *ret,
               struct verror *err);
/* Takes the folder of an environment that shows nothing out of the hub; the record stays, unless
 * nothing could be brought back by it. -ENOENT, -ENOTDIR, -ENOTEMPTY, -EROFS: its layer is another
 * daemon's. */
int realm_remove(struct realm *realm, const char *name, struct verror *err);
/* Is this the root of an environment of which everything was removed from inside, so that it begins
 * anew with what is made there next? Quick: for the loop. */
bool realm_was_emptied(struct realm *realm, uint64_t nodeid);
/* Says that the hub does not show an environment that was emptied, and the remedy: -ENOENT. */
int realm_refuse_emptied(const char *name, struct verror *err);
/* Begins it anew: a generation that is bare, under the same root. */
int realm_begin_anew(struct realm *realm, uint64_t nodeid, struct verror *err);

/* Is there anything that can be written to: the hub's environments, not an explicit mount. */
bool realm_is_writable(const struct realm *realm);
/* The generation that an explicit mount's realm shows. */
unsigned realm_generation(const struct realm *realm);
/* The name of an environment that is in view, and its generation there; malloc'ed. NULL: none has
 * the slot. */
char *realm_name_of_slot(struct realm *realm, uint32_t slot, unsigned *generation);
/* How many environments the hub shows. */
size_t realm_names(struct realm *realm);
/* Array of {"name", "slot", "generation"} of the environments whose tree is composed. */
json_t *realm_in_view(struct realm *realm);

#endif
