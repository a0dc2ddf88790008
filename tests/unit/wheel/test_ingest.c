/* From a wheel to an image, and what is refused on the way. The store must be untouched by whatever
 * is refused. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include "base/wire.h"
#include "real_target.h"
#include "wheel/plan.h"
#include "wheel/unpack.h"
#include "wheel/wheel.h"
#include "wheelmaker.h"

static struct wheel_target target;
static char folder[] = "/tmp/venvfs-test-XXXXXX";
static struct store *store;
static struct strbuf warnings = STRBUF_INIT;

static void warn(const char *line, void *arg)
{
    (void)arg;
    strbuf_addf(&warnings, "%s\n", line);
}

static int set_up(void **state)
{
    (void)state;
    target = *real_target();
    assert_non_null(mkdtemp(folder));
    _cleanup_free_ char *root = path_join(folder, "store");
    return store_open(root, STORE_CREATE, &store, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    strbuf_release(&warnings);
    return path_remove_tree(folder);
}

static char *write_wheel(const char *filename, struct made_wheel *w)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    made_finish(w, &sb);
    char *path = path_join(folder, filename);
    assert_int_equal(io_write_file_atomic(path, sb.buf, sb.len, 0644, 0), 0);
    return path;
}

static int ingest(const char *path, bool compile, struct store_image *image, struct verror *err)
{
    struct wheel_options o = {
        .compile = {.enabled = compile, .levels = 1}, .jobs = 2, .warn = warn};
    struct wheel_source source = {.path = path};
    strbuf_reset(&warnings);
    return wheel_ingest(store, &target, &source, 1, &o, image, err);
}

/* ---- what an image holds ---- */

static struct image *open_image(const struct store_image *which)
{
    struct image *image;
    assert_int_equal(store_image_open(store, which, &image, NULL), 0);
    return image;
}

static bool find(const struct image *image, const char *path, bool requested, uint32_t *node)
{
    _cleanup_free_ char *full = strncmp(path, "/", 1) == 0
                                    ? xstrdup(path + 1)
                                    : xasprintf("lib/%s/site-packages/%s", target.python_dir, path);
    *node = IMAGE_ROOT;
    for (char *p = full; *p;) {
        size_t n = strcspn(p, "/");
        if (!image_lookup(image, *node, p, n, requested, node))
            return false;
        p += n + (p[n] == '/');
    }
    return true;
}

static bool has(const struct image *image, const char *path)
{
    uint32_t node;
    return find(image, path, false, &node);
}

static struct image_node node_of(const struct image *image, const char *path)
{
    uint32_t node;
    if (!find(image, path, true, &node))
        fail_msg("the image has no %s", path);
    return image_node(image, node);
}

static void read_file(const struct store_image *which, struct image *image, const char *path,
                      bool requested, struct strbuf *sb)
{
    struct blob_reader *reader;
    struct image_where *where;
    uint32_t node;
    assert_int_equal(blob_reader_new(store, 1 << 20, &reader, NULL), 0);
    assert_int_equal(image_where_open(reader, which, image, &where, NULL), 0);
    assert_true(find(image, path, requested, &node));
    struct image_node n = image_node(image, node);
    strbuf_reset(sb);
    strbuf_grow(sb, n.size);
    assert_int_equal(
        blob_reader_read(reader, where, image, n.blob, 0, sb->buf, n.size, false, NULL), n.size);
    sb->len = n.size;
    sb->buf[n.size] = '\0';
    image_where_free(where);
    blob_reader_free(reader);
}

