/* DESIGN
 *
 * Folders of the layer are taken from a list, so that depth costs no stack. Each knows two folders
 * of the view: `through`, whose names show in it, and `base`, which it is compared with. They are
 * the same, unless the folder or one above it is opaque: then nothing shows through, and what the
 * base has is removed. A folder that was renamed is compared with where its content lies.
 */
#include "env/edits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "env/upper_content.h"

struct spot { /* a node of the view, or none */
    bool there;
    struct view_node node;
};

struct folder {
    char *path;                /* in the layer; "" for its root */
    char *origin;              /* of its base, in the view */
    struct spot base, through; /* as its parent gives them, before its own marks */
};

struct walk {
    int root; /* the layer */
    const struct view *view;
    struct edits *edits;
    char **origins; /* of each edit: the path in the view; "" for what is new */
    size_t n_origins, origins_alloc;
    struct folder *todo;
    size_t n_todo, todo_alloc;
    struct verror *err;
};

/* ---- the view ---- */

static struct spot child_of(const struct walk *w, const struct spot *dir, const char *name)
{
    struct spot s = {false};
    s.there = dir->there && view_lookup(w->view, dir->node, name, strlen(name), &s.node);
    return s;
}

static uint8_t type_of(const struct walk *w, const struct spot *s)
{
    struct view_attr attr;
    view_stat(w->view, s->node, &attr);
    return attr.type;
}

static struct spot folder_only(const struct walk *w, struct spot s)
{
    s.there = s.there && type_of(w, &s) == IMAGE_DIR;
    return s;
}

static bool same_spot(const struct spot *a, const struct spot *b)
{
    return a->there && b->there && a->node.kind == b->node.kind && a->node.layer == b->node.layer &&
           a->node.index == b->node.index;
}

/* The folder of an image that a redirect names. */
static struct spot redirected(const struct walk *w, const struct sha256 *image, const char *path)
{
    struct spot s = {false};
    s.there = upper_redirect_target(w->view, image, path, &s.node);
    return s;
}

/* ---- the result ---- */

static char *joined(const char *dir, const char *name)
{
    return xasprintf("%s%s%s", dir, dir[0] ? "/" : "", name);
}

static struct edit *add(struct walk *w, enum edit_kind kind, const char *path, const char *origin)
{
    struct edits *e = w->edits;
    e->v = xgrow(e->v, &e->alloc, e->n + 1, sizeof(*e->v));
    w->origins = xgrow(w->origins, &w->origins_alloc, e->n + 1, sizeof(char *));
    w->origins[w->n_origins++] = xstrdup(origin);
    e->v[e->n] = (struct edit){.kind = kind, .path = xstrdup(path)};
    return &e->v[e->n++];
}

void edits_release(struct edits *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->v[i].path);
        free(e->v[i].source);
    }
    free(e->v);
    *e = (struct edits){0};
}

static int by_path(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : (x->kind > y->kind) - (x->kind < y->kind);
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The old place of a renamed folder is no removal of its own. */
static void drop_sources(struct walk *w)
{
    struct edits *e = w->edits;
    _cleanup_free_ char **sources = xcalloc(e->n + 1, sizeof(char *));
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < e->n; i++)
        if (e->v[i].source)
            sources[n++] = e->v[i].source;
    if (!n)
        return;
    qsort(sources, n, sizeof(*sources), by_string);
    for (size_t i = 0; i < e->n; i++) {
        if (e->v[i].kind == EDIT_REMOVED &&
            bsearch(&w->origins[i], sources, n, sizeof(*sources), by_string))
            free(e->v[i].path);
        else
            e->v[kept++] = e->v[i];
    }
    e->n = kept;
}

/* ---- comparing ---- */

static bool same_generated(const struct view *view, int fd, struct view_node node, uint64_t size)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    _cleanup_free_ char *buf = xmalloc(size + 1);
    uint32_t layer = 0, blob = IMAGE_NO_BLOB;
    uint64_t skip = 0;
    view_generated(view, node, &text, &layer, &blob, &skip);
    /* The tail of a script or RECORD is not looked at: it counts as changed. */
    return blob == IMAGE_NO_BLOB && text.len == size &&
           io_pread_all(fd, buf, size, 0) == (ssize_t)size && memcmp(buf, text.buf, size) == 0;
}

bool edits_same_bytes(const struct view *view, int fd, struct view_node node, uint64_t size)
{
    struct sha256 digest;
    if (node.kind == VIEW_GENERATED)
        return same_generated(view, fd, node, size);
    if (size == 0)
        return true;
    const struct image *image = view_image(view, node.layer);
    uint32_t blob = image_node(image, node.index).blob;
    return blob != IMAGE_NO_BLOB && sha256_of_fd(fd, &digest) == 0 &&
           sha256_equal(&digest, image_blob_id(image, blob));
}

