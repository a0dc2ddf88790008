/* From an installed tree to images: the same images as from wheels, what was edited, and what is
 * refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "real_target.h"
#include "treemaker.h"
#include "wheel/content.h"
#include "wheel/installed.h"
#include "wheel/layout.h"
#include "wheel/shebang.h"
#include "wheel/wheel.h"
#include "wheelmaker.h"

static struct wheel_target target;
static char folder[] = "/tmp/venvfs-test-XXXXXX";
static char *root; /* of the environment, anew for each test */
static struct store *store;
static bool compile;

static int set_up(void **state)
{
    (void)state;
    target = *real_target();
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove_tree(folder);
}

static struct store *new_store(void)
{
    static unsigned serial;
    struct store *s;
    _cleanup_free_ char *path = xasprintf("%s/store-%u", folder, serial++);
    assert_int_equal(store_open(path, STORE_CREATE, &s, NULL), 0);
    return s;
}

static int begin(void **state)
{
    (void)state;
    static unsigned serial;
    root = xasprintf("%s/env-%u", folder, serial++);
    compile = false;
    store = new_store();
    return path_mkdirs(root, 0755);
}

static int end(void **state)
{
    (void)state;
    store_close(store);
    free(root);
    return 0;
}

static struct wheel_options options(void)
{
    return (struct wheel_options){.compile = {.enabled = compile, .levels = 1}, .jobs = 2};
}

/* ---- reading and ingesting all of the environment ---- */

static struct installed *read_with(const char *const *names)
{
    const struct installed_tree tree = {.root = root, .names = names};
    const struct wheel_options o = options();
    struct installed *in;
    char **dists;
    size_t n;
    struct verror err = VERROR_INIT;
    assert_int_equal(installed_scan(&tree, &target, &dists, &n, &err), 0);
    if (installed_read(&tree, &target, (const char *const *)dists, n, &o, &in, &err) < 0)
        fail_msg("%s", verror_message(&err));
    installed_scan_free(dists, n);
    return in;
}

static struct installed *read_env(void)
{
    const char *const names[] = {root, NULL};
    return read_with(names);
}

static void ingest(struct installed *in)
{
    const struct wheel_options o = options();
    struct verror err = VERROR_INIT;
    if (installed_ingest(in, store, &o, &err) < 0)
        fail_msg("%s", verror_message(&err));
}

/* The only one, which must be a package. */
static struct installed_dist *only(struct installed *in)
{
    assert_int_equal(installed_count(in), 1);
    struct installed_dist *d = installed_dist(in, 0);
    if (d->state == INSTALLED_REFUSED)
        fail_msg("%s", verror_message(&d->error));
    assert_int_equal(d->state, INSTALLED_PACKAGE);
    return d;
}

static char *site_path(const char *path)
{
    return xasprintf("lib/%s/site-packages/%s", target.python_dir, path);
}

static const struct installed_edit *edit_at(struct installed_dist *d, const char *path)
{
    _cleanup_free_ char *full = *path == '/' ? xstrdup(path + 1) : site_path(path);
    return installed_edit_at(d, full);
}

/* ---- one distribution, as a wheel and as installed ---- */