static void make_rich(struct made_wheel *w)
{
    made_init(w, "Rich.One", "1.0");
    made_add(w, "rich_one/__init__.py", "");
    made_add(w, "rich_one/a.py", "x = 1\n");
    made_add(w, "rich_one/broken.py", "def (:\n");
    made_add(w, "rich_one/tool.sh", "#!/bin/sh\n")->mode = 0100755;
    made_add(w, "rich_one/a,\"b\".txt", "data");
    made_add(w, "rich_one/", "")->mode = 040755;
    made_add(w, "Rich.One-1.0.data/purelib/other.py", "y = 2\n");
    made_add(w, "Rich.One-1.0.data/headers/x.h", "#define X\n");
    made_add(w, "Rich.One-1.0.data/scripts/old", "#!python -u\nprint(1)\n");
    made_add(w, "Rich.One-1.0.data/scripts/plain", "#!/bin/sh\ntrue\n");
    made_add(w, "Rich.One-1.0.data/scripts/rich", "#!python\nprint('shadowed')\n");
    made_add(w, "Rich.One-1.0.data/data/share/x.py", "z = 3\n");
    made_add(w, "Rich.One-1.0.dist-info/entry_points.txt",
             "[console_scripts]\nrich = rich_one.a:main\n[gui_scripts]\ngrich = rich_one:go\n");
    made_add(w, "Rich.One-1.0.dist-info/RECORD.jws", "{}")->unlisted = true;
    made_add(w, "Rich.One-1.0.dist-info/INSTALLER", "someone\n");
}

static void a_wheel_is_installed_by_the_standards(void **state)
{
    (void)state;
    struct made_wheel w;
    struct store_image which;
    struct verror err = VERROR_INIT;
    make_rich(&w);
    _cleanup_free_ char *path = write_wheel("rich_one-1.0-py3-none-any.whl", &w);
    if (ingest(path, true, &which, &err) < 0)
        fail_msg("%s", verror_message(&err));
    assert_string_equal(warnings.buf, "");
    struct image *image = open_image(&which);
    assert_string_equal(image_dist_name(image), "Rich.One");
    assert_string_equal(image_dist_version(image), "1.0");
    assert_string_equal(image_dist_info(image), "Rich.One-1.0.dist-info");

    _cleanup_free_ char *pyc = xasprintf("rich_one/__pycache__/a.%s.pyc", target.cache_tag);
    _cleanup_free_ char *empty =
        xasprintf("rich_one/__pycache__/__init__.%s.pyc", target.cache_tag);
    _cleanup_free_ char *broken = xasprintf("rich_one/__pycache__/broken.%s.pyc", target.cache_tag);
    _cleanup_free_ char *header = xasprintf("/include/site/%s/rich-one/x.h", target.python_dir);
    assert_int_equal(node_of(image, "rich_one/a.py").flags, IMAGE_TIME_DERIVED);
    assert_int_equal(node_of(image, "rich_one/__init__.py").flags, IMAGE_TIME_DERIVED);
    assert_int_equal(node_of(image, "rich_one/broken.py").flags, 0);
    assert_int_equal(node_of(image, "rich_one/tool.sh").flags, IMAGE_EXEC);
    assert_int_equal(node_of(image, pyc).flags, IMAGE_BYTECODE);
    assert_int_equal(node_of(image, empty).flags, IMAGE_BYTECODE);
    assert_false(has(image, broken));
    assert_true(has(image, "other.py"));
    assert_true(has(image, header));
    assert_int_equal(node_of(image, "/share/x.py").flags, 0);
    assert_int_equal(node_of(image, "/bin/plain").flags, IMAGE_EXEC);
    assert_false(has(image, "/bin/old"));
    assert_false(has(image, "Rich.One-1.0.dist-info/REQUESTED"));
    assert_int_equal(node_of(image, "Rich.One-1.0.dist-info/REQUESTED").flags, IMAGE_IF_REQUESTED);
    assert_int_equal(image_scripts(image), 3);
    for (size_t i = 0; i < 3; i++) {
        struct image_script s = image_script(image, i);
        if (s.kind == IMAGE_SCRIPT_PYTHON) {
            assert_string_equal(s.name, "old");
            assert_int_equal(s.skip, 12);
            assert_int_equal(s.size, 21);
        }
    }
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    read_file(&which, image, "Rich.One-1.0.dist-info/INSTALLER", false, &text);
    assert_string_equal(text.buf, "venvfs\n");
    image_unref(image);
}

