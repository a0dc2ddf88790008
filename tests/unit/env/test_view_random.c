/* Random sets of packages: the view against a plain list of paths, folders read from any place, and
 * differences between two views against comparing all their paths. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "env/view_internal.h"
#include "tests/unit/env/view_fixture.h"

#define ROUNDS 32
#define N_IMAGES 24

static uint64_t seed;

static uint32_t pick(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* ---- a list of what is where ---- */

struct fact {
    char *path, *text;
};
struct facts {
    struct fact *items;
    size_t n, alloc;
};

static struct fact *facts_find(struct facts *f, const char *path)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->items[i].path, path) == 0)
            return &f->items[i];
    return NULL;
}

static void facts_set(struct facts *f, const char *path, const char *text)
{
    struct fact *have = facts_find(f, path);
    if (have == NULL) {
        f->items = xgrow(f->items, &f->alloc, f->n + 1, sizeof(*f->items));
        have = &f->items[f->n++];
        have->path = xstrdup(path);
    } else {
        free(have->text);
    }
    have->text = xstrdup(text);
}

static void facts_release(struct facts *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->items[i].path);
        free(f->items[i].text);
    }
    free(f->items);
    *f = (struct facts){0};
}

/* ---- random packages; a name with a capital is a folder, others are files ---- */

static const char *const tops[] = {SITE,         SITE "Ns/", SITE "__Pycache__/", "Share/",
                                   "Share/Man/", "bin/",     "include/Site/"};

static char *random_path(void)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_addstr(&sb, tops[pick(ARRAY_SIZE(tops))]);
    for (uint32_t depth = pick(4); depth > 0; depth--)
        strbuf_addf(&sb, "D%u/", pick(6));
    strbuf_addf(&sb, "f%u", pick(20));
    return strbuf_detach(&sb, NULL);
}

struct packaged {
    struct facts files; /* path -> text */
    uint32_t number;
};

static void make_package(struct shelf *shelf, uint32_t i, struct packaged *ret)
{
    _cleanup_free_ char *name = xasprintf("package%02u", i);
    struct image_builder *b = package(name);
    *ret = (struct packaged){0};
    for (uint32_t n = pick(40); n > 0; n--) {
        _cleanup_free_ char *path = random_path();
        _cleanup_free_ char *text = xasprintf("%s %u", path, pick(3));
        if (facts_find(&ret->files, path) != NULL)
            continue;
        facts_set(&ret->files, path, text);
        add_file(b, path, 0, text);
    }
    _cleanup_free_ char *requested = xasprintf(SITE "%s-1.0.dist-info/REQUESTED", name);
    _cleanup_free_ char *record = xasprintf(SITE "%s-1.0.dist-info/RECORD", name);
    add_file(b, requested, IMAGE_IF_REQUESTED, "");
    add_file(b, record, IMAGE_IF_REQUESTED, "with");
    add_file(b, record, IMAGE_IF_NOT_REQUESTED, "without");
    ret->number = shelf_add(shelf, b);
}

/* ---- the tree ---- */

struct seen {
    const struct view *view;
    struct facts files;
};

static void note_file(void *arg, const char *path, struct view_node node)
{
    struct seen *seen = arg;
    struct view_attr attr;
    view_stat(seen->view, node, &attr);
    if (attr.type == IMAGE_DIR || node.kind == VIEW_GENERATED)
        return;
    _cleanup_free_ char *text = describe_path(seen->view, path);
    assert_null(facts_find(&seen->files, path));
    facts_set(&seen->files, path, text);
}

static void assert_same_tree(const struct view *view, struct facts *expected, size_t extra)
{
    struct seen seen = {.view = view};
    each_path(view, note_file, &seen);
    for (size_t i = 0; i < expected->n; i++) {
        const struct fact *want = &expected->items[i];
        struct fact *have = facts_find(&seen.files, want->path);
        struct sha256 id;
        char hex[SHA256_HEX_SIZE];
        sha256_of(want->text, strlen(want->text), &id);
        sha256_to_hex(&id, hex);
        _cleanup_free_ char *text = xasprintf("file 644 %.12s", hex);
        if (have == NULL || strcmp(have->text, text) != 0)
            fail_msg("%s is %s, expected %s", want->path, have ? have->text : "missing", text);
    }
    assert_int_equal(seen.files.n, expected->n + extra);
    facts_release(&seen.files);
}

