/* overlay: what the kernel holds of a layer, for the daemon that goes on with it.
 *
 * On disk nothing says which nodeid a file has: the one that the tree has for its name, unless it
 * is new or has moved. So inodes are noted of what the kernel may hold, and of files that have no
 * name any more how they are kept. Folders are read at once then: a nodeid of an image may stand
 * for something that came up since, and nothing but the layer says so.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/overlay_internal.h"

#define NOTED_ORPHAN UINT64_MAX

/* ---- noting ---- */

void onode_note(struct onode *n, uint64_t ino)
{
    struct overlay *ov = n->ov;
    if (!ov->succession || n->removed || n->noted == ino || n == ov->root)
        return;
    n->noted = ino;
    succession_note_node(ov->succession, ov->slot, n->nodeid, ino);
}

void onode_note_lower(struct onode *n, uint64_t below)
{
    if (!n->ov->succession || n->noted == below)
        return;
    n->noted = below;
    succession_note_lower(n->ov->succession, n->ov->slot, n->nodeid, below);
}

void onode_note_orphan(struct onode *n)
{
    if (!n->ov->succession)
        return;
    n->noted = NOTED_ORPHAN;
    succession_note_orphan(n->ov->succession, n->ov->slot, n->nodeid, n->orphan,
                           n->pinned ? n->fd : -1);
}

void onode_note_removed(struct onode *n)
{
    if (n->upper && n->noted != NOTED_ORPHAN)
        onode_note_gone(n);
}

void onode_note_gone(struct onode *n)
{
    if (!n->ov->succession || !n->noted)
        return;
    n->noted = 0;
    succession_note_gone(n->ov->succession, n->ov->slot, n->nodeid);
}

/* ---- what is on disk ---- */

