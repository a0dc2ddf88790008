#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/env_layer.h"
#include "env/envs.h"
#include "env/inside.h"

struct fixture {
    char dir[64];
    struct home home;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/venvfs-test-envs-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->home.envs = path_join(f->dir, "envs");
    assert_int_equal(mkdir(f->home.envs, 0700), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_tree(f->dir), 0);
    home_release(&f->home);
    free(f);
    return 0;
}

static struct manifest *sample(void)
{
    struct manifest *m = manifest_new();
    m->reason = xstrdup("create");
    m->address = xstrdup("/home/u/.venv");
    m->executable = xstrdup("/usr/bin/python3");
    m->base_executable = xstrdup("/usr/bin/python3.11");
    m->home = xstrdup("/usr/bin");
    m->version = xstrdup("3.11.2");
    m->python_dir = xstrdup("python3.11");
    m->platlibdir = xstrdup("lib");
    m->target_key = xstrdup("cp311");
    return m;
}

static void add(struct manifest *m, const char *name, uint32_t image)
{
    struct manifest_package *p = manifest_add(m, name);
    free(p->version);
    p->version = xstrdup("1");
    p->image.number = image;
    sha256_of(&image, sizeof(image), &p->image.id);
}

static struct env *create(const struct fixture *f, const char *name)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct env *env = NULL;
    if (env_create(&f->home, name, &env, &err) < 0)
        fail_msg("%s", verror_message(&err));
    return env;
}

static void commit(struct env *env, struct manifest *m)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (env_commit(env, m, &err) < 0)
        fail_msg("%s", verror_message(&err));
}

static size_t count(const struct fixture *f)
{
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(env_list(&f->home, &names, &n, NULL), 0);
    env_list_free(names, n);
    return n;
}

static void nothing_is_visible_before_the_first_commit(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web"), *other = NULL;
    assert_null(env->manifest);
    assert_true(env->slot >= 1);
    assert_int_equal(count(f), 0);
    assert_int_equal(env_open(&f->home, "web", false, false, &other, NULL), -ENOENT);
    commit(env, sample());
    assert_int_equal(count(f), 1);
    assert_int_equal(env_open(&f->home, "web", false, false, &other, NULL), 0);
    assert_int_equal(other->manifest->generation, 1);
    assert_int_equal(other->slot, env->slot);
    env_free(other);
    assert_int_equal(env_create(&f->home, "web", &other, NULL), -EEXIST);
    env_free(env);
}

static void giving_up_leaves_nothing(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    unsigned slot = env->slot;
    _cleanup_free_ char *dir = xstrdup(env->dir);
    env_free(env);
    assert_false(path_exists(dir));
    env = create(f, "web");
    assert_true(env->slot > slot);
    env_free(env);
}

