/* A real mount: the hub, its environments, switching, explicit mounts, the daemon's life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "fixture.h"
#include "fs/daemon_internal.h"
#include "fs/mount.h"

static const struct fixture_file one_files[] = {
    {"one/__init__.py", "VERSION = 1\n"}, {"one/empty.py", ""}, {"space/a/__init__.py", "A = 1\n"}};
static const struct fixture_file one_newer[] = {{"one/__init__.py", "VERSION = 2\n"},
                                                {"one/added.py", "ADDED = 1\n"},
                                                {"space/a/__init__.py", "A = 1\n"}};
static const struct fixture_file two_files[] = {{"two.py", "TWO = 2\n"},
                                                {"space/b/__init__.py", "B = 1\n"}};

struct world {
    struct fixture f;
    struct store_image one, one_new, two;
    struct control *c;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    fixture_init(&w->f);
    w->one = fixture_package(&w->f, "one", "1", one_files, ARRAY_SIZE(one_files));
    w->one_new = fixture_package(&w->f, "one", "2", one_newer, ARRAY_SIZE(one_newer));
    w->two = fixture_package(&w->f, "two", "1", two_files, ARRAY_SIZE(two_files));
    const struct fixture_use uses[] = {{"one", w->one, false}, {"two", w->two, false}};
    fixture_env(&w->f, "first", uses, 2);
    w->c = fixture_start(&w->f);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    control_close(w->c);
    fixture_release(&w->f);
    free(w);
    return 0;
}

static void assert_file(const struct world *w, const char *env, const char *rest, const char *text)
{
    _cleanup_free_ char *path = fixture_path(&w->f, env, rest), *got = fixture_read(path);
    if (!got)
        fail_msg("%s: %s", path, strerror(errno));
    assert_string_equal(got, text);
}

static void assert_missing(const struct world *w, const char *env, const char *rest)
{
    _cleanup_free_ char *path = fixture_path(&w->f, env, rest);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

static ino_t inode(const struct world *w, const char *env, const char *rest)
{
    _cleanup_free_ char *path = fixture_path(&w->f, env, rest);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sorted names of a folder, each followed by a space, without the view's own import hook. */
static char *names_in(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char *names[256];
    size_t n = 0;
    struct strbuf sb = STRBUF_INIT;
    assert_non_null(dir);
    while ((e = readdir(dir)) && n < ARRAY_SIZE(names))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strncmp(e->d_name, "_venvfs.", 8) != 0)
            names[n++] = xstrdup(e->d_name);
    closedir(dir);
    qsort(names, n, sizeof(char *), by_name);
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(&sb, "%s ", names[i]);
        free(names[i]);
    }
    return strbuf_detach(&sb, NULL);
}

static void assert_names(const struct world *w, const char *env, const char *rest,
                         const char *expected)
{
    _cleanup_free_ char *path = fixture_path(&w->f, env, rest), *got = names_in(path);
    assert_string_equal(got, expected);
}

static void attach(struct world *w, const char *env)
{
    json_decref(fixture_call(w->c, json_pack("{s:s, s:s}", "do", "attach", "env", env)));
}

/* ---- tests ---- */

static void the_hub_shows_environments(void **state)
{
    struct world *w = *state;
    assert_names(w, "", "", "CACHEDIR.TAG first ");
    assert_names(w, "first", SITE, "one one-1.dist-info space two-1.dist-info two.py ");
    assert_names(w, "first", SITE "/space", "a b ");
    assert_file(w, "first", SITE "/one/__init__.py", "VERSION = 1\n");
    assert_file(w, "first", SITE "/one/empty.py", "");
    assert_file(w, "first", SITE "/space/b/__init__.py", "B = 1\n");
    assert_missing(w, "second", "");
    assert_missing(w, "first", SITE "/three.py");
}

static void folders_tell_their_parents(void **state)
{
    struct world *w = *state;
    const char *pairs[][2] = {{"first", SITE "/one"},
                              {"first", SITE "/space/a"},
                              {"first", SITE "/space"},
                              {"first", "bin"},
                              {"first", ""}};
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        _cleanup_free_ char *path = fixture_path(&w->f, pairs[i][0], pairs[i][1]);
        _cleanup_free_ char *up = xasprintf("%s/..", path);
        struct stat st;
        assert_int_equal(stat(up, &st), 0);
        DIR *dir = opendir(path);
        struct dirent *e;
        assert_non_null(dir);
        ino_t told = 0;
        while ((e = readdir(dir)))
            if (strcmp(e->d_name, "..") == 0)
                told = e->d_ino;
        closedir(dir);
        assert_int_equal(told, st.st_ino);
    }
}

