/* session: READ.
 *
 * A file's bytes are blobs in packs. When the frame is decoded, or its compressed bytes are in the
 * page cache, the loop answers at once; else a worker reads, decodes and replies.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/content.h"
#include "fs/overlay.h"
#include "fs/session_internal.h"

/* A range of a file that a worker reads. */
struct range {
    struct session *session;
    fuse_req_t req;
    struct tree *tree; /* a reference: keeps the image */
    struct view_node node;
    int fd; /* of a file in the upper, its own; else -1 */
    uint64_t offset;
    size_t size;
};

static void range_free(struct range *g)
{
    tree_unref(g->tree);
    if (g->fd >= 0)
        close(g->fd);
    free(g);
}

/* what: whose file it is. */
static void reply(struct session *s, fuse_req_t req, const char *what, int result, const char *buf,
                  size_t size, const struct verror *err)
{
    if (result == -EUCLEAN) {
        fuse_reply_err(req, EIO); /* the log has a line already */
    } else if (result < 0) {
        log_once(s->context.told, what, result, "%s: reading a file of %s failed: %s",
                 s->mountpoint, what, verror_message(err));
        fuse_reply_err(req, result == -ENOMEM ? ENOMEM : EIO);
    } else {
        fuse_reply_buf(req, buf, size);
    }
}

/* How many bytes the upper's file has there; its size may be another than the kernel thought. */
static int read_fd(int fd, char *buf, size_t *size, uint64_t offset, struct verror *err)
{
    ssize_t n = io_pread_all(fd, buf, *size, offset);
    if (n < 0)
        return verror_errno(err, (int)n, "a file of the upper layer");
    *size = (size_t)n;
    return 0;
}

static void read_in_worker(void *arg, size_t worker)
{
    struct range *g = arg;
    (void)worker;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *buf = malloc(g->size);
    int r;
    if (!buf)
        r = verror_set(&err, ENOMEM, "out of memory");
    else if (g->fd >= 0)
        r = read_fd(g->fd, buf, &g->size, g->offset, &err);
    else
        r = content_read(g->session->context.images, g->tree, g->node, g->offset, buf, g->size,
                         false, &err);
    reply(g->session, g->req, g->fd >= 0 ? "an upper layer" : content_owner(g->tree, g->node), r,
          buf, g->size, &err);
    range_free(g);
}

/* The loop's own buffer, big enough for size; NULL: out of memory. */
static char *loop_buffer(struct session *s, size_t size)
{
    if (size > s->buffer_size) {
        char *bigger = realloc(s->buffer, size);
        if (!bigger)
            return NULL;
        s->buffer = bigger;
        s->buffer_size = size;
    }
    return s->buffer;
}

static void hand_to_worker(struct session *s, fuse_req_t req, const struct place *file, int fd,
                           uint64_t offset, size_t size)
{
    struct range *g = xcalloc(1, sizeof(*g));
    *g = (struct range){.session = s,
                        .req = req,
                        .tree = file->tree ? tree_ref(file->tree) : NULL,
                        .node = file->node,
                        .fd = fd,
                        .offset = offset,
                        .size = size};
    (void)session_defer(s); /* reading again does no harm */
    pool_submit(s->context.workers, read_in_worker, g);
}

static void read_upper(struct session *s, fuse_req_t req, const struct place *file, int fd,
                       uint64_t offset, size_t size)
{
    char *buf = loop_buffer(s, size);
    int r = buf ? io_pread_nowait(fd, buf, size, offset) : -ENOMEM;
    if (r == -EAGAIN) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own >= 0)
            hand_to_worker(s, req, file, own, offset, size);
        else
            fuse_reply_err(req, errno);
        return;
    }
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_buf(req, buf, size);
}

void read_file(struct session *s, fuse_req_t req, const struct place *file, uint64_t offset,
               size_t size)
{
    const char *own = realm_own_text(file);
    if (own) {
        fuse_reply_buf(req, own + offset, size);
        return;
    }
    int fd = file->up ? overlay_fd(file) : -ENODATA;
    if (fd != -ENODATA) {
        if (fd < 0)
            fuse_reply_err(req, -fd);
        else
            read_upper(s, req, file, fd, offset, size);
        return;
    }
    if (s->context.recorder && realm_is_writable(s->realm))
        recorder_note(s->context.recorder, fuse_req_ctx(req)->pid, file, offset, size);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    char *buf = loop_buffer(s, size);
    int r =
        buf ? content_read(s->context.images, file->tree, file->node, offset, buf, size, true, &err)
            : verror_set(&err, ENOMEM, "out of memory");
    if (r == -EAGAIN)
        hand_to_worker(s, req, file, -1, offset, size);
    else
        reply(s, req, content_owner(file->tree, file->node), r, buf, size, &err);
}