static void record_lists_what_is_installed(void **state)
{
    (void)state;
    struct made_wheel w;
    struct store_image which;
    make_rich(&w);
    _cleanup_free_ char *path = write_wheel("rich_one-1.0-py3-none-any.whl", &w);
    assert_int_equal(ingest(path, true, &which, NULL), 0);
    struct image *image = open_image(&which);
    _cleanup_strbuf_ struct strbuf with = STRBUF_INIT, without = STRBUF_INIT;
    read_file(&which, image, "Rich.One-1.0.dist-info/RECORD", true, &with);
    read_file(&which, image, "Rich.One-1.0.dist-info/RECORD", false, &without);
    _cleanup_free_ char *pyc =
        xasprintf("\r\nrich_one/__pycache__/a.%s.pyc,,\r\n", target.cache_tag);
    const char *rows[] = {
        "\r\n../../../bin/rich,,\r\n",
        "../../../bin/grich,,\r\n",
        "\r\n../../../bin/old,,\r\n",
        "\r\n../../../bin/plain,sha256=",
        "../../../share/x.py,sha256=",
        "\r\nRich.One-1.0.dist-info/RECORD,,\r\n",
        "\r\nRich.One-1.0.dist-info/RECORD.jws,,\r\n",
        "\r\nRich.One-1.0.dist-info/INSTALLER,,\r\n",
        "\r\nrich_one/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n",
        pyc,
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!strstr(with.buf, rows[i]))
            fail_msg("RECORD has no row %s in\n%s", rows[i], with.buf);
        assert_non_null(strstr(without.buf, rows[i]));
    }
    assert_non_null(strstr(with.buf, "\r\n\"rich_one/a,\"\"b\"\".txt\",sha256="));
    assert_non_null(strstr(with.buf, "\r\nRich.One-1.0.dist-info/REQUESTED,sha256="));
    assert_null(strstr(without.buf, "REQUESTED"));
    assert_null(strstr(with.buf, ".data/"));
    image_unref(image);
}

static void without_bytecode_no_time_is_derived(void **state)
{
    (void)state;
    struct made_wheel w;
    struct store_image which, compiled;
    make_rich(&w);
    _cleanup_free_ char *path = write_wheel("rich_one-1.0-py3-none-any.whl", &w);
    assert_int_equal(ingest(path, false, &which, NULL), 0);
    assert_int_equal(ingest(path, true, &compiled, NULL), 0);
    assert_int_not_equal(which.number, compiled.number);
    struct image *image = open_image(&which);
    assert_int_equal(node_of(image, "rich_one/a.py").flags, 0);
    assert_false(has(image, "rich_one/__pycache__"));
    image_unref(image);
}

static void the_same_wheel_twice_is_one_image(void **state)
{
    (void)state;
    struct made_wheel w;
    make_rich(&w);
    _cleanup_free_ char *path = write_wheel("rich_one-1.0-py3-none-any.whl", &w);
    make_rich(&w);
    _cleanup_free_ char *copy = write_wheel("Rich.One-1.0-py2.py3-none-any.whl", &w);
    struct wheel_source sources[] = {{.path = path}, {.path = copy}, {.path = path}};
    struct wheel_options o = {.compile = {.enabled = false}, .jobs = 2};
    struct store_image images[3];
    assert_int_equal(wheel_ingest(store, &target, sources, 3, &o, images, NULL), 0);
    assert_int_equal(images[0].number, images[1].number);
    assert_int_equal(images[0].number, images[2].number);
}

static void zip64_and_many_members_work(void **state)
{
    (void)state;
    struct made_wheel w;
    struct store_image which;
    struct verror err = VERROR_INIT;
    made_init(&w, "many", "1.0");
    for (int i = 0; i < 65600; i++) {
        char name[32];
        snprintf(name, sizeof(name), "many/d%d/f%d", i / 1000, i);
        made_add(&w, name, i % 2 ? "odd" : "even");
    }
    _cleanup_free_ char *path = write_wheel("many-1.0-py3-none-any.whl", &w);
    if (ingest(path, false, &which, &err) < 0)
        fail_msg("%s", verror_message(&err));
    struct image *image = open_image(&which);
    assert_true(has(image, "many/d65/f65599"));
    assert_true(image_nodes(image) > 65600);
    image_unref(image);
}

