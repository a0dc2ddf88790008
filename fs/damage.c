/* session: answers that rest on images whose files lost bytes.
 *
 * Images are mapped. When a file is cut off, or its disk fails, zeros are read instead
 * (base/sigbus.h); every operation computes and replies as ever, and here, on the way to the
 * kernel, an answer that may come from such zeros becomes EIO, before the kernel can remember it
 * for ever. Asked after computing: damage that comes later did not change this answer. It costs
 * each answer one more look at its node and a load from the end of its image's file.
 *
 * Workers answer READ only, and ask by themselves (reads.c).
 */
#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <unistd.h>

#include "fs/session_internal.h"

static const struct fuse_out_header *header_of(const struct iovec *iov, int count)
{
    return count > 0 && iov->iov_len >= sizeof(struct fuse_out_header) ? iov->iov_base : NULL;
}

/* The nodeid in a successful answer to LOOKUP; 0: a negative entry, or no success. */
static uint64_t found_node(const struct iovec *iov, int count)
{
    const struct fuse_out_header *out = header_of(iov, count);
    if (!out || out->error != 0 || count < 2 || iov[1].iov_len < sizeof(struct fuse_entry_out))
        return 0;
    return ((const struct fuse_entry_out *)iov[1].iov_base)->nodeid;
}

static bool node_damaged(struct session *s, uint64_t nodeid,
                         bool (*damaged)(const struct tree *tree, struct view_node node))
{
    _cleanup_place_ struct place place = {0};
    return realm_resolve(s->realm, nodeid, &place) == 0 && place.tree &&
           (!place.up || overlay_is_over(&place)) && damaged(place.tree, place.node);
}

bool damage_in_answer(struct session *s, const struct iovec *iov, int count)
{
    const struct fuse_out_header *out = header_of(iov, count);
    /* Of other threads this tells apart notices (0) and the workers' answers. */
    if (!out || out->unique == 0 || !pthread_equal(s->loop, pthread_self()) ||
        out->unique != s->request || out->error == -EIO)
        return false;
    uint64_t found;
    switch (s->request_opcode) {
    case FUSE_LOOKUP:
        /* In an image's folder all is of that image; a merged folder has no image of its own. */
        found = found_node(iov, count);
        return node_damaged(s, found ? found : s->request_node, tree_node_damaged);
    case FUSE_GETATTR:
    case FUSE_READLINK:
        return node_damaged(s, s->request_node, tree_node_damaged);
    case FUSE_READ: /* with bytes: reads.c has asked */
        return count < 2 && node_damaged(s, s->request_node, tree_node_damaged);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
        return node_damaged(s, s->request_node, tree_list_damaged);
    default:
        return false;
    }
}

/* The kernel will not learn of these nodes. */
static void give_back_list(struct session *s, const struct iovec *iov)
{
    const char *p = iov->iov_base, *end = p + iov->iov_len;
    while ((size_t)(end - p) >= FUSE_NAME_OFFSET_DIRENTPLUS) {
        const struct fuse_direntplus *e = (const void *)p;
        size_t size = FUSE_DIRENTPLUS_SIZE(e);
        if (size > (size_t)(end - p))
            return;
        if (e->entry_out.nodeid)
            realm_forget(s->realm, e->entry_out.nodeid, 1);
        p += size;
    }
}

ssize_t damage_refuse(struct session *s, int fd, const struct iovec *iov, int count)
{
    const struct fuse_out_header no = {.len = sizeof(no), .error = -EIO, .unique = s->request};
    ssize_t n = write(fd, &no, sizeof(no));
    if (s->request_opcode == FUSE_READDIRPLUS && count > 1)
        give_back_list(s, &iov[1]);
    if (s->request_opcode == FUSE_LOOKUP && found_node(iov, count)) {
        errno = ENOENT; /* as when it was interrupted: op_lookup() gives the count back */
        return -1;
    }
    return n;
}
