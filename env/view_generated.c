/* The files of an environment that no image holds, because they name its address or interpreter. */
#include "env/view_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/accelerator-pth.h"
#include "env/activation.h"
#include "wheel/wheel.h"

struct fixed_table {
    struct view_fixed *items;
    size_t n, alloc;
};

static uint32_t fixed_add(struct fixed_table *t, struct view_fixed item)
{
    t->items = xgrow(t->items, &t->alloc, t->n + 1, sizeof(*t->items));
    t->items[t->n] = item;
    return (uint32_t)t->n++;
}

static uint32_t fixed_dir(struct fixed_table *t, uint32_t parent, const char *name)
{
    return fixed_add(t,
                     (struct view_fixed){
                         .name = name, .parent = parent, .is_dir = true, .layer = VIEW_NO_LAYER});
}

static void fixed_file(struct fixed_table *t, uint32_t parent, const char *name,
                       enum view_generated_kind kind, uint32_t layer, uint32_t item)
{
    fixed_add(
        t,
        (struct view_fixed){
            .name = name, .parent = parent, .kind = (uint8_t)kind, .layer = layer, .item = item});
}

static bool version_at_least(const struct manifest *m, unsigned long major, unsigned long minor)
{
    char *end;
    unsigned long have = strtoul(m->version, &end, 10);
    if (have != major)
        return have > major;
    return *end == '.' && strtoul(end + 1, NULL, 10) >= minor;
}

/* As venv: the name by which the interpreter was called leads to it, the others lead to that. */
static void add_bin(struct fixed_table *t, const struct view *view, uint32_t bin)
{
    const char *names[] = {"python", "python3", view->facts.python_dir};
    fixed_file(t, bin, view->link_name, GENERATED_INTERPRETER, VIEW_NO_LAYER, 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], view->link_name) != 0)
            fixed_file(t, bin, names[i], GENERATED_INTERPRETER_ALIAS, VIEW_NO_LAYER, 0);
    }
    for (size_t i = 0; i < activation_n_files; i++)
        if (activation_wanted(&view->facts, &activation_files[i]))
            fixed_file(t, bin, activation_files[i].name, GENERATED_ACTIVATION, VIEW_NO_LAYER,
                       (uint32_t)i);
}

/* The node of SITE-PACKAGES/DIST-INFO/RECORD in an image. */
static bool find_record(const struct view *view, uint32_t layer, uint32_t *ret)
{
    const struct view_layer *l = &view->layers[layer];
    const char *path[] = {"lib", view->facts.python_dir, "site-packages", image_dist_info(l->image),
                          "RECORD"};
    uint32_t node = IMAGE_ROOT;
    for (size_t i = 0; i < ARRAY_SIZE(path); i++) {
        if (image_node(l->image, node).type != IMAGE_DIR ||
            !image_lookup(l->image, node, path[i], strlen(path[i]), l->requested, &node))
            return false;
    }
    *ret = node;
    return image_node(l->image, node).type == IMAGE_FILE;
}

/* Files of a .dist-info folder that say how this environment came to the package. */
static void add_installations(struct fixed_table *t, const struct view *view, uint32_t site)
{
    for (uint32_t i = 0; i < view->n_layers; i++) {
        const struct view_layer *l = &view->layers[i];
        const char *name = image_dist_info(l->image);
        uint32_t record;
        if ((!l->direct_url && !l->installer) || !path_component_ok(name, strlen(name)))
            continue;
        uint32_t dist_info = fixed_dir(t, site, name);
        if (l->installer)
            fixed_file(t, dist_info, "INSTALLER", GENERATED_INSTALLER, i, 0);
        if (!l->direct_url)
            continue;
        fixed_file(t, dist_info, "direct_url.json", GENERATED_DIRECT_URL, i, 0);
        if (find_record(view, i, &record))
            fixed_file(t, dist_info, "RECORD", GENERATED_RECORD, i, 0);
    }
}

/* What is called so in a folder of the table; 0, the root, when there is nothing. */
static uint32_t fixed_find(const struct fixed_table *t, uint32_t parent, const char *name)
{
    for (uint32_t i = 1; i < t->n; i++)
        if (t->items[i].parent == parent && strcmp(t->items[i].name, name) == 0)
            return i;
    return 0;
}

