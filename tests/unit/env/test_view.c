/* A view is what installing its packages into a new environment would leave. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "env/activation.h"
#include "tests/unit/env/view_fixture.h"

static struct shelf shelf;

static int set_up(void **state)
{
    (void)state;
    shelf_init(&shelf);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shelf_release(&shelf);
    return 0;
}

static void assert_at(const struct view *view, const char *path, const char *expected)
{
    _cleanup_free_ char *have = describe_path(view, path);
    if (strcmp(have, expected) != 0)
        fail_msg("%s is \"%s\", expected \"%s\"", path, have, expected);
}

static void assert_text(const struct view *view, const char *path, unsigned mode, const char *text)
{
    struct sha256 id;
    char hex[SHA256_HEX_SIZE];
    sha256_of(text, strlen(text), &id);
    sha256_to_hex(&id, hex);
    _cleanup_free_ char *expected = xasprintf("file %o %.12s", mode, hex);
    assert_at(view, path, expected);
}

static enum view_layer_kind kind_of(const struct view *view, const char *path)
{
    struct view_node node;
    if (!view_walk(view, path, &node))
        fail_msg("%s is missing", path);
    return node.kind;
}

static void count_path(void *arg, const char *path, struct view_node node)
{
    (void)path;
    (void)node;
    (*(size_t *)arg)++;
}

static void test_without_packages_it_is_what_venv_makes(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool inc, gitignore;
    } cases[] = {{"3.8.18", false, false}, {"3.11.7", true, false}, {"3.13.0", true, true}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest *m = bare_manifest(cases[i].version);
        struct view *view = composed(m, &shelf);
        _cleanup_free_ char *site = xasprintf("lib/%s/site-packages", m->python_dir);
        _cleanup_free_ char *inc = xasprintf("include/%s", m->python_dir);
        _cleanup_free_ char *alias = xasprintf("bin/%s", m->python_dir);
        size_t n = 0;
        assert_at(view, "", "dir");
        assert_at(view, site, "dir");
        assert_at(view, "include", "dir");
        assert_at(view, inc, cases[i].inc ? "dir" : "none");
        assert_at(view, "lib64", "link lib");
        assert_at(view, "bin/python", "link /opt/python/bin/python");
        assert_at(view, "bin/python3", "link python");
        assert_at(view, alias, "link python");
        assert_at(view, ".gitignore",
                  cases[i].gitignore ? "file 644 # Created by venvfs\n*\n" : "none");
        each_path(view, count_path, &n);
        assert_int_equal(n, 11 + activation_n_files + cases[i].inc + cases[i].gitignore);
        view_unref(view);
        drop_manifest(m);
    }
}

static void test_made_from_inside_it_has_packages_alone(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    struct image_builder *b = package("x");
    size_t n = 0;
    m->bare = true;
    struct view *view = composed(m, &shelf);
    each_path(view, count_path, &n);
    assert_int_equal(n, 0);
    view_unref(view);
    add_file(b, SITE "x.py", 0, "x");
    add_script(b, "tool", "x", "main");
    with(m, &shelf, shelf_add(&shelf, b));
    view = composed(m, &shelf);
    assert_at(view, "pyvenv.cfg", "none");
    assert_at(view, "bin/python", "none");
    assert_at(view, "bin/activate", "none");
    assert_at(view, "lib64", "none");
    struct view_node node;
    assert_true(view_walk(view, SITE "x.py", &node));
    assert_true(view_walk(view, "bin/tool", &node));
    view_unref(view);
    drop_manifest(m);
}

static void test_the_name_of_the_interpreter_is_kept(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    free(m->executable);
    m->executable = xstrdup("/opt/python/bin/python3");
    struct view *view = composed(m, &shelf);
    assert_at(view, "bin/python3", "link /opt/python/bin/python3");
    assert_at(view, "bin/python", "link python3");
    assert_at(view, "bin/python3.11", "link python3");
    view_unref(view);
    /* Found through another folder than its home: the real one is named. */
    free(m->executable);
    m->executable = xstrdup("/somewhere/else/python3");
    view = composed(m, &shelf);
    assert_at(view, "bin/python3.11", "link /opt/python/bin/python3.11");
    assert_at(view, "bin/python", "link python3.11");
    view_unref(view);
    drop_manifest(m);
}

