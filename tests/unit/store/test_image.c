/* Images: what a builder made, a reader finds; whatever else it is given, it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/wire.h"
#include "store/image.h"

static struct sha256 digest_of(const char *s)
{
    struct sha256 h;
    sha256_of(s, strlen(s), &h);
    return h;
}

static void add_file(struct image_builder *b, const char *path, unsigned flags, const char *text)
{
    struct sha256 id = digest_of(text);
    uint64_t sum = checksum_of(text, strlen(text));
    assert_int_equal(image_builder_file(b, path, flags, &id, strlen(text), &sum, NULL), 0);
}

static struct image_builder *sample(bool reversed)
{
    struct image_builder *b = image_builder_new("Sample", "1.0", "sample-1.0.dist-info");
    struct image_script console = {
        .kind = IMAGE_SCRIPT_CONSOLE, .name = "sample", .module = "sample.cli", .attr = "main"};
    struct image_script python = {
        .kind = IMAGE_SCRIPT_PYTHON, .name = "old", .skip = 10, .size = 20};
    const char *body = "#!python\n\nimport os\n";
    struct sha256 id = digest_of(body);
    uint64_t sum = 7;
    static const char *const paths[] = {"lib/a.py", "lib/b/__init__.py", "lib/b.py",
                                        "lib/b/c/__init__.py", "bin/tool"};
    for (size_t i = 0; i < 5; i++) {
        size_t k = reversed ? 4 - i : i;
        add_file(b, paths[k], k == 4 ? IMAGE_EXEC : 0, k == 3 ? "shared" : paths[k % 3]);
    }
    add_file(b, "lib/x.dist-info/RECORD", reversed ? IMAGE_IF_NOT_REQUESTED : IMAGE_IF_REQUESTED,
             reversed ? "without" : "with");
    add_file(b, "lib/x.dist-info/RECORD", reversed ? IMAGE_IF_REQUESTED : IMAGE_IF_NOT_REQUESTED,
             reversed ? "with" : "without");
    assert_int_equal(image_builder_file(b, "lib/b/empty", 0, NULL, 0, NULL, NULL), 0);
    assert_int_equal(image_builder_symlink(b, "lib/link", "../bin/tool", NULL), 0);
    assert_int_equal(image_builder_dir(b, "share/void", NULL), 0);
    assert_int_equal(image_builder_script(b, &console, NULL, NULL, NULL), 0);
    assert_int_equal(image_builder_script(b, &python, &id, &sum, NULL), 0);
    return b;
}

static void finish(struct image_builder *b, struct strbuf *out, struct sha256 *id)
{
    struct verror err = VERROR_INIT;
    assert_int_equal(image_builder_finish(b, out, id, &err), 0);
    image_builder_free(b);
}

static uint32_t lookup(const struct image *im, const char *path, bool requested)
{
    uint32_t node = IMAGE_ROOT;
    while (*path) {
        size_t n = strcspn(path, "/");
        if (!image_lookup(im, node, path, n, requested, &node))
            return UINT32_MAX;
        path += n + (path[n] == '/');
    }
    return node;
}

static void test_what_was_added_is_found(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    struct sha256 id;
    finish(sample(false), &out, &id);
    struct image *im;
    struct verror err = VERROR_INIT;
    assert_int_equal(image_open_memory(out.buf, out.len, &im, &err), 0);
    assert_true(sha256_equal(image_id(im), &id));
    assert_string_equal(image_dist_name(im), "Sample");
    assert_string_equal(image_dist_version(im), "1.0");
    assert_string_equal(image_dist_info(im), "sample-1.0.dist-info");
    assert_int_equal(image_nodes(im), 17);

    struct image_node n = image_node(im, lookup(im, "bin/tool", false));
    assert_int_equal(n.type, IMAGE_FILE);
    assert_int_equal(n.flags, IMAGE_EXEC);
    struct sha256 want = digest_of("lib/b/__init__.py");
    assert_memory_equal(image_blob_id(im, n.blob), &want, SHA256_SIZE);
    n = image_node(im, lookup(im, "lib/b/empty", false));
    assert_int_equal(n.size, 0);
    assert_int_equal(n.blob, IMAGE_NO_BLOB);
    n = image_node(im, lookup(im, "share/void", false));
    assert_int_equal(n.type, IMAGE_DIR);
    assert_int_equal(n.count, 0);
    assert_true(n.dir_time >= 1000000000u);
    size_t len;
    const char *target = image_target(im, lookup(im, "lib/link", false), &len);
    assert_int_equal(len, 11);
    assert_memory_equal(target, "../bin/tool", 11);
    assert_int_equal(lookup(im, "lib/zzz", false), UINT32_MAX);
    assert_int_equal(lookup(im, "lib/a.py/x", false), UINT32_MAX);

    n = image_node(im, lookup(im, "lib/x.dist-info/RECORD", true));
    assert_int_equal(n.size, 4);
    n = image_node(im, lookup(im, "lib/x.dist-info/RECORD", false));
    assert_int_equal(n.size, 7);
    assert_int_equal(image_slice_checksum(im, n.blob, 0), checksum_of("without", 7));

    assert_int_equal(image_scripts(im), 2);
    struct image_script s = image_script(im, 0);
    assert_string_equal(s.name, "old");
    assert_int_equal(s.skip, 10);
    assert_int_equal(image_blob_size(im, s.blob), 20);
    s = image_script(im, 1);
    assert_string_equal(s.name, "sample");
    assert_string_equal(s.module, "sample.cli");
    assert_string_equal(s.attr, "main");
    image_unref(im);
    strbuf_release(&out);
}

static void test_order_of_addition_does_not_matter(void **state)
{
    (void)state;
    struct strbuf a = STRBUF_INIT, b = STRBUF_INIT;
    struct sha256 ia, ib;
    finish(sample(false), &a, &ia);
    finish(sample(true), &b, &ib);
    assert_true(sha256_equal(&ia, &ib));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.buf, b.buf, a.len);
    strbuf_release(&a);
    strbuf_release(&b);
}

static void test_builder_refuses_conflicts(void **state)
{
    (void)state;
    struct image_builder *b = sample(false);
    struct verror err = VERROR_INIT;
    assert_int_equal(image_builder_file(b, "lib/a.py", 0, NULL, 0, NULL, &err), -EEXIST);
    assert_int_equal(image_builder_file(b, "lib/a.py/x", 0, NULL, 0, NULL, &err), -ENOTDIR);
    assert_int_equal(image_builder_file(b, "lib/b", 0, NULL, 0, NULL, &err), -EEXIST);
    assert_int_equal(image_builder_dir(b, "lib/a.py", &err), -ENOTDIR);
    assert_int_equal(image_builder_dir(b, "lib/b", &err), 0);
    static const char *const bad[] = {"", "/etc", "a//b", "../x", "a/./b", "a/..", "a/"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(image_builder_file(b, bad[i], 0, NULL, 0, NULL, &err), -EINVAL);
    assert_int_equal(
        image_builder_file(b, "lib/x.dist-info/RECORD", IMAGE_IF_REQUESTED, NULL, 0, NULL, &err),
        -EEXIST);
    assert_true(image_builder_has(b, "lib/b/c"));
    assert_false(image_builder_has(b, "lib/none/c"));
    struct image_script s = {
        .kind = IMAGE_SCRIPT_CONSOLE, .name = "../x", .module = "a", .attr = "b"};
    assert_int_equal(image_builder_script(b, &s, NULL, NULL, &err), -EINVAL);
    s.name = "x";
    s.module = "os; evil()";
    assert_int_equal(image_builder_script(b, &s, NULL, NULL, &err), -EINVAL);
    char deep[400] = "";
    for (int i = 0; i < 130; i++)
        strcat(deep, "d/");
    strcat(deep, "f");
    assert_int_equal(image_builder_file(b, deep, 0, NULL, 0, NULL, &err), -E2BIG);
    verror_release(&err);
    image_builder_free(b);
}

/* Uses every accessor on everything, so that a sanitizer sees any wild offset. The sum is printed
 * nowhere, but returned: no access may be optimised away. */