static void test_a_view_holds_what_its_packages_hold(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct shelf shelf;
        struct facts expected = {0};
        size_t extra = 0;
        seed = round;
        shelf_init(&shelf);
        struct manifest *m = bare_manifest("3.11.7");
        for (uint32_t i = 0, n = pick(N_IMAGES); i < n; i++) {
            struct packaged p;
            make_package(&shelf, i, &p);
            bool requested = pick(2) == 0;
            with(m, &shelf, p.number)->requested = requested;
            extra += 1 + requested;
            for (size_t k = 0; k < p.files.n; k++)
                facts_set(&expected, p.files.items[k].path, p.files.items[k].text);
            facts_release(&p.files);
        }
        struct view *view = composed(m, &shelf);
        assert_same_tree(view, &expected, extra);
        view_unref(view);
        drop_manifest(m);
        facts_release(&expected);
        shelf_release(&shelf);
    }
}

/* ---- folders ---- */

struct listing {
    char *names[512];
    uint64_t cookies[512];
    size_t n, stop_after;
};

static bool list_entry(void *arg, const char *name, size_t len, struct view_node node,
                       uint64_t cookie)
{
    struct listing *l = arg;
    (void)node;
    if (l->n >= l->stop_after)
        return false;
    assert_true(l->n < ARRAY_SIZE(l->names));
    l->names[l->n] = xstrndup(name, len);
    l->cookies[l->n++] = cookie;
    return true;
}

static void listing_release(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    l->n = 0;
}

static void check_folder(void *arg, const char *path, struct view_node node)
{
    const struct view *view = arg;
    static struct listing whole, rest, part;
    struct view_node child;
    struct view_attr attr;
    (void)path;
    view_stat(view, node, &attr);
    whole.stop_after = rest.stop_after = SIZE_MAX;
    view_readdir(view, node, 0, list_entry, &whole);
    assert_true(attr.type == IMAGE_DIR || whole.n == 0);
    for (size_t i = 0; i < whole.n; i++) {
        assert_true(i == 0 || whole.cookies[i] > whole.cookies[i - 1]);
        assert_true(view_lookup(view, node, whole.names[i], strlen(whole.names[i]), &child));
        view_readdir(view, node, whole.cookies[i], list_entry, &rest);
        assert_int_equal(rest.n, whole.n - i - 1);
        for (size_t k = 0; k < rest.n; k++)
            assert_string_equal(rest.names[k], whole.names[i + 1 + k]);
        listing_release(&rest);
        part.stop_after = i;
        view_readdir(view, node, 0, list_entry, &part);
        assert_int_equal(part.n, i);
        listing_release(&part);
    }
    view_readdir(view, node, UINT64_MAX, list_entry, &rest);
    assert_int_equal(rest.n, 0);
    assert_false(view_lookup(view, node, "f", 1, &child));
    assert_false(view_lookup(view, node, "no such name", 12, &child));
    assert_false(view_lookup(view, node, "", 0, &child));
    listing_release(&whole);
}

static void test_folders_can_be_read_from_any_place(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS / 4; round++) {
        struct shelf shelf;
        seed = 1000 + round;
        shelf_init(&shelf);
        struct manifest *m = bare_manifest("3.11.7");
        for (uint32_t i = 0; i < N_IMAGES; i++) {
            struct packaged p;
            make_package(&shelf, i, &p);
            with(m, &shelf, p.number)->requested = pick(2) == 0;
            facts_release(&p.files);
        }
        struct view *view = composed(m, &shelf);
        check_folder(view, "", view_root(view));
        each_path(view, check_folder, view);
        view_unref(view);
        drop_manifest(m);
        shelf_release(&shelf);
    }
}

static void test_cookies_survive_a_new_generation(void **state)
{
    (void)state;
    static struct listing before, after;
    struct shelf shelf;
    struct packaged p;
    struct manifest *m = bare_manifest("3.11.7");
    seed = 7;
    shelf_init(&shelf);
    before.stop_after = after.stop_after = SIZE_MAX;
    for (uint32_t i = 0; i < N_IMAGES; i++) {
        make_package(&shelf, i, &p);
        facts_release(&p.files);
    }
    for (uint32_t i = 0; i < N_IMAGES / 2; i++)
        with(m, &shelf, 1 + i);
    struct view *first = composed(m, &shelf);
    for (uint32_t i = N_IMAGES / 2; i < N_IMAGES; i++)
        with(m, &shelf, 1 + i);
    struct view *second = composed(m, &shelf);
    struct view_node node;
    assert_true(view_walk(first, SITE, &node));
    view_readdir(first, node, 0, list_entry, &before);
    assert_true(view_walk(second, SITE, &node));
    view_readdir(second, node, 0, list_entry, &after);
    assert_true(after.n > before.n);
    for (size_t i = 0; i < before.n; i++) {
        size_t k = 0;
        while (k < after.n && strcmp(before.names[i], after.names[k]) != 0)
            k++;
        assert_true(k < after.n);
        assert_int_equal(before.cookies[i], after.cookies[k]);
    }
    listing_release(&before);
    listing_release(&after);
    view_unref(first);
    view_unref(second);
    drop_manifest(m);
    shelf_release(&shelf);
}

