/* Projects: which lock, which name, and the .venv link. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/project.h"
#include "env/project_git.h"

struct fixture {
    char *root, *dir;
    struct home home;
};

static void write_file(const char *dir, const char *name, const char *text)
{
    _cleanup_free_ char *path = path_join(dir, name);
    _cleanup_free_ char *parent = path_dirname(path);
    assert_int_equal(path_mkdirs(parent, 0755), 0);
    assert_int_equal(io_write_file_atomic(path, text, strlen(text), 0644, 0), 0);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    char template[] = "/tmp/venvfs-project-XXXXXX";
    assert_non_null(mkdtemp(template));
    f->root = realpath(template, NULL);
    f->dir = path_join(f->root, "proj");
    f->home.hub = path_join(f->root, "hub");
    assert_int_equal(mkdir(f->dir, 0755), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(path_remove_tree(f->root), 0);
    free(f->root);
    free(f->dir);
    free(f->home.hub);
    free(f);
    return 0;
}

static void the_best_lock_is_chosen_and_the_others_are_named(void **state)
{
    struct fixture *f = *state;
    struct project p;
    write_file(f->dir, "requirements.txt", "");
    write_file(f->dir, "poetry.lock", "");
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_int_equal(p.lock_kind, LOCK_REQUIREMENTS);
    assert_string_equal(path_basename(p.ignored[0]), "poetry.lock");
    assert_null(p.ignored[1]);
    project_release(&p);

    write_file(f->dir, "uv.lock", "");
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_int_equal(p.lock_kind, LOCK_UV);
    project_release(&p);

    write_file(f->dir, "pylock.toml", "");
    write_file(f->dir, "pylock.other.toml", ""); /* never a glob */
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_int_equal(p.lock_kind, LOCK_PYLOCK);
    assert_string_equal(path_basename(p.lock), "pylock.toml");
    assert_string_equal(path_basename(p.ignored[0]), "uv.lock");
    project_release(&p);

    assert_int_equal(project_inspect(f->dir, "pylock.other.toml", &p, NULL), 0);
    assert_int_equal(p.lock_kind, LOCK_PYLOCK);
    assert_string_equal(path_basename(p.lock), "pylock.other.toml");
    project_release(&p);
}

static void a_foreign_lock_alone_is_refused_with_the_export_command(void **state)
{
    struct fixture *f = *state;
    struct project p;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    write_file(f->dir, "Pipfile.lock", "{}");
    assert_int_equal(project_inspect(f->dir, NULL, &p, &err), -EINVAL);
    assert_non_null(strstr(err.hint, "pipenv requirements"));
    assert_int_equal(project_inspect(f->dir, "Pipfile.lock", &p, &err), -EINVAL);
    assert_int_equal(project_inspect(f->dir, "nothing.txt", &p, &err), -ENOENT);
}

static void a_folder_without_a_lock_is_a_project(void **state)
{
    struct fixture *f = *state;
    struct project p;
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_int_equal(p.lock_kind, LOCK_NONE);
    assert_null(p.lock);
    assert_false(p.has_build_system);
    assert_int_equal(strncmp(p.name, "proj-", 5), 0);
    assert_int_equal(strlen(p.name), 11);
    project_release(&p);
    write_file(f->dir, "pyproject.toml", "[project]\nname = 'x'\n\n[build-system]\n");
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_true(p.has_build_system);
    project_release(&p);
}

static void what_is_no_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    struct project p;
    _cleanup_free_ char *file = path_join(f->dir, "x");
    assert_int_equal(project_inspect(file, NULL, &p, NULL), -ENOENT);
    write_file(f->dir, "x", "");
    assert_int_equal(project_inspect(file, NULL, &p, NULL), -ENOTDIR);
}

static void names_are_valid_and_differ_by_folder(void **state)
{
    struct fixture *f = *state;
    struct project a, b;
    _cleanup_free_ char *hidden = path_join(f->root, ".-hidden");
    _cleanup_free_ char *deep = path_join(f->dir, "proj");
    assert_int_equal(mkdir(hidden, 0755), 0);
    assert_int_equal(mkdir(deep, 0755), 0);
    assert_int_equal(project_inspect(hidden, NULL, &a, NULL), 0);
    assert_int_equal(strncmp(a.name, "hidden-", 7), 0);
    project_release(&a);
    assert_int_equal(project_inspect(f->dir, NULL, &a, NULL), 0);
    assert_int_equal(project_inspect(deep, NULL, &b, NULL), 0);
    assert_string_not_equal(a.name, b.name);
    project_release(&a);
    project_release(&b);
    char long_name[240];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    _cleanup_free_ char *path = path_join(f->root, long_name);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(project_inspect(path, NULL, &a, NULL), 0);
    assert_true(strlen(a.name) <= 100);
    project_release(&a);
}