/* ---- what is refused ---- */

static void unlisted(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->unlisted = true;
}
static void row_without_file(struct made_wheel *w)
{
    w->extra_row = "bad/gone.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0";
}
static void wrong_hash(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->hash = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
}
static void weak_hash(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->hash = "md5=1B2M2Y8AsgTpgAmY7PhCfg";
}
static void no_hash(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->hash = "";
}
static void wrong_crc(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->wrong_crc = true;
}
static void parent_member(struct made_wheel *w)
{
    made_add(w, "../evil", "x");
}
static void absolute_member(struct made_wheel *w)
{
    made_add(w, "/etc/evil", "x");
}
static void backslash_member(struct made_wheel *w)
{
    made_add(w, "bad\\evil", "x");
}
static void drive_member(struct made_wheel *w)
{
    made_add(w, "C:/evil", "x");
}
static void newline_member(struct made_wheel *w)
{
    made_add(w, "bad/new\nline", "x");
}
static void nul_member(struct made_wheel *w)
{
    struct made_file *f = made_add(w, "bad/nul?byte", "x");
    f->unlisted = true;
    f->name[7] = '\0';
    w->extra_row = "bad/nul byte,sha256=LXEWQrcmsEQBYnyp_6wy9ch3_7BTRbUQ50clunlqXCI,1";
}
static void link_member(struct made_wheel *w)
{
    made_add(w, "bad/link", "/etc/passwd")->mode = 0120777;
}
static void device_member(struct made_wheel *w)
{
    made_add(w, "bad/device", "")->mode = 020666;
}
static void duplicate_member(struct made_wheel *w)
{
    made_add(w, "bad/a.py", "x = 1\n");
}
static void file_and_folder(struct made_wheel *w)
{
    made_add(w, "bad/a.py/b", "x");
}
static void duplicate_by_data(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/purelib/bad/a.py", "x = 3\n");
}
static void bomb(struct made_wheel *w)
{
    struct made_file *f = made_add(w, "bad/bomb", "tiny");
    f->deflated = true;
    f->declared_size = 1u << 30;
}
static void longer_than_declared(struct made_wheel *w)
{
    struct made_file *f = made_add(w, "bad/long", "longer than it says");
    f->deflated = true;
    f->declared_size = 5;
}
static void shorter_than_declared(struct made_wheel *w)
{
    struct made_file *f = made_add(w, "bad/short", "shorter than it says");
    f->deflated = true;
    f->declared_size = 500;
}
static void overlapping(struct made_wheel *w)
{
    made_find(w, "bad/a.py")->declared_packed = 1u << 24;
}
static void version_2(struct made_wheel *w)
{
    made_set(made_find(w, "bad-1.0.dist-info/WHEEL"), "Wheel-Version: 2.0\n");
}
static void no_metadata(struct made_wheel *w)
{
    made_remove(w, "bad-1.0.dist-info/METADATA");
}
static void no_wheel(struct made_wheel *w)
{
    made_remove(w, "bad-1.0.dist-info/WHEEL");
}
static void no_record(struct made_wheel *w)
{
    w->no_record = true;
}
static void other_name(struct made_wheel *w)
{
    made_set(made_find(w, "bad-1.0.dist-info/METADATA"), "Name: good\nVersion: 1.0\n");
}
static void other_version(struct made_wheel *w)
{
    made_set(made_find(w, "bad-1.0.dist-info/METADATA"), "Name: bad\nVersion: 1.1\n");
}
static void second_dist_info(struct made_wheel *w)
{
    made_add(w, "worse-1.0.dist-info/METADATA", "Name: worse\nVersion: 1.0\n");
}
static void entry_point_path(struct made_wheel *w)
{
    made_add(w, "bad-1.0.dist-info/entry_points.txt", "[console_scripts]\n../x = bad:a\n");
}
static void entry_point_python(struct made_wheel *w)
{
    made_add(w, "bad-1.0.dist-info/entry_points.txt", "[gui_scripts]\npython = bad:a\n");
}
static void data_pyvenv(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/data/pyvenv.cfg", "home = /evil\n");
}
static void data_python(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/data/bin/python", "evil");
}
static void data_activate(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/scripts/activate", "evil");
}
static void data_lib64(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/data/lib64/evil", "evil");
}
static void add_below_data(struct made_wheel *w, const char *parent, const char *rest)
{
    _cleanup_free_ char *name =
        xasprintf("bad-1.0.data/data/%s/%s%s", parent, target.python_dir, rest);
    made_add(w, name, "evil");
}
static void file_for_include(struct made_wheel *w)
{
    add_below_data(w, "include", "");
}
static void file_for_lib(struct made_wheel *w)
{
    add_below_data(w, "lib", "");
}
static void file_for_site(struct made_wheel *w)
{
    add_below_data(w, "lib", "/site-packages");
}
static void own_view_file(struct made_wheel *w)
{
    made_add(w, "_venvfs.pth", "import evil\n");
}
static void own_view_folder(struct made_wheel *w)
{
    made_add(w, "_venvfs_hooks/__init__.py", "");
}
static void own_view_file_by_purelib(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/purelib/_venvfs.pth", "import evil\n");
}
static void own_view_file_by_data(struct made_wheel *w)
{
    add_below_data(w, "lib", "/site-packages/_venvfs.pth");
}
static void unknown_key(struct made_wheel *w)
{
    made_add(w, "bad-1.0.data/stuff/x", "x");
}
static void whiteout_member(struct made_wheel *w)
{
    made_add(w, "bad/.wh.a.py", "x");
}