static void test_pyvenv_cfg_is_as_venv_writes_it(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.12.1");
    m->prompt = xstrdup("it's \"mine\"");
    m->system_site_packages = true;
    struct view *view = composed(m, &shelf);
    assert_at(view, "pyvenv.cfg",
              "file 644 home = /opt/python/bin\n"
              "include-system-site-packages = true\n"
              "version = 3.12.1\n"
              "prompt = 'it\\'s \"mine\"'\n"
              "executable = /opt/python/bin/python3.12\n"
              "command = /opt/python/bin/python -m venv --system-site-packages "
              "--prompt=\"it's \"mine\"\" /home/me/env\n");
    view_unref(view);
    drop_manifest(m);
}

static void add_editable(struct manifest *m, const char *const (*files)[2], size_t n)
{
    struct manifest_editable e = {.name = xstrdup("app"),
                                  .version = xstrdup("1"),
                                  .normalised = xstrdup("app"),
                                  .path = xstrdup("/src/app"),
                                  .files = xcalloc(n, sizeof(*e.files)),
                                  .n_files = n};
    for (size_t i = 0; i < n; i++)
        e.files[i] = (struct manifest_file){.path = xstrdup(files[i][0]),
                                            .text = xstrdup(files[i][1]),
                                            .exec = strncmp(files[i][0], "bin/", 4) == 0};
    manifest_add_editable(m, &e);
}

static void test_files_of_an_editable_install_are_in_view(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"bin/app", "#!python\nprint()\n"},
        {"bin/plain", "#!/bin/sh\n"},
        {"bin/python", "no"},
        {SITE "app-1.dist-info/METADATA", "Name: app\n"},
        {SITE "app-1.dist-info/licenses/LICENSE", "free\n"},
        {SITE "app.pth", "/src/app\n"},
        {SITE "shared/new.py", ""},
    };
    struct image_builder *b = package("shared");
    add_file(b, SITE "shared/old.py", 0, "old");
    struct manifest *m = bare_manifest("3.11.7");
    with(m, &shelf, shelf_add(&shelf, b));
    add_editable(m, files, ARRAY_SIZE(files));
    struct view *view = composed(m, &shelf);
    assert_at(view, "bin/app", "file 755 #!/home/me/env/bin/python\nprint()\n");
    assert_at(view, "bin/plain", "file 755 #!/bin/sh\n");
    assert_at(view, "bin/python", "link /opt/python/bin/python");
    assert_at(view, SITE "app-1.dist-info/METADATA", "file 644 Name: app\n");
    assert_at(view, SITE "app-1.dist-info/licenses/LICENSE", "file 644 free\n");
    assert_at(view, SITE "app.pth", "file 644 /src/app\n");
    assert_at(view, SITE "shared/new.py", "file 644 ");
    assert_text(view, SITE "shared/old.py", 0644, "old");
    view_unref(view);
    /* Another address: what names it follows. */
    free(m->address);
    m->address = xstrdup("/other");
    view = composed(m, &shelf);
    assert_at(view, "bin/app", "file 755 #!/other/bin/python\nprint()\n");
    view_unref(view);
    drop_manifest(m);
}

static void test_the_import_hook_is_there_where_it_helps(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool there;
    } cases[] = {{"3.7.16", false}, {"3.8.18", true}, {"3.13.0", true}, {"3.14.0", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest *m = bare_manifest(cases[i].version);
        _cleanup_free_ char *path = xasprintf("lib/%s/site-packages/_venvfs.pth", m->python_dir);
        struct view *view = composed(m, &shelf);
        struct view_node node;
        assert_int_equal(view_walk(view, path, &node), cases[i].there);
        view_unref(view);
        m->settings = json_pack("{s:b}", "import_hook", 0);
        view = composed(m, &shelf);
        assert_at(view, path, "none");
        view_unref(view);
        drop_manifest(m);
    }
}

