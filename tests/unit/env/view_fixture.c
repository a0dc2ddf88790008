#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/env/view_fixture.h"

void shelf_init(struct shelf *shelf)
{
    memset(shelf, 0, sizeof(*shelf));
    for (size_t i = 0; i < SHELF_MAX; i++)
        strbuf_init(&shelf->bytes[i]);
    shelf->n = 1;
}

void shelf_release(struct shelf *shelf)
{
    for (size_t i = 0; i < SHELF_MAX; i++) {
        image_unref(shelf->images[i]);
        strbuf_release(&shelf->bytes[i]);
    }
}

uint32_t shelf_add(struct shelf *shelf, struct image_builder *b)
{
    struct sha256 id;
    struct verror err = VERROR_INIT;
    uint32_t n = shelf->n++;
    assert_true(n < SHELF_MAX);
    if (image_builder_finish(b, &shelf->bytes[n], &id, &err) < 0)
        fail_msg("%s", verror_message(&err));
    image_builder_free(b);
    if (image_open_memory(shelf->bytes[n].buf, shelf->bytes[n].len, &shelf->images[n], &err) < 0)
        fail_msg("%s", verror_message(&err));
    return n;
}

static int shelf_open(void *arg, const struct store_image *which, struct image **ret,
                      struct verror *err)
{
    struct shelf *shelf = arg;
    if (which->number == 0 || which->number >= shelf->n)
        return verror_set(err, EBADMSG, "image %u is damaged", which->number);
    *ret = image_ref(shelf->images[which->number]);
    return 0;
}

struct view_images shelf_images(struct shelf *shelf)
{
    return (struct view_images){.open = shelf_open, .arg = shelf};
}

struct image_builder *package(const char *name)
{
    _cleanup_free_ char *dist_info = xasprintf("%s-1.0.dist-info", name);
    return image_builder_new(name, "1.0", dist_info);
}

void add_file(struct image_builder *b, const char *path, unsigned flags, const char *text)
{
    struct sha256 id;
    struct verror err = VERROR_INIT;
    uint64_t sum = checksum_of(text, strlen(text));
    sha256_of(text, strlen(text), &id);
    if (image_builder_file(b, path, flags, &id, strlen(text), &sum, &err) < 0)
        fail_msg("%s", verror_message(&err));
}

void add_script(struct image_builder *b, const char *name, const char *module, const char *attr)
{
    struct image_script script = {
        .kind = IMAGE_SCRIPT_CONSOLE, .name = name, .module = module, .attr = attr};
    assert_int_equal(image_builder_script(b, &script, NULL, NULL, NULL), 0);
}

void add_python_script(struct image_builder *b, const char *name, const char *body)
{
    struct sha256 id;
    uint64_t sum = checksum_of(body, strlen(body));
    struct image_script script = {.kind = IMAGE_SCRIPT_PYTHON,
                                  .name = name,
                                  .skip = (uint32_t)strcspn(body, "\n") + 1,
                                  .size = strlen(body)};
    sha256_of(body, strlen(body), &id);
    assert_int_equal(image_builder_script(b, &script, &id, &sum, NULL), 0);
}

struct manifest *bare_manifest(const char *version)
{
    struct manifest *m = xcalloc(1, sizeof(*m));
    int major_minor = (int)(strrchr(version, '.') - version);
    m->generation = 1;
    m->time_ns = INT64_C(1000000000000);
    m->address = xstrdup("/home/me/env");
    m->home = xstrdup("/opt/python/bin");
    m->executable = xstrdup("/opt/python/bin/python");
    m->base_executable = xasprintf("/opt/python/bin/python%.*s", major_minor, version);
    m->version = xstrdup(version);
    m->python_dir = xasprintf("python%.*s", major_minor, version);
    m->platlibdir = xstrdup("lib");
    m->is_64bit = true;
    return m;
}

struct manifest_package *with(struct manifest *m, struct shelf *shelf, uint32_t number)
{
    struct image *image = shelf->images[number];
    m->packages = xrealloc(m->packages, (m->n_packages + 1) * sizeof(*m->packages));
    struct manifest_package *p = &m->packages[m->n_packages++];
    *p = (struct manifest_package){
        .name = xstrdup(image_dist_name(image)),
        .version = xstrdup(image_dist_version(image)),
        .image = {.number = number, .id = *image_id(image)},
        .entered_ns = INT64_C(500000000000) + number,
    };
    return p;
}

