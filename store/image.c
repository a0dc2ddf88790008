/* Reading images: everything is checked once in image_open(), then accessors index freely. */
#include "store/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sigbus.h"
#include "base/wire.h"
#include "store/image_format.h"

/* Far above any package, and small enough that no sum of offsets overflows. */
#define IMAGE_MAX_BYTES (UINT64_C(1) << 32)

enum backing { BACKING_BORROWED, BACKING_MAPPED, BACKING_MALLOC };

struct image {
    atomic_uint refs;
    enum backing backing;
    const uint8_t *data;
    size_t size;
    struct sigbus_watch *watch; /* BACKING_MAPPED */
    uint64_t checksum;          /* as the file's last bytes were when it was checked */
    struct sha256 id;
    const uint8_t *node, *blob, *slice, *script;
    const char *name, *info;
    size_t name_size, info_size;
    uint32_t nodes, blobs, slices, scripts;
    uint64_t file_bytes;
};

/* ---- rules shared with the builder ---- */

int image_name_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (c)
        return c;
    return (a_len > b_len) - (a_len < b_len);
}

bool image_flags_ok(unsigned flags)
{
    return !(flags & ~(unsigned)IMAGE_FILE_FLAGS) && (flags & IMAGE_VARIANTS) != IMAGE_VARIANTS;
}

bool image_text_ok(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

bool image_dotted_name_ok(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        if (!letter && !(c >= '0' && c <= '9') && c != '.')
            return false;
    }
    return true;
}

bool image_script_ok(const struct image_script *script)
{
    if (!path_component_ok(script->name, strlen(script->name)))
        return false;
    switch (script->kind) {
    case IMAGE_SCRIPT_CONSOLE:
    case IMAGE_SCRIPT_GUI:
        return image_dotted_name_ok(script->module) && image_dotted_name_ok(script->attr);
    case IMAGE_SCRIPT_PYTHON:
        return script->size > 0 && script->skip <= script->size;
    default:
        return false;
    }
}

uint32_t image_time_of_blob(const struct sha256 *id)
{
    return 1000000000u + (uint32_t)(wire_load64(id->bytes) & ((1u << 28) - 1));
}

uint32_t image_time_of_names(const void *names, size_t size)
{
    return 1000000000u + (uint32_t)(checksum_of(names, size) & ((1u << 28) - 1));
}

/* ---- checks ---- */

static int damaged(struct verror *err, const char *what)
{
    return verror_set(err, EBADMSG, "damaged image: %s", what);
}

static int check_sections(struct image *im, struct verror *err)
{
    const size_t table = IMAGE_HEADER_SIZE + SECTIONS * IMAGE_SECTION_SIZE;
    if (im->size < table + IMAGE_TRAILER_SIZE || memcmp(im->data, IMAGE_MAGIC, 8) != 0)
        return damaged(err, "no image header");
    if (wire_load32(im->data + 8) != IMAGE_VERSION)
        return verror_set(err, EBADMSG, "image of unknown version %u",
                          (unsigned)wire_load32(im->data + 8));
    if (wire_load32(im->data + 12) != SECTIONS)
        return damaged(err, "wrong number of sections");

    const uint8_t *start[SECTIONS];
    uint64_t size[SECTIONS];
    const uint64_t limit = im->size - IMAGE_TRAILER_SIZE;
    uint64_t at = table;
    for (unsigned i = 0; i < SECTIONS; i++) {
        const uint8_t *entry = im->data + IMAGE_HEADER_SIZE + i * IMAGE_SECTION_SIZE;
        size[i] = wire_load64(entry + 16);
        if (wire_load32(entry) != i + 1 || wire_load32(entry + 4) != 0 ||
            wire_load64(entry + 8) != at || !wire_range_ok(at, size[i], 1, limit))
            return damaged(err, "section table");
        start[i] = im->data + at;
        for (at += size[i]; at & 7; at++)
            if (at >= limit || im->data[at] != 0)
                return damaged(err, "padding");
    }
    if (at != limit)
        return damaged(err, "bytes beyond the last section");
    if (size[SECTION_NODE] % IMAGE_NODE_SIZE || size[SECTION_BLOB] % IMAGE_BLOB_SIZE ||
        size[SECTION_SLICE] % IMAGE_SLICE_ENTRY_SIZE || size[SECTION_SCRIPT] % IMAGE_SCRIPT_SIZE)
        return damaged(err, "size of a section");
    uint64_t nodes = size[SECTION_NODE] / IMAGE_NODE_SIZE;
    if (nodes == 0 || nodes > IMAGE_MAX_NODES)
        return damaged(err, "number of nodes");

    im->node = start[SECTION_NODE];
    im->nodes = (uint32_t)nodes;
    im->name = (const char *)start[SECTION_NAME];
    im->name_size = size[SECTION_NAME];
    im->blob = start[SECTION_BLOB];
    im->blobs = (uint32_t)(size[SECTION_BLOB] / IMAGE_BLOB_SIZE);
    im->slice = start[SECTION_SLICE];
    im->slices = (uint32_t)(size[SECTION_SLICE] / IMAGE_SLICE_ENTRY_SIZE);
    im->script = start[SECTION_SCRIPT];
    im->scripts = (uint32_t)(size[SECTION_SCRIPT] / IMAGE_SCRIPT_SIZE);
    im->info = (const char *)start[SECTION_INFO];
    im->info_size = size[SECTION_INFO];
    return 0;
}