static bool same_bytes(const struct walk *w, int dir, const char *name, const struct spot *base,
                       uint64_t size)
{
    _cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && edits_same_bytes(w->view, fd, base->node, size);
}

static bool same_target(const struct walk *w, int dir, const char *name, const struct spot *base)
{
    _cleanup_strbuf_ struct strbuf target = STRBUF_INIT;
    view_readlink(w->view, base->node, &target);
    _cleanup_free_ char *own = xmalloc(target.len + 2);
    ssize_t n = readlinkat(dir, name, own, target.len + 1);
    return n == (ssize_t)target.len && memcmp(own, target.buf, target.len) == 0;
}

enum sameness { SAME, OTHER_ATTRIBUTES, OTHER_CONTENT };

/* A file, link or other thing against what the base has under its name. */
static enum sameness compare(const struct walk *w, int dir, const char *name, const struct stat *st,
                             const struct spot *base)
{
    struct view_attr attr;
    view_stat(w->view, base->node, &attr);
    if (S_ISLNK(st->st_mode) && attr.type == IMAGE_SYMLINK)
        return same_target(w, dir, name, base) ? SAME : OTHER_CONTENT;
    if (!S_ISREG(st->st_mode) || attr.type != IMAGE_FILE || (uint64_t)st->st_size != attr.size ||
        !same_bytes(w, dir, name, base, attr.size))
        return OTHER_CONTENT;
    return (st->st_mode & 07777) == attr.mode && st->st_uid == geteuid() ? SAME : OTHER_ATTRIBUTES;
}

/* ---- walking ---- */

static void push(struct walk *w, const struct folder *f)
{
    w->todo = xgrow(w->todo, &w->todo_alloc, w->n_todo + 1, sizeof(*w->todo));
    w->todo[w->n_todo++] = *f;
}

static void folder_release(struct folder *f)
{
    free(f->path);
    free(f->origin);
}

/* Recorded for a name without a file of its own. */
static bool attr_differs(const struct walk *w, const struct upper_attr *attr,
                         const struct spot *base)
{
    struct view_attr shown;
    view_stat(w->view, base->node, &shown);
    return (attr->mode >= 0 && (uint32_t)attr->mode != shown.mode) ||
           (attr->uid >= 0 && (uid_t)attr->uid != geteuid()) ||
           (attr->gid >= 0 && (gid_t)attr->gid != getegid());
}

static void told(struct walk *w, enum edit_kind kind, const char *path, const char *origin,
                 const struct spot *base)
{
    struct edit *e = add(w, kind, path, origin);
    e->folder = kind == EDIT_REMOVED && type_of(w, base) == IMAGE_DIR;
}

static int visit_file(struct walk *w, int dir, const struct upper_name *n, const char *path,
                      const char *origin, const struct spot *base)
{
    struct stat st;
    _cleanup_close_ int fd = openat(dir, n->text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : verror_errno(w->err, errno, "%s", path);
    upper_show_mode(fd, &st);
    if (base->there && type_of(w, base) == IMAGE_DIR)
        told(w, EDIT_REMOVED, path, origin, base);
    if (!base->there || type_of(w, base) == IMAGE_DIR) {
        add(w, EDIT_ADDED, path, "");
        return 0;
    }
    enum sameness same = compare(w, dir, n->text, &st, base);
    if (same != SAME)
        add(w, EDIT_MODIFIED, path, origin)->attributes = same == OTHER_ATTRIBUTES;
    return 0;
}

static int visit_name(struct walk *w, int dir, const struct folder *f, const struct upper_name *n)
{
    struct folder child = {.path = joined(f->path, n->text),
                           .origin = joined(f->origin, n->text),
                           .base = child_of(w, &f->base, n->text),
                           .through = child_of(w, &f->through, n->text)};
    int r = 0;
    if (n->entry && S_ISDIR(n->type)) {
        push(w, &child);
        return 0;
    }
    if (n->entry)
        r = visit_file(w, dir, n, child.path, child.origin, &child.base);
    else if (n->whiteout && child.through.there)
        told(w, EDIT_REMOVED, child.path, child.origin, &child.base);
    else if (n->attr_set && child.through.there && attr_differs(w, &n->attr, &child.through))
        add(w, EDIT_MODIFIED, child.path, child.origin)->attributes = true;
    folder_release(&child);
    return r;
}

struct hidden {
    struct walk *w;
    const struct folder *f;
    const struct upper_content *c;
};

/* A name of the base of an opaque folder: gone, unless there is another thing of this name. */
static bool visit_hidden(void *arg, const char *name, size_t len, struct view_node node,
                         uint64_t cookie)
{
    const struct hidden *h = arg;
    const struct spot base = {true, node};
    _cleanup_free_ char *text = xstrndup(name, len);
    (void)cookie;
    const struct upper_name *own = upper_content_find(h->c, text);
    if (own && own->entry)
        return true;
    _cleanup_free_ char *path = joined(h->f->path, text), *origin = joined(h->f->origin, text);
    told(h->w, EDIT_REMOVED, path, origin, &base);
    return true;
}

/* Its content is that of a folder which has another path below. */
static void visit_moved(struct walk *w, struct folder *f, const struct upper_content *c,
                        struct spot target)
{
    if (f->base.there)
        told(w, EDIT_REMOVED, f->path, f->origin, &f->base);
    struct edit *e = add(w, EDIT_RENAMED, f->path, "");
    e->source = xstrdup(c->path);
    e->lost = !target.there;
    free(f->origin);
    f->origin = xstrdup(c->path);
    f->base = f->through = folder_only(w, target);
}

static void visit_attributes(struct walk *w, int dir, const struct folder *f)
{
    struct stat st;
    struct view_attr attr;
    if (!f->path[0] || !f->base.there || fstat(dir, &st) < 0)
        return;
    upper_show_mode(dir, &st);
    view_stat(w->view, f->base.node, &attr);
    if ((st.st_mode & 07777) != attr.mode || st.st_uid != geteuid())
        add(w, EDIT_MODIFIED, f->path, f->origin)->attributes = true;
}

static bool has_entries(const struct upper_content *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].entry)
            return true;
    return false;
}