static void the_link_is_made_replaced_and_left_alone_when_foreign(void **state)
{
    struct fixture *f = *state;
    struct project p;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    assert_int_equal(project_inspect(f->dir, NULL, &p, NULL), 0);
    assert_int_equal(project_link_state(&p, &f->home, NULL), LINK_ABSENT);
    assert_int_equal(project_link(&p, &f->home, "other", &err), 0);
    char *target;
    assert_int_equal(project_link_state(&p, &f->home, &target), LINK_STALE);
    assert_string_equal(path_basename(target), "other");
    free(target);
    assert_int_equal(project_link(&p, &f->home, p.name, &err), 0);
    assert_int_equal(project_link_state(&p, &f->home, NULL), LINK_OURS);

    assert_int_equal(unlink(p.link), 0);
    assert_int_equal(symlink("/usr", p.link), 0);
    assert_int_equal(project_link_state(&p, &f->home, NULL), LINK_FOREIGN);
    assert_int_equal(project_link(&p, &f->home, p.name, &err), -EEXIST);
    assert_int_equal(unlink(p.link), 0);
    write_file(p.link, "pyvenv.cfg", "home = /usr/bin\n");
    assert_int_equal(project_link(&p, &f->home, p.name, &err), -EEXIST);
    assert_non_null(strstr(err.hint, "--no-link"));
    assert_null(strstr(err.hint, "adopt")); /* planned, so no way out yet */
    _cleanup_free_ char *cfg = path_join(p.link, "pyvenv.cfg");
    assert_true(path_exists(cfg));
    project_release(&p);
}

static void git(const char *dir, const char *a, const char *b, const char *c, const char *d)
{
    const char *argv[] = {"git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org",
                          a,     b,    c,   d,    NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, diag = STRBUF_INIT;
    struct proc_options o = {.output = &out, .diagnostics = &diag};
    int status;
    assert_int_equal(proc_run(argv, &o, &status, NULL), 0);
    assert_int_equal(status, 0);
}

static char *exclude_of(const char *checkout)
{
    struct strbuf sb = STRBUF_INIT;
    _cleanup_free_ char *path = path_join(checkout, ".git/info/exclude");
    (void)io_read_file(path, &sb, 1 << 20);
    return strbuf_detach(&sb, NULL);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    for (; (text = strstr(text, needle)); text++)
        n++;
    return n;
}

static void link_in(struct fixture *f, const char *dir)
{
    struct project p;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    assert_int_equal(project_inspect(dir, NULL, &p, &err), 0);
    assert_int_equal(project_link(&p, &f->home, p.name, &err), 0);
    assert_int_equal(project_git_exclude(p.link, &err), 0);
    project_release(&p);
}

static void a_checkout_that_does_not_ignore_the_link_excludes_it_once(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *which = proc_which("git");
    if (!which)
        skip();
    git(f->dir, "init", "-q", ".", NULL);
    _cleanup_free_ char *below = path_join(f->dir, "a [b]");
    assert_int_equal(mkdir(below, 0755), 0);
    write_file(f->dir, ".gitignore", ".venv/\n"); /* matches folders only, not a link */
    link_in(f, below);
    link_in(f, below);
    _cleanup_free_ char *text = exclude_of(f->dir);
    assert_int_equal(count(text, "\n/a\\ \\[b]/.venv\n"), 1);
    const char *argv[] = {"git", "-C", below, "check-ignore", "-q", ".venv", NULL};
    int status;
    assert_int_equal(proc_run(argv, NULL, &status, NULL), 0);
    assert_int_equal(status, 0);
}

static void an_ignored_link_needs_no_exclude(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *which = proc_which("git");
    if (!which)
        skip();
    git(f->dir, "init", "-q", ".", NULL);
    write_file(f->dir, ".gitignore", ".venv\n");
    link_in(f, f->dir);
    _cleanup_free_ char *text = exclude_of(f->dir);
    assert_int_equal(count(text, ".venv"), 0);
}

static void a_worktree_excludes_in_the_main_repository(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *which = proc_which("git");
    if (!which)
        skip();
    git(f->dir, "init", "-q", ".", NULL);
    git(f->dir, "commit", "-q", "--allow-empty", "-mx");
    _cleanup_free_ char *tree = path_join(f->root, "tree");
    git(f->dir, "worktree", "add", "-q", tree);
    link_in(f, tree);
    _cleanup_free_ char *text = exclude_of(f->dir);
    assert_int_equal(count(text, "/.venv\n"), 1);
}

static void a_project_is_found_from_below(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *below = path_join(f->dir, "src/deep");
    assert_int_equal(path_mkdirs(below, 0755), 0);
    write_file(f->dir, "pyproject.toml", "");
    _cleanup_free_ char *found = project_find(below);
    assert_string_equal(found, f->dir);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_best_lock_is_chosen_and_the_others_are_named),
        TEST(a_foreign_lock_alone_is_refused_with_the_export_command),
        TEST(a_folder_without_a_lock_is_a_project),
        TEST(what_is_no_folder_is_refused),
        TEST(names_are_valid_and_differ_by_folder),
        TEST(the_link_is_made_replaced_and_left_alone_when_foreign),
        TEST(a_checkout_that_does_not_ignore_the_link_excludes_it_once),
        TEST(an_ignored_link_needs_no_exclude),
        TEST(a_worktree_excludes_in_the_main_repository),
        TEST(a_project_is_found_from_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