static void attributes_are_right(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *path = fixture_path(&w->f, "first", SITE "/one/__init__.py");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    assert_int_equal(st.st_size, strlen("VERSION = 1\n"));
    assert_int_equal(st.st_blocks, 1);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_gid, getegid());
    _cleanup_free_ char *python = fixture_path(&w->f, "first", "bin/python3.11");
    assert_int_equal(lstat(python, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    char target[256] = "";
    assert_int_equal(readlink(python, target, sizeof(target) - 1), st.st_size);
}

static void look_at_everything(struct world *w)
{
    assert_names(w, "first", SITE "/one", "__init__.py empty.py ");
    assert_file(w, "first", SITE "/one/__init__.py", "VERSION = 1\n");
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n");
    assert_missing(w, "first", SITE "/one/__init__.cpython-311-x86_64-linux-gnu.so");
    inode(w, "first", "bin/python");
    _cleanup_free_ char *cfg = fixture_path(&w->f, "first", "pyvenv.cfg");
    _cleanup_free_ char *text = fixture_read(cfg);
    assert_non_null(text);
}

static void a_second_look_sends_nothing(void **state)
{
    struct world *w = *state;
    look_at_everything(w);
    long long before = fixture_waits(w->c);
    assert_true(before > 0);
    /* What was read has another access time, for all the kernel knows: it asks for the attributes
     * once. */
    long long asked = fixture_messages(w->c, "GETATTR");
    look_at_everything(w);
    before += fixture_messages(w->c, "GETATTR") - asked;
    look_at_everything(w);
    assert_int_equal(fixture_waits(w->c), before);
    assert_true(fixture_messages(w->c, "OPEN") <= 1);
    assert_true(fixture_messages(w->c, "OPENDIR") <= 1);
    assert_int_equal(fixture_messages(w->c, "RELEASE"), 0);
    assert_int_equal(fixture_messages(w->c, "READDIR"), 0);
}

static void an_explicit_mount_is_read_only(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *dir = path_join(w->f.top, "read only");
    json_decref(fixture_call(
        w->c, json_pack("{s:s, s:s, s:s}", "do", "mount", "env", "first", "dir", dir)));
    _cleanup_free_ char *file = path_join(dir, SITE "/two.py");
    _cleanup_free_ char *fresh = path_join(dir, SITE "/new.py");
    assert_int_equal(open(file, O_WRONLY), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(open(fresh, O_WRONLY | O_CREAT, 0644), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(mkdir(fresh, 0755), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(unlink(file), -1);
    assert_int_equal(errno, EROFS);
    assert_int_equal(chmod(file, 0600), -1);
    assert_int_equal(errno, EROFS);
    json_decref(fixture_call(w->c, json_pack("{s:s, s:s}", "do", "umount", "dir", dir)));
}

/* The thing of the layer itself; that it behaves like a folder is tests/mount/test_upper_*.py. */
static void what_is_written_stays_in_the_environment(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *file = fixture_path(&w->f, "first", SITE "/two.py");
    _cleanup_free_ char *other = fixture_path(&w->f, "second", SITE "/two.py");
    _cleanup_free_ char *there = fixture_read(other);
    int fd = open(file, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "# edited\n", 9), 9);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n# edited\n");
    _cleanup_free_ char *still = fixture_read(other);
    assert_true((there == NULL && still == NULL) || strcmp(there, still) == 0);
    _cleanup_free_ char *upper = path_join(w->f.home.envs, "first/upper/" SITE "/two.py");
    _cleanup_free_ char *copy = fixture_read(upper);
    assert_string_equal(copy, "TWO = 2\n# edited\n");
}

static void a_switch_is_seen_at_once(void **state)
{
    struct world *w = *state;
    look_at_everything(w);
    assert_missing(w, "first", SITE "/one/added.py");
    ino_t root = inode(w, "first", ""), site = inode(w, "first", SITE),
          space = inode(w, "first", SITE "/space"), kept = inode(w, "first", SITE "/two.py"),
          replaced = inode(w, "first", SITE "/one/__init__.py");

    const struct fixture_use uses[] = {{"one", w->one_new, false}, {"two", w->two, false}};
    fixture_env(&w->f, "first", uses, 2);
    assert_file(w, "first", SITE "/one/__init__.py", "VERSION = 1\n"); /* not attached yet */
    attach(w, "first");

    assert_file(w, "first", SITE "/one/__init__.py", "VERSION = 2\n");
    assert_file(w, "first", SITE "/one/added.py", "ADDED = 1\n");
    assert_missing(w, "first", SITE "/one/empty.py");
    assert_names(w, "first", SITE "/one", "__init__.py added.py ");
    assert_names(w, "first", SITE, "one one-2.dist-info space two-1.dist-info two.py ");
    assert_int_equal(inode(w, "first", ""), root);
    assert_int_equal(inode(w, "first", SITE), site);
    assert_int_equal(inode(w, "first", SITE "/space"), space);
    assert_int_equal(inode(w, "first", SITE "/two.py"), kept);
    assert_int_not_equal(inode(w, "first", SITE "/one/__init__.py"), replaced);
}

static void a_switch_changes_the_times_of_folders(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *site = fixture_path(&w->f, "first", SITE);
    struct stat before, after;
    assert_int_equal(stat(site, &before), 0);
    const struct fixture_use uses[] = {{"two", w->two, false}};
    fixture_env(&w->f, "first", uses, 1);
    attach(w, "first");
    assert_int_equal(stat(site, &after), 0);
    assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
                after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
    /* What was a merged folder is now one image's own. */
    assert_names(w, "first", SITE "/space", "b ");
    assert_missing(w, "first", SITE "/one");
}

static void a_working_folder_survives_a_switch(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *site = fixture_path(&w->f, "first", SITE);
    char *here = getcwd(NULL, 0);
    assert_int_equal(chdir(site), 0);
    const struct fixture_use uses[] = {{"one", w->one_new, false}, {"two", w->two, false}};
    fixture_env(&w->f, "first", uses, 2);
    attach(w, "first");
    _cleanup_free_ char *after = getcwd(NULL, 0);
    assert_int_equal(chdir(here), 0);
    free(here);
    assert_non_null(after);
    assert_string_equal(after, site);
}

/* The same image, now asked for by name: the same nodes, but another list, also for who is there.
 */
static void a_package_asked_for_by_name_says_so(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *dir = fixture_path(&w->f, "first", SITE "/one-1.dist-info");
    assert_names(w, "first", SITE "/one-1.dist-info", "METADATA ");
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(faccessat(fd, "REQUESTED", F_OK, 0), -1);
    _cleanup_free_ char *held = xasprintf("/proc/self/fd/%d", fd);
    struct fixture_use uses[] = {{"one", w->one, true}, {"two", w->two, false}};
    for (int i = 0; i < 2; i++) {
        uses[0].requested = i == 0;
        fixture_env(&w->f, "first", uses, 2);
        attach(w, "first");
        const char *expected = i == 0 ? "METADATA REQUESTED " : "METADATA ";
        assert_names(w, "first", SITE "/one-1.dist-info", expected);
        _cleanup_free_ char *got = names_in(held);
        assert_string_equal(got, expected);
        assert_int_equal(faccessat(fd, "REQUESTED", F_OK, 0), i == 0 ? 0 : -1);
    }
}

/* The same image again, later: its files have the later time, also for who has one open. */
static void a_package_that_enters_again_has_a_newer_time(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *path = fixture_path(&w->f, "first", SITE "/one/__init__.py");
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat before, after, open_file;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &before), 0);
    const struct fixture_use uses[] = {{"two", w->two, false}, {"one", w->one, false}};
    fixture_env(&w->f, "first", uses, 1);
    fixture_env(&w->f, "first", uses, 2);
    attach(w, "first");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
                after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
    assert_int_equal(fstat(fd, &open_file), 0);
    assert_memory_equal(&open_file.st_mtim, &after.st_mtim, sizeof(after.st_mtim));
}

#define BIG (3u << 20)

static void check_bytes(int fd, unsigned seed, size_t from, size_t n)
{
    unsigned char buf[4096];
    for (size_t at = from; at < from + n; at += sizeof(buf)) {
        assert_int_equal(pread(fd, buf, sizeof(buf), (off_t)at), sizeof(buf));
        for (size_t i = 0; i < sizeof(buf); i++)
            if (buf[i] != fixture_byte(seed, at + i))
                fail_msg("byte %zu differs", at + i);
    }
}

static void an_open_file_outlives_its_generation(void **state)
{
    struct world *w = *state;
    struct store_image big = fixture_big_package(&w->f, "big", 1, BIG),
                       bigger = fixture_big_package(&w->f, "big", 2, BIG);
    const struct fixture_use uses[] = {{"big", big, false}}, newer[] = {{"big", bigger, false}};
    fixture_env(&w->f, "first", uses, 1);
    attach(w, "first");
    _cleanup_free_ char *path = fixture_path(&w->f, "first", SITE "/big/big.bin");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    check_bytes(fd, 1, 0, 4096);

    fixture_env(&w->f, "first", newer, 1);
    attach(w, "first");
    check_bytes(fd, 1, BIG / 2, BIG / 2); /* not cached yet: the old image still serves */
    int fd2 = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd2 >= 0);
    check_bytes(fd2, 2, 0, BIG);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, BIG);
    close(fd2);
    close(fd);
}

