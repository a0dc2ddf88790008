/* Activation files, run in every shell that is installed here: what they set, for any address, and
 * that deactivate leaves nothing behind. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/activation.h"

#define OLD_PATH "/usr/local/bin:/usr/bin:/bin:/an other"

static const char *const names[] = {
    "plain",
    "a b",
    "it's two'' \"hi\" 100%",
    "do$HOME `echo back` $(exit 3)",
    "no!way\\back\\n",
    "\xc3\xbcn",
    "-n",
    "~#;&|<>()*?[]{a,b}'#'##",
};

static char *root;

static int set_up(void **state)
{
    (void)state;
    char template[] = "/tmp/venvfs-activation-XXXXXX";
    root = mkdtemp(template) == NULL ? NULL : xstrdup(template);
    return root == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    int r = path_remove_tree(root);
    free(root);
    return r;
}

/* Writes bin/ of an environment at ROOT/NAME; returns its address. */
static char *write_environment(const char *name, const char *prompt)
{
    char *address = xasprintf("%s/%s", root, name);
    _cleanup_free_ char *bin = xasprintf("%s/bin", address);
    struct manifest m = {.prompt = (char *)(uintptr_t)prompt,
                         .executable = (char *)(uintptr_t) "/opt/python/bin/python3",
                         .base_executable = (char *)(uintptr_t) "/opt/python/bin/python3.11",
                         .home = (char *)(uintptr_t) "/opt/python/bin",
                         .version = (char *)(uintptr_t) "3.11.7",
                         .python_dir = (char *)(uintptr_t) "python3.11"};
    assert_int_equal(path_mkdirs(bin, 0755), 0);
    for (size_t i = 0; i < activation_n_files; i++) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *path = path_join(bin, activation_files[i].name);
        activation_files[i].text(&m, address, &text);
        assert_int_equal(io_write_file_atomic(path, text.buf, text.len, 0644, false), 0);
    }
    return address;
}

/* Runs a shell on a script with arguments; returns what it printed. A message or a failing exit
 * code fails the test. */
static char *run_shell(const char *const *shell, const char *script, const char *const *set,
                       const char *first, const char *second)
{
    static const char *const unset[] = {"VIRTUAL_ENV*", "_OLD_VIRTUAL*", "UV_LINK_MODE",
                                        "PYTHONHOME",   "PS1",           NULL};
    _cleanup_free_ char *file = xasprintf("%s/script", root);
    assert_int_equal(io_write_file_atomic(file, script, strlen(script), 0644, false), 0);
    const char *argv[8] = {0};
    size_t n = 0;
    while (shell[n] != NULL) {
        argv[n] = shell[n];
        n++;
    }
    argv[n++] = file;
    const char *default_set[] = {"PATH=" OLD_PATH, NULL};
    _cleanup_free_ char *first_set = xasprintf("FIRST=%s", first);
    _cleanup_free_ char *second_set = xasprintf("SECOND=%s", second);
    const char *all_set[12] = {default_set[0], first_set, second_set, "LC_ALL=C.UTF-8"};
    for (size_t i = 4; set != NULL && *set != NULL; set++)
        all_set[i++] = *set;
    struct strbuf out = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf diagnostics = STRBUF_INIT;
    struct proc_options options = {
        .unset = unset, .set = all_set, .output = &out, .diagnostics = &diagnostics};
    int status = -1;
    assert_int_equal(proc_run(argv, &options, &status, NULL), 0);
    if (status != 0 || diagnostics.len > 0)
        fail_msg("%s: exit %d for %s: %s", shell[0], status, first, diagnostics.buf);
    return strbuf_detach(&out, NULL);
}

static bool installed(const char *shell)
{
    _cleanup_free_ char *path = proc_which(shell);
    return path != NULL;
}

