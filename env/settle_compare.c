/* settle: which files of the upper a view makes redundant, and what of the view must stay hidden.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/edits.h"
#include "env/settle_internal.h"
#include "env/upper_read.h"

/* A path that a distribution of ours accounts for. */
struct claim {
    const char *path;
    const struct installed_dist *dist;
};

struct compare {
    struct settle *settle;
    const struct settle_from *from;
    const struct view *after;
    struct claim *claims; /* sorted by path */
    size_t n_claims;
    int root; /* the layer */
};

static int by_claim(const void *a, const void *b)
{
    return strcmp(((const struct claim *)a)->path, ((const struct claim *)b)->path);
}

static void collect_claims(struct compare *c)
{
    size_t total = 0;
    for (size_t i = 0; i < c->settle->n_dists; i++)
        total += c->settle->dists[i]->n_owned;
    c->claims = xcalloc(total + 1, sizeof(*c->claims));
    for (size_t i = 0; i < c->settle->n_dists; i++) {
        const struct installed_dist *d = c->settle->dists[i];
        for (size_t j = 0; j < d->n_owned; j++)
            c->claims[c->n_claims++] = (struct claim){d->owned[j], d};
    }
    if (c->n_claims)
        qsort(c->claims, c->n_claims, sizeof(*c->claims), by_claim);
}

/* Was it found to be what the image has? Two distributions may claim a path. */
static bool is_as_installed(const struct compare *c, const char *path)
{
    const struct claim key = {.path = path};
    const struct claim *one =
        c->n_claims ? bsearch(&key, c->claims, c->n_claims, sizeof(key), by_claim) : NULL;
    if (!one)
        return false;
    const struct claim *end = c->claims + c->n_claims;
    while (one > c->claims && strcmp(one[-1].path, path) == 0)
        one--;
    for (; one < end && strcmp(one->path, path) == 0; one++)
        if (installed_edit_at(one->dist, path))
            return false;
    return true;
}

/* What a umask makes of a mode is no edit; the owner's rights are what counts. */
static bool same_attributes(const struct settle_file *f, const struct view_attr *attr)
{
    return f->uid == geteuid() && f->links == 1 && (f->mode & 0700) == (attr->mode & 0700) &&
           !(f->mode & 07000);
}

static bool same_target(const struct compare *c, const struct settle_file *f, struct view_node node)
{
    _cleanup_strbuf_ struct strbuf target = STRBUF_INIT;
    _cleanup_close_ int fd = upper_beneath(c->root, f->path, O_PATH | O_NOFOLLOW);
    view_readlink(c->after, node, &target);
    _cleanup_free_ char *own = xmalloc(target.len + 2);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", own, target.len + 1);
    return n == (ssize_t)target.len && memcmp(own, target.buf, target.len) == 0;
}