static void make_wheel(struct made_wheel *w)
{
    made_init(w, "Rich.One", "1.0");
    made_add(w, "rich_one/__init__.py", "");
    made_add(w, "rich_one/a.py", "x = 1\n");
    made_add(w, "rich_one/tool.sh", "#!/bin/sh\n")->mode = 0100755;
    made_add(w, "rich_one/a,\"b\".txt", "data");
    made_add(w, "Rich.One-1.0.data/purelib/other.py", "y = 2\n");
    made_add(w, "Rich.One-1.0.data/headers/x.h", "#define X\n");
    made_add(w, "Rich.One-1.0.data/scripts/old", "#!python\nprint(1)\n");
    made_add(w, "Rich.One-1.0.data/scripts/plain", "#!/bin/sh\ntrue\n")->mode = 0100755;
    made_add(w, "Rich.One-1.0.data/data/share/x.py", "z = 3\n");
    made_add(w, "Rich.One-1.0.dist-info/entry_points.txt",
             "[console_scripts]\nrich = rich_one.a:main\n[gui_scripts]\ngrich = rich_one:go\n");
    made_add(w, "Rich.One-1.0.dist-info/RECORD.jws", "{}")->unlisted = true;
    made_set(made_find(w, "Rich.One-1.0.dist-info/METADATA"),
             "Metadata-Version: 2.1\nName: Rich.One\nVersion: 1.0\n");
    made_set(made_find(w, "Rich.One-1.0.dist-info/WHEEL"),
             "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
}

/* As pip installs it into an environment at `at`. */
static void make_tree(struct made_tree *t, const char *at)
{
    tree_init(t, root, target.python_dir, "Rich.One", "1.0");
    tree_add(t, "rich_one/__init__.py", "", 0644);
    tree_add(t, "rich_one/a.py", "x = 1\n", 0644);
    tree_add(t, "rich_one/tool.sh", "#!/bin/sh\n", 0755);
    tree_add(t, "rich_one/a,\"b\".txt", "data", 0644);
    tree_add(t, "other.py", "y = 2\n", 0644);
    _cleanup_free_ char *header = xasprintf("/include/site/%s/rich-one/x.h", target.python_dir);
    tree_add(t, header, "#define X\n", 0644);
    _cleanup_free_ char *old = xasprintf("#!%s/bin/python3\nprint(1)\n", at);
    tree_add(t, "/bin/old", old, 0755);
    tree_add(t, "/bin/plain", "#!/bin/sh\ntrue\n", 0755);
    tree_add(t, "/share/x.py", "z = 3\n", 0644);
    tree_add(t, "Rich.One-1.0.dist-info/entry_points.txt",
             "[console_scripts]\nrich = rich_one.a:main\n[gui_scripts]\ngrich = rich_one:go\n",
             0644);
    tree_write(t, "Rich.One-1.0.dist-info/RECORD.jws", "{}", 0644);
    tree_row(t, "Rich.One-1.0.dist-info/RECORD.jws,,");
    _cleanup_free_ char *wrapper = xasprintf("#!%s/bin/python3\nwhatever pip writes\n", at);
    tree_add(t, "/bin/rich", wrapper, 0755);
    tree_add(t, "/bin/grich", wrapper, 0755);
    _cleanup_free_ char *pyc = xasprintf("rich_one/__pycache__/a.%s.pyc", target.cache_tag);
    _cleanup_free_ char *row = xasprintf("%s,,", pyc);
    tree_write(t, pyc, "not looked at", 0644);
    tree_row(t, row);
}

static struct store_image ingest_wheel(struct store *into)
{
    struct made_wheel w;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    _cleanup_free_ char *path = path_join(folder, "rich_one-1.0-py3-none-any.whl");
    const struct wheel_options o = options();
    const struct wheel_source source = {.path = path};
    struct store_image image;
    struct verror err = VERROR_INIT;
    make_wheel(&w);
    made_finish(&w, &sb);
    assert_int_equal(io_write_file_atomic(path, sb.buf, sb.len, 0644, 0), 0);
    if (wheel_ingest(into, &target, &source, 1, &o, &image, &err) < 0)
        fail_msg("%s", verror_message(&err));
    return image;
}

static struct image *open_image(const struct store_image *which)
{
    struct image *image;
    assert_int_equal(store_image_open(store, which, &image, NULL), 0);
    return image;
}

static bool find_node(const struct image *image, const char *path, uint32_t *node)
{
    _cleanup_free_ char *full = *path == '/' ? xstrdup(path + 1) : site_path(path);
    *node = IMAGE_ROOT;
    for (char *p = full; *p;) {
        size_t n = strcspn(p, "/");
        if (!image_lookup(image, *node, p, n, true, node))
            return false;
        p += n + (p[n] == '/');
    }
    return true;
}

static bool has(const struct store_image *which, const char *path)
{
    uint32_t node;
    struct image *image = open_image(which);
    bool found = find_node(image, path, &node);
    image_unref(image);
    return found;
}

static char *read_text(const struct store_image *which, const char *path)
{
    struct image *image = open_image(which);
    struct blob_reader *reader;
    struct image_where *where;
    uint32_t node;
    assert_true(find_node(image, path, &node));
    struct image_node n = image_node(image, node);
    assert_int_equal(blob_reader_new(store, 1 << 20, &reader, NULL), 0);
    assert_int_equal(image_where_open(reader, which, image, &where, NULL), 0);
    char *text = xcalloc(n.size + 1, 1);
    assert_int_equal(blob_reader_read(reader, where, image, n.blob, 0, text, n.size, false, NULL),
                     n.size);
    image_where_free(where);
    blob_reader_free(reader);
    image_unref(image);
    return text;
}

static uint64_t blobs(void)
{
    struct store_stats stats;
    assert_int_equal(store_stats(store, &stats, NULL), 0);
    return stats.blobs;
}

/* ---- the same images ---- */

static void a_tree_makes_the_same_image_as_its_wheel(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    tree_finish(&t);
    struct installed *in = read_env();
    struct installed_dist *d = only(in);
    ingest(in);
    assert_string_equal(d->name, "Rich.One");
    assert_string_equal(d->version, "1.0");
    assert_string_equal(d->installer, "pip");
    assert_false(d->requested || d->found);
    assert_null(d->direct_url);
    assert_int_equal(d->n_edits, 0);
    struct store *other = new_store();
    struct store_image image = ingest_wheel(other);
    assert_true(sha256_equal(&image.id, &d->image.id));
    store_close(other);
    installed_free(in);
}

static void bytecode_is_compiled_anew(void **state)
{
    (void)state;
    struct made_tree t;
    compile = true;
    make_tree(&t, root);
    tree_finish(&t);
    struct installed *in = read_env();
    ingest(in);
    _cleanup_free_ char *pyc = xasprintf("rich_one/__pycache__/a.%s.pyc", target.cache_tag);
    _cleanup_free_ char *init = xasprintf("rich_one/__pycache__/__init__.%s.pyc", target.cache_tag);
    assert_true(has(&only(in)->image, pyc));
    assert_true(has(&only(in)->image, init));
    _cleanup_free_ char *text = read_text(&only(in)->image, pyc);
    assert_null(strstr(text, "not looked at"));
    installed_free(in);
}

static void an_image_of_the_wheel_is_found(void **state)
{
    (void)state;
    struct made_tree t;
    compile = true;
    struct store_image image = ingest_wheel(store);
    uint64_t before = blobs();
    make_tree(&t, root);
    tree_write(&t, "Rich.One-1.0.dist-info/REQUESTED", "", 0644);
    tree_write(&t, "Rich.One-1.0.dist-info/direct_url.json",
               "{\"url\": \"file:///x.whl\", \"archive_info\": {}}", 0644);
    tree_row(&t, "Rich.One-1.0.dist-info/direct_url.json,,");
    tree_finish(&t);
    struct installed *in = read_env();
    struct installed_dist *d = only(in);
    ingest(in);
    assert_true(d->found && d->requested);
    assert_int_equal(d->image.number, image.number);
    assert_string_equal(d->direct_url, "{\"url\": \"file:///x.whl\", \"archive_info\": {}}");
    assert_int_equal(blobs(), before);
    struct store_wheel wheel;
    assert_int_equal(store_find_wheel(store, &d->wheel, &wheel, NULL), 0);
    assert_string_equal(wheel.filename, "rich_one-1.0-py3-none-any.whl");
    store_wheel_release(&wheel);
    installed_free(in);
}

static void a_second_ingest_adds_nothing(void **state)
{
    (void)state;
    struct made_tree t;
    compile = true;
    make_tree(&t, root);
    tree_finish(&t);
    struct installed *in = read_env();
    ingest(in);
    struct store_image image = only(in)->image;
    uint64_t before = blobs();
    installed_free(in);
    in = read_env();
    ingest(in);
    assert_true(only(in)->found);
    assert_int_equal(only(in)->image.number, image.number);
    assert_int_equal(blobs(), before);
    installed_free(in);
}

static void a_moved_tree_is_the_same(void **state)
{
    (void)state;
    struct made_tree t;
    const char *const names[] = {root, "/old/place", NULL};
    make_tree(&t, "/old/place");
    tree_finish(&t);
    struct installed *in = read_with(names);
    ingest(in);
    struct store_image image = ingest_wheel(store);
    assert_int_equal(only(in)->image.number, image.number);
    installed_free(in);
}

static void content_of_an_image_is_that_of_its_tree(void **state)
{
    (void)state;
    struct made_tree t;
    struct sha256 content;
    compile = true;
    make_tree(&t, root);
    tree_finish(&t);
    struct installed *in = read_env();
    ingest(in);
    struct image *image = open_image(&only(in)->image);
    content_of_image(image, &content);
    assert_true(sha256_equal(&content, &only(in)->content));
    assert_true(sha256_equal(&content, &only(in)->wheel));
    image_unref(image);
    installed_free(in);
}

/* ---- edits ---- */

static void what_differs_from_record_is_an_edit(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    tree_write(&t, "rich_one/a.py", "x = 2\n", 0644);
    _cleanup_free_ char *gone = tree_path(&t, "other.py");
    _cleanup_free_ char *linked = tree_path(&t, "/share/x.py");
    _cleanup_free_ char *fifo = tree_path(&t, "/bin/plain");
    assert_int_equal(unlink(gone), 0);
    assert_int_equal(unlink(linked), 0);
    assert_int_equal(symlink("/etc/passwd", linked), 0);
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(mkfifo(fifo, 0644), 0);
    tree_finish(&t);
    struct installed *in = read_env();
    struct installed_dist *d = only(in);
    ingest(in);
    assert_int_equal(d->n_edits, 4);
    assert_int_equal(edit_at(d, "rich_one/a.py")->kind, INSTALLED_CHANGED);
    assert_int_equal(edit_at(d, "other.py")->kind, INSTALLED_MISSING);
    assert_int_equal(edit_at(d, "/share/x.py")->kind, INSTALLED_LINK);
    assert_int_equal(edit_at(d, "/bin/plain")->kind, INSTALLED_OTHER);
    for (size_t i = 0; i < d->n_edits; i++)
        assert_true(installed_owns(d, d->edits[i].path));
    assert_false(has(&d->image, "rich_one/a.py"));
    assert_false(has(&d->image, "/share/x.py"));
    assert_true(has(&d->image, "rich_one/__init__.py"));
    _cleanup_free_ char *record = read_text(&d->image, "Rich.One-1.0.dist-info/RECORD");
    assert_non_null(strstr(record, "\r\nrich_one/a.py,sha256="));
    assert_non_null(strstr(record, "\r\nother.py,sha256="));
    installed_free(in);
}

static void an_edit_lies_over_the_image_of_the_wheel(void **state)
{
    (void)state;
    struct made_tree t;
    struct store_image image = ingest_wheel(store);
    make_tree(&t, root);
    tree_write(&t, "rich_one/a.py", "x = 2\n", 0644);
    tree_finish(&t);
    struct installed *in = read_env();
    struct installed_dist *d = only(in);
    ingest(in);
    assert_int_equal(d->n_edits, 1);
    assert_true(d->found);
    assert_int_equal(d->image.number, image.number);
    _cleanup_free_ char *text = read_text(&d->image, "rich_one/a.py");
    assert_string_equal(text, "x = 1\n");
    installed_free(in);
}

static void an_edited_wrapper_is_an_edit_and_the_script_stays(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    tree_write(&t, "/bin/rich", "#!/bin/sh\necho mine\n", 0755);
    _cleanup_free_ char *gone = tree_path(&t, "/bin/grich");
    assert_int_equal(unlink(gone), 0);
    tree_finish(&t);
    struct installed *in = read_env();
    struct installed_dist *d = only(in);
    ingest(in);
    assert_int_equal(d->n_edits, 2);
    assert_int_equal(edit_at(d, "/bin/rich")->kind, INSTALLED_CHANGED);
    assert_int_equal(edit_at(d, "/bin/grich")->kind, INSTALLED_MISSING);
    assert_int_equal(d->image.number, ingest_wheel(store).number);
    installed_free(in);
}

/* In an environment of venvfs rows of scripts have no hash. */
static void a_wrapper_without_a_hash_is_known_by_its_text(void **state)
{
    (void)state;
    struct made_tree t;
    tree_init(&t, root, target.python_dir, "foo", "1");
    tree_add(&t, "foo-1.dist-info/entry_points.txt",
             "[console_scripts]\nfoo = foo:main\nbar = foo:main\n", 0644);
    const struct image_script script = {
        .kind = IMAGE_SCRIPT_CONSOLE, .name = "foo", .module = "foo", .attr = "main"};
    _cleanup_free_ char *python = xasprintf("%s/bin/python", root);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    script_text(&script, python, &text);
    tree_write(&t, "/bin/foo", text.buf, 0755);
    strbuf_addstr(&text, "# edited\n");
    tree_write(&t, "/bin/bar", text.buf, 0755);
    tree_row(&t, "../../../bin/foo,,");
    tree_row(&t, "../../../bin/bar,,");
    tree_finish(&t);
    struct installed *in = read_env();
    assert_int_equal(only(in)->n_edits, 1);
    assert_non_null(edit_at(only(in), "/bin/bar"));
    installed_free(in);
}

static void a_file_changed_after_it_was_read_is_refused(void **state)
{
    (void)state;
    struct made_tree t;
    struct verror err = VERROR_INIT;
    const struct wheel_options o = options();
    make_tree(&t, root);
    _cleanup_free_ char *path = tree_path(&t, "rich_one/a.py");
    tree_finish(&t);
    struct installed *in = read_env();
    assert_int_equal(io_write_file_atomic(path, "x = 9\n", 6, 0644, 0), 0);
    assert_int_equal(installed_ingest(in, store, &o, &err), -ESTALE);
    assert_non_null(strstr(verror_message(&err), "rich_one/a.py was changed while"));
    assert_int_equal(blobs(), 0);
    verror_release(&err);
    installed_free(in);
}

static void a_file_too_big_to_read_is_not_read(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    _cleanup_free_ char *path = tree_path(&t, "other.py");
    tree_finish(&t);
    assert_int_equal(truncate(path, (off_t)1 << 42), 0);
    struct installed *in = read_env();
    assert_int_equal(edit_at(only(in), "other.py")->kind, INSTALLED_OTHER);
    installed_free(in);
}

static void below_a_linked_folder_nothing_is_read(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    _cleanup_free_ char *pkg = tree_path(&t, "rich_one");
    _cleanup_free_ char *aside = xasprintf("%s/aside", root);
    tree_finish(&t);
    assert_int_equal(rename(pkg, aside), 0);
    assert_int_equal(symlink(aside, pkg), 0);
    struct installed *in = read_env();
    assert_int_equal(only(in)->n_edits, 4);
    assert_int_equal(edit_at(only(in), "rich_one/a.py")->kind, INSTALLED_LINK);
    installed_free(in);
}

static void editable_installs_are_left_alone(void **state)
{
    (void)state;
    struct made_tree t;
    tree_init(&t, root, target.python_dir, "mine", "0.1");
    tree_write(&t, "mine-0.1.dist-info/direct_url.json",
               "{\"dir_info\": {\"editable\": true}, \"url\": \"file:///src/mine\"}", 0644);
    tree_add(&t, "__editable__.mine-0.1.pth", "/src/mine\n", 0644);
    tree_finish(&t);
    struct installed *in = read_env();
    ingest(in);
    assert_int_equal(installed_dist(in, 0)->state, INSTALLED_EDITABLE);
    assert_string_equal(installed_dist(in, 0)->name, "mine");
    assert_int_equal(installed_dist(in, 0)->n_owned, 0);
    assert_int_equal(blobs(), 0);
    installed_free(in);
}

/* ---- what RECORD may say ---- */

static void harmless_rows_do_no_harm(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    tree_write(&t, "unhashed.txt", "u", 0644);
    tree_row(&t, "unhashed.txt,,");
    tree_row(&t, "unhashed.txt,,");
    tree_row(&t, "./rich_one/../unhashed.txt,,1");
    tree_row(&t, "rich_one/,,");
    _cleanup_free_ char *absolute = xasprintf("%s/share/x.txt", root);
    tree_write(&t, "/share/x.txt", "abs", 0644);
    _cleanup_free_ char *row = xasprintf("%s,,", absolute);
    tree_row(&t, row);
    tree_row(&t, "../../../lib64/x.txt,,");
    tree_write(&t, "/lib/x.txt", "64", 0644);
    tree_finish(&t);
    struct installed *in = read_env();
    ingest(in);
    assert_int_equal(only(in)->n_edits, 0);
    assert_true(has(&only(in)->image, "unhashed.txt"));
    assert_true(has(&only(in)->image, "/share/x.txt"));
    assert_true(has(&only(in)->image, "/lib/x.txt"));
    installed_free(in);
}

static void a_row_for_a_folder_is_an_edit(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    tree_write(&t, "extra/x.txt", "", 0644);
    tree_row(&t, "extra,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0");
    tree_finish(&t);
    struct installed *in = read_env();
    assert_int_equal(edit_at(only(in), "extra")->kind, INSTALLED_OTHER);
    installed_free(in);
}

static void rows(struct made_tree *t, const char *row)
{
    tree_row(t, row);
}
static void passwd(struct made_tree *t)
{
    rows(t, "../../../../../../../../etc/passwd,,");
}
static void just_outside(struct made_tree *t)
{
    rows(t, "../../../../other/x,,");
}
static void absolute(struct made_tree *t)
{
    rows(t, "/etc/passwd,,");
}
static void absolute_dots(struct made_tree *t)
{
    _cleanup_free_ char *row = xasprintf("%s/../../../etc/passwd,,", t->root);
    rows(t, row);
}
static void root_itself(struct made_tree *t)
{
    rows(t, "../../..,,");
}
static void two_hashes(struct made_tree *t)
{
    rows(t, "rich_one/a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0");
}
static void two_spellings(struct made_tree *t)
{
    rows(t, "./rich_one/a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0");
}
static void weak_hash(struct made_tree *t)
{
    rows(t, "rich_one/b.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0");
}
static void backslash(struct made_tree *t)
{
    rows(t, "rich_one\\b.py,,");
}
static void newline(struct made_tree *t)
{
    rows(t, "\"rich_one/\nb.py\",,");
}
static void open_quote(struct made_tree *t)
{
    rows(t, "\"rich_one/b.py,,");
}
static void whiteout(struct made_tree *t)
{
    rows(t, "rich_one/.wh.a.py,,");
}
static void interpreter(struct made_tree *t)
{
    tree_write(t, "/bin/python3", "evil", 0755);
    rows(t, "../../../bin/python3,,");
}
static void pyvenv_cfg(struct made_tree *t)
{
    rows(t, "../../../pyvenv.cfg,,");
}
static void second_dist_info(struct made_tree *t)
{
    tree_write(t, "pip-1.0.dist-info/x", "Name: pip\nVersion: 1.0\n", 0644);
    rows(t, "pip-1.0.dist-info/x,,");
}
static void own_file(struct made_tree *t)
{
    rows(t, "_venvfs.pth,,");
}
static void no_metadata(struct made_tree *t)
{
    _cleanup_free_ char *path = tree_path(t, "Rich.One-1.0.dist-info/METADATA");
    assert_int_equal(unlink(path), 0);
}
static void linked_metadata(struct made_tree *t)
{
    _cleanup_free_ char *path = tree_path(t, "Rich.One-1.0.dist-info/METADATA");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
}
static void other_name(struct made_tree *t)
{
    tree_write(t, "Rich.One-1.0.dist-info/METADATA", "Name: pip\nVersion: 1.0\n", 0644);
}
static void binary_metadata(struct made_tree *t)
{
    tree_write(t, "Rich.One-1.0.dist-info/METADATA", "\x7f\x45\x4c\x46", 0644);
}
static void bad_direct_url(struct made_tree *t)
{
    tree_write(t, "Rich.One-1.0.dist-info/direct_url.json", "[]", 0644);
}
static void bad_entry_point(struct made_tree *t)
{
    tree_write(t, "Rich.One-1.0.dist-info/entry_points.txt", "[console_scripts]\n../x = a:b\n",
               0644);
}

static const struct {
    const char *what;
    void (*spoil)(struct made_tree *t);
    const char *says;
} refused[] = {
    {"/etc/passwd by ..", passwd, "etc/passwd, which lies outside the environment"},
    {"just outside", just_outside, "other/x, which lies outside the environment"},
    {"absolute", absolute, "/etc/passwd, which lies outside the environment"},
    {"absolute with ..", absolute_dots, "which lies outside the environment"},
    {"the root", root_itself, "which is empty"},
    {"two hashes", two_hashes, "two different rows for rich_one/a.py"},
    {"two spellings", two_spellings, "rich_one/a.py, which another row lists"},
    {"weak hash", weak_hash, "of kind \"md5\""},
    {"backslash", backslash, "has a backslash"},
    {"newline", newline, "rich_one/\\x0ab.py, which has a control character"},
    {"open quote", open_quote, "a quote is not closed"},
    {"whiteout", whiteout, "starts with \".wh.\""},
    {"bin/python3", interpreter, "the environment's own"},
    {"pyvenv.cfg", pyvenv_cfg, "the environment's own pyvenv.cfg"},
    {"second dist-info", second_dist_info, "second .dist-info"},
    {"_venvfs.pth", own_file, "for venvfs's own files"},
    {"no METADATA", no_metadata, "has no METADATA"},
    {"METADATA is a link", linked_metadata, "has no METADATA"},
    {"another name", other_name, "METADATA is of pip"},
    {"binary METADATA", binary_metadata, "METADATA has no Name"},
    {"direct_url.json", bad_direct_url, "is no JSON object"},
    {"entry point ../x", bad_entry_point, "holds a '/'"},
};

/* A refused distribution leaves the others alone. */
static void expect_refused(const char *what, const char *says)
{
    struct installed *in = read_env();
    struct installed_dist *d = NULL;
    for (size_t i = 0; i < installed_count(in); i++)
        if (strcmp(installed_dist(in, i)->dist_info, "Rich.One-1.0.dist-info") == 0)
            d = installed_dist(in, i);
        else if (strcmp(installed_dist(in, i)->dist_info, "fine-1.dist-info") == 0)
            assert_int_equal(installed_dist(in, i)->state, INSTALLED_PACKAGE);
    assert_non_null(d);
    if (d->state != INSTALLED_REFUSED)
        fail_msg("%s: not refused", what);
    const char *message = verror_message(&d->error);
    if (!strstr(message, says) || strchr(message, '\n') ||
        strncmp(message, "Rich.One-1.0.dist-info: ", 24) != 0)
        fail_msg("%s: \"%s\", not \"%s\"", what, message, says);
    ingest(in);
    installed_free(in);
}

static void bad_distributions_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct made_tree t;
        assert_int_equal(path_remove_tree(root), 0);
        tree_init(&t, root, target.python_dir, "fine", "1");
        tree_finish(&t);
        make_tree(&t, root);
        refused[i].spoil(&t);
        tree_finish(&t);
        expect_refused(refused[i].what, refused[i].says);
    }
}

