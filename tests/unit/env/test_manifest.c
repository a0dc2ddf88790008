#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "env/manifest.h"
#include "env/manifest_check.h"
#include "wheel/wheel.h"

static struct manifest *sample(void)
{
    struct manifest *m = manifest_new();
    m->generation = 3;
    m->reason = xstrdup("install requests");
    m->time_ns = 1763850000123456789;
    m->address = xstrdup("/home/u/my \"proj\"/.venv");
    m->executable = xstrdup("/usr/bin/python3");
    m->base_executable = xstrdup("/usr/bin/python3.11");
    m->home = xstrdup("/usr/bin");
    m->version = xstrdup("3.11.2");
    m->python_dir = xstrdup("python3.11");
    m->platlibdir = xstrdup("lib");
    m->is_64bit = true;
    m->target_key = xstrdup("cp311-3495-lib/python3.11-c1");
    return m;
}

static struct manifest_package *add(struct manifest *m, const char *name, uint32_t image,
                                    int64_t entered_ns)
{
    struct manifest_package *p = manifest_add(m, name);
    free(p->version);
    p->version = xstrdup("1.2.3");
    p->image.number = image;
    p->entered_ns = entered_ns;
    sha256_of(name, strlen(name), &p->image.id);
    sha256_of("w", 1, &p->wheel);
    return p;
}

static struct manifest_editable editable(const char *name)
{
    static const char *const paths[] = {"bin/app",
                                        "lib/python3.11/site-packages/app-1.dist-info/METADATA",
                                        "lib/python3.11/site-packages/app.pth"};
    struct manifest_editable e = {.name = xstrdup(name),
                                  .version = xstrdup("1.0"),
                                  .normalised = dist_name_normalise(name),
                                  .path = xstrdup("/home/u/proj"),
                                  .files = xcalloc(ARRAY_SIZE(paths), sizeof(*e.files)),
                                  .n_files = ARRAY_SIZE(paths)};
    sha256_of("k", 1, &e.key);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        e.files[i] = (struct manifest_file){
            .path = xstrdup(paths[i]), .text = xstrdup("line\n"), .exec = i == 0};
    return e;
}

static struct manifest *reread(const struct manifest *m)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ char *text = manifest_to_json(m);
    struct manifest *back = NULL;
    assert_non_null(text);
    if (manifest_from_json(text, strlen(text), &back, &err) < 0)
        fail_msg("%s", verror_message(&err));
    return back;
}

static void everything_survives_a_round_trip(void **state)
{
    (void)state;
    struct manifest *m = sample();
    m->system_site_packages = true;
    m->project = xstrdup("/home/u/proj");
    m->prompt = xstrdup("p");
    m->settings = json_pack("{s:s}", "lock", "uv.lock");
    add(m, "Zope.Interface", 9, 1763850000123456789)->requested = true;
    add(m, "pip", 7, 1763840000000000000)->seed = true;
    add(m, "b", 8, 1763840000000000000)->direct_url = json_pack("{s:s}", "url", "file:///x");
    struct manifest_editable e = editable("The.App");
    manifest_add_editable(m, &e);
    struct manifest *back = reread(m);
    assert_int_equal(back->n_editables, 1);
    assert_string_equal(back->editables[0].normalised, "the-app");
    assert_true(manifest_editables_equal(m, back));
    struct manifest *without = manifest_copy(back);
    assert_true(manifest_editables_equal(m, without));
    assert_true(manifest_drop_editable(without, "the-app"));
    assert_false(manifest_editables_equal(m, without));
    manifest_free(without);
    _cleanup_free_ char *one = manifest_to_json(m), *two = manifest_to_json(back);
    assert_string_equal(one, two);
    assert_int_equal(back->generation, 3);
    assert_int_equal(back->n_packages, 3);
    assert_string_equal(back->packages[2].normalised, "zope-interface");
    assert_string_equal(back->packages[2].name, "Zope.Interface");
    assert_true(back->packages[2].requested && !back->packages[2].seed);
    assert_true(back->packages[1].seed);
    assert_int_equal(back->packages[2].entered_ns, 1763850000123456789);
    assert_int_equal(back->packages[0].entered_ns, 1763840000000000000);
    assert_string_equal(json_string_value(json_object_get(back->packages[0].direct_url, "url")),
                        "file:///x");
    assert_true(sha256_equal(&back->packages[0].wheel, &m->packages[0].wheel));
    assert_true(sha256_equal(&back->packages[0].image.id, &m->packages[0].image.id));
    assert_string_equal(back->address, m->address);
    assert_true(back->system_site_packages && back->is_64bit);
    struct manifest *copy = manifest_copy(back);
    manifest_free(back);
    _cleanup_free_ char *three = manifest_to_json(copy);
    assert_string_equal(one, three);
    manifest_free(copy);
    manifest_free(m);
}