static bool same_bytes(const struct compare *c, const struct settle_file *f, struct view_node node,
                       const struct view_attr *attr)
{
    if ((uint64_t)f->size != attr->size)
        return false;
    _cleanup_close_ int fd = upper_beneath(c->root, f->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && edits_same_bytes(c->after, fd, node, attr->size);
}

static bool is_of_installation(const char *path)
{
    static const char *const names[] = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"};
    static const char end[] = ".dist-info/";
    const size_t k = sizeof(end) - 1;
    const char *name = path_basename(path);
    if ((size_t)(name - path) < k || memcmp(name - k, end, k) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* A script, INSTALLER and the like are made for an environment; else what is as it was installed
 * has the bytes of the image. */
static enum settle_way way_of(const struct compare *c, const struct settle_file *f)
{
    struct view_node node;
    struct view_attr attr;
    if (!view_walk(c->after, f->path, &node))
        return SETTLE_STAYS;
    view_stat(c->after, node, &attr);
    if (S_ISLNK(f->mode))
        return attr.type == IMAGE_SYMLINK && f->links == 1 && f->uid == geteuid() &&
                       same_target(c, f, node)
                   ? SETTLE_SAME
                   : SETTLE_STAYS;
    if (!S_ISREG(f->mode) || attr.type != IMAGE_FILE || !same_attributes(f, &attr))
        return SETTLE_STAYS;
    bool installed = is_as_installed(c, f->path);
    bool text = node.kind == VIEW_GENERATED || is_of_installation(f->path);
    if ((installed && !text) || same_bytes(c, f, node, &attr))
        return SETTLE_SAME;
    return installed ? SETTLE_OTHER : SETTLE_STAYS;
}

/* "DIR/NAME.py" of "DIR/__pycache__/NAME.TAG.pyc", malloc'ed; NULL for other paths. */
static char *source_of(const char *path)
{
    static const char cache[] = "__pycache__/", end[] = ".pyc";
    const size_t k = sizeof(cache) - 1;
    const char *name = path_basename(path);
    size_t before = (size_t)(name - path), len = strlen(name);
    if (before < k || memcmp(name - k, cache, k) != 0 || len < sizeof(end) ||
        strcmp(name + len - (sizeof(end) - 1), end) != 0)
        return NULL;
    return xasprintf("%.*s%.*s.py", (int)(before - k), path, (int)strcspn(name, "."), name);
}

/* Bytecode of a source that comes from the view: the view's is made from that. */
static bool bytecode_gives_way(const struct compare *c, const struct settle_file *f,
                               const char *source)
{
    struct view_node node;
    struct view_attr attr;
    const struct settle_file *own = settle_file_at(c->settle, source);
    if ((own && own->way == SETTLE_STAYS) || !view_walk(c->after, source, &node) ||
        !view_walk(c->after, f->path, &node))
        return false;
    view_stat(c->after, node, &attr);
    return S_ISREG(f->mode) && attr.type == IMAGE_FILE && same_attributes(f, &attr);
}

static void find_redundant(struct compare *c)
{
    struct settle *s = c->settle;
    for (size_t i = 0; i < s->n_files; i++) {
        _cleanup_free_ char *source = source_of(s->files[i].path);
        if (!source)
            s->files[i].way = way_of(c, &s->files[i]);
    }
    for (size_t i = 0; i < s->n_files; i++) {
        _cleanup_free_ char *source = source_of(s->files[i].path);
        if (source)
            s->files[i].way =
                bytecode_gives_way(c, &s->files[i], source) ? SETTLE_OTHER : SETTLE_STAYS;
    }
}

static bool is_there(const struct compare *c, const char *path)
{
    struct stat st;
    _cleanup_free_ char *full = path_join(c->from->root, path);
    return settle_file_at(c->settle, path) || lstat(full, &st) == 0;
}

/* Files of an image that the environment did not have any more. Bytecode is as good as there. */
static void find_hidden(struct compare *c)
{
    struct settle *s = c->settle;
    for (size_t i = 0; i < c->n_claims; i++) {
        struct view_node node;
        const char *path = c->claims[i].path;
        _cleanup_free_ char *source = source_of(path);
        if (source || (i && strcmp(path, c->claims[i - 1].path) == 0) || is_there(c, path) ||
            !view_walk(c->after, path, &node))
            continue;
        s->hidden = xrealloc(s->hidden, (s->n_hidden + 1) * sizeof(char *));
        s->hidden[s->n_hidden++] = xstrdup(path);
    }
}

int settle_compare(struct settle *s, const struct settle_from *from, const struct view *after,
                   struct verror *err)
{
    _cleanup_close_ int root = open(from->upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return errno == ENOENT ? 0 : verror_errno(err, errno, "%s", from->upper);
    struct compare c = {.settle = s, .from = from, .after = after, .root = root};
    collect_claims(&c);
    find_redundant(&c);
    find_hidden(&c);
    free(c.claims);
    return view_check_images(after, err);
}
