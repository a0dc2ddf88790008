#include "wheel/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

static int refuse(const char *path, int r, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(path, strlen(path), &shown);
    return verror_errno(err, r, "reading %s", shown.buf);
}

int tree_open_file(int root, const char *path, int *fd, struct stat *st, struct verror *err)
{
    *fd = -1;
    /* O_NONBLOCK: a FIFO must not hang us before its type is known. */
    _cleanup_close_ int opened = io_open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (opened == -ENOENT || opened == -ENOTDIR)
        return TREE_MISSING;
    if (opened == -ELOOP)
        return TREE_LINK;
    if (opened == -ENXIO || opened == -ENODEV) /* a socket; a device without a driver */
        return TREE_OTHER;
    if (opened < 0)
        return refuse(path, opened, err);
    if (fstat(opened, st) < 0)
        return refuse(path, -errno, err);
    if (!S_ISREG(st->st_mode) || (uint64_t)st->st_size > TREE_MAX_FILE)
        return TREE_OTHER;
    *fd = steal_fd(&opened);
    return TREE_FILE;
}

static int read_exactly(int fd, const char *path, void *buf, size_t size, uint64_t offset,
                        struct verror *err)
{
    ssize_t n = io_pread_all(fd, buf, size, offset);
    if (n < 0)
        return refuse(path, (int)n, err);
    return (size_t)n == size ? 0 : tree_changed(path, err);
}

int tree_read_file(int root, const char *path, uint64_t limit, char **ret, size_t *len,
                   struct verror *err)
{
    _cleanup_close_ int fd = -1;
    struct stat st;
    *ret = NULL;
    *len = 0;
    int r = tree_open_file(root, path, &fd, &st, err);
    if (r != TREE_FILE)
        return r;
    if ((uint64_t)st.st_size > limit)
        return refuse(path, -EFBIG, err);
    size_t size = (size_t)st.st_size;
    _cleanup_free_ char *buf = malloc(size + 1);
    if (!buf)
        return refuse(path, -ENOMEM, err);
    r = read_exactly(fd, path, buf, size, 0, err);
    if (r < 0)
        return r;
    buf[size] = '\0';
    *ret = steal_ptr(buf);
    *len = size;
    return TREE_FILE;
}

int tree_read_member(int root, const struct plan_member *m, void *buf, struct verror *err)
{
    const size_t lead = m->shebang ? strlen(TREE_SHEBANG) : 0;
    _cleanup_close_ int fd = -1;
    struct stat st;
    int r = tree_open_file(root, m->name, &fd, &st, err);
    if (r < 0)
        return r;
    if (r != TREE_FILE || (uint64_t)st.st_size - m->shebang != m->size - lead)
        return tree_changed(m->name, err);
    memcpy(buf, TREE_SHEBANG, lead);
    return read_exactly(fd, m->name, (char *)buf + lead, m->size - lead, m->shebang, err);
}

int tree_changed(const char *path, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(path, strlen(path), &shown);
    return verror_set(err, ESTALE, "%s was changed while it was being read", shown.buf);
}
