/* The texts of a wheel: file names, versions, tags, RECORD, METADATA, WHEEL, entry points, scripts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wheel/entry_points.h"
#include "wheel/layout.h"
#include "wheel/metadata.h"
#include "wheel/record.h"
#include "wheel/unpack.h"
#include "wheel/version.h"
#include "wheel/wheel.h"

static void names_are_cut_at_dashes(void **state)
{
    (void)state;
    struct wheel_name n;
    assert_int_equal(wheel_name_parse("/x/numpy-2.1.3-1a-cp311-cp311-linux_x86_64.whl", &n, NULL),
                     0);
    assert_string_equal(n.dist, "numpy");
    assert_string_equal(n.version, "2.1.3");
    assert_string_equal(n.build, "1a");
    assert_string_equal(n.tags, "cp311-cp311-linux_x86_64");
    wheel_name_release(&n);
    assert_int_equal(wheel_name_parse("a-1-py2.py3-none-any.whl", &n, NULL), 0);
    assert_null(n.build);
    wheel_name_release(&n);
    static const char *const bad[] = {"a-1-py3-none.whl",           "a-1-py3-none-any.zip",
                                      "a-1-x-py3-none-any.whl",     "a--py3-none-any.whl",
                                      "a b-1-py3-none-any.whl",     ".whl",
                                      "a-1-1-py3-none-any-more.whl"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(wheel_name_parse(bad[i], &n, NULL), -EBADMSG);
}

static void distribution_names_are_normalised(void **state)
{
    (void)state;
    char *s = dist_name_normalise("Foo._-Bar.baz_X");
    assert_string_equal(s, "foo-bar-baz-x");
    free(s);
    assert_int_equal(dist_name_compare("Foo._-Bar", "foo-bar"), 0);
    assert_true(dist_name_compare("foo", "Foo-bar") < 0);
    assert_true(dist_name_compare("foo_b", "foo.a") > 0);
    assert_true(dist_name_compare("a-", "a") > 0);
    assert_int_equal(dist_name_compare("", ""), 0);
}

static void versions_are_equal_up_to_spelling(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"2024.02.02", "2024.2.2"}, {"1.0", "1"},           {"1.0-alpha.1", "1a1"},
        {"1.0+cpu", "1.0_cpu"},     {"v1.0", "1.0"},        {"1.0.post1", "1.0-1"},
        {"1.0rc1", "1.0.c1"},       {"1!2.0", "1!2"},       {"1.0.dev3", "1.0dev03"},
        {"weird_One", "weird-one"}, {"1.0+Ab.1", "1+ab_1"}, {"1.0a", "1.0a0"},
    };
    static const char *const other[][2] = {
        {"1.0", "1.0.1"}, {"1.10", "1.1"}, {"1.0a1", "1.0b1"},  {"1.0", "1.0.post1"},
        {"1.0+a", "1.0"}, {"1!1", "1"},    {"1.0.dev1", "1.0"}, {"1.0", "1.0x"}};
    for (size_t i = 0; i < ARRAY_SIZE(same); i++)
        assert_true(version_equal(same[i][0], same[i][1]));
    for (size_t i = 0; i < ARRAY_SIZE(other); i++)
        assert_false(version_equal(other[i][0], other[i][1]));
}

static const char *const tags[] = {"cp311-cp311-manylinux_2_17_x86_64", "cp311-abi3-linux_x86_64",
                                   "py3-none-any"};
static const struct wheel_target target = {.executable = "/usr/bin/python3",
                                           .major = 3,
                                           .minor = 11,
                                           .cache_tag = "cpython-311",
                                           .magic = 0x0a0d0da7,
                                           .python_dir = "python3.11",
                                           .tags = tags,
                                           .n_tags = 3};

static void the_best_tag_of_a_compressed_set_counts(void **state)
{
    (void)state;
    assert_int_equal(wheel_target_rank(&target, "a-1-py2.py3-none-any.whl"), 2);
    assert_int_equal(wheel_target_rank(
                         &target, "a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"),
                     0);
    assert_int_equal(wheel_target_rank(&target, "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"), -1);
    assert_int_equal(wheel_target_rank(&target, "a-1-py3-none-win32.whl"), -1);
    assert_int_equal(wheel_target_rank(&target, "nonsense"), -1);
}

static void the_key_holds_what_shapes_an_image(void **state)
{
    (void)state;
    char *on = wheel_target_key(&target, &(struct wheel_compile){.enabled = true, .levels = 1});
    char *off = wheel_target_key(&target, &(struct wheel_compile){.levels = 1});
    assert_string_equal(on, "cp311-3495-lib/python3.11-c1-f1");
    assert_string_equal(off, "cp311-3495-lib/python3.11-c0-f1");
    free(on);
    free(off);
}

static int parse_record(const char *text, struct record *ret)
{
    return record_parse(text, strlen(text), ret, NULL);
}

#define SHA_OF_NOTHING "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

static void record_is_csv(void **state)
{
    (void)state;
    struct record record;
    assert_int_equal(parse_record("b,sha256=" SHA_OF_NOTHING ",0\r\n"
                                  "\"a,\"\"x\"\".py\",sha256=" SHA_OF_NOTHING "=,0\n"
                                  "b,sha256=" SHA_OF_NOTHING ",0\n\nx/RECORD,,",
                                  &record),
                     0);
    assert_int_equal(record.n, 3);
    const struct record_row *row = record_find(&record, "a,\"x\".py");
    assert_non_null(row);
    struct sha256 nothing;
    sha256_of("", 0, &nothing);
    assert_true(record_row_matches(row, &nothing, "", 0));
    assert_int_equal(record_find(&record, "x/RECORD")->hash, RECORD_NO_HASH);
    assert_null(record_find(&record, "c"));
    record_release(&record);
}

static void bytecode_compiled_over_the_wheels_own_has_no_hash(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "p/__pycache__/a.pyc,,\np/__pycache__/a.pyc,sha256=" SHA_OF_NOTHING ",0\nb,,\n",
        "p/__pycache__/a.pyc,sha256=" SHA_OF_NOTHING ",0\np/__pycache__/a.pyc,,\nb,,\n",
    };
    struct record record;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(parse_record(texts[i], &record), 0);
        assert_int_equal(record.n, 2);
        assert_int_equal(record_find(&record, "p/__pycache__/a.pyc")->hash, RECORD_NO_HASH);
        record_release(&record);
    }
}

static void longer_hashes_are_taken(void **state)
{
    (void)state;
    struct record record;
    struct sha256 nothing;
    sha256_of("", 0, &nothing);
    assert_int_equal(parse_record("a,sha512=z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-"
                                  "DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg,0\n"
                                  "b,sha384=OLBgp1GsljhM2TJ-sbHjaiH9txEUvgdDTAzHv2P24donTt6_529l-"
                                  "9Ua0vFImLlb,0\n",
                                  &record),
                     0);
    assert_true(record_row_matches(record_find(&record, "a"), &nothing, "", 0));
    assert_true(record_row_matches(record_find(&record, "b"), &nothing, "", 0));
    assert_false(record_row_matches(record_find(&record, "b"), &nothing, "x", 1));
    record_release(&record);
}

static void bad_records_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "a,md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n",
        "a,sha1=2jmj7l5rSw0yVb_vlWAYkK_YBwk,0\n",
        "a,sha256=short,0\n",
        "a,sha256=" SHA_OF_NOTHING "!,0\n",
        "\"a,,\n",
        "a,sha256=" SHA_OF_NOTHING ",0\na,sha256=57DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n",
        "a,sha256=" SHA_OF_NOTHING ",0\na,,\n",
    };
    struct record record;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(parse_record(bad[i], &record), -EBADMSG);
    assert_int_equal(record_parse("a\0b,,\n", 6, &record, NULL), -EBADMSG);
}

static void metadata_must_fit_the_file_name(void **state)
{
    (void)state;
    struct wheel_name name;
    assert_int_equal(wheel_name_parse("foo_bar-1.0-py3-none-any.whl", &name, NULL), 0);
    static const struct {
        const char *text;
        int r;
    } cases[] = {
        {"Metadata-Version: 2.1\r\nName: Foo.Bar\r\nVersion: 1.0.0\r\n\r\nName: x\n", 0},
        {"name:foo-bar\nversion:1\n", 0},
        {"Name: other\nVersion: 1.0\n", -EBADMSG},
        {"Name: foo-bar\nVersion: 1.1\n", -EBADMSG},
        {"Name: foo-bar\n\nVersion: 1.0\n", -EBADMSG},
        {"Version: 1.0\n", -EBADMSG},
        {"", -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *n = NULL, *v = NULL;
        assert_int_equal(metadata_parse(cases[i].text, strlen(cases[i].text), &name, &n, &v, NULL),
                         cases[i].r);
        if (i == 0)
            assert_string_equal(n, "Foo.Bar");
        free(n);
        free(v);
    }
    wheel_name_release(&name);
}

static void only_wheel_version_1_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int r;
        const char *newer;
    } cases[] = {
        {"Wheel-Version: 1.0\n", 0, NULL},           {"Wheel-Version: 1.9\n", 0, "1.9"},
        {"Wheel-Version: 2.0\n", -EOPNOTSUPP, NULL}, {"Wheel-Version: one\n", -EBADMSG, NULL},
        {"Generator: x\n", -EBADMSG, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *newer = NULL;
        assert_int_equal(wheel_version_check(cases[i].text, strlen(cases[i].text), &newer, NULL),
                         cases[i].r);
        if (cases[i].newer)
            assert_string_equal(newer, cases[i].newer);
        else
            assert_null(newer);
        free(newer);
    }
}

static int parse_eps(const char *text, struct entry_points *eps)
{
    return entry_points_parse(text, strlen(text), 3, 11, eps, NULL);
}

static void entry_points_are_read_as_configparser_does(void **state)
{
    (void)state;
    struct entry_points eps;
    assert_int_equal(parse_eps("# comment\n"
                               "[other]\nno equals here\n"
                               "[console_scripts]\n"
                               "Foo = pkg.mod:main\r\n"
                               "; another\n"
                               "  bar=pkg:obj.method [extra, more]\n"
                               "ab:c = x:y\n"
                               "[gui_scripts]\n"
                               "win = pkg.gui : run \n",
                               &eps),
                     -EBADMSG); /* a deeper line continues the value before it */
    assert_int_equal(parse_eps("[console_scripts]\nFoo = pkg.mod:main\r\n"
                               "; another\n"
                               "bar=pkg:obj.method [extra, more]\n"
                               "ab:c = x:y\n"
                               "[gui_scripts]\n"
                               "win = pkg.gui : run \n",
                               &eps),
                     0);
    assert_int_equal(eps.n, 4);
    assert_string_equal(eps.list[0].name, "Foo");
    assert_string_equal(eps.list[0].module, "pkg.mod");
    assert_string_equal(eps.list[1].attr, "obj.method");
    assert_string_equal(eps.list[2].name, "ab:c");
    assert_true(eps.list[3].gui);
    assert_string_equal(eps.list[3].attr, "run");
    entry_points_release(&eps);
    assert_int_equal(parse_eps("[console_scripts]\n    a = b:c\n    d = e:f\n", &eps), 0);
    assert_int_equal(eps.n, 2);
    entry_points_release(&eps);
}