void drop_manifest(struct manifest *m)
{
    for (size_t i = 0; i < m->n_packages; i++) {
        free(m->packages[i].name);
        free(m->packages[i].version);
        json_decref(m->packages[i].direct_url);
    }
    free(m->packages);
    manifest_drop_editables(m);
    json_decref(m->settings);
    free(m->address);
    free(m->prompt);
    free(m->home);
    free(m->executable);
    free(m->base_executable);
    free(m->version);
    free(m->python_dir);
    free(m->platlibdir);
    free(m);
}

struct view *composed(const struct manifest *m, struct shelf *shelf)
{
    struct view_images images = shelf_images(shelf);
    struct verror err = VERROR_INIT;
    struct view *view = NULL;
    if (view_compose(m, NULL, &images, &view, &err) < 0)
        fail_msg("%s", verror_message(&err));
    return view;
}

static void describe_blob(const struct image *image, uint32_t blob, struct strbuf *sb)
{
    char hex[SHA256_HEX_SIZE] = "empty";
    if (blob != IMAGE_NO_BLOB)
        sha256_to_hex(image_blob_id(image, blob), hex);
    strbuf_addf(sb, "%.12s", hex);
}

static void describe_generated(const struct view *view, struct view_node node, uint64_t size,
                               struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    uint32_t layer, blob;
    uint64_t skip;
    view_generated(view, node, &text, &layer, &blob, &skip);
    strbuf_addstr(sb, text.buf);
    if (blob == IMAGE_NO_BLOB) {
        assert_int_equal(size, text.len);
        return;
    }
    struct image *image = view_image(view, layer);
    assert_int_equal(size, text.len + image_blob_size(image, blob) - skip);
    strbuf_addf(sb, "+%u:", (unsigned)skip);
    describe_blob(image, blob, sb);
}

void describe(const struct view *view, struct view_node node, struct strbuf *sb)
{
    struct view_attr attr;
    view_stat(view, node, &attr);
    assert_int_equal(attr.nlink, 1);
    if (attr.type == IMAGE_DIR) {
        assert_int_equal(attr.mode, 0755);
        strbuf_addstr(sb, "dir");
    } else if (attr.type == IMAGE_SYMLINK) {
        size_t before = sb->len + strlen("link ");
        strbuf_addstr(sb, "link ");
        view_readlink(view, node, sb);
        assert_int_equal(attr.size, sb->len - before);
        assert_int_equal(attr.mode, 0777);
    } else {
        strbuf_addf(sb, "file %o ", attr.mode);
        if (node.kind == VIEW_IMAGE)
            describe_blob(view_image(view, node.layer),
                          image_node(view_image(view, node.layer), node.index).blob, sb);
        else
            describe_generated(view, node, attr.size, sb);
    }
}

char *describe_path(const struct view *view, const char *path)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    struct view_node node;
    if (!view_walk(view, path, &node))
        return xstrdup("none");
    describe(view, node, &sb);
    return xstrdup(sb.buf);
}

struct walk {
    const struct view *view;
    const char *path; /* of the folder in work */
    void (*fn)(void *arg, const char *path, struct view_node node);
    void *arg;
};

static bool walk_entry(void *arg, const char *name, size_t len, struct view_node node,
                       uint64_t cookie)
{
    struct walk *w = arg;
    _cleanup_free_ char *path =
        xasprintf("%s%s%.*s", w->path, *w->path == '\0' ? "" : "/", (int)len, name);
    struct walk inner = {.view = w->view, .path = path, .fn = w->fn, .arg = w->arg};
    assert_true(cookie != 0 && cookie >> 62 == 0);
    w->fn(w->arg, path, node);
    view_readdir(w->view, node, 0, walk_entry, &inner);
    return true;
}

void each_path(const struct view *view,
               void (*fn)(void *arg, const char *path, struct view_node node), void *arg)
{
    struct walk w = {.view = view, .path = "", .fn = fn, .arg = arg};
    view_readdir(view, view_root(view), 0, walk_entry, &w);
}
