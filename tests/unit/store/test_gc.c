/* store_gc() removes what nothing has, frees what its dry run said, and loses nothing: whoever
 * shows or reads it meanwhile, whatever is damaged, wherever it fails or is killed. */
#include "fixture.h"

#include <dirent.h>
#include <sys/wait.h>
#include <time.h>

#include "base/lock.h"
#include "store/lease.h"
#include "store/pins.h"

enum { FILES = 60, PACKAGES = 6 };

struct package {
    char *name;
    struct sample_file files[FILES + 1];
};

struct box {
    char *root;
    struct package p[PACKAGES];
    struct store_image image[PACKAGES];
    bool kept[PACKAGES]; /* is a root */
};

/* Every third file is one that all packages have. */
static void make_package(struct package *p, uint32_t number)
{
    p->name = xasprintf("p%u-1.0-py3-none-any.whl", number);
    for (uint32_t i = 0; i < FILES; i++)
        p->files[i] = (struct sample_file){xasprintf("lib/p%u/m%02u.py", number, i),
                                           i % 3 ? 1000 * (number + 1) + i : i, 2000 + 150 * i};
    p->files[FILES] = (struct sample_file){xasprintf("lib/p%u/big.so", number), 7000 + number,
                                           3 * IMAGE_SLICE_SIZE + 999};
}

/* Two packages lie in each pack. */
static void put_two(struct box *b, struct store *store, size_t first)
{
    struct verror err = VERROR_INIT;
    struct store_put *put;
    assert_ok(store_put_begin(store, &put, &err), &err);
    size_t index[2];
    struct put_stream *stream = put_stream_new(put);
    for (size_t k = 0; k < 2; k++) {
        struct package *p = &b->p[first + k];
        struct image_builder *builder = image_builder_new(p->name, "1.0", "x-1.0.dist-info");
        struct store_wheel wheel = wheel_named(p->name);
        add_files(stream, builder, p->files, ARRAY_SIZE(p->files));
        assert_ok(store_put_image(put, builder, &wheel, TARGET, &index[k], &err), &err);
        image_builder_free(builder);
    }
    put_stream_free(stream);
    assert_ok(store_put_commit(put, &err), &err);
    for (size_t k = 0; k < 2; k++)
        b->image[first + k] = store_put_result(put, index[k]);
    store_put_free(put);
}

static void open_box(struct box *b)
{
    *b = (struct box){.root = temp_folder()};
    struct store *store = open_store(b->root);
    for (uint32_t i = 0; i < PACKAGES; i++) {
        make_package(&b->p[i], i);
        b->kept[i] = true;
    }
    for (size_t i = 0; i < PACKAGES; i += 2)
        put_two(b, store, i);
    store_close(store);
}

static void close_box(struct box *b)
{
    for (size_t i = 0; i < PACKAGES; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(b->p[i].files); k++)
            free((char *)(uintptr_t)b->p[i].files[k].path);
        free(b->p[i].name);
    }
    drop_folder(b->root);
}

static void note(const char *line, void *arg)
{
    (void)arg;
    print_message("%s\n", line);
}

static int mark(struct store_roots *roots, void *arg, struct verror *err)
{
    const struct box *b = arg;
    int r = 0;
    for (size_t i = 0; r == 0 && i < PACKAGES; i++)
        if (b->kept[i])
            r = store_roots_add(roots, &b->image[i], "environment x", err);
    return r;
}

static int release(void *arg, struct verror *err)
{
    (void)arg;
    (void)err;
    return 0;
}

static struct store_gc_options options_of(struct box *b, bool dry_run)
{
    return (struct store_gc_options){.dry_run = dry_run,
                                     .jobs = 2,
                                     .max_age = -1,
                                     .max_size = UINT64_MAX,
                                     .mark = mark,
                                     .release = release,
                                     .problem = note,
                                     .arg = b};
}

static int collect_with(struct box *b, const struct store_gc_options *options,
                        struct store_gc_result *res, struct verror *err)
{
    struct store *store = open_store(b->root);
    int r = store_gc(store, options, res, err);
    store_close(store);
    return r;
}