static void pip_gets_names_of_the_interpreter(void **state)
{
    (void)state;
    struct entry_points eps;
    assert_int_equal(parse_eps("[console_scripts]\npip = p:m\npip3 = p:m\npip3.8=p:m\n"
                               "easy_install=s:m\neasy_install-3.6=s:m\npipx=q:m\n",
                               &eps),
                     0);
    static const char *const want[] = {
        "pip", "pip3", "pip3.11", "easy_install", "easy_install-3.11", "pipx"};
    assert_int_equal(eps.n, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_true(entry_points_has(&eps, want[i], strlen(want[i])));
    entry_points_release(&eps);
}

static void bad_entry_points_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "../x = a:b",
        "a/b = a:b",
        "python = a:b",
        "python3 = a:b",
        "python3.11 = a:b",
        ".. = a:b",
        "= a:b",
        "activate = a:b",
        "Activate.ps1=a:b",
        "a\tb = a:b",
        "x = a",
        "x = a:",
        "x = a:b c",
        "x = a;b:c",
        "x = 1a:b",
        "x = a:b\n c",
        "x = a..b:c",
        "activate.fish = a:b",
        "noequals",
        "x = a:b; import os",
    };
    struct entry_points eps;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        _cleanup_free_ char *text = xasprintf("[console_scripts]\n%s\n", bad[i]);
        if (parse_eps(text, &eps) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    }
    static const char *const good[] = {"python-argcomplete = a:b", "pythontex = a:b",
                                       "activate-global-x = a:b"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        _cleanup_free_ char *text = xasprintf("[console_scripts]\n%s\n", good[i]);
        assert_int_equal(parse_eps(text, &eps), 0);
        entry_points_release(&eps);
    }
}