/* The newest: an inode of a file that was removed, and not noted, is another file's soon. */
static const struct inherited_node *find_by_ino(const struct inherited_env *inherited, uint64_t ino)
{
    size_t lo = 0, hi = inherited->n_nodes; /* the first behind it */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (inherited->nodes[mid].ino <= ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return ino && lo > 0 && inherited->nodes[lo - 1].ino == ino ? &inherited->nodes[lo - 1] : NULL;
}

uint64_t overlay_inherited_nodeid(struct onode *dir, const char *name)
{
    struct overlay *ov = dir->ov;
    struct stat st;
    if (!ov->inherited)
        return 0;
    int fd = onode_dir_fd(dir);
    if (fd < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    const struct inherited_node *known = find_by_ino(ov->inherited, st.st_ino);
    return known && !onode_find(ov, known->nodeid) ? known->nodeid : 0;
}

/* What was made since the last sync nobody knows: all of it, then. */
static void read_all(struct onode *dir)
{
    int r = onode_load(dir);
    if (r < 0)
        log_line("a folder of an upper layer: %s", strerror(-r));
    dir->fresh = dir != dir->ov->root;
    for (size_t i = 0; i < dir->n; i++) {
        struct onode *n = dir->entries[i]->node;
        if (n && n->upper && n->type == S_IFDIR)
            read_all(n);
        else if (n && n->upper)
            n->dirty = true;
    }
}

/* ---- what has no name ---- */

static struct onode *take_removed(struct overlay *ov, uint64_t nodeid)
{
    if (onode_find(ov, nodeid))
        return NULL; /* it did not come to that */
    struct onode *n = onode_new(ov, nodeid, S_IFREG);
    n->upper = true;
    return n;
}

static void take_orphan(struct overlay *ov, uint64_t nodeid, uint64_t serial)
{
    struct onode *n = take_removed(ov, nodeid);
    if (!n)
        return;
    n->orphan = serial;
    onode_note_orphan(n);
    overlay_removed(n);
}

static void take_pinned(struct overlay *ov, const struct inherited_node *node)
{
    struct onode *n = take_removed(ov, node->nodeid);
    if (!n) {
        succession_drop(ov->succession, node->fd);
        close(node->fd);
        return;
    }
    n->fd = node->fd;
    n->pinned = true;
    ov->n_pinned++;
    onode_note_orphan(n);
    overlay_removed(n);
}

static const struct inherited_node *find_by_serial(const struct inherited_env *inherited,
                                                   uint64_t serial)
{
    for (size_t i = 0; i < inherited->n_nodes && !inherited->nodes[i].ino; i++)
        if (inherited->nodes[i].serial == serial)
            return &inherited->nodes[i];
    return NULL;
}

/* A file in the orphans' folder. It may have been moved there, and not been noted. */
static void take_from_folder(struct overlay *ov, int folder, const char *name)
{
    char *end;
    struct stat st;
    if (strncmp(name, "o-", 2) != 0 || !isdigit((unsigned char)name[2]))
        return;
    errno = 0;
    uint64_t serial = strtoull(name + 2, &end, 10);
    if (errno || *end || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (serial > ov->upper.serial)
        ov->upper.serial = serial;
    const struct inherited_node *node = find_by_serial(ov->inherited, serial);
    if (!node)
        node = find_by_ino(ov->inherited, st.st_ino);
    if (node)
        take_orphan(ov, node->nodeid, serial);
    else
        (void)unlinkat(folder, name, 0);
}

static void take_orphans(struct overlay *ov)
{
    int fd = openat(ov->upper.orphans, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(dir)))
        take_from_folder(ov, fd, e->d_name);
    closedir(dir);
}

/* ---- what has its bytes below ---- */

static bool resolve_in(struct tree *tree, uint64_t below, struct place *ret)
{
    *ret = (struct place){.tree = tree, .nodeid = below};
    return tree_resolve(tree, below, &ret->node);
}

/* The folder that shows a node of the overlay's tree, known; NULL: none does any more. */
static struct onode *folder_of(struct overlay *ov, const struct place *place)
{
    struct onode *dir;
    struct place parent = {
        .tree = ov->tree, .node = tree_parent(ov->tree, place->node), .overlay = ov};
    parent.nodeid = tree_nodeid(ov->tree, parent.node);
    struct onode *known = onode_find(ov, parent.nodeid);
    if (known && onode_shows(known, parent.nodeid))
        return known;
    return overlay_know(&parent, &dir) == 0 && !dir->removed ? dir : NULL;
}

static void take_lower(struct overlay *ov, const struct inherited_node *node,
                       struct tree *const *past, size_t n_past)
{
    struct place place;
    if (onode_find(ov, node->nodeid))
        return;
    bool now = resolve_in(ov->tree, node->below, &place), found = now;
    for (size_t i = 0; i < n_past && !found; i++)
        found = resolve_in(past[i], node->below, &place);
    if (!found)
        return;
    struct onode *n = onode_new(ov, node->nodeid, lower_type(place.tree, place.node));
    n->has_lower = true;
    n->lower = place.node;
    onode_note_lower(n, node->below);
    struct onode *dir = now ? folder_of(ov, &place) : NULL;
    _cleanup_free_ char *path = dir ? tree_path(ov->tree, place.node) : NULL;
    const char *name = path ? strrchr(path, '/') : NULL;
    name = name ? name + 1 : path;
    struct oentry *e = dir ? onode_entry_make(dir, name, strlen(name)) : NULL;
    if (e && !e->node && !e->whiteout) {
        onode_link(n, e);
        return;
    }
    n->tree = tree_ref(place.tree);
    overlay_removed(n);
}

bool overlay_is_since(const struct overlay *ov, uint64_t nodeid)
{
    return ov && nodeid_is_table(nodeid) &&
           nodeid_index(nodeid) > (UPPER_INDEX | ov->inherited_index);
}

void overlay_inherit(struct overlay *ov, struct tree *const *past, size_t n_past)
{
    overlay_lock(ov);
    const struct inherited_env *inherited = ov->inherited;
    uint64_t highest = inherited ? inherited->highest : 0;
    if (nodeid_is_table(highest) && nodeid_index(highest) > UPPER_INDEX)
        ov->next_index = nodeid_index(highest) - UPPER_INDEX;
    ov->inherited_index = ov->next_index;
    if (inherited && ov->root->upper) {
        read_all(ov->root);
        take_orphans(ov);
    }
    for (size_t i = 0; inherited && i < inherited->n_nodes; i++) {
        if (inherited->nodes[i].fd >= 0)
            take_pinned(ov, &inherited->nodes[i]);
        else if (inherited->nodes[i].below)
            take_lower(ov, &inherited->nodes[i], past, n_past);
    }
    for (size_t i = 0; inherited && i < inherited->n_nodes; i++)
        if (!onode_find(ov, inherited->nodes[i].nodeid))
            succession_note_gone(ov->succession, ov->slot, inherited->nodes[i].nodeid);
    ov->inherited = NULL;
    overlay_unlock(ov);
}