static const struct {
    const char *what;
    void (*spoil)(struct made_wheel *w);
    int r;
    const char *says;
} refused[] = {
    {"file missing from RECORD", unlisted, -EBADMSG, "member bad/a.py is not listed in RECORD"},
    {"row without a file", row_without_file, -EBADMSG, "RECORD lists bad/gone.py"},
    {"wrong hash", wrong_hash, -EBADMSG, "member bad/a.py: its hash is not the one in RECORD"},
    {"weak hash", weak_hash, -EBADMSG, "of kind \"md5\""},
    {"no hash", no_hash, -EBADMSG, "member bad/a.py has no hash in RECORD"},
    {"wrong CRC", wrong_crc, -EBADMSG, "member bad/a.py: CRC error"},
    {"../", parent_member, -EBADMSG, "member ../evil: leads out"},
    {"absolute", absolute_member, -EBADMSG, "member /etc/evil: is absolute"},
    {"backslash", backslash_member, -EBADMSG, "has a backslash"},
    {"drive", drive_member, -EBADMSG, "names a drive"},
    {"newline", newline_member, -EBADMSG, "member bad/new\\x0aline: has a control character"},
    {"NUL", nul_member, -EBADMSG, "member bad/nul: the name has a NUL byte"},
    {"symbolic link", link_member, -EBADMSG, "member bad/link: is a symbolic link"},
    {"device", device_member, -EBADMSG, "is neither a file nor a folder"},
    {"duplicate", duplicate_member, -EBADMSG, "member bad/a.py: is there twice"},
    {"file and folder", file_and_folder, -EBADMSG, "both as a file and as a folder"},
    {"duplicate through .data", duplicate_by_data, -EBADMSG, "two of its files"},
    {"zip bomb", bomb, -EBADMSG, "member bad/bomb: unpacks to more than 200 times"},
    {"longer than declared", longer_than_declared, -EBADMSG, "member bad/long: "},
    {"shorter than declared", shorter_than_declared, -EBADMSG, "member bad/short: "},
    {"overlapping members", overlapping, -EBADMSG, "overlap"},
    {"Wheel-Version 2.0", version_2, -EOPNOTSUPP, "Wheel-Version 2.0 is not supported"},
    {"no METADATA", no_metadata, -EBADMSG, "has no bad-1.0.dist-info/METADATA"},
    {"no WHEEL", no_wheel, -EBADMSG, "has no bad-1.0.dist-info/WHEEL"},
    {"no RECORD", no_record, -EBADMSG, "has no bad-1.0.dist-info/RECORD"},
    {"another name", other_name, -EBADMSG, "METADATA is of good, the file name says bad"},
    {"another version", other_version, -EBADMSG, "METADATA is of version 1.1"},
    {"two dist-infos", second_dist_info, -EBADMSG, "two .dist-info folders"},
    {"entry point ../x", entry_point_path, -EBADMSG, "the name \"../x\" holds a '/'"},
    {"entry point python", entry_point_python, -EBADMSG, "is one of the environment's own"},
    {"pyvenv.cfg", data_pyvenv, -EBADMSG, "the environment's own pyvenv.cfg"},
    {"bin/python", data_python, -EBADMSG, "the name python in bin/"},
    {"bin/activate", data_activate, -EBADMSG, "the name activate in bin/"},
    {"lib64", data_lib64, -EBADMSG, "the environment's own lib64"},
    {"file include/pythonX.Y", file_for_include, -EBADMSG, "the environment's own include/python"},
    {"file lib/pythonX.Y", file_for_lib, -EBADMSG, "the environment's own lib/python"},
    {"file site-packages", file_for_site, -EBADMSG, "/site-packages/"},
    {"_venvfs.pth", own_view_file, -EBADMSG, "for venvfs's own files"},
    {"_venvfs* as a folder", own_view_folder, -EBADMSG, "for venvfs's own files"},
    {"_venvfs.pth by purelib", own_view_file_by_purelib, -EBADMSG, "for venvfs's own files"},
    {"_venvfs.pth by data", own_view_file_by_data, -EBADMSG, "for venvfs's own files"},
    {"unknown .data key", unknown_key, -EBADMSG, "an unknown folder of .data"},
    {"whiteout", whiteout_member, -EBADMSG, "starts with \".wh.\""},
};