static int check_blobs(const struct image *im, struct verror *err)
{
    uint64_t slice = 0;
    for (uint32_t i = 0; i < im->blobs; i++) {
        const uint8_t *b = im->blob + (size_t)i * IMAGE_BLOB_SIZE;
        uint64_t size = wire_load64(b + SHA256_SIZE + 8);
        if (size == 0 || wire_load64(b + SHA256_SIZE) != slice)
            return damaged(err, "blob table");
        slice += image_slices(size);
        if (slice > im->slices)
            return damaged(err, "blob without slice checksums");
    }
    return slice == im->slices ? 0 : damaged(err, "number of slice checksums");
}

static const uint8_t *raw_node(const struct image *im, uint32_t node)
{
    return im->node + (size_t)node * IMAGE_NODE_SIZE;
}

static const char *raw_name(const struct image *im, const uint8_t *n, size_t *len)
{
    *len = n[NODE_NAME_LEN];
    return im->name + wire_load32(n + NODE_NAME);
}

static bool file_ok(const struct image *im, const uint8_t *n)
{
    uint32_t blob = wire_load32(n + NODE_LINK);
    uint64_t size = wire_load64(n + NODE_BYTES);
    if (!image_flags_ok(n[NODE_FLAGS]) || wire_load64(n + NODE_COUNT) != 0)
        return false;
    if (size == 0)
        return blob == IMAGE_NO_BLOB;
    return blob < im->blobs && image_blob_size(im, blob) == size;
}

static bool symlink_ok(const struct image *im, const uint8_t *n)
{
    uint32_t at = wire_load32(n + NODE_LINK);
    uint64_t size = wire_load64(n + NODE_BYTES);
    return n[NODE_FLAGS] == 0 && wire_load64(n + NODE_COUNT) == 0 && size > 0 &&
           size <= IMAGE_MAX_TARGET && wire_range_ok(at, size, 1, im->name_size) &&
           !memchr(im->name + at, '\0', size);
}

/* Does node i stand in the right place among its siblings? The node before it has been checked. */
static bool order_ok(const struct image *im, uint32_t i, uint32_t first)
{
    if (i == first)
        return true;
    const uint8_t *a = raw_node(im, i - 1), *b = raw_node(im, i);
    size_t a_len, b_len;
    const char *a_name = raw_name(im, a, &a_len), *b_name = raw_name(im, b, &b_len);
    int c = image_name_cmp(a_name, a_len, b_name, b_len);
    if (c < 0)
        return true;
    return c == 0 && a[NODE_TYPE] == IMAGE_FILE && b[NODE_TYPE] == IMAGE_FILE &&
           (a[NODE_FLAGS] & IMAGE_IF_REQUESTED) && (b[NODE_FLAGS] & IMAGE_IF_NOT_REQUESTED);
}

/* Name, parent and order of node i > 0, whose predecessors have been checked. */
static bool place_ok(const struct image *im, uint32_t i)
{
    const uint8_t *n = raw_node(im, i);
    uint32_t parent = wire_load32(n + NODE_PARENT);
    size_t len;
    if (!wire_range_ok(wire_load32(n + NODE_NAME), n[NODE_NAME_LEN], 1, im->name_size) ||
        parent >= i)
        return false;
    const char *name = raw_name(im, n, &len);
    const uint8_t *p = raw_node(im, parent);
    uint32_t first = wire_load32(p + NODE_LINK), count = wire_load32(p + NODE_COUNT);
    return path_component_ok(name, len) && p[NODE_TYPE] == IMAGE_DIR && i >= first &&
           i - first < count && order_ok(im, i, first);
}

