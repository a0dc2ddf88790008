/* Making images: a tree collected in any order, laid out breadth-first and digested. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/wire.h"
#include "store/image.h"
#include "store/image_format.h"

#define NONE UINT32_MAX

struct built_node {
    uint32_t parent;
    uint32_t next_sibling; /* in order of addition, reversed */
    uint32_t first_child;  /* directory */
    uint32_t children;
    uint32_t next_hash; /* chain of equal hash slots */
    uint32_t name;      /* offset in text */
    uint8_t name_len, type, flags;
    uint32_t blob;   /* file */
    uint32_t target; /* symlink: offset in text */
    uint64_t size;   /* file, symlink */
};

struct built_blob {
    struct sha256 id;
    uint64_t size;
    size_t checksums; /* index in slices */
    uint32_t next_hash;
};

struct built_script {
    uint8_t kind;
    char *name, *module, *attr;
    uint32_t blob, skip;
    uint64_t size;
};

struct image_builder {
    char *dist_name, *version, *dist_info;
    struct strbuf text; /* names and targets */
    struct built_node *nodes;
    size_t node_count, node_alloc;
    struct built_blob *blobs;
    size_t blob_count, blob_alloc;
    uint64_t *slices;
    size_t slice_count, slice_alloc;
    struct built_script *scripts;
    size_t script_count, script_alloc;
    /* Heads of hash chains, a power of two in number: by (parent, name), and by blob id. */
    uint32_t *node_hash, *blob_hash;
    size_t node_hash_size, blob_hash_size;
};

/* ---- hash chains ---- */

static uint64_t hash_name(uint32_t parent, const char *name, size_t len)
{
    return checksum_of(name, len) ^ (parent * UINT64_C(0x9e3779b97f4a7c15));
}

static uint32_t *new_heads(size_t size)
{
    uint32_t *heads = xmalloc(size * sizeof(*heads));
    memset(heads, 0xff, size * sizeof(*heads)); /* NONE */
    return heads;
}

static void node_link(struct image_builder *b, uint32_t i)
{
    struct built_node *n = &b->nodes[i];
    uint64_t h = hash_name(n->parent, b->text.buf + n->name, n->name_len);
    uint32_t *head = &b->node_hash[h & (b->node_hash_size - 1)];
    n->next_hash = *head;
    *head = i;
}

static void blob_link(struct image_builder *b, uint32_t i)
{
    uint32_t *head = &b->blob_hash[wire_load64(b->blobs[i].id.bytes) & (b->blob_hash_size - 1)];
    b->blobs[i].next_hash = *head;
    *head = i;
}

static void grow_node_hash(struct image_builder *b)
{
    if (b->node_count < b->node_hash_size)
        return;
    free(b->node_hash);
    b->node_hash_size *= 2;
    b->node_hash = new_heads(b->node_hash_size);
    for (uint32_t i = 1; i < b->node_count; i++)
        node_link(b, i);
}

static void grow_blob_hash(struct image_builder *b)
{
    if (b->blob_count < b->blob_hash_size)
        return;
    free(b->blob_hash);
    b->blob_hash_size *= 2;
    b->blob_hash = new_heads(b->blob_hash_size);
    for (uint32_t i = 0; i < b->blob_count; i++)
        blob_link(b, i);
}

/* The first node of that name after `after` (NONE: from the start); two variants share a name. */
static uint32_t find_node(const struct image_builder *b, uint32_t parent, const char *name,
                          size_t len, uint32_t after)
{
    uint64_t h = hash_name(parent, name, len);
    uint32_t i =
        after == NONE ? b->node_hash[h & (b->node_hash_size - 1)] : b->nodes[after].next_hash;
    for (; i != NONE; i = b->nodes[i].next_hash) {
        const struct built_node *n = &b->nodes[i];
        if (n->parent == parent && n->name_len == len &&
            memcmp(b->text.buf + n->name, name, len) == 0)
            return i;
    }
    return NONE;
}

/* ---- adding ---- */