static __attribute__((noinline)) uint64_t walk_all(const struct image *im)
{
    uint64_t sum = 0;
    size_t len;
    for (uint32_t i = 0; i < image_nodes(im); i++) {
        struct image_node n = image_node(im, i);
        const char *name = image_name(im, i, &len);
        uint32_t found;
        if (i)
            assert_true(
                image_lookup(im, n.parent, name, len, !(n.flags & IMAGE_IF_NOT_REQUESTED), &found));
        if (n.type == IMAGE_SYMLINK)
            sum += checksum_of(image_target(im, i, &len), n.size);
        for (uint32_t k = 0; n.blob != IMAGE_NO_BLOB && k < image_slices(n.size); k++)
            sum += image_slice_checksum(im, n.blob, k) + image_blob_id(im, n.blob)->bytes[0];
    }
    for (size_t i = 0; i < image_scripts(im); i++) {
        struct image_script s = image_script(im, i);
        sum += strlen(s.name) + strlen(s.module) + strlen(s.attr);
    }
    return sum + strlen(image_dist_name(im)) + strlen(image_dist_info(im));
}

static void redigest(uint8_t *data, size_t size)
{
    const size_t body = size - SHA256_SIZE - 8;
    struct sha256 h;
    sha256_of(data, body, &h);
    memcpy(data + body, &h, SHA256_SIZE);
    wire_store64(data + size - 8, checksum_of(data, size - 8));
}