/* One pass: in breadth-first order the children of each directory begin where those of the one
 * before it ended, so every node has exactly one parent and the levels follow each other. */
static int check_nodes(struct image *im, struct verror *err)
{
    const uint8_t *root = raw_node(im, 0);
    if (root[NODE_TYPE] != IMAGE_DIR || root[NODE_NAME_LEN] != 0 ||
        wire_load32(root + NODE_NAME) != 0 || wire_load32(root + NODE_PARENT) != 0)
        return damaged(err, "root");
    uint32_t next = 1, level_end = 1, depth = 0;
    for (uint32_t i = 0; i < im->nodes; i++) {
        const uint8_t *n = raw_node(im, i);
        if (i == level_end) {
            level_end = next;
            if (++depth > IMAGE_MAX_DEPTH)
                return damaged(err, "folders nested too deeply");
        }
        if (n[7] != 0 || (i > 0 && !place_ok(im, i)))
            return verror_set(err, EBADMSG, "damaged image: node %u", i);
        bool ok = false;
        if (n[NODE_TYPE] == IMAGE_FILE) {
            ok = file_ok(im, n);
            if (__builtin_add_overflow(im->file_bytes, wire_load64(n + NODE_BYTES),
                                       &im->file_bytes))
                im->file_bytes = UINT64_MAX;
        } else if (n[NODE_TYPE] == IMAGE_SYMLINK) {
            ok = symlink_ok(im, n);
        } else if (n[NODE_TYPE] == IMAGE_DIR) {
            uint32_t count = wire_load32(n + NODE_COUNT);
            ok = n[NODE_FLAGS] == 0 && wire_load64(n + NODE_BYTES) == 0 &&
                 wire_load32(n + NODE_LINK) == next && count <= im->nodes - next;
            next += ok ? count : 0;
        }
        if (!ok)
            return verror_set(err, EBADMSG, "damaged image: node %u", i);
    }
    return next == im->nodes ? 0 : damaged(err, "nodes without a parent");
}

static int check_strings(const struct image *im, struct verror *err)
{
    if (im->info_size <= IMAGE_INFO_SIZE || im->info[im->info_size - 1] != '\0' ||
        wire_load32(im->info + 12) != 0)
        return damaged(err, "info");
    for (unsigned i = 0; i < 3; i++) {
        uint32_t at = wire_load32(im->info + 4 * i);
        if (at < IMAGE_INFO_SIZE || at >= im->info_size || !image_text_ok(im->info + at))
            return damaged(err, "name, version or dist-info");
    }
    const char *folder = image_dist_info(im);
    if (!path_component_ok(folder, strlen(folder)))
        return damaged(err, "dist-info");
    for (uint32_t i = 0; i < im->scripts; i++) {
        const uint8_t *s = im->script + (size_t)i * IMAGE_SCRIPT_SIZE;
        for (unsigned k = 0; k < 3; k++) {
            uint32_t at = wire_load32(s + 4 + 4 * k);
            if (at < IMAGE_INFO_SIZE || at >= im->info_size)
                return damaged(err, "script");
        }
        struct image_script script = image_script(im, i);
        if (s[1] || s[2] || s[3] || !image_script_ok(&script))
            return damaged(err, "script");
        bool python = script.kind == IMAGE_SCRIPT_PYTHON;
        if (python ? script.blob >= im->blobs || image_blob_size(im, script.blob) != script.size
                   : script.blob != IMAGE_NO_BLOB || script.skip || script.size)
            return damaged(err, "script");
    }
    return 0;
}

static size_t body_size(const struct image *im)
{
    return im->size - IMAGE_TRAILER_SIZE;
}

int image_check_digest(const struct image *image, struct verror *err)
{
    struct sha256 got;
    sha256_of(image->data, body_size(image), &got);
    return sha256_equal(&got, &image->id) ? 0 : damaged(err, "SHA-256 differs");
}