static const char posix_script[] =
    "set -eu\n"
    "show() { printf '%s|' \"${VIRTUAL_ENV-unset}\" \"${VIRTUAL_ENV_PROMPT-unset}\" \"$PATH\" "
    "\"${PYTHONHOME-unset}\" \"${UV_LINK_MODE-unset}\"; echo; }\n"
    "if [ -n \"${WITH_PS1-}\" ]; then PS1='old> '; else unset PS1; fi\n"
    "show\n"
    ". \"$FIRST/bin/activate\"\n"
    "show\n"
    ". \"$SECOND/bin/activate\"\n"
    "show\n"
    "deactivate\n"
    "show\n"
    "printf '%s\\n' \"${PS1-no prompt}\"\n"
    "if command -v deactivate >/dev/null; then echo 'deactivate is still there'; fi\n"
    "set | grep -a '^_OLD_VIRTUAL\\|^_VENVFS' || true\n";

static const char fish_script[] =
    "function show\n"
    "  for name in VIRTUAL_ENV VIRTUAL_ENV_PROMPT PATH PYTHONHOME UV_LINK_MODE\n"
    "    if set -q $name; printf '%s|' (string join -- : $$name); else; printf 'unset|'; end\n"
    "  end\n"
    "  echo\n"
    "end\n"
    "function fish_prompt; echo -n \"$status old> \"; end\n"
    "show\n"
    "source \"$FIRST/bin/activate.fish\"\n"
    "show\n"
    "source \"$SECOND/bin/activate.fish\"\n"
    "show\n"
    "deactivate\n"
    "show\n"
    "fish_prompt; echo\n"
    "functions -q deactivate; and echo 'deactivate is still there'\n"
    "set --names | string match -r '^(_OLD_|_VENVFS).*'\n"
    "functions -a -n | string match -r '^(_old_fish|_venvfs).*'\n"
    "true\n";

static const char csh_script[] = "alias show 'sh -c \"$SHOW:q\"'\n"
                                 "set prompt = 'old> '\n"
                                 "show\n"
                                 "source \"$FIRST:q/bin/activate.csh\"\n"
                                 "show\n"
                                 "source \"$SECOND:q/bin/activate.csh\"\n"
                                 "show\n"
                                 "deactivate\n"
                                 "show\n"
                                 "echo \"$prompt:q\"\n"
                                 "alias deactivate\n"
                                 "set | grep -a '^_OLD_VIRTUAL\\|^_VENVFS'\n"
                                 "true\n";

#define CSH_SHOW                                                                                   \
    "SHOW=printf '%s|' \"${VIRTUAL_ENV-unset}\" \"${VIRTUAL_ENV_PROMPT-unset}\" \"$PATH\" "        \
    "\"${PYTHONHOME-unset}\" \"${UV_LINK_MODE-unset}\"; echo"

static const struct {
    const char *const argv[4];
    const char *script;
} shells[] = {
    {{"bash", "--norc", "--noprofile"}, posix_script},
    {{"dash"}, posix_script},
    {{"ksh"}, posix_script},
    {{"mksh"}, posix_script},
    {{"zsh", "-f"}, posix_script},
    {{"fish", "--no-config"}, fish_script},
    {{"csh", "-f"}, csh_script},
    {{"tcsh", "-f"}, csh_script},
};

static void add_line(struct strbuf *sb, const char *env, const char *prompt, const char *home,
                     const char *mode)
{
    if (env == NULL)
        strbuf_addf(sb, "unset|unset|%s|%s|%s|\n", OLD_PATH, home, mode);
    else
        strbuf_addf(sb, "%s|%s|%s/bin:%s|unset|%s|\n", env, prompt, env, OLD_PATH,
                    strcmp(mode, "unset") == 0 ? "copy" : mode);
}