static void test_a_folder_of_one_package_is_served_from_its_image(void **state)
{
    (void)state;
    struct image_builder *a = package("a"), *b = package("b");
    add_file(a, SITE "a/__init__.py", 0, "a");
    add_file(a, SITE "a/deep/x.py", 0, "x");
    add_file(a, SITE "ns/one/__init__.py", 0, "one");
    add_file(a, SITE "__pycache__/a.pyc", IMAGE_BYTECODE, "pa");
    add_file(b, SITE "b/__init__.py", 0, "b");
    add_file(b, SITE "ns/two/__init__.py", 0, "two");
    add_file(b, SITE "__pycache__/b.pyc", IMAGE_BYTECODE, "pb");
    add_file(b, "share/b/data", 0, "data");
    struct manifest *m = bare_manifest("3.11.7");
    with(m, &shelf, shelf_add(&shelf, a));
    with(m, &shelf, shelf_add(&shelf, b));
    struct view *view = composed(m, &shelf);
    assert_int_equal(kind_of(view, SITE "a"), VIEW_IMAGE);
    assert_int_equal(kind_of(view, SITE "ns"), VIEW_MERGED);
    assert_int_equal(kind_of(view, SITE "ns/one"), VIEW_IMAGE);
    assert_int_equal(kind_of(view, SITE "__pycache__"), VIEW_MERGED);
    assert_int_equal(kind_of(view, "share"), VIEW_IMAGE);
    assert_text(view, SITE "a/deep/x.py", 0644, "x");
    assert_text(view, SITE "ns/two/__init__.py", 0644, "two");
    assert_text(view, "share/b/data", 0644, "data");
    assert_at(view, SITE "a/missing", "none");
    assert_at(view, SITE "a/__init__.py/x", "none");
    const struct view_conflict *conflicts;
    assert_int_equal(view_conflicts(view, &conflicts), 0);
    struct view_node node;
    assert_true(view_walk(view, SITE "ns", &node));
    assert_string_equal(view_path(view, node), "lib/python3.11/site-packages/ns");
    view_unref(view);
    drop_manifest(m);
}

static void assert_conflict(const struct view *view, size_t i, const char *path, const char *loser,
                            const char *winner)
{
    const struct view_conflict *c;
    size_t n = view_conflicts(view, &c);
    for (size_t k = 0; k < n; k++) {
        if (strcmp(c[k].path, path) == 0) {
            assert_string_equal(c[k].loser, loser);
            assert_string_equal(c[k].winner, winner);
            return;
        }
    }
    fail_msg("no conflict %zu at %s", i, path);
}

static void test_the_later_package_wins_a_contested_path(void **state)
{
    (void)state;
    struct image_builder *a = package("a"), *b = package("b");
    add_file(a, SITE "same.py", 0, "same");
    add_file(b, SITE "same.py", 0, "same");
    add_file(a, SITE "other.py", 0, "of a");
    add_file(b, SITE "other.py", 0, "of b");
    add_file(a, SITE "mode", 0, "x");
    add_file(b, SITE "mode", IMAGE_EXEC, "x");
    add_file(a, SITE "__pycache__/x.pyc", IMAGE_BYTECODE, "one run");
    add_file(b, SITE "__pycache__/x.pyc", IMAGE_BYTECODE, "another run");
    add_file(a, SITE "file_then_dir", 0, "file");
    add_file(b, SITE "file_then_dir/x", 0, "x");
    add_file(a, SITE "dir_then_file/x", 0, "x");
    add_file(b, SITE "dir_then_file", 0, "file");
    assert_int_equal(image_builder_symlink(a, SITE "link", "to", NULL), 0);
    assert_int_equal(image_builder_symlink(b, SITE "link", "to", NULL), 0);
    add_script(a, "tool", "a", "main");
    add_script(b, "tool", "b", "main");
    add_file(a, "bin/shipped", IMAGE_EXEC, "#!/bin/sh\n");
    add_script(b, "shipped", "b", "main");
    struct manifest *m = bare_manifest("3.11.7");
    with(m, &shelf, shelf_add(&shelf, a));
    with(m, &shelf, shelf_add(&shelf, b));
    struct view *view = composed(m, &shelf);
    assert_text(view, SITE "other.py", 0644, "of b");
    assert_text(view, SITE "mode", 0755, "x");
    assert_text(view, SITE "file_then_dir/x", 0644, "x");
    assert_text(view, SITE "dir_then_file", 0644, "file");
    assert_at(view, SITE "link", "link to");
    assert_int_equal(kind_of(view, "bin/shipped"), VIEW_GENERATED);
    _cleanup_free_ char *tool = describe_path(view, "bin/tool");
    assert_non_null(strstr(tool, "from b import main"));
    static const char *const contested[] = {SITE "other.py",      SITE "mode", SITE "file_then_dir",
                                            SITE "dir_then_file", "bin/tool",  "bin/shipped"};
    const struct view_conflict *conflicts;
    for (size_t i = 0; i < ARRAY_SIZE(contested); i++)
        assert_conflict(view, i, contested[i], "a", "b");
    assert_int_equal(view_conflicts(view, &conflicts), ARRAY_SIZE(contested));
    view_unref(view);
    drop_manifest(m);
}