static void collected(struct box *b, const struct store_gc_options *options,
                      struct store_gc_result *res)
{
    struct verror err = VERROR_INIT;
    assert_ok(collect_with(b, options, res, &err), &err);
}

static uint64_t bytes_in(const char *root, const char *folder)
{
    _cleanup_free_ char *path = path_join(root, folder);
    DIR *dir = opendir(path);
    uint64_t bytes = 0;
    assert_non_null(dir);
    for (struct dirent *de; (de = readdir(dir));) {
        struct stat st;
        if (fstatat(dirfd(dir), de->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    }
    closedir(dir);
    return bytes;
}

static uint64_t disk_bytes(const struct box *b)
{
    return bytes_in(b->root, "packs") + bytes_in(b->root, "images");
}

static void assert_clean(const struct box *b)
{
    struct verror err = VERROR_INIT;
    struct store *store = open_store(b->root);
    uint64_t problems = 0;
    assert_ok(store_verify(store, true, note, NULL, &problems, &err), &err);
    assert_int_equal(problems, 0);
    store_close(store);
}

static void assert_whole(const struct box *b)
{
    struct store *store = open_store(b->root);
    for (size_t i = 0; i < PACKAGES; i++)
        if (b->kept[i])
            check_files(store, &b->image[i], b->p[i].files, ARRAY_SIZE(b->p[i].files), 50000);
    store_close(store);
    assert_clean(b);
}

static bool has_image(const struct box *b, size_t i)
{
    struct store *store = open_store(b->root);
    _cleanup_free_ char *path = store_image_path(store, &b->image[i]);
    struct store_wheel wheel = wheel_named(b->p[i].name);
    struct store_image found;
    bool has = path_exists(path);
    int r = store_find_image(store, &wheel.id, TARGET, &found, NULL);
    store_close(store);
    assert_int_equal(r, has ? 0 : -ENOENT);
    return has;
}

/* Dry run, run, and that both say what happened. */
static void collect_exactly(struct box *b, struct store_gc_options options,
                            struct store_gc_result *ret)
{
    struct store_gc_result would;
    uint64_t before = disk_bytes(b);
    options.dry_run = true;
    collected(b, &options, &would);
    assert_int_equal(disk_bytes(b), before);
    options.dry_run = false;
    collected(b, &options, ret);
    assert_int_equal(would.freed, ret->freed);
    assert_int_equal(would.pack_bytes_after, ret->pack_bytes_after);
    assert_int_equal(would.packs_after, ret->packs_after);
    assert_int_equal(would.image_bytes_after, ret->image_bytes_after);
    assert_int_equal(would.rewritten, ret->rewritten);
    assert_int_equal(would.n_removed, ret->n_removed);
    assert_int_equal(would.dead, ret->dead);
    assert_int_equal((int64_t)before - (int64_t)disk_bytes(b), ret->freed);
    store_gc_result_release(&would);
}

static void test_nothing_to_remove_changes_nothing(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    collect_exactly(&b, options_of(&b, false), &res);
    assert_int_equal(res.freed, 0);
    assert_int_equal(res.n_removed, 0);
    assert_int_equal(res.n_kept, PACKAGES);
    assert_whole(&b);
    store_gc_result_release(&res);
    close_box(&b);
}

static void test_every_choice_of_roots_frees_what_the_dry_run_said(void **state)
{
    (void)state;
    for (unsigned choice = 0; choice < 1u << PACKAGES; choice += 5) {
        struct box b;
        struct store_gc_result res;
        size_t gone = 0;
        open_box(&b);
        for (size_t i = 0; i < PACKAGES; i++) {
            b.kept[i] = choice >> i & 1;
            gone += !b.kept[i];
        }
        collect_exactly(&b, options_of(&b, false), &res);
        assert_int_equal(res.n_removed, gone);
        for (size_t i = 0; i < PACKAGES; i++)
            assert_int_equal(has_image(&b, i), b.kept[i]);
        assert_whole(&b);
        if (!choice)
            assert_int_equal(disk_bytes(&b), 0);
        store_gc_result_release(&res);
        collect_exactly(&b, options_of(&b, false), &res);
        assert_int_equal(res.freed, 0);
        store_gc_result_release(&res);
        close_box(&b);
    }
}

static void test_mostly_dead_packs_are_made_anew(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    b.kept[1] = b.kept[3] = false;
    collect_exactly(&b, options_of(&b, false), &res);
    assert_int_equal(res.rewritten, 2);
    assert_true(res.freed > 2 * 3 * (int64_t)IMAGE_SLICE_SIZE / 4);
    assert_whole(&b);
    store_gc_result_release(&res);
    close_box(&b);
}

/* What was removed comes back, and what is dead in a pack that stayed is found there. */
static void test_what_was_removed_can_be_added_again(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    b.kept[1] = b.kept[2] = b.kept[5] = false;
    collect_exactly(&b, options_of(&b, false), &res);
    store_gc_result_release(&res);
    struct store *store = open_store(b.root);
    for (size_t i = 0; i < PACKAGES; i++) {
        if (b.kept[i])
            continue;
        struct store_image again =
            put_files(store, b.p[i].name, b.p[i].files, ARRAY_SIZE(b.p[i].files));
        assert_true(again.number > PACKAGES); /* numbers are never given out again */
        b.image[i] = again;
        b.kept[i] = true;
    }
    store_close(store);
    assert_whole(&b);
    close_box(&b);
}

/* ---- who has it ---- */

static void test_leased_images_stay(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    struct verror err = VERROR_INIT;
    open_box(&b);
    memset(b.kept, 0, sizeof(b.kept));
    struct store *daemon;
    assert_ok(store_open(b.root, 0, &daemon, &err), &err);
    assert_ok(store_lease(daemon, lease_of_image(b.image[2].number), &err), &err);
    struct store_gc_options options = options_of(&b, false);
    collect_exactly(&b, options, &res);
    store_gc_result_release(&res);
    b.kept[2] = true;
    assert_whole(&b);
    store_lease_end(daemon, lease_of_image(b.image[2].number));
    b.kept[2] = false;
    collect_exactly(&b, options, &res);
    assert_int_equal(disk_bytes(&b), 0);
    store_gc_result_release(&res);
    store_close(daemon);
    close_box(&b);
}

static void test_an_image_that_goes_is_refused(void **state)
{
    (void)state;
    struct box b;
    struct verror err = VERROR_INIT;
    bool refused, leased;
    open_box(&b);
    struct store *gc = open_store(b.root), *daemon = open_store(b.root);
    assert_ok(store_lease_refuse(gc, lease_of_image(3), &refused, &err), &err);
    assert_true(refused);
    assert_int_equal(store_lease(daemon, lease_of_image(3), &err), -ESTALE);
    verror_release(&err);
    assert_ok(store_lease(daemon, lease_of_image(4), &err), &err);
    assert_ok(store_lease(daemon, lease_of_generation(4, 1), &err), &err);
    assert_ok(store_lease_refuse(gc, lease_of_image(4), &refused, &err), &err);
    assert_false(refused);
    assert_ok(store_is_leased(gc, lease_of_generation(4, 1), &leased, &err), &err);
    assert_true(leased);
    assert_ok(store_is_leased(gc, lease_of_generation(4, 2), &leased, &err), &err);
    assert_false(leased);
    store_close(gc);
    assert_ok(store_lease(daemon, lease_of_image(3), &err), &err);
    store_close(daemon);
    close_box(&b);
}

static void pin(struct box *b, size_t i, bool pinned, bool changes)
{
    struct verror err = VERROR_INIT;
    struct store *store = open_store(b->root);
    struct store_listing l = {.image = b->image[i], .name = "p", .version = "1.0"};
    bool changed;
    assert_ok(pins_set(store, &l, pinned, &changed, &err), &err);
    assert_int_equal(changed, changes);
    store_close(store);
}

static void test_pinned_images_stay(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    pin(&b, 4, true, true);
    pin(&b, 4, true, false);
    pin(&b, 1, true, true);
    memset(b.kept, 0, sizeof(b.kept));
    collect_exactly(&b, options_of(&b, false), &res);
    assert_int_equal(res.n_kept, 2);
    store_gc_result_release(&res);
    pin(&b, 1, false, true);
    collect_exactly(&b, options_of(&b, false), &res);
    assert_int_equal(res.n_kept, 1);
    assert_int_equal(res.kept[0], b.image[4].number);
    store_gc_result_release(&res);
    b.kept[4] = true;
    assert_whole(&b);
    close_box(&b);
}

static void overwrite(const char *root, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(root, name);
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), 0644, false), 0);
}