/* The marks of a folder decide what it is compared with. */
static void visit_marks(struct walk *w, struct folder *f, const struct upper_content *c)
{
    struct spot target = {false};
    if (c->moved && !c->opaque)
        target = redirected(w, &c->image, c->path);
    if (c->moved && !c->opaque && !same_spot(&target, &f->through)) {
        visit_moved(w, f, c, target);
        return;
    }
    if (f->base.there && type_of(w, &f->base) != IMAGE_DIR)
        told(w, EDIT_REMOVED, f->path, f->origin, &f->base);
    f->base = folder_only(w, f->base);
    f->through = folder_only(w, f->through);
    f->through.there &= !c->opaque;
    if (!f->base.there && !has_entries(c))
        add(w, EDIT_ADDED, f->path, "")->folder = true;
}

static int visit_content(struct walk *w, int dir, struct folder *f, const struct upper_content *c)
{
    struct hidden hidden = {w, f, c};
    visit_marks(w, f, c);
    visit_attributes(w, dir, f);
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->n; i++)
        r = visit_name(w, dir, f, &c->v[i]);
    if (r == 0 && f->base.there && !f->through.there)
        view_readdir(w->view, f->base.node, 0, visit_hidden, &hidden);
    return r;
}

static int visit_folder(struct walk *w, struct folder *f)
{
    struct upper_content c;
    _cleanup_close_ int dir = upper_beneath(w->root, f->path, O_RDONLY | O_DIRECTORY);
    int r = dir < 0 ? dir : upper_content_read(w->root, f->path, &c);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return verror_errno(w->err, r, "%s", f->path);
    r = visit_content(w, dir, f, &c);
    upper_content_release(&c);
    return r;
}

static int walk_all(struct walk *w)
{
    int r = 0;
    const struct spot root = {true, view_root(w->view)};
    push(w, &(struct folder){xstrdup(""), xstrdup(""), root, root});
    while (w->n_todo) {
        struct folder f = w->todo[--w->n_todo];
        if (r == 0)
            r = visit_folder(w, &f);
        folder_release(&f);
    }
    free(w->todo);
    drop_sources(w);
    return r;
}

int edits_read(const char *upper, const struct view *view, struct edits *ret, struct verror *err)
{
    struct edits edits = {0};
    struct walk w = {.view = view, .edits = &edits, .err = err};
    _cleanup_close_ int root = open(upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *ret = (struct edits){0};
    if (root < 0)
        return errno == ENOENT ? 0 : verror_errno(err, errno, "%s", upper);
    w.root = root;
    int r = walk_all(&w);
    for (size_t i = 0; i < w.n_origins; i++)
        free(w.origins[i]);
    free(w.origins);
    if (r == 0) /* what is missing then was not noticed */
        r = view_check_images(view, err);
    if (r < 0) {
        verror_prefix(err, "%s", upper);
        edits_release(&edits);
        return r;
    }
    if (edits.n)
        qsort(edits.v, edits.n, sizeof(*edits.v), by_path);
    *ret = edits;
    return 0;
}

bool edits_any(const char *upper)
{
    DIR *dir = opendir(upper);
    const struct dirent *de;
    bool any = false;
    while (dir && !any && (de = readdir(dir)))
        any = strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
              strcmp(de->d_name, UPPER_WORK) != 0 && strcmp(de->d_name, UPPER_ORPHANS) != 0;
    if (dir)
        closedir(dir);
    return any;
}