static void one_made_from_inside_has_an_interpreter_or_none(void **state)
{
    (void)state;
    struct manifest *like = sample(), *m = manifest_bare(like, "made"), *back;
    m->time_ns = 5;
    m->upper = 2;
    back = reread(m);
    assert_true(back->bare);
    assert_int_equal(back->upper, 2);
    assert_null(back->executable);
    assert_string_equal(manifest_python(back), "none");
    assert_string_equal(back->address, like->address);
    manifest_free(back);
    m->upper = m->generation + 1;
    assert_int_equal(manifest_check(m, NULL), -EBADMSG);
    m->upper = 0;
    add(m, "a", 1, 1);
    assert_int_equal(manifest_check(m, NULL), -EBADMSG); /* packages for no interpreter */
    manifest_drop(m, "a");
    m->version = xstrdup("3.11.2");
    assert_int_equal(manifest_check(m, NULL), -EBADMSG); /* half of one */
    like->bare = true;
    add(like, "a", 1, 1);
    assert_int_equal(manifest_check(like, NULL), 0);
    manifest_free(m);
    manifest_free(like);
}

static void packages_stay_sorted_and_unique(void **state)
{
    (void)state;
    struct manifest *m = sample();
    add(m, "c", 1, 1);
    add(m, "a", 2, 1);
    add(m, "B", 3, 1);
    assert_ptr_equal(manifest_add(m, "b"), manifest_find(m, "b"));
    assert_int_equal(m->n_packages, 3);
    assert_string_equal(m->packages[1].name, "B");
    assert_true(manifest_drop(m, "b"));
    assert_false(manifest_drop(m, "b"));
    assert_null(manifest_find(m, "b"));
    assert_int_equal(m->n_packages, 2);
    assert_string_equal(m->packages[1].name, "c");
    manifest_free(m);
}

static void a_big_one_is_small_and_has_a_line_per_package(void **state)
{
    (void)state;
    struct manifest *m = sample();
    for (uint32_t i = 0; i < 118; i++) {
        _cleanup_free_ char *name = xasprintf("some-package-%u", i);
        add(m, name, 1000 + i, i % 10 ? 1763840000000000000 : 1763840000000000001);
    }
    _cleanup_free_ char *text = manifest_to_json(m);
    assert_true(strlen(text) < 24 * 1024);
    size_t lines = 0;
    for (const char *s = text; (s = strstr(s, "\n  {\"name\"")); s++)
        lines++;
    assert_int_equal(lines, 118);
    manifest_free(m);
}