static void what_a_killed_creator_left_is_taken_over(void **state)
{
    const struct fixture *f = *state;
    pid_t pid = fork();
    if (pid == 0) {
        struct env *env = NULL;
        (void)env_create(&f->home, "web", &env, NULL);
        _exit(env ? 0 : 1); /* no env_free() */
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(count(f), 0);
    struct env *env = create(f, "web");
    assert_int_equal(env->slot, 2);
    commit(env, sample());
    env_free(env);
}

static void times_grow_and_known_images_keep_theirs(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    struct manifest *m = sample();
    add(m, "a", 1);
    add(m, "b", 2);
    commit(env, m);
    int64_t first = env->manifest->time_ns;
    assert_int_equal(env->manifest->packages[0].entered_ns, first);

    env->manifest->time_ns += 3600LL * 1000000000; /* as if the clock was set back since */
    int64_t ahead = env->manifest->time_ns;
    m = manifest_copy(env->manifest);
    m->packages[0].entered_ns = 5; /* not the caller's to decide */
    add(m, "b", 3);
    add(m, "c", 4);
    commit(env, m);
    assert_int_equal(env->manifest->generation, 2);
    assert_int_equal(env->manifest->time_ns, ahead + 1000);
    assert_int_equal(env->manifest->packages[0].entered_ns, first);
    assert_int_equal(env->manifest->packages[1].entered_ns, ahead + 1000);
    assert_int_equal(env->manifest->packages[2].entered_ns, ahead + 1000);
    env_free(env);
}

static void a_held_environment_names_its_holder(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct env *env = create(f, "web"), *other = NULL;
    commit(env, sample());
    assert_int_equal(env_open(&f->home, "web", true, false, &other, &err), -EAGAIN);
    _cleanup_free_ char *pid = xasprintf("process %ld", (long)getpid());
    assert_non_null(strstr(verror_message(&err), pid));
    env_free(env);
    assert_int_equal(env_open(&f->home, "web", true, false, &other, &err), 0);
    env_free(other);
}

static void removing_frees_the_name_but_not_the_slot(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web"), *next;
    unsigned slot = env->slot;
    commit(env, sample());
    assert_int_equal(env_remove(env, NULL), 0);
    assert_int_equal(count(f), 0);
    next = create(f, "web");
    assert_true(next->slot > slot);
    commit(next, sample());
    env_free(env); /* must not touch its successor */
    assert_int_equal(count(f), 1);
    env_free(next);
}

static void near_names_are_suggested(void **state)
{
    const struct fixture *f = *state;
    static const char *const names[] = {"website", "data", "proj-1a2b3c"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct env *env = create(f, names[i]);
        commit(env, sample());
        env_free(env);
    }
    static const char *const asked[][2] = {
        {"webiste", "website"}, {"dat", "data"}, {"proj", "proj-1a2b3c"}, {"zzz", "venvfs list"}};
    for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
        _cleanup_verror_ struct verror err = VERROR_INIT;
        struct env *env = NULL;
        assert_int_equal(env_open(&f->home, asked[i][0], false, false, &env, &err), -ENOENT);
        if (!strstr(err.hint, asked[i][1]))
            fail_msg("%s", err.hint);
    }
}

static void bad_names_are_refused(void **state)
{
    const struct fixture *f = *state;
    static const char *const names[] = {"", ".", "..", ".x", "-n", "a/b", "a\nb"};
    char too_long[102];
    memset(too_long, 'x', 101);
    too_long[101] = '\0';
    struct env *env = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_false(env_name_ok(names[i]));
        assert_int_equal(env_create(&f->home, names[i], &env, NULL), -EINVAL);
        assert_int_equal(env_open(&f->home, names[i], true, true, &env, NULL), -ENOENT);
    }
    assert_false(env_name_ok(too_long));
    assert_true(env_name_ok(too_long + 1));
}

static void a_damaged_environment_is_not_a_missing_one(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web"), *other = NULL;
    commit(env, sample());
    _cleanup_free_ char *file = path_join(env->dir, "1.json");
    _cleanup_free_ char *slot = path_join(env->dir, "slot");
    _cleanup_free_ char *moved = path_join(env->dir, "x");
    assert_int_equal(rename(slot, moved), 0);
    assert_int_equal(env_open(&f->home, "web", false, false, &other, NULL), -EBADMSG);
    assert_int_equal(rename(moved, slot), 0);
    assert_int_equal(rename(file, moved), 0);
    assert_int_equal(env_open(&f->home, "web", false, false, &other, NULL), -EBADMSG);
    assert_int_equal(count(f), 1); /* listed, so that it can be seen and removed */
    env_free(env);
}

/* Of many who create one name at once exactly one does; others learn that it exists. */
static void one_of_many_creators_wins(void **state)
{
    const struct fixture *f = *state;
    enum { CREATORS = 12 };
    pid_t pids[CREATORS];
    for (size_t i = 0; i < CREATORS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct env *env = NULL;
            int r = env_create(&f->home, "web", &env, NULL);
            if (r == 0 && i % 3 == 0) { /* some give up */
                env_free(env);
                _exit(2);
            }
            if (r == 0)
                r = env_commit(env, sample(), NULL);
            env_free(env);
            _exit(r == 0 ? 0 : r == -EEXIST ? 1 : 3);
        }
    }
    int results[4] = {0};
    for (size_t i = 0; i < CREATORS; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 4);
        results[WEXITSTATUS(status)]++;
    }
    assert_int_equal(results[0], 1);
    assert_int_equal(results[3], 0);
    assert_int_equal(count(f), 1);
}