/* ---- differences ---- */

static void note_identity(void *arg, const char *path, struct view_node node)
{
    struct seen *seen = arg;
    _cleanup_free_ char *text = NULL;
    if (node.kind == VIEW_IMAGE) {
        const struct view_layer *layer = &seen->view->layers[node.layer];
        text = xasprintf("%u:%u:%lld", layer->id.number, node.index, (long long)layer->entered_ns);
    } else {
        text = describe_path(seen->view, path);
    }
    facts_set(&seen->files, path, text);
}

struct told {
    struct facts paths;
    struct facts *before, *after;
};

static bool same_fact(struct facts *before, struct facts *after, const char *path)
{
    struct fact *a = facts_find(before, path), *b = facts_find(after, path);
    return a == NULL ? b == NULL : b != NULL && strcmp(a->text, b->text) == 0;
}

static void note_change(void *arg, const char *parent, const char *name, size_t len)
{
    struct told *told = arg;
    _cleanup_free_ char *path =
        xasprintf("%s%s%.*s", parent, *parent == '\0' ? "" : "/", (int)len, name);
    assert_null(facts_find(&told->paths, path));
    if (same_fact(told->before, told->after, path))
        fail_msg("%s did not change", path);
    facts_set(&told->paths, path, "");
}

/* Is the path, or a folder it is in, among those told? */
static size_t times_told(struct told *told, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < told->paths.n; i++) {
        size_t len = strlen(told->paths.items[i].path);
        n += strncmp(path, told->paths.items[i].path, len) == 0 &&
             (path[len] == '\0' || path[len] == '/');
    }
    return n;
}

static void check_difference(const struct view *before, const struct view *after)
{
    struct seen old = {.view = before}, new = {.view = after};
    if (before != NULL)
        each_path(before, note_identity, &old);
    if (after != NULL)
        each_path(after, note_identity, &new);
    struct told told = {.before = &old.files, .after = &new.files};
    view_diff(before, after, note_change, &told);
    for (size_t i = 0; i < old.files.n + new.files.n; i++) {
        const char *path =
            i < old.files.n ? old.files.items[i].path : new.files.items[i - old.files.n].path;
        size_t n = times_told(&told, path);
        if (n > 1)
            fail_msg("%s is told of %zu times", path, n);
        if (n == 0 && !same_fact(&old.files, &new.files, path))
            fail_msg("%s changed and was not told", path);
    }
    facts_release(&told.paths);
    facts_release(&old.files);
    facts_release(&new.files);
}

static struct view *random_view(struct shelf *shelf, bool moved)
{
    struct manifest *m = bare_manifest("3.11.7");
    if (moved) {
        free(m->address);
        m->address = xstrdup("/home/me/moved");
    }
    for (uint32_t i = 1; i < shelf->n; i++) {
        if (pick(8) == 0)
            continue;
        struct manifest_package *p = with(m, shelf, i);
        p->requested = pick(4) == 0;
        p->entered_ns += pick(8) == 0;
        if (pick(8) == 0)
            p->direct_url = json_pack("{s:s}", "url", pick(2) ? "file:///a" : "file:///b");
    }
    struct view *view = composed(m, shelf);
    drop_manifest(m);
    return view;
}

static void test_a_difference_tells_each_change_once(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct shelf shelf;
        seed = 5000 + round;
        shelf_init(&shelf);
        for (uint32_t i = 0; i < N_IMAGES / 2; i++) {
            struct packaged p;
            make_package(&shelf, i, &p);
            facts_release(&p.files);
        }
        struct view *before = random_view(&shelf, false);
        struct view *after = random_view(&shelf, pick(4) == 0);
        check_difference(before, after);
        check_difference(after, after);
        check_difference(NULL, after);
        check_difference(before, NULL);
        view_unref(before);
        view_unref(after);
        shelf_release(&shelf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_view_holds_what_its_packages_hold),
        cmocka_unit_test(test_folders_can_be_read_from_any_place),
        cmocka_unit_test(test_cookies_survive_a_new_generation),
        cmocka_unit_test(test_a_difference_tells_each_change_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