struct image_builder *image_builder_new(const char *dist_name, const char *version,
                                        const char *dist_info)
{
    struct image_builder *b = xcalloc(1, sizeof(*b));
    strbuf_init(&b->text);
    b->dist_name = xstrdup(dist_name);
    b->version = xstrdup(version);
    b->dist_info = xstrdup(dist_info);
    b->node_hash_size = b->blob_hash_size = 64;
    b->node_hash = new_heads(b->node_hash_size);
    b->blob_hash = new_heads(b->blob_hash_size);
    b->nodes = xgrow(NULL, &b->node_alloc, 1, sizeof(*b->nodes));
    b->nodes[0] = (struct built_node){
        .type = IMAGE_DIR, .next_sibling = NONE, .first_child = NONE, .next_hash = NONE};
    b->node_count = 1;
    return b;
}

void image_builder_free(struct image_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->script_count; i++) {
        free(b->scripts[i].name);
        free(b->scripts[i].module);
        free(b->scripts[i].attr);
    }
    free(b->dist_name);
    free(b->version);
    free(b->dist_info);
    strbuf_release(&b->text);
    free(b->nodes);
    free(b->blobs);
    free(b->slices);
    free(b->scripts);
    free(b->node_hash);
    free(b->blob_hash);
    free(b);
}

static uint32_t text_add(struct image_builder *b, const char *s, size_t len)
{
    uint32_t at = (uint32_t)b->text.len;
    strbuf_add(&b->text, s, len);
    return at;
}

static int add_node(struct image_builder *b, uint32_t parent, const char *name, size_t len,
                    uint8_t type, uint32_t *ret, struct verror *err)
{
    /* Offsets in the image are 32 bits wide; names and targets stay far below. */
    if (b->node_count >= IMAGE_MAX_NODES || b->text.len > UINT32_MAX / 2)
        return verror_set(err, E2BIG, "%s %s has more than %u files and folders", b->dist_name,
                          b->version, IMAGE_MAX_NODES);
    grow_node_hash(b);
    uint32_t i = (uint32_t)b->node_count;
    b->nodes = xgrow(b->nodes, &b->node_alloc, b->node_count + 1, sizeof(*b->nodes));
    b->nodes[i] = (struct built_node){
        .parent = parent,
        .next_sibling = b->nodes[parent].first_child,
        .first_child = NONE,
        .name = text_add(b, name, len),
        .name_len = (uint8_t)len,
        .type = type,
        .blob = IMAGE_NO_BLOB,
    };
    b->nodes[parent].first_child = i;
    b->nodes[parent].children++;
    b->node_count++;
    node_link(b, i);
    *ret = i;
    return 0;
}

/* The folder that `path`'s last component belongs in, made where missing; `rest` is that
 * component. With `make` false missing folders are -ENOENT. */
static int walk_parent(struct image_builder *b, const char *path, bool make, uint32_t *dir,
                       const char **rest, struct verror *err)
{
    uint32_t at = IMAGE_ROOT;
    unsigned depth = 0;
    for (;; depth++) {
        const char *slash = strchrnul(path, '/');
        size_t len = (size_t)(slash - path);
        if (!path_component_ok(path, len))
            return verror_set(err, EINVAL, "\"%s\" is not a file name that can be installed", path);
        if (depth >= IMAGE_MAX_DEPTH)
            return verror_set(err, E2BIG, "\"%s\" lies in more than %u folders", path,
                              IMAGE_MAX_DEPTH);
        if (!*slash)
            break;
        uint32_t next = find_node(b, at, path, len, NONE);
        if (next == NONE) {
            int r = make ? add_node(b, at, path, len, IMAGE_DIR, &next, err) : -ENOENT;
            if (r < 0)
                return r;
        } else if (b->nodes[next].type != IMAGE_DIR) {
            return verror_set(err, ENOTDIR, "a file is where the folder of \"%s\" is needed", path);
        }
        at = next;
        path = slash + 1;
    }
    *dir = at;
    *rest = path;
    return 0;
}

