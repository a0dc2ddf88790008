/* session: telling the kernel what to forget.
 *
 * INVAL_ENTRY takes the lock of the folder's inode, which a client holds while it waits for our
 * answer to a LOOKUP there; so it may never be sent by the loop, nor under a lock the loop takes.
 * The same lock makes a switch safe: once INVAL_ENTRY returns, every lookup that was answered from
 * the replaced tree has been undone, and later ones see the new tree. EXPIRE_ONLY would not do: an
 * expired entry is looked up again without that lock, so that an answer from the replaced tree may
 * come after it and make the entry valid for ever.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/session_internal.h"

struct notice {
    uint64_t nodeid; /* the folder of the name */
    char *name;      /* NULL: the node itself */
    size_t len;
    bool attributes; /* of the node alone */
};

void notices_add(void *arg, uint64_t nodeid, const char *name, size_t len)
{
    struct notices *n = arg;
    n->list = xgrow(n->list, &n->alloc, n->n + 1, sizeof(*n->list));
    n->list[n->n++] =
        (struct notice){.nodeid = nodeid, .name = name ? xstrndup(name, len) : NULL, .len = len};
}

void notices_add_attributes(void *arg, uint64_t nodeid)
{
    struct notices *n = arg;
    n->list = xgrow(n->list, &n->alloc, n->n + 1, sizeof(*n->list));
    n->list[n->n++] = (struct notice){.nodeid = nodeid, .attributes = true};
}

static void send_notice(const struct notice *n, struct session *s)
{
    int r = n->name
                ? fuse_lowlevel_notify_inval_entry(s->fuse, n->nodeid, n->name, n->len)
                : fuse_lowlevel_notify_inval_inode(s->fuse, n->nodeid, n->attributes ? -1 : 0, 0);
    /* ENOENT: the kernel does not know it, which is as well. */
    if (r < 0 && r != -ENOENT && session_alive(s))
        log_line("%s: invalidating %s failed: errno %d", s->mountpoint,
                 n->name ? n->name : "a node", -r);
}

size_t notices_send(struct notices *n, struct session *s)
{
    size_t sent = n->n;
    for (size_t i = 0; i < n->n; i++)
        send_notice(&n->list[i], s);
    notices_release(n);
    return sent;
}

void notices_release(struct notices *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->list[i].name);
    free(n->list);
    *n = (struct notices){0};
}