static void new_environments_appear(void **state)
{
    struct world *w = *state;
    assert_missing(w, "second", ""); /* remembered by the kernel */
    assert_names(w, "", "", "CACHEDIR.TAG first ");
    const struct fixture_use uses[] = {{"two", w->two, false}};
    fixture_env(&w->f, "second", uses, 1);
    attach(w, "second");
    assert_names(w, "", "", "CACHEDIR.TAG first second ");
    assert_file(w, "second", SITE "/two.py", "TWO = 2\n");
    assert_int_not_equal(inode(w, "first", SITE "/two.py"), inode(w, "second", SITE "/two.py"));

    json_decref(fixture_call(w->c, json_pack("{s:s, s:s}", "do", "detach", "env", "second")));
    assert_missing(w, "second", "");
    assert_names(w, "", "", "CACHEDIR.TAG first ");
    attach(w, "second");
    assert_file(w, "second", SITE "/two.py", "TWO = 2\n");
}

static void an_explicit_mount_has_its_own_address(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *dir = path_join(w->f.top, "proj/.venv");
    json_decref(fixture_call(
        w->c, json_pack("{s:s, s:s, s:s}", "do", "mount", "env", "first", "dir", dir)));
    _cleanup_free_ char *module = path_join(dir, SITE "/two.py"), *text = fixture_read(module);
    assert_string_equal(text, "TWO = 2\n");
    _cleanup_free_ char *activate = path_join(dir, "bin/activate");
    _cleanup_free_ char *script = fixture_read(activate);
    assert_non_null(strstr(script, dir));

    /* It shows one generation; a switch of the environment does not touch it. */
    const struct fixture_use uses[] = {{"one", w->one, false}};
    fixture_env(&w->f, "first", uses, 1);
    attach(w, "first");
    assert_int_equal(access(module, F_OK), 0);
    assert_missing(w, "first", SITE "/two.py");

    json_decref(fixture_call(w->c, json_pack("{s:s, s:s}", "do", "umount", "dir", dir)));
    assert_false(mounted_at(dir));
    assert_int_equal(access(dir, F_OK), -1); /* it was made for the mount */
}