/* ---- roots that cannot be read ---- */

static void assert_refused(struct box *b, int errnum, const char *words)
{
    struct verror err = VERROR_INIT;
    struct store_gc_options options = options_of(b, false);
    struct store_gc_result res;
    uint64_t before = disk_bytes(b);
    assert_int_equal(collect_with(b, &options, &res, &err), -errnum);
    if (!strstr(verror_message(&err), words))
        fail_msg("%s", verror_message(&err));
    assert_int_equal(disk_bytes(b), before);
    verror_release(&err);
}

static void test_a_root_that_cannot_be_read_is_never_empty(void **state)
{
    (void)state;
    struct box b;
    open_box(&b);
    b.kept[0] = false;
    struct store_image real = b.image[1];
    b.image[1].number = 99;
    assert_refused(&b, ENOENT, "environment x has image 99");
    b.image[1] = real;
    overwrite(b.root, "pins", "7 what is this\n");
    assert_refused(&b, EBADMSG, "line 1 is damaged");
    overwrite(b.root, "pins", "");
    struct store *store = open_store(b.root);
    _cleanup_free_ char *path = store_image_path(store, &b.image[2]);
    _cleanup_free_ char *aside = path_join(b.root, "aside");
    store_close(store);
    assert_int_equal(rename(path, aside), 0);
    assert_refused(&b, ENOENT, "is needed");
    assert_int_equal(rename(aside, path), 0);
    assert_whole(&b);
    close_box(&b);
}