static void a_folder_without_record_is_refused(void **state)
{
    (void)state;
    struct made_tree t;
    make_tree(&t, root);
    _cleanup_free_ char *record = tree_path(&t, "Rich.One-1.0.dist-info/RECORD");
    tree_finish(&t);
    assert_int_equal(unlink(record), 0);
    expect_refused("no RECORD", "has no RECORD");
    assert_int_equal(mkfifo(record, 0644), 0);
    expect_refused("RECORD is a FIFO", "has no RECORD");
}

static void odd_folder_names_are_refused(void **state)
{
    (void)state;
    static const char *const odd[] = {"x.dist-info", "-1.dist-info", "x-.dist-info",
                                      "x y-1.dist-info"};
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        _cleanup_free_ char *path =
            xasprintf("%s/lib/%s/site-packages/%s/METADATA", root, target.python_dir, odd[i]);
        _cleanup_free_ char *dir = path_dirname(path);
        assert_int_equal(path_mkdirs(dir, 0755), 0);
        static const char text[] = "Name: x y\nVersion: 1\n";
        assert_int_equal(io_write_file_atomic(path, text, strlen(text), 0644, 0), 0);
    }
    struct installed *in = read_env();
    assert_int_equal(installed_count(in), ARRAY_SIZE(odd));
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
        assert_int_equal(installed_dist(in, i)->state, INSTALLED_REFUSED);
    installed_free(in);
}

