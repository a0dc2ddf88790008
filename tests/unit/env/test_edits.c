/* Layers made by hand against a view of images in memory: what a daemon leaves, and what damage
 * can. How the daemon's own layers read is in tests/cli/test_life.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/edits.h"
#include "env/upper_read.h"
#include "view_fixture.h"

struct fixture {
    char dir[64];
    struct shelf shelf;
    struct manifest *manifest;
    struct view *view;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/venvfs-test-edits-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    shelf_init(&f->shelf);
    struct image_builder *b = package("alpha");
    add_file(b, SITE "alpha/__init__.py", 0, "one\n");
    add_file(b, SITE "alpha/sub/deep.py", 0, "deep\n");
    f->manifest = bare_manifest("3.11.2");
    with(f->manifest, &f->shelf, shelf_add(&f->shelf, b));
    f->view = composed(f->manifest, &f->shelf);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    view_unref(f->view);
    drop_manifest(f->manifest);
    shelf_release(&f->shelf);
    assert_int_equal(path_remove_tree(f->dir), 0);
    free(f);
    return 0;
}

/* Writes a file of the layer, and the folders above it. */
static void put(const struct fixture *f, const char *path, const char *text)
{
    _cleanup_free_ char *full = path_join(f->dir, path), *parent = path_dirname(full);
    assert_int_equal(path_mkdirs(parent, 0755), 0);
    assert_int_equal(io_write_file_atomic(full, text, strlen(text), 0644, false), 0);
}

/* "A path, R source -> path, ..." */
static char *edits(const struct fixture *f)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_edits_ struct edits e = {0};
    struct strbuf sb = STRBUF_INIT;
    if (edits_read(f->dir, f->view, &e, &err) < 0)
        fail_msg("%s", verror_message(&err));
    for (size_t i = 0; i < e.n; i++) {
        strbuf_addf(&sb, "%s%c ", i ? ", " : "", (char)e.v[i].kind);
        if (e.v[i].source)
            strbuf_addf(&sb, "%s%s -> ", e.v[i].source, e.v[i].lost ? " (lost)" : "");
        strbuf_addf(&sb, "%s%s", e.v[i].path, e.v[i].attributes ? " (attributes)" : "");
    }
    return strbuf_detach(&sb, NULL);
}

#define assert_edits(f, expected)                                                                  \
    do {                                                                                           \
        _cleanup_free_ char *found_ = edits(f);                                                    \
        assert_string_equal(found_, expected);                                                     \
    } while (0)

static void nothing_there_is_no_edit(void **state)
{
    struct fixture *f = *state;
    struct edits e;
    assert_int_equal(edits_read("/nonexistent/upper", f->view, &e, NULL), 0);
    assert_int_equal(e.n, 0);
    assert_false(edits_any("/nonexistent/upper"));
    put(f, UPPER_WORK "/c-1", "half");
    put(f, UPPER_ORPHANS "/o-1", "removed");
    assert_false(edits_any(f->dir));
    assert_edits(f, "");
    put(f, "x", "");
    assert_true(edits_any(f->dir));
}

static void bytes_decide(void **state)
{
    struct fixture *f = *state;
    put(f, SITE "alpha/__init__.py", "one\n");
    assert_edits(f, "");
    put(f, SITE "alpha/__init__.py", "two\n");
    put(f, SITE "alpha/new.py", "");
    assert_edits(f, "M " SITE "alpha/__init__.py, A " SITE "alpha/new.py");
}

static void a_whiteout_counts_where_something_shows(void **state)
{
    struct fixture *f = *state;
    put(f, SITE "alpha/.wh.sub", "");
    put(f, SITE "alpha/.wh.never", "");
    assert_edits(f, "D " SITE "alpha/sub");
    put(f, SITE "alpha/sub", "an entry beats it"); /* and is another kind of thing */
    assert_edits(f, "A " SITE "alpha/sub, D " SITE "alpha/sub");
}

static void an_opaque_folder_hides_at_every_depth(void **state)
{
    struct fixture *f = *state;
    put(f, SITE "alpha/" UPPER_OPAQUE, "");
    put(f, SITE "alpha/sub/other.py", "");
    assert_edits(f, "D " SITE "alpha/__init__.py, D " SITE "alpha/sub/deep.py, A " SITE
                    "alpha/sub/other.py");
}

static void the_last_line_of_an_attr_log_wins(void **state)
{
    struct fixture *f = *state;
    put(f, SITE "alpha/" UPPER_ATTR, "600 - - - __init__.py\n644 - - 5 __init__.py\n");
    assert_edits(f, "");
    put(f, SITE "alpha/" UPPER_ATTR,
        "644 - - - __init__.py\n600 - - - __init__.py\n600 - - - gone.py\n600 - - - cut");
    assert_edits(f, "M " SITE "alpha/__init__.py (attributes)");
}

static void redirect(const struct fixture *f, const char *path, const struct sha256 *image,
                     const char *source)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(image, hex);
    _cleanup_free_ char *text = xasprintf("sha256:%s %s\n", hex, source);
    _cleanup_free_ char *mark = xasprintf("%s/" UPPER_REDIRECT, path);
    put(f, mark, text);
}

static void a_renamed_folder_is_no_removal(void **state)
{
    struct fixture *f = *state;
    const struct sha256 *image = &f->manifest->packages[0].image.id;
    redirect(f, SITE "beta", image, SITE "alpha");
    put(f, SITE ".wh.alpha", "");
    put(f, SITE "beta/.wh.sub", "");
    assert_edits(f, "R " SITE "alpha -> " SITE "beta, D " SITE "beta/sub");
    redirect(f, SITE "gamma", image, SITE "alpha/sub"); /* so that one moved out of the other */
    assert_edits(f, "R " SITE "alpha -> " SITE "beta, R " SITE "alpha/sub -> " SITE "gamma");
}

static void a_folder_of_a_package_that_left_is_lost(void **state)
{
    struct fixture *f = *state;
    struct sha256 other;
    sha256_of("x", 1, &other);
    redirect(f, SITE "beta", &other, SITE "old");
    assert_edits(f, "R " SITE "old (lost) -> " SITE "beta");
    redirect(f, SITE "beta", &f->manifest->packages[0].image.id, SITE "none");
    assert_edits(f, "R " SITE "none (lost) -> " SITE "beta");
}

static void a_damaged_mark_is_an_error(void **state)
{
    struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct edits e;
    put(f, SITE "beta/" UPPER_REDIRECT, "sha256:zz x\n");
    assert_int_equal(edits_read(f->dir, f->view, &e, &err), -EUCLEAN);
    assert_non_null(strstr(verror_message(&err), SITE "beta"));
}

static void no_link_leads_out_of_the_layer(void **state)
{
    struct fixture *f = *state;
    put(f, "real/file", "");
    _cleanup_free_ char *link = path_join(f->dir, "link");
    assert_int_equal(symlink("real", link), 0);
    assert_edits(f, "A link, A real/file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(nothing_there_is_no_edit),
        TEST(bytes_decide),
        TEST(a_whiteout_counts_where_something_shows),
        TEST(an_opaque_folder_hides_at_every_depth),
        TEST(the_last_line_of_an_attr_log_wins),
        TEST(a_renamed_folder_is_no_removal),
        TEST(a_folder_of_a_package_that_left_is_lost),
        TEST(a_damaged_mark_is_an_error),
        TEST(no_link_leads_out_of_the_layer),
    };
    umask(022); /* what a mode differs from */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