/* `good` with one text replaced by another must be refused. */
static void refused(const char *good, const char *from, const char *to)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_strbuf_ struct strbuf bad = STRBUF_INIT;
    struct manifest *back = NULL;
    const char *at = strstr(good, from);
    if (!at)
        fail_msg("no %s in %s", from, good);
    strbuf_add(&bad, good, (size_t)(at - good));
    strbuf_addstr(&bad, to);
    strbuf_addstr(&bad, at + strlen(from));
    int r = manifest_from_json(bad.buf, bad.len, &back, &err);
    if (r != -EBADMSG)
        fail_msg("%s: %d", to, r);
    assert_null(back);
    assert_non_null(err.message);
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"\"generation\": 3", "\"generation\": 0"},
        {"\"generation\": 3", "\"generation\": -1"},
        {"\"generation\": 3", "\"generation\": 99999999999"},
        {"\"generation\": 3", "\"generation\": \"3\""},
        {"\"generation\": 3,", "\"generation\": 3,\"generation\": 3,"},
        {"\"format\": 1", "\"format\": 2"},
        {"\"format\": 1,", ""},
        {"\"time_ns\": 1763850000123456789", "\"time_ns\": 0"},
        {"\"reason\": \"install requests\",", ""},
        {"install requests", "install\\nrequests"},
        {"\"address\": \"/", "\"address\": \""},
        {"\"home\": \"/usr/bin\"", "\"home\": \"usr/bin\""},
        {"\"home\": \"/usr/bin\"", "\"home\": [1]"},
        {"\"home\": \"/usr/bin\"", "\"home\": \"/usr/\\u0000bin\""},
        {"\"python_dir\": \"python3.11\"", "\"python_dir\": \"../x\""},
        {"\"python_dir\": \"python3.11\"", "\"python_dir\": \"..\""},
        {"\"platlibdir\": \"lib\"", "\"platlibdir\": \"\""},
        {"\"platlibdir\": \"lib\"", "\"platlibdir\": \"a/b\""},
        {"\"is_64bit\": true", "\"is_64bit\": 1"},
        {"\"name\":\"aa\"", "\"name\":\"bb\""},
        {"\"name\":\"aa\"", "\"name\":\"zz\""},
        {"\"name\":\"aa\"", "\"name\":\"a/a\""},
        {"\"name\":\"aa\"", "\"name\":\"..\""},
        {"\"name\":\"aa\"", "\"name\":\"\""},
        {"\"name\":\"aa\",", ""},
        {"\"version\":\"1.2.3\"", "\"version\":\"1/2\""},
        {"\"version\":\"1.2.3\"", "\"version\":\"1\\n2\""},
        {"\"image\":5", "\"image\":0"},
        {"\"image\":5", "\"image\":1048576"},
        {"\"image\":5", "\"image\":5.0"},
        {"\"wheel\":\"", "\"wheel\":\"0"},
        {"\"id\":\"", "\"id\":\"="},
        {"\"packages\": [", "\"packages\": [7,"},
        {"\"packages\": [", "\"packs\": ["},
        {"\"entered_ns\": 5", "\"entered_ns\": -5"},
        {"{", "[{"},
    };
    struct manifest *m = sample();
    add(m, "aa", 5, 5);
    add(m, "bb", 6, 5);
    _cleanup_free_ char *good = manifest_to_json(m);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
        refused(good, edits[i][0], edits[i][1]);
    manifest_free(m);
}

static void files_of_an_editable_that_lead_elsewhere_are_refused(void **state)
{
    (void)state;
    static const char *const edits[][2] = {
        {"\"bin/app\"", "\"/bin/app\""},
        {"\"bin/app\"", "\"bin/../app\""},
        {"\"bin/app\"", "\"bin//app\""},
        {"\"bin/app\"", "\"bin/\""},
        {"\"bin/app\"", "\"bin/a/b\""},
        {"\"bin/app\"", "\"pyvenv.cfg\""},
        {"\"bin/app\"", "\"bin/a\\nb\""},
        {"\"bin/app\"", "\"lib/python3.11/os.py\""},
        {"\"bin/app\"", "\"lib/python3.12/site-packages/a\""},
        {"\"bin/app\"", "\"lib/python3.11/site-packages/../../a\""},
        {"\"bin/app\"", "\"lib/python3.11/site-packages/\""},
        {"\"bin/app\"", "\"lib/python3.11/site-packages/app.pth\""},
        {"\"bin/app\"", "\"lib/python3.11/site-packages/app-1.dist-info\""},
        {"\"bin/app\"", "7"},
        {"\"mode\": 493", "\"mode\": 2541"},
        {"\"mode\": 493,", ""},
        {"\"text\": \"line\\n\"", "\"text\": null"},
        {"\"path\": \"/home/u/proj\"", "\"path\": \"proj\""},
        {"\"name\": \"one\"", "\"name\": \"two\""},
        {"\"name\": \"one\"", "\"name\": \"o/ne\""},
        {"\"key\": \"", "\"key\": \"x"},
        {"\"editables\": [", "\"editables\": [1, "},
    };
    struct manifest *m = sample();
    struct manifest_editable one = editable("one"), two = editable("two");
    manifest_add_editable(m, &two);
    manifest_add_editable(m, &one);
    _cleanup_free_ char *good = manifest_to_json(m);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
        refused(good, edits[i][0], edits[i][1]);
    free(m->editables[0].files[0].text);
    m->editables[0].files[0].text = xcalloc(1, (1 << 20) + 2);
    memset(m->editables[0].files[0].text, 'x', (1 << 20) + 1);
    assert_int_equal(manifest_check(m, NULL), -EBADMSG);
    manifest_free(m);
}