static void scripts_name_their_interpreter(void **state)
{
    (void)state;
    struct image_script s = {
        .kind = IMAGE_SCRIPT_CONSOLE, .name = "x", .module = "a.b", .attr = "Main.run"};
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    script_text(&s, "/venv/bin/python", &sb);
    assert_string_equal(sb.buf, "#!/venv/bin/python\n"
                                "# -*- coding: utf-8 -*-\nimport re\nimport sys\n"
                                "from a.b import Main\n"
                                "if __name__ == '__main__':\n"
                                "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', "
                                "sys.argv[0])\n"
                                "    sys.exit(Main.run())\n");
    s.kind = IMAGE_SCRIPT_PYTHON;
    strbuf_reset(&sb);
    script_text(&s, "/with space/python", &sb);
    assert_string_equal(sb.buf,
                        "#!/bin/sh\n'''exec' \"/with space/python\" \"$0\" \"$@\"\n' '''\n");
    strbuf_reset(&sb);
    script_text(&s, "/it's $x/python", &sb);
    assert_string_equal(sb.buf,
                        "#!/bin/sh\n'''exec' '/it'\"'\"'s $x/python' \"$0\" \"$@\"\n' '''\n");
    char longest[126];
    memset(longest, 'a', 125);
    longest[0] = '/';
    longest[124] = '\0'; /* 124 + 3 = 127 */
    strbuf_reset(&sb);
    script_text(&s, longest, &sb);
    assert_memory_equal(sb.buf, "#!/a", 4);
    longest[124] = 'a';
    longest[125] = '\0';
    strbuf_reset(&sb);
    script_text(&s, longest, &sb);
    assert_memory_equal(sb.buf, "#!/bin/sh\n", 10);
}