/* ---- limits ---- */

static void set_used(const struct box *b, size_t i, int64_t days_ago)
{
    struct store *store = open_store(b->root);
    _cleanup_free_ char *path = store_image_path(store, &b->image[i]);
    struct timespec times[2] = {{.tv_sec = time(NULL) - days_ago * 86400}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    store_close(store);
}

static void test_unused_ones_stay_for_a_time(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    for (size_t i = 0; i < PACKAGES; i++) {
        b.kept[i] = i == 5;
        set_used(&b, i, 10 * (int64_t)i + 5); /* the root's too: it stays whatever its time */
    }
    struct store_gc_options options = options_of(&b, false);
    options.max_age = 30 * 86400;
    collect_exactly(&b, options, &res);
    assert_int_equal(res.unused_kept, 3);
    for (size_t i = 0; i < PACKAGES; i++)
        assert_int_equal(has_image(&b, i), i < 3 || i == 5);
    store_gc_result_release(&res);
    b.kept[0] = b.kept[1] = b.kept[2] = true;
    assert_whole(&b);
    close_box(&b);
}

static void test_the_longest_unused_go_until_the_rest_fits(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    for (size_t i = 0; i < PACKAGES; i++) {
        b.kept[i] = i == 5;
        set_used(&b, i, i == 1 ? 1 : 10 * (int64_t)(i + 1));
    }
    struct store_gc_options options = options_of(&b, false);
    options.max_size = disk_bytes(&b) * 6 / 10;
    collect_exactly(&b, options, &res);
    assert_true(disk_bytes(&b) <= options.max_size);
    assert_true(has_image(&b, 1) && has_image(&b, 5));
    assert_false(has_image(&b, 4));
    store_gc_result_release(&res);
    b.kept[1] = true;
    assert_whole(&b);
    options.max_size = 1000; /* roots stay all the same */
    b.kept[1] = false;
    collect_exactly(&b, options, &res);
    assert_int_equal(res.n_kept, 1);
    store_gc_result_release(&res);
    assert_whole(&b);
    close_box(&b);
}

/* ---- damage and death ---- */

static void test_a_pack_with_damage_stays(void **state)
{
    (void)state;
    struct box b;
    struct store_gc_result res;
    open_box(&b);
    b.kept[1] = false;
    _cleanup_free_ char *pack = path_join(b.root, "packs/1.pack");
    int fd = io_open(pack, O_RDWR, 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    collect_exactly(&b, options_of(&b, false), &res);
    assert_int_equal(res.rewritten, 0);
    assert_true(path_exists(pack));
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    close(fd);
    assert_whole(&b);
    store_gc_result_release(&res);
    close_box(&b);
}

/* Anew in a process in which the n-th such call fails, or which is killed there. Returns whether
 * that was reached. */
static bool collect_with_fault(struct box *b, const char *call, int n, const char *how)
{
    _cleanup_free_ char *spec = xasprintf("%s:%d:%s", call, n, how);
    pid_t child = fork();
    if (child == 0) {
        setenv("VENVFS_FAULT", spec, 1);
        struct store *store;
        struct store_gc_options options = options_of(b, false);
        struct store_gc_result res;
        struct verror err = VERROR_INIT;
        int r = store_open(b->root, STORE_CREATE, &store, &err);
        if (r == 0)
            r = store_gc(store, &options, &res, &err);
        /* Packs that could not be written stay for the next run: that is no failure. */
        _exit(r < 0 ? err.message ? 1 : 2 : res.no_room ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    if (WEXITSTATUS(status) > 1)
        fail_msg("%s: failed without a message", spec);
    return WEXITSTATUS(status) == 1;
}

static void try_faults(const char *call, const char *how)
{
    enum { AT_LEAST = 4 }; /* the failure of some calls changes nothing, and is not told */
    int hits = 0;
    bool reached = true;
    for (int n = 1; reached || n <= AT_LEAST; n++) {
        struct box b;
        struct store_gc_result res;
        open_box(&b);
        b.kept[0] = b.kept[2] = b.kept[3] = false;
        reached = collect_with_fault(&b, call, n, how);
        hits += reached;
        assert_whole(&b);
        collect_exactly(&b, options_of(&b, false), &res); /* finishes what was begun */
        for (size_t i = 0; i < PACKAGES; i++)
            assert_int_equal(has_image(&b, i), b.kept[i]);
        assert_int_equal(bytes_in(b.root, "tmp"), 0);
        assert_whole(&b);
        store_gc_result_release(&res);
        collect_exactly(&b, options_of(&b, false), &res);
        assert_int_equal(res.freed, 0);
        store_gc_result_release(&res);
        close_box(&b);
        assert_true(n < 500);
    }
    assert_true(hits > 0);
}

static const char *const calls[] = {"open", "pwrite", "write", "fsync", "rename", "unlink"};

static void test_a_failing_call_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], i % 2 ? "ENOSPC" : "EIO");
}

static void test_being_killed_does_no_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        try_faults(calls[i], "kill");
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct box b;
    struct verror err = VERROR_INIT;
    struct store_gc_result res;
    open_box(&b);
    struct store_gc_options options = options_of(&b, false);
    _cleanup_free_ char *claims = path_join(b.root, "claims");
    int held = lock_byte(claims, UINT64_MAX >> 2, false);
    assert_true(held >= 0);
    assert_int_equal(collect_with(&b, &options, &res, &err), -EBUSY);
    verror_release(&err);
    close(held);
    collected(&b, &options, &res);
    store_gc_result_release(&res);
    close_box(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_remove_changes_nothing),
        cmocka_unit_test(test_every_choice_of_roots_frees_what_the_dry_run_said),
        cmocka_unit_test(test_mostly_dead_packs_are_made_anew),
        cmocka_unit_test(test_what_was_removed_can_be_added_again),
        cmocka_unit_test(test_leased_images_stay),
        cmocka_unit_test(test_an_image_that_goes_is_refused),
        cmocka_unit_test(test_pinned_images_stay),
        cmocka_unit_test(test_a_root_that_cannot_be_read_is_never_empty),
        cmocka_unit_test(test_unused_ones_stay_for_a_time),
        cmocka_unit_test(test_the_longest_unused_go_until_the_rest_fits),
        cmocka_unit_test(test_a_pack_with_damage_stays),
        cmocka_unit_test(test_a_failing_call_does_no_harm),
        cmocka_unit_test(test_being_killed_does_no_harm),
        cmocka_unit_test(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