/* Two files may share a name only as the two complementary variants. */
static bool may_join(const struct image_builder *b, uint32_t there, uint8_t type, unsigned flags)
{
    const struct built_node *n = &b->nodes[there];
    return n->type == IMAGE_FILE && type == IMAGE_FILE && (flags & IMAGE_VARIANTS) &&
           ((n->flags ^ flags) & IMAGE_VARIANTS) == IMAGE_VARIANTS &&
           find_node(b, n->parent, b->text.buf + n->name, n->name_len, there) == NONE;
}

static int add_path(struct image_builder *b, const char *path, uint8_t type, unsigned flags,
                    uint32_t *ret, struct verror *err)
{
    uint32_t dir;
    const char *name;
    int r = walk_parent(b, path, true, &dir, &name, err);
    if (r < 0)
        return r;
    size_t len = strlen(name);
    uint32_t there = find_node(b, dir, name, len, NONE);
    if (there != NONE && !may_join(b, there, type, flags))
        return verror_set(err, EEXIST, "\"%s\" would be installed twice", path);
    return add_node(b, dir, name, len, type, ret, err);
}

/* Index of a blob, added when it is new. */
static int add_blob(struct image_builder *b, const struct sha256 *id, uint64_t size,
                    const uint64_t *checksums, uint32_t *ret, struct verror *err)
{
    uint32_t i = b->blob_hash[wire_load64(id->bytes) & (b->blob_hash_size - 1)];
    for (; i != NONE; i = b->blobs[i].next_hash) {
        if (!sha256_equal(&b->blobs[i].id, id))
            continue;
        if (b->blobs[i].size != size)
            return verror_set(err, EINVAL, "one digest was given for two sizes");
        *ret = i;
        return 0;
    }
    uint64_t n = image_slices(size);
    if (b->slice_count + n > UINT32_MAX)
        return verror_set(err, E2BIG, "%s %s is too big", b->dist_name, b->version);
    grow_blob_hash(b);
    b->slices = xgrow(b->slices, &b->slice_alloc, b->slice_count + n, sizeof(*b->slices));
    memcpy(b->slices + b->slice_count, checksums, n * sizeof(*checksums));
    b->blobs = xgrow(b->blobs, &b->blob_alloc, b->blob_count + 1, sizeof(*b->blobs));
    i = (uint32_t)b->blob_count++;
    b->blobs[i] = (struct built_blob){.id = *id, .size = size, .checksums = b->slice_count};
    b->slice_count += n;
    blob_link(b, i);
    *ret = i;
    return 0;
}

int image_builder_file(struct image_builder *b, const char *path, unsigned flags,
                       const struct sha256 *blob, uint64_t size, const uint64_t *checksums,
                       struct verror *err)
{
    if (!image_flags_ok(flags))
        return verror_set(err, EINVAL, "\"%s\": impossible flags", path);
    uint32_t index = IMAGE_NO_BLOB, i;
    int r = size ? add_blob(b, blob, size, checksums, &index, err) : 0;
    if (r == 0)
        r = add_path(b, path, IMAGE_FILE, flags, &i, err);
    if (r < 0)
        return r;
    b->nodes[i].flags = (uint8_t)flags;
    b->nodes[i].blob = index;
    b->nodes[i].size = size;
    return 0;
}

int image_builder_symlink(struct image_builder *b, const char *path, const char *target,
                          struct verror *err)
{
    size_t len = strlen(target);
    if (len == 0 || len > IMAGE_MAX_TARGET)
        return verror_set(err, EINVAL, "\"%s\": impossible target of a symbolic link", path);
    uint32_t i;
    int r = add_path(b, path, IMAGE_SYMLINK, 0, &i, err);
    if (r < 0)
        return r;
    b->nodes[i].target = text_add(b, target, len);
    b->nodes[i].size = len;
    return 0;
}

int image_builder_dir(struct image_builder *b, const char *path, struct verror *err)
{
    uint32_t dir, i;
    const char *name;
    int r = walk_parent(b, path, true, &dir, &name, err);
    if (r < 0)
        return r;
    uint32_t there = find_node(b, dir, name, strlen(name), NONE);
    if (there == NONE)
        return add_node(b, dir, name, strlen(name), IMAGE_DIR, &i, err);
    if (b->nodes[there].type != IMAGE_DIR)
        return verror_set(err, ENOTDIR, "a file is where the folder \"%s\" is needed", path);
    return 0;
}