/* Activates two environments, one after the other, and leaves them. */
static void check(size_t shell, const char *first_name, const char *home, const char *mode)
{
    _cleanup_free_ char *first = write_environment(first_name, NULL);
    _cleanup_free_ char *second = write_environment("second", "its prompt");
    _cleanup_free_ char *home_set = xasprintf("PYTHONHOME=%s", home);
    _cleanup_free_ char *mode_set = xasprintf("UV_LINK_MODE=%s", mode);
    const char *set[5] = {CSH_SHOW, "WITH_PS1=1"};
    size_t n_set = 2;
    if (strcmp(home, "unset") != 0)
        set[n_set++] = home_set;
    if (strcmp(mode, "unset") != 0)
        set[n_set++] = mode_set;
    _cleanup_strbuf_ struct strbuf expected = STRBUF_INIT;
    add_line(&expected, NULL, NULL, home, mode);
    add_line(&expected, first, first_name, home, mode);
    add_line(&expected, second, "its prompt", home, mode);
    add_line(&expected, NULL, NULL, home, mode);
    strbuf_addstr(&expected, shells[shell].script == fish_script ? "0 old> \n" : "old> \n");
    _cleanup_free_ char *have =
        run_shell(shells[shell].argv, shells[shell].script, set, first, second);
    if (strcmp(have, expected.buf) != 0)
        fail_msg("%s printed\n%s\nand not\n%s", shells[shell].argv[0], have, expected.buf);
}

static void test_any_address_is_set_and_forgotten_in_each_shell(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        for (size_t k = 0; installed(shells[i].argv[0]) && k < ARRAY_SIZE(names); k++)
            check(i, names[k], "unset", "unset");
    }
}

static void test_deactivate_restores_what_was_set_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (!installed(shells[i].argv[0]))
            continue;
        check(i, "env", "/some where/else", "unset");
        check(i, "env", "", "hardlink");
        check(i, "env", "unset", "symlink");
    }
}

static void test_a_shell_without_prompt_stays_without(void **state)
{
    (void)state;
    _cleanup_free_ char *env = write_environment("env", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
        if (shells[i].script != posix_script || !installed(shells[i].argv[0]))
            continue;
        _cleanup_free_ char *have = run_shell(shells[i].argv, posix_script, NULL, env, env);
        const char *last = strstr(have, "no prompt\n");
        if (strcmp(shells[i].argv[0], "zsh") == 0)
            continue; /* it always has one */
        assert_non_null(last);
        assert_string_equal(last, "no prompt\n");
    }
}

static void test_the_prompt_shows_the_name_and_runs_nothing(void **state)
{
    (void)state;
    static const char *const bash[] = {"bash", "--norc", "--noprofile", NULL};
    static const char *const zsh[] = {"zsh", "-f", NULL};
    static const char *const fish[] = {"fish", "--no-config", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *env = write_environment(names[i], NULL);
        _cleanup_free_ char *expected = xasprintf("(%s) old> \n", names[i]);
        if (installed("bash")) {
            _cleanup_free_ char *have = run_shell(bash,
                                                  "PS1='old> '\n. \"$FIRST/bin/activate\"\n"
                                                  "printf '%s\\n' \"${PS1@P}\"\n",
                                                  NULL, env, env);
            assert_string_equal(have, expected);
        }
        if (installed("fish")) {
            _cleanup_free_ char *have =
                run_shell(fish,
                          "function fish_prompt; echo -n 'old> '; end\n"
                          "source \"$FIRST/bin/activate.fish\"\nfish_prompt; echo\n",
                          NULL, env, env);
            assert_string_equal(have, expected);
        }
        if (installed("zsh") && strpbrk(names[i], "$`\\!") == NULL) {
            _cleanup_free_ char *have = run_shell(
                zsh,
                "setopt promptsubst\nPS1='old> '\n. \"$FIRST/bin/activate\"\nprint -P -- $PS1\n",
                NULL, env, env);
            assert_string_equal(have, expected);
        }
    }
}

