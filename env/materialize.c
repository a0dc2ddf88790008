#include "env/materialize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/upper_content.h"
#include "wheel/shebang.h"
#include "wheel/wheel.h"

enum { MAX_DEPTH = 200, MAX_NAME = 255, CHUNK = IMAGE_SLICE_SIZE, FIRST_LINES = 4096 };

struct writer {
    const struct view *view;
    struct blob_reader *reader;
    struct image_where **where; /* per layer, opened when its first blob is read */
    char *chunk;                /* CHUNK bytes */
    const struct materialize_upper *upper;
    int layer; /* descriptor of the upper layer, or -1 */
    struct verror *err;
};

/* Where a folder's entries come from. */
struct source {
    bool below;
    struct view_node node; /* of the view, when it is below */
    const char *path;      /* in the layer; NULL: it says nothing of this folder */
    const struct upper_attr *attr;
};

/* A folder being written; its entries come one by one from view_readdir(). */
struct folder {
    struct writer *w;
    const char *path; /* in the layer, or NULL */
    struct upper_content own;
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

static void apply_attr(const struct upper_attr *own, struct view_attr *attr)
{
    if (own && own->mode >= 0)
        attr->mode = (uint32_t)own->mode;
    if (own && own->mtime_ns != INT64_MIN)
        attr->mtime_ns = own->mtime_ns;
}

/* Owners are kept where we may. */
static int give_owner(struct writer *w, int dir, const char *name, int64_t uid, int64_t gid)
{
    if (geteuid() != 0 || (uid < 0 && gid < 0))
        return 0;
    if (fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return verror_errno(w->err, errno, "owner of %s", name);
    return 0;
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

/* ---- what the layer has ---- */

/* The bytes of a file of the layer; a first line that names the environment names the copy. */
static int copy_own(struct writer *w, int in, int out, const char *name)
{
    ssize_t n = io_pread_all(in, w->chunk, FIRST_LINES, 0);
    if (n < 0)
        return verror_errno(w->err, (int)n, "reading %s", name);
    uint64_t at = shebang_length(w->chunk, (size_t)n, w->upper->roots);
    if (at > 0) {
        const struct image_script script = {.kind = IMAGE_SCRIPT_PYTHON};
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        script_text(&script, w->upper->interpreter, &text);
        n = io_write_all(out, text.buf, text.len);
        if (n < 0)
            return verror_errno(w->err, (int)n, "writing %s", name);
    }
    while ((n = io_pread_all(in, w->chunk, CHUNK, at)) > 0) {
        int r = io_write_all(out, w->chunk, (size_t)n);
        if (r < 0)
            return verror_errno(w->err, r, "writing %s", name);
        at += (uint64_t)n;
    }
    return n < 0 ? verror_errno(w->err, (int)n, "reading %s", name) : 0;
}

static void attr_of(const struct stat *st, struct view_attr *ret)
{
    *ret = (struct view_attr){
        .mode = st->st_mode & 07777,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
}

static int write_own_file(struct folder *f, int from, const char *name)
{
    struct stat st;
    struct view_attr attr;
    _cleanup_close_ int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        return errno == ENOENT ? 0 : verror_errno(f->w->err, errno, "reading %s", name);
    _cleanup_close_ int out = io_openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (out < 0)
        return verror_errno(f->w->err, out, "making %s", name);
    int r = copy_own(f->w, in, out, name);
    if (r == 0)
        r = give_owner(f->w, f->fd, name, st.st_uid, st.st_gid);
    upper_show_mode(in, &st);
    attr_of(&st, &attr);
    return r < 0 ? r : finish(f->w, out, &attr, name);
}

static int write_own_symlink(struct folder *f, int from, const char *name)
{
    char target[PATH_MAX];
    struct stat st;
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n < 0 || fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : verror_errno(f->w->err, errno, "reading %s", name);
    target[n] = '\0';
    const struct timespec times[2] = {st.st_mtim, st.st_mtim};
    int r = io_symlinkat(target, f->fd, name);
    if (r < 0)
        return verror_errno(f->w->err, r, "making the link %s", name);
    if (utimensat(f->fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return verror_errno(f->w->err, errno, "time of %s", name);
    return give_owner(f->w, f->fd, name, st.st_uid, st.st_gid);
}

static int make_folder(struct folder *f, const struct source *from, const char *name);

static bool is_folder(const struct view *view, struct view_node node)
{
    struct view_attr attr;
    view_stat(view, node, &attr);
    return attr.type == IMAGE_DIR;
}

static int write_own_folder(struct folder *f, const struct source *from, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s%s%s", f->path, f->path[0] ? "/" : "", name);
    struct source child = {.path = path};
    child.below = from->below &&
                  view_lookup(f->w->view, from->node, name, strlen(name), &child.node) &&
                  is_folder(f->w->view, child.node);
    return make_folder(f, &child, name);
}

/* FIFOs and sockets are somebody's who runs: they are left out. */
static int write_own(struct folder *f, const struct source *from)
{
    int r = 0;
    _cleanup_close_ int dir = upper_beneath(f->w->layer, f->path, O_RDONLY | O_DIRECTORY);
    if (dir < 0)
        return dir == -ENOENT ? 0 : verror_errno(f->w->err, dir, "%s", f->path);
    for (size_t i = 0; r == 0 && i < f->own.n; i++) {
        const struct upper_name *n = &f->own.v[i];
        if (n->entry && S_ISDIR(n->type))
            r = write_own_folder(f, from, n->text);
        else if (n->entry && S_ISREG(n->type))
            r = write_own_file(f, dir, n->text);
        else if (n->entry && S_ISLNK(n->type))
            r = write_own_symlink(f, dir, n->text);
    }
    return r;
}

/* What the folder says of itself decides what lies below it. */
static int read_own(struct folder *f, struct source *from)
{
    if (!f->path)
        return 0;
    int r = upper_content_read(f->w->layer, f->path, &f->own);
    if (r == -ENOENT) { /* gone meanwhile */
        f->path = NULL;
        return 0;
    }
    if (r < 0)
        return verror_errno(f->w->err, r, "%s/%s", f->w->upper->path, f->path);
    if (f->own.opaque)
        from->below = false;
    else if (f->own.moved)
        from->below = upper_redirect_target(f->w->view, &f->own.image, f->own.path, &from->node) &&
                      is_folder(f->w->view, from->node);
    return 0;
}

/* ---- folders ---- */

static int write_folder(struct writer *w, int fd, struct source *from, unsigned depth,
                        const char *name);

static int make_folder(struct folder *f, const struct source *from, const char *name)
{
    struct source child = *from;
    if (f->depth >= MAX_DEPTH)
        return verror_set(f->w->err, ELOOP, "%s lies more than %d folders deep", name, MAX_DEPTH);
    int r = io_mkdirat(f->fd, name, 0700);
    if (r < 0)
        return verror_errno(f->w->err, r, "making the folder %s", name);
    _cleanup_close_ int fd = io_openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return verror_errno(f->w->err, fd, "opening the folder %s", name);
    return write_folder(f->w, fd, &child, f->depth + 1, name);
}

static int write_below(struct folder *f, struct view_node node, const char *name,
                       const struct upper_attr *own)
{
    struct view_attr attr;
    const struct source child = {.below = true, .node = node, .attr = own};
    int r;
    view_stat(f->w->view, node, &attr);
    apply_attr(own, &attr);
    if (attr.type == IMAGE_DIR)
        return make_folder(f, &child, name);
    if (attr.type == IMAGE_SYMLINK)
        r = write_symlink(f, node, name, &attr);
    else
        r = write_file(f, node, name, &attr);
    return r == 0 && own ? give_owner(f->w, f->fd, name, own->uid, own->gid) : r;
}

static bool write_entry(void *arg, const char *name, size_t len, struct view_node node,
                        uint64_t cookie)
{
    struct folder *f = arg;
    char text[MAX_NAME + 1];
    (void)cookie;
    if (len > MAX_NAME) {
        f->result = verror_set(f->w->err, ENAMETOOLONG, "a name of %zu bytes", len);
        return false;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    const struct upper_name *own = upper_content_find(&f->own, text);
    if (own && (own->entry || own->whiteout))
        return true;
    f->result = write_below(f, node, text, own && own->attr_set ? &own->attr : NULL);
    return f->result == 0;
}

static int finish_folder(struct folder *f, const struct source *from, const char *name)
{
    struct view_attr attr = {.mode = 0755};
    struct stat st;
    int64_t uid = from->attr ? from->attr->uid : -1, gid = from->attr ? from->attr->gid : -1;
    if (from->below)
        view_stat(f->w->view, from->node, &attr);
    apply_attr(from->attr, &attr);
    if (f->path && f->path[0]) {
        _cleanup_close_ int dir = upper_beneath(f->w->layer, f->path, O_RDONLY | O_DIRECTORY);
        if (dir < 0 || fstat(dir, &st) < 0)
            return verror_errno(f->w->err, dir < 0 ? dir : errno, "%s", name);
        upper_show_mode(dir, &st);
        attr_of(&st, &attr);
        uid = st.st_uid;
        gid = st.st_gid;
    }
    int r = give_owner(f->w, f->fd, ".", uid, gid);
    return r < 0 ? r : finish(f->w, f->fd, &attr, name);
}

static int write_folder(struct writer *w, int fd, struct source *from, unsigned depth,
                        const char *name)
{
    struct folder f = {.w = w, .fd = fd, .depth = depth, .path = from->path};
    int r = read_own(&f, from);
    if (r == 0 && from->below)
        view_readdir(w->view, from->node, 0, write_entry, &f);
    if (r == 0)
        r = f.result;
    if (r == 0 && f.path)
        r = write_own(&f, from);
    if (r == 0)
        r = finish_folder(&f, from, name);
    upper_content_release(&f.own);
    return r;
}

/* upper NULL, or a layer that does not exist: the view alone. */
static int open_layer(struct writer *w)
{
    w->layer = w->upper ? open(w->upper->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (w->layer < 0 && w->upper && errno != ENOENT)
        return verror_errno(w->err, errno, "%s", w->upper->path);
    return 0;
}

static int write_tree(const struct view *view, const struct materialize_upper *upper,
                      struct blob_reader *reader, const char *dir, struct verror *err)
{
    size_t layers = view_layers(view);
    struct writer w = {.view = view,
                       .reader = reader,
                       .where = xcalloc(layers + 1, sizeof(struct image_where *)),
                       .chunk = xmalloc(CHUNK),
                       .upper = upper,
                       .layer = -1,
                       .err = err};
    int r = open_layer(&w);
    struct source root = {.below = true, .node = view_root(view), .path = w.layer < 0 ? NULL : ""};
    if (r == 0 && (r = io_mkdirat(AT_FDCWD, dir, 0700)) < 0)
        verror_errno(err, r, "making %s", dir);
    _cleanup_close_ int fd = r < 0 ? -1 : io_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (r == 0 && fd < 0)
        r = verror_errno(err, fd, "opening %s", dir);
    if (r == 0)
        r = write_folder(&w, fd, &root, 0, dir);
    if (r == 0) /* what is missing then was not noticed */
        r = view_check_images(view, err);
    for (size_t i = 0; i < layers; i++)
        image_where_free(w.where[i]);
    free(w.where);
    free(w.chunk);
    if (w.layer >= 0)
        close(w.layer);
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

int materialize_over(const struct view *view, const struct materialize_upper *upper,
                     struct blob_reader *reader, const char *dir, struct verror *err)
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
    r = write_tree(view, upper, reader, tmp, err);
    if (r < 0)
        verror_prefix(err, "%s", target);
    if (r == 0 && (r = io_rename(tmp, target)) < 0)
        verror_errno(err, r, "renaming the finished tree to %s", target);
    if (r < 0)
        (void)path_remove_tree(tmp);
    return r;
}

int materialize(const struct view *view, struct blob_reader *reader, const char *dir,
                struct verror *err)
{
    return materialize_over(view, NULL, reader, dir, err);
}