static void no_tree_is_an_error(void **state)
{
    (void)state;
    const struct installed_tree tree = {.root = root};
    struct verror err = VERROR_INIT;
    char **names;
    size_t n;
    assert_int_equal(installed_scan(&tree, &target, &names, &n, &err), -ENOENT);
    assert_non_null(strstr(verror_message(&err), "site-packages: No such file"));
    verror_release(&err);
}

/* ---- texts ---- */

static void first_lines_name_an_interpreter_or_not(void **state)
{
    (void)state;
    static const char *const names[] = {"/v", "/a b", NULL};
    static const struct {
        const char *text;
        size_t length;
    } lines[] = {
        {"#!/v/bin/python\nx", 16},
        {"#!/v/bin/python3.11\r\nx", 21},
        {"#!/v/bin/python3.13t", 20},
        {"#!/v/bin/python -E\nx", 0},
        {"#!/v/bin/pythonista\nx", 0},
        {"#!/v/bin/../bin/python\nx", 0},
        {"#!/vv/bin/python\nx", 0},
        {"#!/usr/bin/python3\nx", 0},
        {"#!", 0},
        {"", 0},
        {"#!/bin/sh\n'''exec' /v/bin/python3 \"$0\" \"$@\"\n' '''\nx", 50},
        {"#!/bin/sh\n'''exec' \"/a b/bin/python3\" \"$0\" \"$@\"\n' '''\nx", 54},
        {"#!/bin/sh\n'''exec' /usr/bin/python3 \"$0\" \"$@\"\n' '''\nx", 0},
        {"#!/bin/sh\n'''exec' /v/bin/python3", 0},
        {"#!/bin/sh\n'''exec' \" \"$0\" \"$@\"\n' '''\n", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        size_t n = shebang_length(lines[i].text, strlen(lines[i].text), names);
        if (n != lines[i].length)
            fail_msg("%s: %zu, not %zu", lines[i].text, n, lines[i].length);
    }
}

static void paths_of_record_are_resolved(void **state)
{
    (void)state;
    const struct layout l = {.python_dir = "python3.11"};
    static const char *const paths[][2] = {
        {"a.py", "lib/python3.11/site-packages/a.py"},
        {"./a//b.py", "lib/python3.11/site-packages/a/b.py"},
        {"../../../bin/x", "bin/x"},
        {"../../../lib64/y", "lib/y"},
        {"../../../bin/../share/x", "share/x"},
        {"../../..", ""},
        {"../../../..", NULL},
        {"a/../../../../../x", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_free_ char *got = layout_record_place(&l, paths[i][0]);
        if (!paths[i][1])
            assert_null(got);
        else
            assert_string_equal(got, paths[i][1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_makes_the_same_image_as_its_wheel),
        TEST(bytecode_is_compiled_anew),
        TEST(an_image_of_the_wheel_is_found),
        TEST(a_second_ingest_adds_nothing),
        TEST(a_moved_tree_is_the_same),
        TEST(content_of_an_image_is_that_of_its_tree),
        TEST(what_differs_from_record_is_an_edit),
        TEST(an_edit_lies_over_the_image_of_the_wheel),
        TEST(an_edited_wrapper_is_an_edit_and_the_script_stays),
        TEST(a_wrapper_without_a_hash_is_known_by_its_text),
        TEST(a_file_changed_after_it_was_read_is_refused),
        TEST(a_file_too_big_to_read_is_not_read),
        TEST(below_a_linked_folder_nothing_is_read),
        TEST(editable_installs_are_left_alone),
        TEST(harmless_rows_do_no_harm),
        TEST(a_row_for_a_folder_is_an_edit),
        TEST(bad_distributions_are_refused_by_name),
        TEST(a_folder_without_record_is_refused),
        TEST(odd_folder_names_are_refused),
        TEST(no_tree_is_an_error),
        cmocka_unit_test(first_lines_name_an_interpreter_or_not),
        cmocka_unit_test(paths_of_record_are_resolved),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