int image_builder_script(struct image_builder *b, const struct image_script *script,
                         const struct sha256 *blob, const uint64_t *checksums, struct verror *err)
{
    if (!image_script_ok(script))
        return verror_set(err, EINVAL, "script \"%s\" is malformed", script->name);
    struct built_script s = {.kind = script->kind, .blob = IMAGE_NO_BLOB};
    if (script->kind == IMAGE_SCRIPT_PYTHON) {
        int r = add_blob(b, blob, script->size, checksums, &s.blob, err);
        if (r < 0)
            return r;
        s.skip = script->skip;
        s.size = script->size;
    } else {
        s.module = xstrdup(script->module);
        s.attr = xstrdup(script->attr);
    }
    s.name = xstrdup(script->name);
    b->scripts = xgrow(b->scripts, &b->script_alloc, b->script_count + 1, sizeof(*b->scripts));
    b->scripts[b->script_count++] = s;
    return 0;
}

bool image_builder_has(const struct image_builder *b, const char *path)
{
    uint32_t dir;
    const char *name;
    /* Without `make` the walk does not change the builder. */
    if (walk_parent((struct image_builder *)(uintptr_t)b, path, false, &dir, &name, NULL) < 0)
        return false;
    return find_node(b, dir, name, strlen(name), NONE) != NONE;
}

/* ---- layout ---- */

struct layout {
    const struct image_builder *b;
    uint32_t *order;      /* final position -> built node */
    uint32_t *parent;     /* final position -> its parent's */
    uint32_t *first;      /* final position of a directory's first child */
    uint32_t *dir_time;   /* by final position */
    uint32_t *blob_of;    /* built blob -> final index, NONE before its first use */
    uint32_t *blob_order; /* final index -> built blob */
    uint32_t blobs;
    struct strbuf names; /* the NAME section */
    uint32_t *name_hash; /* heads of chains of final positions with an interned name */
    uint32_t *name_next;
    uint32_t *name_at; /* by final position: offset in names */
};

/* Names equal to one another are stored once (every package has many __init__.py). */
static uint32_t intern(struct layout *l, uint32_t pos)
{
    const struct built_node *n = &l->b->nodes[l->order[pos]];
    const char *name = l->b->text.buf + n->name;
    uint32_t *head = &l->name_hash[checksum_of(name, n->name_len) & (l->b->node_hash_size - 1)];
    for (uint32_t i = *head; i != NONE; i = l->name_next[i])
        if (l->b->nodes[l->order[i]].name_len == n->name_len &&
            memcmp(l->names.buf + l->name_at[i], name, n->name_len) == 0)
            return l->name_at[i];
    uint32_t at = (uint32_t)l->names.len;
    strbuf_add(&l->names, name, n->name_len);
    l->name_next[pos] = *head;
    *head = pos;
    return at;
}

static int by_name(const void *pa, const void *pb, void *arg)
{
    const struct image_builder *b = arg;
    const struct built_node *x = &b->nodes[*(const uint32_t *)pa];
    const struct built_node *y = &b->nodes[*(const uint32_t *)pb];
    int c = image_name_cmp(b->text.buf + x->name, x->name_len, b->text.buf + y->name, y->name_len);
    if (c)
        return c;
    /* IF_REQUESTED comes first. */
    return (x->flags & IMAGE_IF_NOT_REQUESTED) - (y->flags & IMAGE_IF_NOT_REQUESTED);
}

static uint32_t time_of_children(const struct layout *l, uint32_t first, uint32_t count)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    const struct image_builder *b = l->b;
    for (uint32_t i = first; i < first + count; i++) {
        const struct built_node *n = &b->nodes[l->order[i]];
        if (n->flags & IMAGE_IF_NOT_REQUESTED)
            continue; /* one name counts once */
        strbuf_add(&names, b->text.buf + n->name, n->name_len);
        strbuf_addch(&names, '\0');
    }
    return image_time_of_names(names.buf, names.len);
}