static void test_no_package_replaces_what_makes_the_environment(void **state)
{
    (void)state;
    struct image_builder *a = package("a"), *b = package("b");
    add_file(a, "pyvenv.cfg", 0, "home = /evil\n");
    add_file(a, "bin/python", IMAGE_EXEC, "#!/evil\n");
    add_file(a, "bin/activate", 0, "evil");
    add_file(a, "lib64/evil", 0, "evil");
    add_script(a, "python3", "evil", "main");
    add_script(a, "activate.fish", "evil", "main");
    add_file(b, "lib", 0, "a file");
    add_file(b, "include", 0, "a file");
    struct manifest *m = bare_manifest("3.11.7");
    with(m, &shelf, shelf_add(&shelf, a));
    with(m, &shelf, shelf_add(&shelf, b));
    struct view *view = composed(m, &shelf);
    struct view *plain;
    struct manifest *none = bare_manifest("3.11.7");
    plain = composed(none, &shelf);
    static const char *const paths[] = {"pyvenv.cfg", "bin/python",  "bin/activate",
                                        "lib64",      "bin/python3", "bin/activate.fish"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        _cleanup_free_ char *expected = describe_path(plain, paths[i]);
        assert_at(view, paths[i], expected);
        assert_conflict(view, i, paths[i], "a", "venvfs");
    }
    assert_at(view, "lib/python3.11/site-packages", "dir");
    assert_at(view, "include", "dir");
    assert_conflict(view, 6, "lib", "b", "venvfs");
    view_unref(plain);
    view_unref(view);
    drop_manifest(none);
    drop_manifest(m);
}

static uint32_t shelve_with_record(void)
{
    struct image_builder *b = package("a");
    add_file(b, SITE "a-1.0.dist-info/METADATA", 0, "Name: a\n");
    add_file(b, SITE "a-1.0.dist-info/REQUESTED", IMAGE_IF_REQUESTED, "");
    add_file(b, SITE "a-1.0.dist-info/RECORD", IMAGE_IF_REQUESTED, "with REQUESTED\n");
    add_file(b, SITE "a-1.0.dist-info/RECORD", IMAGE_IF_NOT_REQUESTED, "without\n");
    return shelf_add(&shelf, b);
}

static void test_requested_shows_only_for_what_was_asked_for(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    struct manifest_package *p = with(m, &shelf, shelve_with_record());
    struct view *view = composed(m, &shelf);
    assert_at(view, SITE "a-1.0.dist-info/REQUESTED", "none");
    assert_text(view, SITE "a-1.0.dist-info/RECORD", 0644, "without\n");
    view_unref(view);
    p->requested = true;
    view = composed(m, &shelf);
    assert_at(view, SITE "a-1.0.dist-info/REQUESTED", "file 644 empty");
    assert_text(view, SITE "a-1.0.dist-info/RECORD", 0644, "with REQUESTED\n");
    view_unref(view);
    drop_manifest(m);
}