/* A torn or scribbled file: refused or read, never a crash (run under the sanitizers). */
static void damaged_text_never_crashes(void **state)
{
    (void)state;
    struct manifest *m = sample();
    struct manifest_editable e = editable("app");
    add(m, "aa", 5, 5);
    manifest_add_editable(m, &e);
    _cleanup_free_ char *good = manifest_to_json(m);
    size_t len = strlen(good);
    manifest_free(m);
    for (size_t i = 0; i < len; i++) {
        struct manifest *back = NULL;
        if (i + 2 < len) /* the last two bytes are "}\n" */
            assert_int_equal(manifest_from_json(good, i, &back, NULL), -EBADMSG);
        char was = good[i];
        good[i] = (char)(was ^ 0x15);
        if (manifest_from_json(good, len, &back, NULL) == 0)
            manifest_free(back);
        good[i] = was;
    }
}

/* The same JSON in a layout that is not the writer's: read whole by libjansson. malloc'ed. */
static char *laid_out_otherwise(const char *text)
{
    static const char key[] = ",\n \"packages\": [";
    const char *at = strstr(text, key);
    return at ? xasprintf("%.*s,\n\t\"packages\": [%s", (int)(at - text), text,
                          at + sizeof(key) - 1)
              : NULL;
}

/* Refused by both ways of reading, or the same manifest. */
static void read_both_ways(const char *text)
{
    _cleanup_free_ char *other = laid_out_otherwise(text);
    if (!other)
        return;
    struct manifest *a = NULL, *b = NULL, *glanced = NULL;
    size_t n = 0;
    int r = manifest_from_json(text, strlen(text), &a, NULL);
    int s = manifest_from_json(other, strlen(other), &b, NULL);
    if (r != s)
        fail_msg("%d by lines, %d as a whole:\n%s", r, s, text);
    if (r < 0)
        return;
    _cleanup_free_ char *x = manifest_to_json(a), *y = manifest_to_json(b);
    assert_string_equal(x, y);
    assert_int_equal(manifest_glance(text, strlen(text), &glanced, &n, NULL), 0);
    assert_int_equal(n, a->n_packages);
    assert_int_equal(glanced->n_packages, 0);
    assert_string_equal(glanced->address, a->address);
    manifest_free(glanced);
    assert_int_equal(manifest_glance(other, strlen(other), &glanced, &n, NULL), 0);
    assert_int_equal(n, a->n_packages);
    assert_int_equal(glanced->n_packages, 0);
    manifest_free(glanced);
    manifest_free(a);
    manifest_free(b);
}

static void lines_are_read_as_the_whole_is(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\,{}[]:\n 0a9\x7f\x80";
    struct manifest *m = sample();
    _cleanup_free_ char *empty = manifest_to_json(m);
    read_both_ways(empty);
    add(m, "aa", 5, 5)->requested = true;
    add(m, "bb", 1048575, 7)->seed = true;
    manifest_set_installer(add(m, "cc", 7, 5), "pip");
    add(m, "dd", 8, 5)->direct_url = json_pack("{s:s}", "url", "file:///x\"y");
    _cleanup_free_ char *good = manifest_to_json(m);
    manifest_free(m);
    read_both_ways(good);
    for (size_t i = 0; good[i]; i++) {
        char was = good[i];
        for (size_t k = 0; k + 1 < sizeof(bytes); k++) {
            good[i] = bytes[k];
            read_both_ways(good);
        }
        good[i] = was;
        _cleanup_free_ char *shorter = xasprintf("%.*s%s", (int)i, good, good + i + 1);
        read_both_ways(shorter);
    }
}

static void names_that_are_not_utf8_are_not_written(void **state)
{
    (void)state;
    struct manifest *m = sample();
    free(m->address);
    m->address = xstrdup("/home/\xff");
    assert_null(manifest_to_json(m));
    manifest_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_survives_a_round_trip),
        cmocka_unit_test(one_made_from_inside_has_an_interpreter_or_none),
        cmocka_unit_test(packages_stay_sorted_and_unique),
        cmocka_unit_test(a_big_one_is_small_and_has_a_line_per_package),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(files_of_an_editable_that_lead_elsewhere_are_refused),
        cmocka_unit_test(damaged_text_never_crashes),
        cmocka_unit_test(lines_are_read_as_the_whole_is),
        cmocka_unit_test(names_that_are_not_utf8_are_not_written),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