static void slots_differ_under_concurrency(void **state)
{
    const struct fixture *f = *state;
    enum { CREATORS = 16 };
    pid_t pids[CREATORS];
    for (size_t i = 0; i < CREATORS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _cleanup_free_ char *name = xasprintf("e%zu", i);
            struct env *env = NULL;
            int r = env_create(&f->home, name, &env, NULL);
            _exit(r == 0 && env_commit(env, sample(), NULL) == 0 ? (int)env->slot : 0);
        }
    }
    bool seen[CREATORS + 1] = {false};
    for (size_t i = 0; i < CREATORS; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        int slot = WEXITSTATUS(status);
        assert_in_range(slot, 1, CREATORS);
        assert_false(seen[slot]);
        seen[slot] = true;
    }
}

/* Killed before any call that changes a name: the environment is the old or the new one. */
static void a_kill_leaves_the_old_or_the_new(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    commit(env, sample());
    env_free(env);
    static const char *const faults[] = {"open:%d:kill", "write:%d:kill", "fsync:%d:kill",
                                         "rename:%d:kill", "link:%d:kill"};
    for (size_t k = 0; k < ARRAY_SIZE(faults); k++) {
        for (int n = 1; n <= 5; n++) {
            pid_t pid = fork();
            if (pid == 0) {
                char fault[32];
                struct env *e = NULL;
                if (env_open(&f->home, "web", true, true, &e, NULL) < 0)
                    _exit(1);
                struct manifest *m = manifest_copy(e->manifest);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                (void)snprintf(fault, sizeof(fault), faults[k], n);
#pragma GCC diagnostic pop
                setenv("VENVFS_FAULT", fault, 1);
                _exit(env_commit(e, m, NULL) == 0 ? 0 : 1);
            }
            int status = 0;
            waitpid(pid, &status, 0);
            struct env *e = NULL;
            assert_int_equal(env_open(&f->home, "web", true, false, &e, NULL), 0);
            struct manifest *m = manifest_copy(e->manifest);
            commit(e, m);
            env_free(e);
        }
    }
}

static void a_full_disk_changes_nothing(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web"), *other = NULL;
    commit(env, sample());
    static const char *const faults[] = {"write:1:ENOSPC", "fsync:1:EIO", "rename:1:EIO",
                                         "rename:2:EIO", "link:1:ENOSPC"};
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _cleanup_verror_ struct verror err = VERROR_INIT;
            setenv("VENVFS_FAULT", faults[i], 1);
            int r = env_commit(env, manifest_copy(env->manifest), &err);
            _exit(r < 0 && err.message && env->manifest->generation == 1 ? 0 : 1);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        if (status != 0)
            fail_msg("%s", faults[i]);
        assert_int_equal(env_open(&f->home, "web", false, false, &other, NULL), 0);
        assert_int_equal(other->manifest->generation, 1);
        env_free(other);
    }
    env_free(env);
}

static void generations_are_those_that_became_current(void **state)
{
    const struct fixture *f = *state;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    struct manifest *m = NULL;
    struct env *env = create(f, "web");
    for (int i = 0; i < 11; i++)
        commit(env, sample());
    _cleanup_free_ char *left = path_join(env->dir, "12.json"),
                        *odd = path_join(env->dir, "2.json~");
    _cleanup_free_ char *gone = path_join(env->dir, "3.json");
    assert_int_equal(io_write_file_atomic(left, "{}", 2, 0600, false), 0);
    assert_int_equal(io_write_file_atomic(odd, "{}", 2, 0600, false), 0);
    assert_int_equal(unlink(gone), 0);
    assert_int_equal(env_generations(env, &numbers, &n, NULL), 0);
    assert_int_equal(n, 10);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[2], 4); /* by number, not by name */
    assert_int_equal(numbers[9], 11);
    assert_int_equal(env_generation(env, 4, &m, NULL), 0);
    assert_int_equal(m->generation, 4);
    manifest_free(m);
    const unsigned none[] = {0, 3, 12, 99};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(env_generation(env, none[i], &m, &err), -ENOENT);
    assert_non_null(strstr(err.hint, "from 1 to 11"));
    env_free(env);
}

