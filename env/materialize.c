#include "env/materialize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"

enum { MAX_DEPTH = 200, MAX_NAME = 255, CHUNK = IMAGE_SLICE_SIZE };

struct writer {
    const struct view *view;
    struct blob_reader *reader;
    struct image_where **where; /* per layer, opened when its first blob is read */
    char *chunk;                /* CHUNK bytes */
    struct verror *err;
};

/* A folder being written; its entries come one by one from view_readdir(). */
struct folder {
    struct writer *w;
    int fd;
    unsigned depth;
    int result;
};

static int open_where(struct writer *w, uint32_t layer)
{
    if (w->where[layer])
        return 0;
    return image_where_open(w->reader, view_image_id(w->view, layer), view_image(w->view, layer),
                            &w->where[layer], w->err);
}

/* Appends the bytes of a blob, from `skip` on, to fd. */
static int copy_blob(struct writer *w, int fd, uint32_t layer, uint32_t blob, uint64_t skip,
                     const char *name)
{
    const struct image *image = view_image(w->view, layer);
    int r = open_where(w, layer);
    for (uint64_t at = skip; r == 0;) {
        ssize_t n = blob_reader_read(w->reader, w->where[layer], image, blob, at, w->chunk, CHUNK,
                                     false, w->err);
        if (n <= 0) {
            r = (int)n;
            break;
        }
        at += (uint64_t)n;
        r = io_write_all(fd, w->chunk, (size_t)n);
        if (r < 0)
            return verror_errno(w->err, r, "writing %s", name);
    }
    if (r < 0)
        verror_prefix(w->err, "%s of %s", name, image_dist_name(image));
    return r;
}

static int copy_generated(struct writer *w, int fd, struct view_node node, const char *name)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    uint32_t layer = 0, blob = IMAGE_NO_BLOB;
    uint64_t skip = 0;
    view_generated(w->view, node, &text, &layer, &blob, &skip);
    int r = io_write_all(fd, text.buf, text.len);
    if (r < 0)
        return verror_errno(w->err, r, "writing %s", name);
    return blob == IMAGE_NO_BLOB ? 0 : copy_blob(w, fd, layer, blob, skip, name);
}

static int write_content(struct writer *w, int fd, struct view_node node, const char *name)
{
    if (node.kind == VIEW_GENERATED)
        return copy_generated(w, fd, node, name);
    struct image_node file = image_node(view_image(w->view, node.layer), node.index);
    if (file.blob == IMAGE_NO_BLOB)
        return 0;
    return copy_blob(w, fd, node.layer, file.blob, 0, name);
}

static void times_of(const struct view_attr *attr, struct timespec times[2])
{
    times[0].tv_sec = attr->mtime_ns / 1000000000;
    times[0].tv_nsec = attr->mtime_ns % 1000000000;
    times[1] = times[0];
}

/* Mode and time come last: writing would change the time. */
static int finish(struct writer *w, int fd, const struct view_attr *attr, const char *name)
{
    struct timespec times[2];
    times_of(attr, times);
    if (fchmod(fd, attr->mode) < 0 || futimens(fd, times) < 0)
        return verror_errno(w->err, errno, "mode and time of %s", name);
    return 0;
}

static int write_file(struct folder *f, struct view_node node, const char *name,
                      const struct view_attr *attr)
{
    _cleanup_close_ int fd = io_openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return verror_errno(f->w->err, fd, "making %s", name);
    int r = write_content(f->w, fd, node, name);
    return r < 0 ? r : finish(f->w, fd, attr, name);
}