/* A file of the manifest and the folders above it. What is there already stays: no install may
 * replace bin/python. */
static void add_file(struct fixed_table *t, const struct view *view, uint32_t item)
{
    const struct view_file *f = &view->files[item];
    const char *name = f->path, *end = f->path + f->path_len;
    uint32_t parent = 0;
    for (const char *next; (next = name + strlen(name) + 1) < end; name = next) {
        uint32_t dir = fixed_find(t, parent, name);
        if (dir == 0)
            dir = fixed_dir(t, parent, name);
        else if (!t->items[dir].is_dir)
            return;
        parent = dir;
    }
    if (fixed_find(t, parent, name) == 0)
        fixed_file(t, parent, name, GENERATED_FILE, VIEW_NO_LAYER, item);
}

/* What belongs to packages, whoever made the environment. */
static void add_for_packages(struct fixed_table *t, const struct view *view, uint32_t site)
{
    const struct manifest *m = &view->facts;
    if (view->accelerator && version_at_least(m, 3, 8) && !version_at_least(m, 3, 14))
        fixed_file(t, site, "_venvfs.pth", GENERATED_ACCELERATOR, VIEW_NO_LAYER, 0);
    add_installations(t, view, site);
    for (uint32_t i = 0; i < view->n_files; i++)
        add_file(t, view, i);
}

/* A tool makes the environment: an empty folder, until packages of the store lie below. */
static void add_bare(struct fixed_table *t, const struct view *view, uint32_t root)
{
    if (view->n_layers == 0 && view->n_files == 0)
        return;
    fixed_dir(t, root, "bin");
    uint32_t lib = fixed_dir(t, root, "lib");
    uint32_t python = fixed_dir(t, lib, view->facts.python_dir);
    add_for_packages(t, view, fixed_dir(t, python, "site-packages"));
}

static void add_whole(struct fixed_table *t, const struct view *view, uint32_t root)
{
    const struct manifest *m = &view->facts;
    uint32_t bin = fixed_dir(t, root, "bin");
    uint32_t include = fixed_dir(t, root, "include");
    uint32_t lib = fixed_dir(t, root, "lib");
    uint32_t python = fixed_dir(t, lib, m->python_dir);
    uint32_t site = fixed_dir(t, python, "site-packages");
    if (version_at_least(m, 3, 11))
        fixed_dir(t, include, m->python_dir);
    if (json_is_true(json_object_get(m->settings, "linked_folder"))) {
        fixed_dir(t, root, "share"); /* links lead there: cli/linked_folder.h */
        fixed_dir(t, root, "etc");
    }
    if (m->is_64bit)
        fixed_file(t, root, "lib64", GENERATED_LIB64, VIEW_NO_LAYER, 0);
    fixed_file(t, root, "pyvenv.cfg", GENERATED_PYVENV_CFG, VIEW_NO_LAYER, 0);
    if (activation_gitignore(m))
        fixed_file(t, root, ".gitignore", GENERATED_GITIGNORE, VIEW_NO_LAYER, 0);
    add_bin(t, view, bin);
    add_for_packages(t, view, site);
}

struct view_fixed *view_fixed_list(const struct view *view, size_t *n)
{
    struct fixed_table t = {0};
    uint32_t root = fixed_dir(&t, 0, "");
    (view->facts.bare ? add_bare : add_whole)(&t, view, root);
    *n = t.n;
    return t.items;
}

/* A field of RECORD, quoted where CSV asks for it. */
static void add_csv(struct strbuf *sb, const char *s)
{
    if (strpbrk(s, ",\"\r\n") == NULL) {
        strbuf_addstr(sb, s);
        return;
    }
    strbuf_addch(sb, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"')
            strbuf_addch(sb, '"');
        strbuf_addch(sb, *s);
    }
    strbuf_addch(sb, '"');
}