static void a_name_is_changed_to_one_that_is_free(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web"), *other = create(f, "taken"), *found = NULL;
    unsigned slot = env->slot;
    commit(env, sample());
    commit(other, sample());
    env_free(other);
    _cleanup_free_ char *left = path_join(f->home.envs, "left");
    assert_int_equal(mkdir(left, 0700), 0); /* by a killed creator */
    assert_int_equal(env_rename(&f->home, env, "taken", NULL), -EEXIST);
    assert_int_equal(env_rename(&f->home, env, "a/b", NULL), -EINVAL);
    assert_string_equal(env->name, "web");
    assert_int_equal(env_rename(&f->home, env, "left", NULL), 0);
    assert_string_equal(env->name, "left");
    assert_int_equal(env_open(&f->home, "left", true, false, &found, NULL), -EAGAIN);
    commit(env, sample());
    env_free(env);
    assert_int_equal(env_open(&f->home, "web", false, false, &found, NULL), -ENOENT);
    assert_int_equal(env_open(&f->home, "left", false, false, &found, NULL), 0);
    assert_int_equal(found->slot, slot);
    assert_int_equal(found->manifest->generation, 2);
    env_free(found);
}

/* ---- folders that were removed from inside ---- */

static struct env *reopen(const struct fixture *f, struct env *env)
{
    struct env *again = NULL;
    env_free(env);
    assert_int_equal(env_open(&f->home, "web", true, false, &again, NULL), 0);
    return again;
}

static void assert_upper(const struct env *env, const char *suffix)
{
    _cleanup_free_ char *upper = env_upper(env), *wanted = path_join(env->dir, suffix);
    assert_string_equal(upper, wanted);
}

static void write_upper(const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env), *file = path_join(upper, "file");
    assert_int_equal(path_mkdirs(upper, 0700), 0);
    assert_int_equal(io_write_file_atomic(file, "x", 1, 0644, false), 0);
}

static bool has_upper(const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env);
    return path_exists(upper);
}

static void an_emptied_one_keeps_its_record_and_comes_back_under_a_new_layer(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    commit(env, sample());
    unsigned slot = env->slot;
    write_upper(env);
    assert_false(env->emptied);
    assert_int_equal(env_empty(env, NULL), 0);
    env = reopen(f, env);
    assert_true(env->emptied);
    assert_true(env_is_emptied(&f->home, "web"));
    assert_int_equal(env->manifest->generation, 1);
    assert_int_equal(env->slot, slot);
    assert_int_equal(count(f), 1);

    commit(env, manifest_copy(env->manifest));
    assert_false(env->emptied);
    assert_true(env->slot > slot);
    slot = env->slot;
    env = reopen(f, env);
    assert_false(env->emptied);
    assert_int_equal(env->slot, slot);
    assert_int_equal(env->manifest->generation, 2);
    assert_upper(env, "uppers/2/upper");
    assert_false(has_upper(env));
    _cleanup_free_ char *old = path_join(env->dir, "upper");
    assert_false(path_exists(old)); /* nothing can show it any more */
    env_free(env);
    assert_false(env_is_emptied(&f->home, "web"));
}

static void a_layer_that_a_daemon_holds_is_left_alone(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    commit(env, sample());
    write_upper(env);
    _cleanup_free_ char *lock_path = path_join(env->dir, "upper.lock");
    _cleanup_free_ char *upper = env_upper(env);
    int lock = lock_file(lock_path, LOCK_EXCLUSIVE, false);
    assert_true(lock >= 0);
    assert_int_equal(env_empty(env, NULL), 0);
    commit(env, manifest_copy(env->manifest));
    assert_true(path_exists(upper));
    close(lock);
    env_free(env);
}