static void test_the_prompt_can_be_left_alone(void **state)
{
    (void)state;
    static const char *const set[] = {"VIRTUAL_ENV_DISABLE_PROMPT=1", NULL};
    static const struct {
        const char *const argv[3];
        const char *script;
    } cases[] = {
        {{"bash"},
         "PS1='old> '; . \"$FIRST/bin/activate\"; printf '%s\\n' \"$PS1\"; deactivate; "
         "printf '%s\\n' \"$PS1\"\n"},
        {{"zsh", "-f"},
         "PS1='old> '; . \"$FIRST/bin/activate\"; printf '%s\\n' \"$PS1\"; "
         "deactivate; printf '%s\\n' \"$PS1\"\n"},
        {{"fish", "--no-config"},
         "function fish_prompt; echo 'old> '; end; source \"$FIRST/bin/activate.fish\"; "
         "fish_prompt; deactivate; fish_prompt\n"},
        {{"csh", "-f"},
         "set prompt = 'old> '\nsource \"$FIRST:q/bin/activate.csh\"\n"
         "echo \"$prompt:q\"\ndeactivate\necho \"$prompt:q\"\n"},
    };
    _cleanup_free_ char *env = write_environment("env", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!installed(cases[i].argv[0]))
            continue;
        _cleanup_free_ char *have = run_shell(cases[i].argv, cases[i].script, set, env, env);
        assert_string_equal(have, "old> \nold> \n");
    }
}

static void test_a_running_python_can_be_activated(void **state)
{
    (void)state;
    static const char *const python[] = {"python3", "-I", NULL};
    static const char script[] =
        "import os, sys\n"
        "path = os.environ['FIRST'] + '/bin/activate_this.py'\n"
        "exec(open(path).read(), {'__file__': path})\n"
        "env = os.environ['FIRST']\n"
        "assert sys.prefix == sys.exec_prefix == env == os.environ['VIRTUAL_ENV']\n"
        "assert os.environ['VIRTUAL_ENV_PROMPT'] == os.path.basename(env)\n"
        "assert os.environ['PATH'].split(':')[0] == env + '/bin'\n"
        "assert sys.path[0] == env + '/lib/python3.11/site-packages', sys.path\n";
    if (!installed("python3"))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_free_ char *env = write_environment(names[i], NULL);
        _cleanup_free_ char *site = xasprintf("%s/lib/python3.11/site-packages", env);
        assert_int_equal(path_mkdirs(site, 0755), 0);
        _cleanup_free_ char *have = run_shell(python, script, NULL, env, env);
        assert_string_equal(have, "");
    }
}

/* Not installed where the tests run, so at least their strings are looked at. */
static void test_literals_of_other_shells_cannot_be_left(void **state)
{
    (void)state;
    static const struct {
        const char *file, *name, *literal;
    } cases[] = {
        {"Activate.ps1", "it's", "'/x/it''s'"},
        {"Activate.ps1", "\xe2\x80\x99;x", "'/x/\xe2\x80\x99\xe2\x80\x99;x'"},
        {"activate.nu", "it's", "r#'/x/it's'#"},
        {"activate.nu", "'#'##", "r###'/x/'#'##'###"},
        {"activate.xsh", "a\"\\\n\xc3\xbc\xff", "\"/x/a\\\"\\\\\\u000a\\u00fc\\udcff\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_free_ char *address = xasprintf("/x/%s", cases[i].name);
        struct manifest m = {.python_dir = (char *)(uintptr_t) "python3.11"};
        for (size_t k = 0; k < activation_n_files; k++) {
            if (strcmp(activation_files[k].name, cases[i].file) != 0)
                continue;
            _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
            activation_files[k].text(&m, address, &text);
            if (strstr(text.buf, cases[i].literal) == NULL)
                fail_msg("%s lacks %s", cases[i].file, cases[i].literal);
        }
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_any_address_is_set_and_forgotten_in_each_shell),
        TEST(test_deactivate_restores_what_was_set_before),
        TEST(test_a_shell_without_prompt_stays_without),
        TEST(test_the_prompt_shows_the_name_and_runs_nothing),
        TEST(test_the_prompt_can_be_left_alone),
        TEST(test_a_running_python_can_be_activated),
        cmocka_unit_test(test_literals_of_other_shells_cannot_be_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