static void members_go_where_the_standard_says(void **state)
{
    (void)state;
    struct layout l = {
        .python_dir = "python3.11", .dist_info = "foo-1.0.dist-info", .headers = "foo"};
    static const struct {
        const char *member, *path, *record;
        enum layout_kind kind;
        bool site;
    } good[] = {
        {"foo/a.py", "lib/python3.11/site-packages/foo/a.py", "foo/a.py", LAYOUT_FILE, true},
        {"foo-1.0.data/purelib/p.py", "lib/python3.11/site-packages/p.py", "p.py", LAYOUT_FILE,
         true},
        {"foo-1.0.data/platlib/p/q.so", "lib/python3.11/site-packages/p/q.so", "p/q.so",
         LAYOUT_FILE, true},
        {"foo-1.0.data/headers/h/x.h", "include/site/python3.11/foo/h/x.h",
         "../../../include/site/python3.11/foo/h/x.h", LAYOUT_FILE, false},
        {"foo-1.0.data/scripts/run", "bin/run", "../../../bin/run", LAYOUT_SCRIPT, false},
        {"foo-1.0.data/data/share/x", "share/x", "../../../share/x", LAYOUT_FILE, false},
        {"foo-1.0.data/data/lib/x", "lib/x", "../../x", LAYOUT_FILE, false},
        {"foo-1.0.data/data/CACHEDIR.TAG", "CACHEDIR.TAG", "../../../CACHEDIR.TAG", LAYOUT_FILE,
         false},
        {"foo-1.0.dist-info/RECORD", "lib/python3.11/site-packages/foo-1.0.dist-info/RECORD",
         "foo-1.0.dist-info/RECORD", LAYOUT_RECORD, true},
        {"foo-1.0.data/data/bin/python-tool", "bin/python-tool", "../../../bin/python-tool",
         LAYOUT_FILE, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct layout_place place;
        assert_int_equal(layout_place(&l, good[i].member, &place, NULL), 0);
        assert_string_equal(place.path, good[i].path);
        assert_int_equal(place.kind, good[i].kind);
        assert_int_equal(place.site, good[i].site);
        _cleanup_free_ char *record = layout_record_path(&l, place.path);
        assert_string_equal(record, good[i].record);
        free(place.path);
    }
    static const char *const bad[] = {
        "foo-1.0.data/data/pyvenv.cfg",
        "foo-1.0.data/data/bin/python",
        "foo-1.0.data/data/bin/python3.11",
        "foo-1.0.data/data/bin/activate",
        "foo-1.0.data/scripts/activate.csh",
        "foo-1.0.data/scripts/Activate.ps1",
        "foo-1.0.data/scripts/activate_this.py",
        "foo-1.0.data/data/lib64",
        "foo-1.0.data/data/lib64/x",
        "foo-1.0.data/data/bin",
        "foo-1.0.data/unknown/x",
        "foo-1.0.data/x",
        "foo-1.0.data/scripts/python",
        "foo-1.0.data/data/lib",
        "bar-1.0.dist-info/METADATA",
        "foo-1.0.data/purelib/bar-1.0.dist-info/METADATA",
        "foo-1.0.data/purelib/foo-1.0.dist-info/RECORD",
        "foo-1.0.data/data/lib/python3.11/site-packages/foo-1.0.dist-info/INSTALLER",
        "foo-1.0.data/data/pyvenv.cfg/x",
        "foo-1.0.data/data/bin/python/x",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct layout_place place;
        if (layout_place(&l, bad[i], &place, NULL) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void member_names_are_judged(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "/abs",           "../x", "a/../b", "a\\b",
                                      "C:/x",  "a\nb",           "a//b", "./a",    "a/.",
                                      ".wh.x", "a/.wh..wh..opq", "//",   "ab\x7f"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (!layout_member_problem(bad[i], strlen(bad[i])))
            fail_msg("accepted: %s", bad[i]);
    assert_non_null(layout_member_problem("a\0b", 3));
    static const char *const good[] = {
        "a", "a/b", "a/", "a..b", "...", "ab:c", "\xc3\xa4/\xc3\xb6"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_null(layout_member_problem(good[i], strlen(good[i])));
}

static void an_empty_source_has_a_derived_time_too(void **state)
{
    (void)state;
    struct sha256 nothing;
    sha256_of("", 0, &nothing);
    assert_int_equal(image_time_of_blob(&nothing), IMAGE_TIME_OF_EMPTY);
}

static void pyc_paths_follow_pep_3147(void **state)
{
    (void)state;
    char *a = unpack_pyc_path("x/y.py", "cpython-311", 0);
    char *b = unpack_pyc_path("m.n.py", "cpython-38", 2);
    assert_string_equal(a, "x/__pycache__/y.cpython-311.pyc");
    assert_string_equal(b, "__pycache__/m.n.cpython-38.opt-2.pyc");
    assert_null(unpack_pyc_path("x/.py", "cpython-311", 0));
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_cut_at_dashes),
        cmocka_unit_test(distribution_names_are_normalised),
        cmocka_unit_test(versions_are_equal_up_to_spelling),
        cmocka_unit_test(the_best_tag_of_a_compressed_set_counts),
        cmocka_unit_test(the_key_holds_what_shapes_an_image),
        cmocka_unit_test(record_is_csv),
        cmocka_unit_test(bytecode_compiled_over_the_wheels_own_has_no_hash),
        cmocka_unit_test(longer_hashes_are_taken),
        cmocka_unit_test(bad_records_are_refused),
        cmocka_unit_test(metadata_must_fit_the_file_name),
        cmocka_unit_test(only_wheel_version_1_is_taken),
        cmocka_unit_test(entry_points_are_read_as_configparser_does),
        cmocka_unit_test(pip_gets_names_of_the_interpreter),
        cmocka_unit_test(bad_entry_points_are_refused),
        cmocka_unit_test(scripts_name_their_interpreter),
        cmocka_unit_test(members_go_where_the_standard_says),
        cmocka_unit_test(member_names_are_judged),
        cmocka_unit_test(pyc_paths_follow_pep_3147),
        cmocka_unit_test(an_empty_source_has_a_derived_time_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