static void place_nodes(struct layout *l)
{
    const struct image_builder *b = l->b;
    uint32_t next = 1;
    for (uint32_t pos = 0; pos < next; pos++) {
        const struct built_node *n = &b->nodes[l->order[pos]];
        l->name_at[pos] = pos ? intern(l, pos) : 0;
        if (n->type != IMAGE_DIR)
            continue;
        l->first[pos] = next;
        uint32_t end = next;
        for (uint32_t c = n->first_child; c != NONE; c = b->nodes[c].next_sibling) {
            l->parent[end] = pos;
            l->order[end++] = c;
        }
        qsort_r(l->order + next, end - next, sizeof(*l->order), by_name, (void *)(uintptr_t)b);
        l->dir_time[pos] = time_of_children(l, next, end - next);
        next = end;
    }
}

static uint32_t place_blob(struct layout *l, uint32_t built)
{
    if (built == IMAGE_NO_BLOB)
        return IMAGE_NO_BLOB;
    if (l->blob_of[built] == NONE) {
        l->blob_of[built] = l->blobs;
        l->blob_order[l->blobs++] = built;
    }
    return l->blob_of[built];
}

static void add32(struct strbuf *sb, uint32_t v)
{
    uint8_t raw[4];
    wire_store32(raw, v);
    strbuf_add(sb, raw, sizeof(raw));
}

static void add64(struct strbuf *sb, uint64_t v)
{
    uint8_t raw[8];
    wire_store64(raw, v);
    strbuf_add(sb, raw, sizeof(raw));
}

static void write_nodes(struct layout *l, struct strbuf *out)
{
    for (uint32_t pos = 0; pos < l->b->node_count; pos++) {
        const struct built_node *n = &l->b->nodes[l->order[pos]];
        uint32_t link = 0;
        if (n->type == IMAGE_FILE) {
            link = place_blob(l, n->blob);
        } else if (n->type == IMAGE_DIR) {
            link = l->first[pos];
        } else {
            link = (uint32_t)l->names.len;
            strbuf_add(&l->names, l->b->text.buf + n->target, (size_t)n->size);
        }
        add32(out, l->name_at[pos]);
        const uint8_t small[4] = {n->name_len, n->type, n->flags, 0};
        strbuf_add(out, small, sizeof(small));
        add32(out, l->parent[pos]);
        add32(out, link);
        add64(out, n->size);
        add32(out, n->children);
        add32(out, l->dir_time[pos]);
    }
}

static int script_by_name(const void *pa, const void *pb)
{
    const struct built_script *x = pa, *y = pb;
    int c = strcmp(x->name, y->name);
    if (c)
        return c;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    c = strcmp(x->module ? x->module : "", y->module ? y->module : "");
    return c ? c : strcmp(x->attr ? x->attr : "", y->attr ? y->attr : "");
}

static uint32_t add_string(struct strbuf *strings, const char *s)
{
    uint32_t at = IMAGE_INFO_SIZE + (uint32_t)strings->len;
    strbuf_add(strings, s, strlen(s) + 1);
    return at;
}

static void write_scripts(struct layout *l, struct strbuf *strings, struct strbuf *out)
{
    const struct image_builder *b = l->b;
    uint32_t empty = add_string(strings, "");
    for (size_t i = 0; i < b->script_count; i++) {
        const struct built_script *s = &b->scripts[i];
        add32(out, s->kind);
        add32(out, add_string(strings, s->name));
        add32(out, s->module ? add_string(strings, s->module) : empty);
        add32(out, s->attr ? add_string(strings, s->attr) : empty);
        add32(out, place_blob(l, s->blob));
        add32(out, s->skip);
        add64(out, s->size);
    }
}

static void write_blobs(const struct layout *l, struct strbuf *blobs, struct strbuf *slices)
{
    for (uint32_t i = 0; i < l->blobs; i++) {
        const struct built_blob *blob = &l->b->blobs[l->blob_order[i]];
        strbuf_add(blobs, blob->id.bytes, SHA256_SIZE);
        add64(blobs, slices->len / IMAGE_SLICE_ENTRY_SIZE);
        add64(blobs, blob->size);
        for (uint64_t k = 0; k < image_slices(blob->size); k++)
            add64(slices, l->b->slices[blob->checksums + k]);
    }
}