static void test_direct_url_is_written_and_recorded(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    struct manifest_package *p = with(m, &shelf, shelve_with_record());
    p->direct_url = json_pack("{s:s, s:{s:b}}", "url", "file:///src/a", "dir_info", "editable", 1);
    struct view *view = composed(m, &shelf);
    static const char text[] = "{\"dir_info\": {\"editable\": true}, \"url\": \"file:///src/a\"}";
    struct sha256 id;
    char base64[SHA256_BASE64_SIZE], hex[SHA256_HEX_SIZE];
    sha256_of(text, strlen(text), &id);
    sha256_to_base64(&id, base64);
    sha256_of("without\n", 8, &id);
    sha256_to_hex(&id, hex);
    _cleanup_free_ char *file = xasprintf("file 644 %s", text);
    _cleanup_free_ char *record =
        xasprintf("file 644 a-1.0.dist-info/direct_url.json,sha256=%s,%zu\n+0:%.12s", base64,
                  strlen(text), hex);
    assert_at(view, SITE "a-1.0.dist-info/direct_url.json", file);
    assert_at(view, SITE "a-1.0.dist-info/RECORD", record);
    assert_text(view, SITE "a-1.0.dist-info/METADATA", 0644, "Name: a\n");
    const struct view_conflict *conflicts;
    assert_int_equal(view_conflicts(view, &conflicts), 0);
    view_unref(view);
    drop_manifest(m);
}

static void test_scripts_name_the_interpreter_of_the_address(void **state)
{
    (void)state;
    static const char body[] = "#!python -E\nprint(1)\n";
    struct image_builder *b = package("a");
    struct sha256 id;
    char hex[SHA256_HEX_SIZE];
    add_script(b, "tool", "a.cli", "main");
    add_python_script(b, "old", body);
    struct manifest *m = bare_manifest("3.11.7");
    struct manifest_package *p = with(m, &shelf, shelf_add(&shelf, b));
    struct view *view = composed(m, &shelf);
    _cleanup_free_ char *tool = describe_path(view, "bin/tool");
    assert_non_null(strstr(tool, "file 755 #!/home/me/env/bin/python\n"));
    sha256_of(body, strlen(body), &id);
    sha256_to_hex(&id, hex);
    _cleanup_free_ char *old = xasprintf("file 755 #!/home/me/env/bin/python\n+12:%.12s", hex);
    assert_at(view, "bin/old", old);
    struct view_node node;
    struct view_attr attr;
    assert_true(view_walk(view, "bin/tool", &node));
    view_stat(view, node, &attr);
    assert_int_equal(attr.mtime_ns, p->entered_ns);
    view_unref(view);
    struct view_images images = shelf_images(&shelf);
    assert_int_equal(view_compose(m, "/else/where", &images, &view, NULL), 0);
    _cleanup_free_ char *moved = describe_path(view, "bin/tool");
    assert_non_null(strstr(moved, "#!/else/where/bin/python\n"));
    view_unref(view);
    drop_manifest(m);
}

static void test_times_follow_content_entry_or_generation(void **state)
{
    (void)state;
    struct image_builder *b = package("a");
    struct sha256 id;
    add_file(b, SITE "a/x.py", IMAGE_TIME_DERIVED, "x");
    add_file(b, SITE "a/data", 0, "data");
    struct manifest *m = bare_manifest("3.11.7");
    struct manifest_package *p = with(m, &shelf, shelf_add(&shelf, b));
    struct view *view = composed(m, &shelf);
    static const char *const generation[] = {"", "bin", "pyvenv.cfg", "lib/python3.11"};
    struct view_node node;
    struct view_attr attr;
    for (size_t i = 0; i < ARRAY_SIZE(generation); i++) {
        assert_true(view_walk(view, generation[i], &node));
        view_stat(view, node, &attr);
        assert_int_equal(attr.mtime_ns, m->time_ns);
    }
    sha256_of("x", 1, &id);
    assert_true(view_walk(view, SITE "a/x.py", &node));
    view_stat(view, node, &attr);
    assert_int_equal(attr.mtime_ns, image_time_of_blob(&id) * INT64_C(1000000000));
    assert_true(view_walk(view, SITE "a/data", &node));
    view_stat(view, node, &attr);
    assert_int_equal(attr.mtime_ns, p->entered_ns);
    assert_true(view_walk(view, SITE "a", &node));
    view_stat(view, node, &attr);
    assert_true(attr.mtime_ns >= INT64_C(1000000000) * 1000000000);
    view_unref(view);
    drop_manifest(m);
}

