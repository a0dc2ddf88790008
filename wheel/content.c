#include "wheel/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"

/* The number changes with the meaning of what follows it. */
static const char domain[] = "venvfs: what a distribution installs, 1\n";

static void add(struct content *c, char *line)
{
    c->lines = xgrow(c->lines, &c->alloc, c->n + 1, sizeof(*c->lines));
    c->lines[c->n++] = line;
}

/* Paths and names may hold anything but NUL: strings are separated by it, so that no two lists give
 * the same bytes. */
static void digest_line(struct sha256_state *st, const char *line)
{
    sha256_update(st, line, strlen(line) + 1);
}

void content_begin(struct content *c, const char *name, const char *version, const char *dist_info)
{
    *c = (struct content){0};
    add(c, xasprintf("dist %s\n%s\n%s", name, version, dist_info));
}

static void add_hashed(struct content *c, const char *what, const struct sha256 *id,
                       const char *path)
{
    char hex[SHA256_HEX_SIZE] = "-";
    if (id)
        sha256_to_hex(id, hex);
    add(c, xasprintf("%s %s %s", what, hex, path));
}

void content_file(struct content *c, const char *path, bool executable, const struct sha256 *id)
{
    add_hashed(c, executable ? "executable" : "file", id, path);
}

void content_absent(struct content *c, const char *path, const struct sha256 *id)
{
    add_hashed(c, "absent", id, path);
}

void content_script(struct content *c, const char *name, uint32_t skip, const struct sha256 *id)
{
    _cleanup_free_ char *what = xasprintf("script %u", skip);
    add_hashed(c, what, id, name);
}

void content_entry_point(struct content *c, const char *name, const char *module, const char *attr,
                         bool gui)
{
    add(c, xasprintf("%s %s\n%s\n%s", gui ? "gui" : "console", name, module, attr));
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void content_end(struct content *c, struct sha256 *ret)
{
    struct sha256_state *st = sha256_begin();
    qsort(c->lines, c->n, sizeof(*c->lines), by_string);
    digest_line(st, domain);
    for (size_t i = 0; i < c->n; i++) {
        digest_line(st, c->lines[i]);
        free(c->lines[i]);
    }
    sha256_end(st, ret);
    free(c->lines);
    *c = (struct content){0};
}

/* ---- of an image ---- */

static void blob_id(const struct image *image, uint32_t blob, struct sha256 *ret)
{
    if (blob == IMAGE_NO_BLOB)
        sha256_of("", 0, ret);
    else
        *ret = *image_blob_id(image, blob);
}

static void add_path(const struct image *image, uint32_t node, struct strbuf *sb)
{
    if (node == IMAGE_ROOT)
        return;
    size_t len;
    const char *name = image_name(image, node, &len);
    add_path(image, image_node(image, node).parent, sb); /* at most IMAGE_MAX_DEPTH deep */
    if (sb->len)
        strbuf_addch(sb, '/');
    strbuf_add(sb, name, len);
}

static bool is_of_installation(const struct image *image, const char *path)
{
    _cleanup_free_ char *end = xasprintf("/site-packages/%s/INSTALLER", image_dist_info(image));
    size_t n = strlen(path), k = strlen(end);
    return n >= k && strcmp(path + n - k, end) == 0;
}

static void add_node(struct content *c, const struct image *image, uint32_t node)
{
    const struct image_node n = image_node(image, node);
    if (n.type == IMAGE_DIR ||
        n.flags & (IMAGE_BYTECODE | IMAGE_IF_REQUESTED | IMAGE_IF_NOT_REQUESTED))
        return;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    add_path(image, node, &path);
    if (is_of_installation(image, path.buf))
        return;
    struct sha256 id;
    if (n.type == IMAGE_SYMLINK) {
        size_t len;
        const char *target = image_target(image, node, &len);
        add(c, xasprintf("link %.*s\n%s", (int)len, target, path.buf));
        return;
    }
    blob_id(image, n.blob, &id);
    content_file(c, path.buf, n.flags & IMAGE_EXEC, &id);
}

static void add_script(struct content *c, const struct image *image, size_t i)
{
    const struct image_script s = image_script(image, i);
    struct sha256 id;
    if (s.kind != IMAGE_SCRIPT_PYTHON) {
        content_entry_point(c, s.name, s.module, s.attr, s.kind == IMAGE_SCRIPT_GUI);
        return;
    }
    blob_id(image, s.blob, &id);
    content_script(c, s.name, s.skip, &id);
}

void content_of_image(const struct image *image, struct sha256 *ret)
{
    struct content c;
    content_begin(&c, image_dist_name(image), image_dist_version(image), image_dist_info(image));
    for (uint32_t i = 1; i < image_nodes(image); i++)
        add_node(&c, image, i);
    for (size_t i = 0; i < image_scripts(image); i++)
        add_script(&c, image, i);
    content_end(&c, ret);
}