/* Every path below the store with its size and content. */
static struct strbuf snapshot = STRBUF_INIT;

static int note(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    strbuf_addf(&snapshot, "%s %o", path, (unsigned)st->st_mode);
    if (type == FTW_F) {
        struct sha256 h;
        char hex[SHA256_HEX_SIZE];
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(sha256_of_fd(fd, &h), 0);
        sha256_to_hex(&h, hex);
        strbuf_addf(&snapshot, " %s", hex);
    }
    strbuf_addch(&snapshot, '\n');
    return 0;
}

static char *take_snapshot(void)
{
    /* The directory's order may differ between two walks only when it changed. */
    strbuf_reset(&snapshot);
    assert_int_equal(nftw(store_root(store), note, 8, FTW_PHYS), 0);
    return strbuf_detach(&snapshot, NULL);
}

static void expect_refused(const char *what, const char *path, int r, const char *says)
{
    struct store_image image;
    struct verror err = VERROR_INIT;
    _cleanup_free_ char *before = take_snapshot();
    int got = ingest(path, true, &image, &err);
    _cleanup_free_ char *after = take_snapshot();
    if (got != r || !strstr(verror_message(&err), says) || strchr(verror_message(&err), '\n'))
        fail_msg("%s: %d \"%s\", not %d \"%s\"", what, got, verror_message(&err), r, says);
    if (!strstr(verror_message(&err), path_basename(path)))
        fail_msg("%s: the message does not name the wheel: %s", what, verror_message(&err));
    if (strcmp(before, after) != 0)
        fail_msg("%s: the store changed", what);
    verror_release(&err);
}

static void make_bad(struct made_wheel *w)
{
    made_init(w, "bad", "1.0");
    made_add(w, "bad/__init__.py", "");
    made_add(w, "bad/a.py", "x = 2\n");
}

static void bad_wheels_leave_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct made_wheel w;
        make_bad(&w);
        refused[i].spoil(&w);
        _cleanup_free_ char *path = write_wheel("bad-1.0-py3-none-any.whl", &w);
        expect_refused(refused[i].what, path, refused[i].r, refused[i].says);
    }
}