/* The row that a generated direct_url.json adds to RECORD; the order of rows is free (PEP 376). */
static void record_row(const struct view *view, uint32_t layer, struct strbuf *sb)
{
    const char *text = view->strings + view->layers[layer].direct_url;
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    struct sha256 hash;
    char base64[SHA256_BASE64_SIZE];
    strbuf_addf(&path, "%s/direct_url.json", image_dist_info(view->layers[layer].image));
    sha256_of(text, strlen(text), &hash);
    sha256_to_base64(&hash, base64);
    add_csv(sb, path.buf);
    strbuf_addf(sb, ",sha256=%s,%zu\n", base64, strlen(text));
}

static void add_file_text(const struct view *view, const struct view_file *f, struct strbuf *sb)
{
    const struct image_script shebang = {.kind = IMAGE_SCRIPT_PYTHON};
    if (f->script)
        script_text(&shebang, view->interpreter, sb);
    strbuf_addstr(sb, f->text);
}

void view_generated_text(const struct view *view, const struct view_generated *g, struct strbuf *sb)
{
    struct image_script script;
    switch ((enum view_generated_kind)g->kind) {
    case GENERATED_PYVENV_CFG:
        activation_pyvenv_cfg(&view->facts, view->address, sb);
        break;
    case GENERATED_GITIGNORE:
        strbuf_addstr(sb, "# Created by venvfs\n*\n");
        break;
    case GENERATED_ACTIVATION:
        activation_files[g->item].text(&view->facts, view->address, sb);
        break;
    case GENERATED_SCRIPT:
        script = image_script(view->layers[g->layer].image, g->item);
        script_text(&script, view->interpreter, sb);
        break;
    case GENERATED_ACCELERATOR:
        strbuf_addstr(sb, accelerator_pth);
        break;
    case GENERATED_DIRECT_URL:
        strbuf_addstr(sb, view->strings + view->layers[g->layer].direct_url);
        break;
    case GENERATED_INSTALLER:
        strbuf_addstr(sb, view->strings + view->layers[g->layer].installer);
        break;
    case GENERATED_FILE:
        add_file_text(view, &view->files[g->item], sb);
        break;
    case GENERATED_RECORD:
        record_row(view, g->layer, sb);
        break;
    case GENERATED_LIB64:
    case GENERATED_INTERPRETER:
    case GENERATED_INTERPRETER_ALIAS:
        view_generated_target(view, g, sb);
        break;
    }
}

bool view_generated_tail(const struct view *view, const struct view_generated *g, uint32_t *blob,
                         uint64_t *skip, uint64_t *size)
{
    const struct image *image;
    if (g->kind == GENERATED_SCRIPT) {
        image = view->layers[g->layer].image;
        struct image_script script = image_script(image, g->item);
        if (script.kind != IMAGE_SCRIPT_PYTHON)
            return false;
        *blob = script.blob;
        *skip = script.skip;
    } else if (g->kind == GENERATED_RECORD) {
        image = view->layers[g->layer].image;
        uint32_t record;
        if (!find_record(view, g->layer, &record))
            return false;
        *blob = image_node(image, record).blob;
        *skip = 0;
    } else {
        return false;
    }
    if (*blob == IMAGE_NO_BLOB || image_blob_size(image, *blob) <= *skip)
        return false;
    *size = image_blob_size(image, *blob) - *skip;
    return true;
}

void view_generated_target(const struct view *view, const struct view_generated *g,
                           struct strbuf *sb)
{
    if (g->kind == GENERATED_LIB64)
        strbuf_addstr(sb, "lib");
    else if (g->kind == GENERATED_INTERPRETER)
        strbuf_addstr(sb, view->link_target);
    else if (g->kind == GENERATED_INTERPRETER_ALIAS)
        strbuf_addstr(sb, view->link_name);
}

bool view_generated_is_link(const struct view_generated *g)
{
    return g->kind == GENERATED_LIB64 || g->kind == GENERATED_INTERPRETER ||
           g->kind == GENERATED_INTERPRETER_ALIAS;
}

bool view_generated_is_exec(const struct view *view, const struct view_generated *g)
{
    return g->kind == GENERATED_SCRIPT || (g->kind == GENERATED_FILE && view->files[g->item].exec);
}