static void restart(struct world *w)
{
    control_close(w->c);
    w->c = NULL;
    w->c = fixture_start(&w->f);
}

static void a_killed_daemon_is_replaced(void **state)
{
    struct world *w = *state;
    json_t *status = fixture_call(w->c, json_pack("{s:s}", "do", "status"));
    pid_t pid = (pid_t)json_integer_value(json_object_get(status, "pid"));
    json_decref(status);
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n");
    kill(pid, SIGKILL);
    for (int i = 0; i < 500 && mount_health(w->f.home.hub) != MOUNT_STALE; i++)
        usleep(10000);
    assert_int_equal(mount_health(w->f.home.hub), MOUNT_STALE);
    restart(w);
    assert_int_equal(mount_health(w->f.home.hub), MOUNT_LIVE);
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n");
}

static void a_hub_unmounted_from_outside_comes_back(void **state)
{
    struct world *w = *state;
    struct verror err = VERROR_INIT;
    assert_int_equal(unmount_path(w->f.home.hub, false, &err), 0);
    assert_false(mounted_at(w->f.home.hub));
    restart(w);
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n");
}

static void many_starts_make_one_daemon(void **state)
{
    struct world *w = *state;
    json_decref(fixture_call(w->c, json_pack("{s:s}", "do", "stop")));
    pid_t children[6];
    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct control *c;
            struct verror err = VERROR_INIT;
            int r = control_start(&w->f.home, &c, &err);
            if (r < 0)
                print_error("%s\n", verror_message(&err));
            _exit(r < 0 ? 1 : 0);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    restart(w);
    assert_file(w, "first", SITE "/two.py", "TWO = 2\n");
}