static void bad_files_leave_no_trace(void **state)
{
    (void)state;
    struct made_wheel w;
    make_bad(&w);
    _cleanup_free_ char *good = write_wheel("bad-1.0-py3-none-any.whl", &w);
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    assert_int_equal(io_read_file(good, &sb, 1 << 20), 0);
    for (size_t cut = 1; cut < sb.len; cut += sb.len / 7) {
        assert_int_equal(io_write_file_atomic(good, sb.buf, sb.len - cut, 0644, 0), 0);
        expect_refused("truncated", good, -EBADMSG, "not a zip archive");
    }
    assert_int_equal(io_write_file_atomic(good, "", 0, 0644, 0), 0);
    expect_refused("empty", good, -EBADMSG, "not a zip archive");

    _cleanup_free_ char *tag = path_join(folder, "bad-1.0-cp27-none-win32.whl");
    assert_int_equal(io_write_file_atomic(tag, sb.buf, sb.len, 0644, 0), 0);
    expect_refused("wrong tag", tag, -ENOEXEC, "its tags cp27-none-win32 do not fit Python 3.");
    _cleanup_free_ char *name = path_join(folder, "bad.zip");
    assert_int_equal(io_write_file_atomic(name, sb.buf, sb.len, 0644, 0), 0);
    expect_refused("no wheel's name", name, -EBADMSG, "not the name of a wheel");
    _cleanup_free_ char *gone = path_join(folder, "gone-1.0-py3-none-any.whl");
    expect_refused("no file", gone, -ENOENT, "No such file");
}

/* A zip64 archive whose locator says that the end record is at `offset`. */
static char *write_zip64(uint64_t offset)
{
    enum { END_SIZE = 22, LOCATOR_SIZE = 20 };
    struct made_wheel w;
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    make_bad(&w);
    made_finish(&w, &sb);
    uint8_t locator[LOCATOR_SIZE] = {0}, end[END_SIZE];
    memcpy(end, sb.buf + sb.len - END_SIZE, END_SIZE);
    memset(end + 8, 0xff, 12); /* members, size and offset are in the zip64 record */
    wire_store32(locator, 0x07064b50);
    wire_store64(locator + 8, offset);
    wire_store32(locator + 16, 1);
    strbuf_truncate(&sb, sb.len - END_SIZE);
    strbuf_add(&sb, locator, LOCATOR_SIZE);
    strbuf_add(&sb, end, END_SIZE);
    char *path = path_join(folder, "bad-1.0-py3-none-any.whl");
    assert_int_equal(io_write_file_atomic(path, sb.buf, sb.len, 0644, 0), 0);
    return path;
}

static void zip64_offsets_are_checked(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {1u << 20, INT64_MAX - 55, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                       UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        _cleanup_free_ char *path = write_zip64(offsets[i]);
        expect_refused("zip64 offset", path, -EBADMSG, "not a zip archive");
    }
}

static void the_digest_of_the_lock_is_checked(void **state)
{
    (void)state;
    struct made_wheel w;
    make_bad(&w);
    _cleanup_free_ char *path = write_wheel("bad-1.0-py3-none-any.whl", &w);
    struct sha256 other;
    sha256_of("x", 1, &other);
    struct wheel_source source = {.path = path, .expect = &other};
    struct wheel_options o = {.jobs = 1};
    struct store_image image;
    struct verror err = VERROR_INIT;
    assert_int_equal(wheel_ingest(store, &target, &source, 1, &o, &image, &err), -EBADMSG);
    assert_non_null(strstr(verror_message(&err), "bad-1.0-py3-none-any.whl: its SHA-256 is "));
    verror_release(&err);
}

static void one_bad_wheel_refuses_all(void **state)
{
    (void)state;
    struct made_wheel w;
    made_init(&w, "fine", "2.0");
    made_add(&w, "fine.py", "fine = True\n");
    _cleanup_free_ char *fine = write_wheel("fine-2.0-py3-none-any.whl", &w);
    make_bad(&w);
    wrong_hash(&w);
    _cleanup_free_ char *bad = write_wheel("bad-1.0-py3-none-any.whl", &w);
    struct wheel_source sources[] = {{.path = fine}, {.path = bad}};
    struct wheel_options o = {.compile = {.enabled = true, .levels = 1}, .jobs = 2};
    struct store_image images[2];
    _cleanup_free_ char *before = take_snapshot();
    assert_int_equal(wheel_ingest(store, &target, sources, 2, &o, images, NULL), -EBADMSG);
    _cleanup_free_ char *after = take_snapshot();
    assert_string_equal(before, after);
}