static void a_generation_brings_its_own_layer_back(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    commit(env, sample());
    assert_int_equal(env_empty(env, NULL), 0);
    commit(env, manifest_bare(env->manifest, "anew")); /* 2, made from inside */
    unsigned slot = env->slot;
    write_upper(env);
    struct manifest *first = NULL, *second = NULL;
    assert_int_equal(env_generation(env, 1, &first, NULL), 0);
    assert_int_equal(env_generation(env, 2, &second, NULL), 0);
    assert_true(second->bare);
    commit(env, first); /* 3 */
    assert_upper(env, "uppers/3/upper");
    assert_int_not_equal(env->slot, slot);
    commit(env, second); /* 4 */
    assert_upper(env, "uppers/2/upper");
    assert_true(has_upper(env));
    assert_int_equal(env->slot, slot);
    assert_true(env->manifest->bare);
    env_free(env);
}

static void begun_anew_under_the_same_layer(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    struct manifest *first = NULL;
    commit(env, sample());
    unsigned slot = env->slot;
    assert_int_equal(env_empty(env, NULL), 0);
    assert_int_equal(env_commit_over(env, manifest_bare(env->manifest, "anew"), NULL), 0);
    env = reopen(f, env);
    assert_false(env->emptied);
    assert_int_equal(env->slot, slot);
    assert_upper(env, "upper");
    write_upper(env);
    assert_int_equal(env_generation(env, 1, &first, NULL), 0);
    commit(env, first);
    assert_upper(env, "uppers/3/upper"); /* what was written since is not for it */
    assert_false(has_upper(env));
    env_free(env);
}

static void a_lost_tool_is_replaced_and_a_record_of_nothing_is_one(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    struct manifest *like = sample(), *m;
    commit(env, manifest_bare(like, "made"));
    manifest_free(like);
    assert_true(inside_only(env));
    m = sample(); /* a tool's interpreter, with packages of the store */
    m->bare = true;
    commit(env, m);
    assert_true(env->manifest->bare);
    assert_false(inside_only(env));
    assert_int_equal(env_empty(env, NULL), 0);
    commit(env, manifest_copy(env->manifest));
    assert_false(env->manifest->bare);
    env_free(env);
}

static void a_layer_that_a_killed_process_left_half_made_is_made_again(void **state)
{
    const struct fixture *f = *state;
    struct env *env = create(f, "web");
    commit(env, sample());
    assert_int_equal(env_empty(env, NULL), 0);
    _cleanup_free_ char *left = path_join(env->dir, "uppers/2/upper/left");
    assert_int_equal(path_mkdirs(left, 0700), 0);
    env = reopen(f, env);
    assert_true(env->emptied);
    commit(env, manifest_copy(env->manifest));
    assert_false(path_exists(left));
    env_free(env);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_emptied_one_keeps_its_record_and_comes_back_under_a_new_layer),
        TEST(a_layer_that_a_daemon_holds_is_left_alone),
        TEST(a_generation_brings_its_own_layer_back),
        TEST(begun_anew_under_the_same_layer),
        TEST(a_lost_tool_is_replaced_and_a_record_of_nothing_is_one),
        TEST(a_layer_that_a_killed_process_left_half_made_is_made_again),
        TEST(generations_are_those_that_became_current),
        TEST(a_name_is_changed_to_one_that_is_free),
        TEST(nothing_is_visible_before_the_first_commit),
        TEST(giving_up_leaves_nothing),
        TEST(what_a_killed_creator_left_is_taken_over),
        TEST(times_grow_and_known_images_keep_theirs),
        TEST(a_held_environment_names_its_holder),
        TEST(removing_frees_the_name_but_not_the_slot),
        TEST(near_names_are_suggested),
        TEST(bad_names_are_refused),
        TEST(a_damaged_environment_is_not_a_missing_one),
        TEST(one_of_many_creators_wins),
        TEST(slots_differ_under_concurrency),
        TEST(a_kill_leaves_the_old_or_the_new),
        TEST(a_full_disk_changes_nothing),
    };
    return cmocka_run_group_tests_name("envs", tests, NULL, NULL);
}