static int write_symlink(struct folder *f, struct view_node node, const char *name,
                         const struct view_attr *attr)
{
    _cleanup_strbuf_ struct strbuf target = STRBUF_INIT;
    struct timespec times[2];
    view_readlink(f->w->view, node, &target);
    times_of(attr, times);
    int r = io_symlinkat(target.buf, f->fd, name);
    if (r < 0)
        return verror_errno(f->w->err, r, "making the link %s", name);
    if (utimensat(f->fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return verror_errno(f->w->err, errno, "time of %s", name);
    return 0;
}

static int write_folder(struct writer *w, int fd, struct view_node node, unsigned depth,
                        const char *name);

static int make_folder(struct folder *f, struct view_node node, const char *name)
{
    if (f->depth >= MAX_DEPTH)
        return verror_set(f->w->err, ELOOP, "%s lies more than %d folders deep", name, MAX_DEPTH);
    int r = io_mkdirat(f->fd, name, 0700);
    if (r < 0)
        return verror_errno(f->w->err, r, "making the folder %s", name);
    _cleanup_close_ int fd = io_openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return verror_errno(f->w->err, fd, "opening the folder %s", name);
    return write_folder(f->w, fd, node, f->depth + 1, name);
}

static bool write_entry(void *arg, const char *name, size_t len, struct view_node node,
                        uint64_t cookie)
{
    struct folder *f = arg;
    struct view_attr attr;
    char text[MAX_NAME + 1];
    (void)cookie;
    if (len > MAX_NAME) {
        f->result = verror_set(f->w->err, ENAMETOOLONG, "a name of %zu bytes", len);
        return false;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    view_stat(f->w->view, node, &attr);
    if (attr.type == IMAGE_DIR)
        f->result = make_folder(f, node, text);
    else if (attr.type == IMAGE_SYMLINK)
        f->result = write_symlink(f, node, text, &attr);
    else
        f->result = write_file(f, node, text, &attr);
    return f->result == 0;
}

static int write_folder(struct writer *w, int fd, struct view_node node, unsigned depth,
                        const char *name)
{
    struct folder f = {.w = w, .fd = fd, .depth = depth};
    struct view_attr attr;
    view_readdir(w->view, node, 0, write_entry, &f);
    if (f.result < 0)
        return f.result;
    view_stat(w->view, node, &attr);
    return finish(w, fd, &attr, name);
}

static int write_tree(const struct view *view, struct blob_reader *reader, const char *dir,
                      struct verror *err)
{
    size_t layers = view_layers(view);
    struct writer w = {.view = view,
                       .reader = reader,
                       .where = xcalloc(layers + 1, sizeof(struct image_where *)),
                       .chunk = xmalloc(CHUNK),
                       .err = err};
    int r = io_mkdirat(AT_FDCWD, dir, 0700);
    _cleanup_close_ int fd = r < 0 ? r : io_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        r = verror_errno(err, fd, "making %s", dir);
    else
        r = write_folder(&w, fd, view_root(view), 0, dir);
    if (r == 0) /* what is missing then was not noticed */
        r = view_check_images(view, err);
    for (size_t i = 0; i < layers; i++)
        image_where_free(w.where[i]);
    free(w.where);
    free(w.chunk);
    return r;
}

/* Nothing, or an empty folder, may be where the tree goes. */
static int check_target(const char *dir, struct verror *err)
{
    DIR *d = opendir(dir);
    if (!d && errno == ENOENT && !path_exists(dir))
        return 0;
    if (!d)
        return verror_errno(err, errno, "%s", dir);
    size_t entries = 0;
    while (readdir(d))
        entries++;
    closedir(d);
    struct stat st;
    if (lstat(dir, &st) == 0 && S_ISLNK(st.st_mode))
        return verror_set(err, ENOTDIR, "%s is a link; name the folder itself", dir);
    if (entries > 2)
        return verror_set(err, ENOTEMPTY, "%s is not empty", dir);
    return 0;
}

int materialize(const struct view *view, struct blob_reader *reader, const char *dir,
                struct verror *err)
{
    _cleanup_free_ char *target = path_absolute(dir);
    if (!target)
        return verror_errno(err, errno, "%s", dir);
    int r = check_target(target, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *parent = path_dirname(target);
    _cleanup_free_ char *tmp = xasprintf("%s.tmp-%ld", target, (long)getpid());
    r = path_mkdirs(parent, 0755);
    if (r < 0)
        return verror_errno(err, r, "making %s", parent);
    r = write_tree(view, reader, tmp, err);
    if (r < 0)
        verror_prefix(err, "%s", target);
    if (r == 0 && (r = io_rename(tmp, target)) < 0)
        verror_errno(err, r, "renaming the finished tree to %s", target);
    if (r < 0)
        (void)path_remove_tree(tmp);
    return r;
}