static void stubs_lie_beneath(void **state)
{
    struct world *w = *state;
    json_decref(fixture_call(w->c, json_pack("{s:s}", "do", "stop")));
    for (int i = 0; i < 500 && mounted_at(w->f.home.hub); i++)
        usleep(10000);
    assert_names(w, "", "", ".venvfs-stub first ");
    assert_names(w, "first", "bin",
                 "activate activate.csh activate.fish python python3 python3.11 ");
    _cleanup_free_ char *foreign = path_join(w->f.home.hub, "mine.txt");
    assert_int_equal(io_write_file_atomic(foreign, "mine", 4, 0644, false), 0);

    restart(w);
    json_t *status = fixture_call(w->c, json_pack("{s:s}", "do", "status"));
    const char *told = json_string_value(json_array_get(json_object_get(status, "notices"), 0));
    assert_non_null(told);
    assert_non_null(strstr(told, foreign));
    json_decref(status);
    _cleanup_free_ char *edits = path_join(w->f.home.root, "edits");
    assert_int_equal(access(edits, F_OK), 0);
    assert_names(w, "", "", "CACHEDIR.TAG first ");
}

static void stop(struct world *w)
{
    json_decref(fixture_call(w->c, json_pack("{s:s}", "do", "stop")));
    for (int i = 0; i < 500 && mounted_at(w->f.home.hub); i++)
        usleep(10000);
    assert_false(mounted_at(w->f.home.hub));
    control_close(w->c);
    w->c = NULL;
}

/* Runs a script with $1 = HUB/first/bin and returns the first line it printed. */
static char *run_script(const struct world *w, const char *script)
{
    _cleanup_free_ char *bin = fixture_path(&w->f, "first", "bin");
    const char *argv[] = {"/bin/sh", "-c", script, "sh", bin, NULL};
    struct strbuf out = STRBUF_INIT;
    struct proc_options options = {.output = &out};
    int status;
    assert_int_equal(proc_run(argv, &options, &status, NULL), 0);
    out.buf[strcspn(out.buf, "\n")] = '\0';
    return strbuf_detach(&out, NULL);
}

static void a_stub_starts_what_it_stands_for(void **state)
{
    struct world *w = *state;
    if (access("/usr/bin/python3.11", X_OK) == 0) {
        stop(w);
        _cleanup_free_ char *two = run_script(
            w, "\"$1/python\" -c 'import two, sys; print(two.TWO, *sys.argv[1:])' 'a b'");
        assert_string_equal(two, "2 a b");
        w->c = fixture_start(&w->f);
    }
    stop(w);
    _cleanup_free_ char *env = run_script(w, ". \"$1/activate\"; echo \"$VIRTUAL_ENV\"");
    _cleanup_free_ char *expected = path_join(w->f.home.hub, "first");
    assert_string_equal(env, expected);
    w->c = fixture_start(&w->f);
}

static void a_folder_of_the_users_is_no_hub(void **state)
{
    struct world *w = *state;
    struct verror err = VERROR_INIT;
    _cleanup_free_ char *folder = path_join(w->f.top, "documents");
    _cleanup_free_ char *file = path_join(folder, "letter.txt");
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(io_write_file_atomic(file, "dear", 4, 0644, false), 0);
    stop(w);
    struct home other = w->f.home;
    other.hub = folder;
    assert_int_equal(control_start(&other, &w->c, &err), -ENOTEMPTY);
    assert_non_null(strstr(verror_message(&err), "letter.txt"));
    verror_release(&err);
    assert_int_equal(access(file, F_OK), 0);
    w->c = fixture_start(&w->f);
}