/* Overwrites a file in place and gives it its old time, as nobody does by accident. */
static void overwrite(const char *path, const struct strbuf *bytes)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, bytes->len);
    assert_int_equal(pwrite(fd, bytes->buf, bytes->len, 0), bytes->len);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
}

static void make_pair(struct made_wheel *w, size_t first, size_t second)
{
    _cleanup_free_ char *zeros = xcalloc(1, first + second + 1);
    make_bad(w);
    memset(zeros, 'x', first);
    made_add(w, "bad/first.txt", zeros);
    memset(zeros, 'x', second);
    zeros[second] = '\0';
    made_add(w, "bad/second.txt", zeros);
}

/* The sizes in the plan are what memory was reserved for, whatever the archive says later. */
static void a_wheel_changed_under_us_is_refused(void **state)
{
    (void)state;
    enum { SMALL = 100, BIG = 200000 };
    struct made_wheel w;
    make_pair(&w, SMALL, BIG);
    _cleanup_free_ char *path = write_wheel("bad-1.0-py3-none-any.whl", &w);
    struct wheel_file file;
    struct wheel_plan plan;
    assert_int_equal(wheel_file_identify(path, NULL, &file, NULL), 0);
    assert_int_equal(wheel_plan_make(&file, &target, &plan, NULL), 0);

    _cleanup_strbuf_ struct strbuf other = STRBUF_INIT;
    make_pair(&w, BIG, SMALL);
    made_finish(&w, &other);
    overwrite(path, &other);

    struct store_put *put;
    assert_int_equal(store_lock_shared(store, NULL), 0);
    assert_int_equal(store_put_begin(store, &put, NULL), 0);
    struct put_stream *stream = put_stream_new(put);
    atomic_bool stop = false;
    struct unpack unpack = {.stop = &stop};
    struct verror err = VERROR_INIT;
    size_t at;
    assert_int_equal(unpack_members(&unpack, &plan, 0, plan.n, stream, &at, &err), -ESTALE);
    assert_string_equal(verror_message(&err),
                        "bad-1.0-py3-none-any.whl: was changed while it was read");
    verror_release(&err);
    put_stream_free(stream);
    store_put_free(put);
    wheel_plan_release(&plan);
}

static void a_newer_minor_is_a_warning(void **state)
{
    (void)state;
    struct made_wheel w;
    struct store_image image;
    make_bad(&w);
    made_set(made_find(&w, "bad-1.0.dist-info/WHEEL"), "Wheel-Version: 1.7\n");
    _cleanup_free_ char *path = write_wheel("bad-1.0-py3-none-any.whl", &w);
    assert_int_equal(ingest(path, false, &image, NULL), 0);
    assert_non_null(strstr(warnings.buf, "warning: bad-1.0-py3-none-any.whl: Wheel-Version 1.7"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wheel_is_installed_by_the_standards),
        cmocka_unit_test(record_lists_what_is_installed),
        cmocka_unit_test(without_bytecode_no_time_is_derived),
        cmocka_unit_test(the_same_wheel_twice_is_one_image),
        cmocka_unit_test(bad_wheels_leave_no_trace),
        cmocka_unit_test(bad_files_leave_no_trace),
        cmocka_unit_test(zip64_offsets_are_checked),
        cmocka_unit_test(the_digest_of_the_lock_is_checked),
        cmocka_unit_test(one_bad_wheel_refuses_all),
        cmocka_unit_test(a_wheel_changed_under_us_is_refused),
        cmocka_unit_test(a_newer_minor_is_a_warning),
        cmocka_unit_test(zip64_and_many_members_work),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
