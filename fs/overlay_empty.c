/* overlay: an environment whose folder was emptied from inside. */
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "fs/overlay_internal.h"

/* What cannot be read counts as something. */
static bool shows_any(struct overlay *ov)
{
    struct place root;
    onode_place(ov->root, &root);
    int r = overlay_check_empty(&root);
    place_release(&root);
    return r < 0;
}

bool overlay_shows_nothing(struct overlay *ov)
{
    overlay_lock(ov);
    bool nothing = !shows_any(ov);
    overlay_unlock(ov);
    return nothing;
}

bool overlay_hides_all(struct overlay *ov)
{
    bool below = false;
    overlay_lock(ov);
    if (ov->tree && !shows_any(ov)) {
        const struct place tree = {.tree = ov->tree, .node = view_root(tree_view(ov->tree))};
        below = overlay_check_empty(&tree) < 0;
    }
    overlay_unlock(ov);
    return below;
}

void overlay_clear(struct overlay *ov)
{
    overlay_lock(ov);
    struct onode *root = ov->root;
    int fd = root->upper && !shows_any(ov) ? onode_dir_fd(root) : -ENOENT;
    while (fd >= 0 && root->n) {
        struct oentry *e = root->entries[root->n - 1];
        if (e->whiteout)
            (void)upper_drop_whiteout(fd, e->name);
        onode_entry_drop(e);
    }
    if (fd >= 0)
        (void)io_unlinkat(fd, UPPER_ATTR, 0);
    overlay_unlock(ov);
}

/* Only the root is left: no process uses anything of it. */
static void close_unused(struct overlay *ov)
{
    if (!ov->abandoned || ov->n_nodes > 1 || !upper_exists(&ov->upper))
        return;
    onode_close(ov->root);
    upper_leave(&ov->upper);
    ov->root->upper = false;
}

void overlay_abandon(struct overlay *ov)
{
    overlay_clear(ov);
    overlay_lock(ov);
    ov->abandoned = ov->root->removed = true;
    onode_touch(ov->root);
    close_unused(ov);
    overlay_unlock(ov);
}

bool overlay_is_unused(struct overlay *ov)
{
    overlay_lock(ov);
    bool unused = ov->abandoned && ov->n_nodes == 1;
    overlay_unlock(ov);
    return unused;
}

void overlay_close_unused(struct overlay *ov)
{
    overlay_lock(ov);
    close_unused(ov);
    overlay_unlock(ov);
}