static int check(struct image *im, const struct sha256 *expect, bool digest, struct verror *err)
{
    int r = check_sections(im, err);
    if (r < 0)
        return r;
    const uint8_t *trailer = im->data + body_size(im);
    im->checksum = wire_load64(trailer + SHA256_SIZE);
    if (checksum_of(im->data, im->size - 8) != im->checksum)
        return damaged(err, "checksum differs");
    memcpy(im->id.bytes, trailer, SHA256_SIZE);
    if (expect && !sha256_equal(expect, &im->id))
        return damaged(err, "it is another image");
    r = digest ? image_check_digest(im, err) : 0;
    if (r < 0)
        return r;
    r = check_blobs(im, err);
    if (r == 0)
        r = check_nodes(im, err);
    if (r == 0)
        r = check_strings(im, err);
    return r;
}

/* ---- opening ---- */

static struct image *image_new(enum backing backing, const void *data, size_t size)
{
    struct image *im = xcalloc(1, sizeof(*im));
    atomic_init(&im->refs, 1);
    im->backing = backing;
    im->data = data;
    im->size = size;
    return im;
}

static void image_free(struct image *im)
{
    sigbus_unwatch(im->watch);
    if (im->backing == BACKING_MAPPED)
        (void)munmap((void *)(uintptr_t)im->data, im->size);
    else if (im->backing == BACKING_MALLOC)
        free((void *)(uintptr_t)im->data);
    free(im);
}

/* The file's bytes, mapped or copied. */
static int load(const char *path, bool copy, struct image **ret, struct verror *err)
{
    _cleanup_close_ int fd = io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return verror_errno(err, fd, "cannot open %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return verror_errno(err, errno, "cannot stat %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > IMAGE_MAX_BYTES)
        return verror_set(err, EBADMSG, "%s: damaged image: size", path);
    size_t size = (size_t)st.st_size;
    if (!copy) {
        const void *map;
        int r = io_mmap(fd, size, &map);
        if (r < 0)
            return verror_errno(err, r, "cannot map %s", path);
        *ret = image_new(BACKING_MAPPED, map, size);
        (*ret)->watch = sigbus_watch(map, size);
        return 0;
    }
    _cleanup_free_ void *buf = malloc(size);
    if (!buf)
        return verror_errno(err, ENOMEM, "cannot read %s", path);
    ssize_t n = io_pread_all(fd, buf, size, 0);
    if (n < 0)
        return verror_errno(err, (int)n, "cannot read %s", path);
    if ((size_t)n != size)
        return verror_set(err, EBADMSG, "%s: damaged image: it became shorter", path);
    *ret = image_new(BACKING_MALLOC, steal_ptr(buf), size);
    return 0;
}

int image_open(const char *path, const struct sha256 *expect, bool copy, struct image **ret,
               struct verror *err)
{
    struct image *im = NULL;
    int r = load(path, copy, &im, err);
    if (r < 0)
        return r;
    r = check(im, expect, copy, err);
    if (sigbus_damaged(im->watch))
        r = damaged(err, "it became shorter, or the disk fails");
    if (r < 0) {
        image_free(im);
        (void)verror_prefix(err, "%s", path);
        return r;
    }
    *ret = im;
    return 0;
}

int image_open_memory(const void *data, size_t size, struct image **ret, struct verror *err)
{
    if (size > IMAGE_MAX_BYTES)
        return damaged(err, "size");
    struct image *im = image_new(BACKING_BORROWED, data, size);
    int r = check(im, NULL, true, err);
    if (r < 0) {
        image_free(im);
        return r;
    }
    *ret = im;
    return 0;
}

struct image *image_ref(struct image *image)
{
    atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
    return image;
}

void image_unref(struct image *image)
{
    if (image && atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) == 1)
        image_free(image);
}

bool image_damaged(const struct image *image)
{
    /* Whatever cuts a file off takes its last bytes. Where the new end lies within a page no signal
     * tells, zeros are read; else this very load raises it. */
    bool cut = wire_load64(image->data + image->size - 8) != image->checksum;
    return cut || sigbus_damaged(image->watch);
}

/* ---- accessors: no checks needed after check(), also when pages of zeros appear: no offset, count
 * or size in the sections grows by that, and no reference to a parent leads forward ---- */

const struct sha256 *image_id(const struct image *image)
{
    return &image->id;
}

static const char *info(const struct image *image, unsigned i)
{
    return image->info + wire_load32(image->info + 4 * i);
}

const char *image_dist_name(const struct image *image)
{
    return info(image, 0);
}

const char *image_dist_version(const struct image *image)
{
    return info(image, 1);
}