static void assemble(struct strbuf sections[SECTIONS], struct strbuf *out, struct sha256 *id)
{
    static const char zeros[8];
    strbuf_reset(out);
    strbuf_addstr(out, IMAGE_MAGIC);
    add32(out, IMAGE_VERSION);
    add32(out, SECTIONS);
    size_t at = IMAGE_HEADER_SIZE + SECTIONS * IMAGE_SECTION_SIZE;
    for (uint32_t i = 0; i < SECTIONS; i++) {
        add32(out, i + 1);
        add32(out, 0);
        add64(out, at);
        add64(out, sections[i].len);
        at += image_align(sections[i].len);
    }
    strbuf_grow(out, at + IMAGE_TRAILER_SIZE - out->len);
    for (uint32_t i = 0; i < SECTIONS; i++) {
        strbuf_add(out, sections[i].buf, sections[i].len);
        strbuf_add(out, zeros, image_align(out->len) - out->len);
    }
    sha256_of(out->buf, out->len, id);
    strbuf_add(out, id->bytes, SHA256_SIZE);
    add64(out, checksum_of(out->buf, out->len));
}

static void layout_init(struct layout *l, const struct image_builder *b)
{
    *l = (struct layout){.b = b};
    l->order = xcalloc(b->node_count, sizeof(*l->order));
    l->parent = xcalloc(b->node_count, sizeof(*l->parent));
    l->first = xcalloc(b->node_count, sizeof(*l->first));
    l->dir_time = xcalloc(b->node_count, sizeof(*l->dir_time));
    l->name_at = xcalloc(b->node_count, sizeof(*l->name_at));
    l->name_next = xcalloc(b->node_count, sizeof(*l->name_next));
    l->name_hash = new_heads(b->node_hash_size);
    l->blob_of = new_heads(b->blob_count);
    l->blob_order = xcalloc(b->blob_count, sizeof(*l->blob_order));
    strbuf_init(&l->names);
}

static void layout_release(struct layout *l)
{
    free(l->order);
    free(l->parent);
    free(l->first);
    free(l->dir_time);
    free(l->name_at);
    free(l->name_next);
    free(l->name_hash);
    free(l->blob_of);
    free(l->blob_order);
    strbuf_release(&l->names);
}

int image_builder_finish(struct image_builder *b, struct strbuf *ret, struct sha256 *id,
                         struct verror *err)
{
    if (!image_text_ok(b->dist_name) || !image_text_ok(b->version) ||
        !path_component_ok(b->dist_info, strlen(b->dist_info)) || !image_text_ok(b->dist_info))
        return verror_set(err, EINVAL, "impossible name, version or dist-info folder");
    if (b->script_count)
        qsort(b->scripts, b->script_count, sizeof(*b->scripts), script_by_name);

    struct layout l;
    layout_init(&l, b);
    place_nodes(&l);
    struct strbuf sections[SECTIONS];
    for (unsigned i = 0; i < SECTIONS; i++)
        strbuf_init(&sections[i]);
    struct strbuf strings = STRBUF_INIT;
    struct strbuf *info = &sections[SECTION_INFO];
    write_nodes(&l, &sections[SECTION_NODE]);
    add32(info, add_string(&strings, b->dist_name));
    add32(info, add_string(&strings, b->version));
    add32(info, add_string(&strings, b->dist_info));
    add32(info, 0);
    write_scripts(&l, &strings, &sections[SECTION_SCRIPT]);
    strbuf_add(info, strings.buf, strings.len);
    strbuf_add(&sections[SECTION_NAME], l.names.buf, l.names.len);
    write_blobs(&l, &sections[SECTION_BLOB], &sections[SECTION_SLICE]);
    assemble(sections, ret, id);
    for (unsigned i = 0; i < SECTIONS; i++)
        strbuf_release(&sections[i]);
    strbuf_release(&strings);
    layout_release(&l);
    return 0;
}