/* An exact copy on the heap, so that a sanitizer notices one byte too far. */
static void try_open(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmemdup(data, size);
    struct image *im;
    struct verror err = VERROR_INIT;
    int r = image_open_memory(copy, size, &im, &err);
    if (r == 0) {
        walk_all(im);
        image_unref(im);
    } else {
        assert_int_equal(r, -EBADMSG);
        assert_non_null(err.message);
    }
    verror_release(&err);
    free(copy);
}

static void test_any_damage_is_refused(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    struct sha256 id;
    finish(sample(false), &out, &id);
    uint8_t *data = (uint8_t *)out.buf;
    struct image *im;
    struct verror err = VERROR_INIT;
    for (size_t i = 0; i < out.len; i++) {
        data[i] ^= 1;
        assert_int_equal(image_open_memory(data, out.len, &im, &err), -EBADMSG);
        data[i] ^= 1;
        assert_int_equal(image_open_memory(data, i, &im, &err), -EBADMSG);
    }
    verror_release(&err);
    strbuf_release(&out);
}

static void test_hostile_bytes_with_a_right_digest_never_crash(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    struct sha256 id;
    finish(sample(false), &out, &id);
    uint8_t *data = (uint8_t *)out.buf;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '/', '.'};
    for (size_t i = 0; i + SHA256_SIZE + 8 < out.len; i++) {
        uint8_t old = data[i];
        for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
            data[i] = values[v];
            redigest(data, out.len);
            try_open(data, out.len);
        }
        for (unsigned bit = 0; bit < 8; bit++) {
            data[i] = old ^ (uint8_t)(1u << bit);
            redigest(data, out.len);
            try_open(data, out.len);
        }
        data[i] = old;
    }
    for (size_t size = SHA256_SIZE + 8; size < out.len; size++) {
        uint8_t *copy = xmemdup(data, size);
        redigest(copy, size);
        try_open(copy, size);
        free(copy);
    }
    strbuf_release(&out);
}

static void test_many_nodes_keep_order(void **state)
{
    (void)state;
    struct image_builder *b = image_builder_new("big", "1", "big-1.dist-info");
    char path[64];
    for (unsigned i = 0; i < 20000; i++) {
        unsigned k = (i * 7919u) % 20000;
        (void)snprintf(path, sizeof(path), "lib/d%u/f%u.py", k % 97, k);
        add_file(b, path, 0, path);
    }
    struct strbuf out = STRBUF_INIT;
    struct sha256 id;
    finish(b, &out, &id);
    struct image *im;
    struct verror err = VERROR_INIT;
    assert_int_equal(image_open_memory(out.buf, out.len, &im, &err), 0);
    assert_int_equal(image_nodes(im), 20000 + 97 + 2);
    walk_all(im);
    image_unref(im);
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_added_is_found),
        cmocka_unit_test(test_order_of_addition_does_not_matter),
        cmocka_unit_test(test_builder_refuses_conflicts),
        cmocka_unit_test(test_any_damage_is_refused),
        cmocka_unit_test(test_hostile_bytes_with_a_right_digest_never_crash),
        cmocka_unit_test(test_many_nodes_keep_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