static void test_layers_are_found_by_the_number_of_their_image(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    uint32_t numbers[3], layer;
    static const char *const names[] = {"c", "b", "a"};
    for (size_t i = 0; i < 3; i++)
        numbers[i] = shelf_add(&shelf, package(names[i]));
    with(m, &shelf, numbers[2]);
    with(m, &shelf, numbers[0]);
    struct view *view = composed(m, &shelf);
    assert_int_equal(view_layers(view), 2);
    assert_true(view_layer_of(view, numbers[0], &layer));
    assert_int_equal(layer, 1);
    assert_int_equal(view_image_id(view, layer)->number, numbers[0]);
    assert_true(view_layer_of(view, numbers[2], &layer));
    assert_int_equal(layer, 0);
    assert_false(view_layer_of(view, numbers[1], &layer));
    assert_false(view_layer_of(view, 0, &layer));
    view_unref(view);
    drop_manifest(m);
}

static void test_a_damaged_image_or_manifest_makes_no_view(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    struct manifest_package *p = with(m, &shelf, shelf_add(&shelf, package("a")));
    struct view_images images = shelf_images(&shelf);
    struct view *view = NULL;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    p->image.number = 200;
    assert_int_equal(view_compose(m, NULL, &images, &view, &err), -EBADMSG);
    assert_string_equal(verror_message(&err), "image 200 is damaged");
    p->image.number = 1;
    free(m->python_dir);
    m->python_dir = xstrdup("../python3");
    assert_int_equal(view_compose(m, NULL, &images, &view, &err), -EINVAL);
    assert_null(view);
    drop_manifest(m);
}

/* Two packages that share a very deep folder would make a path at every level. */
static void test_paths_without_end_are_refused(void **state)
{
    (void)state;
    struct manifest *m = bare_manifest("3.11.7");
    _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;
    for (size_t i = 0; i < 40; i++) {
        for (size_t k = 0; k < 240; k++)
            strbuf_addch(&path, 'x');
        strbuf_addch(&path, '/');
    }
    strbuf_addch(&path, 'f');
    for (size_t i = 0; i < 2; i++) {
        struct image_builder *b = package(i == 0 ? "a" : "b");
        if (image_builder_file(b, path.buf, 0, NULL, 0, NULL, NULL) < 0) {
            image_builder_free(b); /* images themselves refuse it */
            drop_manifest(m);
            return;
        }
        with(m, &shelf, shelf_add(&shelf, b));
    }
    struct view_images images = shelf_images(&shelf);
    struct view *view = NULL;
    assert_int_equal(view_compose(m, NULL, &images, &view, NULL), -ENAMETOOLONG);
    drop_manifest(m);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_without_packages_it_is_what_venv_makes),
        TEST(test_made_from_inside_it_has_packages_alone),
        TEST(test_the_name_of_the_interpreter_is_kept),
        TEST(test_pyvenv_cfg_is_as_venv_writes_it),
        TEST(test_files_of_an_editable_install_are_in_view),
        TEST(test_the_import_hook_is_there_where_it_helps),
        TEST(test_a_folder_of_one_package_is_served_from_its_image),
        TEST(test_the_later_package_wins_a_contested_path),
        TEST(test_no_package_replaces_what_makes_the_environment),
        TEST(test_requested_shows_only_for_what_was_asked_for),
        TEST(test_direct_url_is_written_and_recorded),
        TEST(test_scripts_name_the_interpreter_of_the_address),
        TEST(test_times_follow_content_entry_or_generation),
        TEST(test_layers_are_found_by_the_number_of_their_image),
        TEST(test_a_damaged_image_or_manifest_makes_no_view),
        TEST(test_paths_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