static void a_busy_hub_is_detached_at_the_end(void **state)
{
    struct world *w = *state;
    _cleanup_free_ char *path = fixture_path(&w->f, "first", SITE "/two.py");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    json_decref(fixture_call(w->c, json_pack("{s:s}", "do", "stop")));
    for (int i = 0; i < 500 && mounted_at(w->f.home.hub); i++)
        usleep(10000);
    assert_false(mounted_at(w->f.home.hub));
    close(fd);
}

static int perform(struct daemon *d, const char *verb, json_t *request)
{
    json_t *answer = json_object();
    const struct control_client client = {.number = 1};
    int r = daemon_perform(d, &client, verb, request, answer, NULL);
    json_decref(answer);
    json_decref(request);
    return r;
}

/* In this process, as the daemon would. */
static void a_busy_mount_that_was_detached_keeps_what_it_uses(void **state)
{
    struct world *w = *state;
    struct daemon d = {.home = &w->f.home};
    d.context = (struct session_context){.images = images_new(w->f.home.store, 1 << 20),
                                         .workers = pool_new(1),
                                         .counters = &d.counters,
                                         .ended = -1};
    _cleanup_free_ char *dir = path_join(w->f.top, "busy"), *file = path_join(dir, SITE "/two.py");
    assert_int_equal(perform(&d, "mount", json_pack("{s:s, s:s}", "env", "first", "dir", dir)), 0);
    struct session *session = d.mounts[0].session;
    _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(perform(&d, "umount", json_pack("{s:s, s:b}", "dir", dir, "lazy", 1)), 0);
    assert_false(mounted_at(dir));
    assert_int_equal(d.n_mounts, 0);
    assert_true(d.kept);
    char text[8];
    assert_int_equal(pread(fd, text, sizeof(text), 0), sizeof(text));

    (void)close(steal_fd(&fd));
    assert_true(session_free(session));
    free(d.mounts);
    images_free(d.context.images);
    pool_free(d.context.workers);
}

static void bad_requests_get_an_error(void **state)
{
    struct world *w = *state;
    struct verror err = VERROR_INIT;
    json_t *answer;
    assert_int_equal(control_call(w->c, json_pack("{s:s}", "do", "dance"), &answer, &err),
                     -ENOTSUP);
    assert_int_equal(
        control_call(w->c, json_pack("{s:s, s:s}", "do", "attach", "env", "none"), &answer, &err),
        -ENOENT);
    assert_int_equal(control_call(w->c, json_pack("{s:s, s:s}", "do", "umount", "dir", "/nowhere"),
                                  &answer, &err),
                     -ENOENT);
    assert_int_equal(
        control_call(w->c,
                     json_pack("{s:s, s:s, s:s}", "do", "mount", "env", "first", "dir", "relative"),
                     &answer, &err),
        -EINVAL);
    verror_release(&err);
}

#define MOUNTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    int code = fixture_daemon_main(argc, argv);
    if (code >= 0)
        return code;
    fixture_need_fuse();
    const struct CMUnitTest tests[] = {
        MOUNTED(the_hub_shows_environments),
        MOUNTED(folders_tell_their_parents),
        MOUNTED(attributes_are_right),
        MOUNTED(a_second_look_sends_nothing),
        MOUNTED(an_explicit_mount_is_read_only),
        MOUNTED(what_is_written_stays_in_the_environment),
        MOUNTED(a_switch_is_seen_at_once),
        MOUNTED(a_switch_changes_the_times_of_folders),
        MOUNTED(a_package_asked_for_by_name_says_so),
        MOUNTED(a_package_that_enters_again_has_a_newer_time),
        MOUNTED(a_working_folder_survives_a_switch),
        MOUNTED(an_open_file_outlives_its_generation),
        MOUNTED(new_environments_appear),
        MOUNTED(an_explicit_mount_has_its_own_address),
        MOUNTED(a_killed_daemon_is_replaced),
        MOUNTED(a_hub_unmounted_from_outside_comes_back),
        MOUNTED(many_starts_make_one_daemon),
        MOUNTED(stubs_lie_beneath),
        MOUNTED(a_stub_starts_what_it_stands_for),
        MOUNTED(a_folder_of_the_users_is_no_hub),
        MOUNTED(a_busy_hub_is_detached_at_the_end),
        MOUNTED(a_busy_mount_that_was_detached_keeps_what_it_uses),
        MOUNTED(bad_requests_get_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