const char *image_dist_info(const struct image *image)
{
    return info(image, 2);
}

uint64_t image_file_bytes(const struct image *image)
{
    return image->file_bytes;
}

uint32_t image_nodes(const struct image *image)
{
    return image->nodes;
}

struct image_node image_node(const struct image *image, uint32_t node)
{
    const uint8_t *n = raw_node(image, node);
    uint32_t link = wire_load32(n + NODE_LINK);
    struct image_node ret = {
        .type = n[NODE_TYPE],
        .flags = n[NODE_FLAGS],
        .parent = wire_load32(n + NODE_PARENT),
        .size = wire_load64(n + NODE_BYTES),
        .blob = n[NODE_TYPE] == IMAGE_FILE ? link : IMAGE_NO_BLOB,
        .first = n[NODE_TYPE] == IMAGE_DIR ? link : 0,
        .count = wire_load32(n + NODE_COUNT),
        .dir_time = wire_load32(n + NODE_TIME),
    };
    return ret;
}

const char *image_name(const struct image *image, uint32_t node, size_t *len)
{
    return raw_name(image, raw_node(image, node), len);
}

void image_node_path(const struct image *image, uint32_t node, struct strbuf *sb)
{
    if (node == IMAGE_ROOT)
        return;
    uint32_t parent = image_node(image, node).parent;
    image_node_path(image, parent, sb); /* IMAGE_MAX_DEPTH */
    size_t len;
    const char *name = image_name(image, node, &len);
    if (parent != IMAGE_ROOT)
        strbuf_addch(sb, '/');
    strbuf_add(sb, name, len);
}

const char *image_target(const struct image *image, uint32_t node, size_t *len)
{
    const uint8_t *n = raw_node(image, node);
    *len = (size_t)wire_load64(n + NODE_BYTES);
    return image->name + wire_load32(n + NODE_LINK);
}

bool image_present(const struct image *image, uint32_t node, bool requested)
{
    unsigned hidden = requested ? IMAGE_IF_NOT_REQUESTED : IMAGE_IF_REQUESTED;
    return !(raw_node(image, node)[NODE_FLAGS] & hidden);
}

static int compare_name(const struct image *image, uint32_t node, const char *name, size_t len)
{
    size_t n;
    const char *s = image_name(image, node, &n);
    return image_name_cmp(s, n, name, len);
}

bool image_lookup(const struct image *image, uint32_t dir, const char *name, size_t len,
                  bool requested, uint32_t *ret)
{
    struct image_node d = image_node(image, dir);
    if (d.type != IMAGE_DIR)
        return false;
    uint32_t lo = d.first, hi = d.first + d.count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (compare_name(image, mid, name, len) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    /* At most two variants of a name lie side by side. */
    for (hi = d.first + d.count; lo < hi && compare_name(image, lo, name, len) == 0; lo++) {
        if (image_present(image, lo, requested)) {
            *ret = lo;
            return true;
        }
    }
    return false;
}

uint32_t image_blobs(const struct image *image)
{
    return image->blobs;
}

static const uint8_t *raw_blob(const struct image *image, uint32_t blob)
{
    return image->blob + (size_t)blob * IMAGE_BLOB_SIZE;
}

const struct sha256 *image_blob_id(const struct image *image, uint32_t blob)
{
    return (const struct sha256 *)raw_blob(image, blob);
}

uint64_t image_slice_checksum(const struct image *image, uint32_t blob, uint32_t slice)
{
    uint64_t first = wire_load64(raw_blob(image, blob) + SHA256_SIZE);
    return wire_load64(image->slice + (size_t)(first + slice) * IMAGE_SLICE_ENTRY_SIZE);
}

uint64_t image_blob_size(const struct image *image, uint32_t blob)
{
    return wire_load64(raw_blob(image, blob) + SHA256_SIZE + 8);
}

size_t image_scripts(const struct image *image)
{
    return image->scripts;
}

struct image_script image_script(const struct image *image, size_t i)
{
    const uint8_t *s = image->script + i * IMAGE_SCRIPT_SIZE;
    struct image_script ret = {
        .kind = s[0],
        .name = image->info + wire_load32(s + 4),
        .module = image->info + wire_load32(s + 8),
        .attr = image->info + wire_load32(s + 12),
        .blob = wire_load32(s + 16),
        .skip = wire_load32(s + 20),
        .size = wire_load64(s + 24),
    };
    return ret;
}
