/* shell: the user's own shell with an environment active in it. The shell reads the user's start
 * files and then the environment's activation file, so that what those set of PATH or the prompt
 * does not hide it; how it is made to differs from shell to shell. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/enter.h"
#include "cli/print.h"

static const struct command_help help = {
    .name = "shell",
    .synopsis = "[-n ENV]",
    .about =
        "Starts your shell ($SHELL) with the environment active, and your own start files read.\n"
        "exit leaves it; its exit code is that of the command. Without a terminal it reads\n"
        "commands from standard input. bash, zsh, fish, dash, ksh, csh and tcsh have the prompt\n"
        "and deactivate; any other shell has the variables.",
};

/* Made from shell/start/ by the build. */
static const char bash_text[] =
#include "shell/start/start-bash.inc"
    ;
static const char zshenv_text[] =
#include "shell/start/start-zshenv.inc"
    ;
static const char zshrc_text[] =
#include "shell/start/start-zshrc.inc"
    ;
static const char sh_text[] =
#include "shell/start/start-sh.inc"
    ;
static const char csh_text[] =
#include "shell/start/start-csh.inc"
    ;

/* A shell about to be started. */
struct start {
    const struct home *home;
    const char *address;
    struct words argv;
    char *activate, *folder, *file; /* kept until then */
};

/* ROOT/shell/FOLDER/NAME with this text. */
static int write_start(struct start *st, const char *folder, const char *name, const char *text,
                       struct verror *err)
{
    enum { LARGEST = 1 << 16 };
    _cleanup_strbuf_ struct strbuf old = STRBUF_INIT;
    free(st->folder);
    free(st->file);
    st->folder = xasprintf("%s/shell/%s", st->home->root, folder);
    st->file = path_join(st->folder, name);
    if (io_read_file(st->file, &old, LARGEST) == 0 && strcmp(old.buf, text) == 0)
        return 0;
    int r = path_mkdirs(st->folder, 0700);
    if (r == 0)
        r = io_write_file_atomic(st->file, text, strlen(text), 0600, false);
    return r < 0 ? verror_errno(err, r, "writing %s", st->file) : 0;
}

static void set_activate(struct start *st, const char *name)
{
    free(st->activate);
    st->activate = xasprintf("%s/bin/%s", st->address, name);
    setenv("VENVFS_SHELL_ACTIVATE", st->activate, 1);
}

/* What a variable has now, for the start file to restore. */
static void keep(const char *variable, const char *as)
{
    const char *value = getenv(variable);
    if (value)
        setenv(as, value, 1);
    else
        unsetenv(as);
}

static int start_bash(struct start *st, struct verror *err)
{
    int r = write_start(st, "bash", "bashrc", bash_text, err);
    words_add(&st->argv, "--rcfile");
    words_add(&st->argv, st->file);
    words_add(&st->argv, "-i");
    set_activate(st, "activate");
    return r;
}

static int start_zsh(struct start *st, struct verror *err)
{
    int r = write_start(st, "zsh", ".zshenv", zshenv_text, err);
    if (r == 0)
        r = write_start(st, "zsh", ".zshrc", zshrc_text, err);
    words_add(&st->argv, "-i");
    keep("ZDOTDIR", "VENVFS_SHELL_ZDOTDIR");
    setenv("VENVFS_SHELL_START", st->folder, 1);
    setenv("ZDOTDIR", st->folder, 1);
    set_activate(st, "activate");
    return r;
}

/* Without ENV, the Korn shells have a start file of their own. */
static void keep_env(const char *shell)
{
    const char *home = getenv("HOME");
    const char *own = strcmp(shell, "mksh") == 0      ? ".mkshrc"
                      : strncmp(shell, "ksh", 3) == 0 ? ".kshrc"
                                                      : NULL;
    unsetenv("VENVFS_SHELL_RC");
    keep("ENV", "VENVFS_SHELL_ENV");
    if (!getenv("ENV") && own && home) {
        _cleanup_free_ char *path = path_join(home, own);
        setenv("VENVFS_SHELL_RC", path, 1);
    }
}

static int start_sh(struct start *st, struct verror *err)
{
    int r = write_start(st, "sh", "shrc", sh_text, err);
    words_add(&st->argv, "-i");
    keep_env(path_basename(st->argv.v[0]));
    setenv("ENV", st->file, 1);
    set_activate(st, "activate");
    return r;
}

static int start_csh(struct start *st, struct verror *err)
{
    int r = write_start(st, "csh", ".cshrc", csh_text, err);
    words_add(&st->argv, "-i");
    keep("HOME", "VENVFS_SHELL_HOME");
    setenv("HOME", st->folder, 1);
    set_activate(st, "activate.csh");
    return r;
}

static int start_fish(struct start *st, struct verror *err)
{
    (void)err;
    words_add(&st->argv, "-i");
    words_add(&st->argv, "-C");
    words_add(&st->argv, "source $VENVFS_SHELL_ACTIVATE; set -e VENVFS_SHELL_ACTIVATE");
    set_activate(st, "activate.fish");
    return 0;
}

static const struct shell {
    const char *name;
    int (*start)(struct start *st, struct verror *err);
} shells[] = {
    {"bash", start_bash}, {"zsh", start_zsh}, {"fish", start_fish}, {"sh", start_sh},
    {"dash", start_sh},   {"ash", start_sh},  {"ksh", start_sh},    {"ksh93", start_sh},
    {"mksh", start_sh},   {"csh", start_csh}, {"tcsh", start_csh},
};

static const struct shell *shell_named(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
        if (strcmp(path_basename(path), shells[i].name) == 0)
            return &shells[i];
    return NULL;
}

/* $SHELL, else what the user's record says. */
static const char *shell_of_user(void)
{
    const char *shell = getenv("SHELL");
    if (shell && *shell)
        return shell;
    const struct passwd *pw = getpwuid(getuid()); /* NOLINT(concurrency-mt-unsafe) one thread */
    return pw && pw->pw_shell && *pw->pw_shell ? pw->pw_shell : "/bin/sh";
}

/* The environment that is active in this shell is not in the new one, which would otherwise have
 * both in PATH, and the outer one behind `deactivate`. */
static void leave_active(void)
{
    const char *active = getenv("VIRTUAL_ENV"), *path = getenv("PATH");
    if (!active || !*active)
        return;
    _cleanup_free_ char *bin = xasprintf("%s/bin:", active);
    const char *at = path ? strstr(path, bin) : NULL;
    if (at && (at == path || at[-1] == ':')) {
        _cleanup_free_ char *without =
            xasprintf("%.*s%s", (int)(at - path), path, at + strlen(bin));
        setenv("PATH", without, 1);
    }
    unsetenv("VIRTUAL_ENV");
    unsetenv("VIRTUAL_ENV_PROMPT");
}

/* Is this the shell of that environment already? Another one's is told. */
static bool tell_nested(const struct env *env, const char *address)
{
    const char *outer = getenv("VENVFS_SHELL"), *active = getenv("VIRTUAL_ENV");
    if (!active || !*active)
        return false;
    if (outer && strcmp(outer, env->name) == 0 && strcmp(active, address) == 0) {
        print_note("this is a shell of environment %s already; exit leaves it", env->name);
        return true;
    }
    print_note("%s was active here and is not in the new shell; exit comes back to it", active);
    return false;
}

static int become_shell(struct start *st, struct env *env, struct verror *err)
{
    const char *path = shell_of_user();
    const struct shell *shell = shell_named(path);
    words_add(&st->argv, path);
    leave_active();
    setenv("VENVFS_SHELL", env->name, 1);
    int r = 0;
    if (shell && isatty(STDIN_FILENO)) {
        r = shell->start(st, err);
    } else {
        if (!shell)
            print_note("%s: its variables are set; prompt and deactivate are not venvfs's",
                       path_basename(path));
        enter_activated(env, st->address);
    }
    env_free(env);
    return r < 0 ? r : enter_execute(&st->argv);
}

int cmd_shell(int argc, char **argv)
{
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "ENV", "the environment (default: the active one)"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    _cleanup_free_ char *address = NULL;
    struct env *env = NULL;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    r = session_open(&s, &err);
    if (r == 0)
        r = session_env(&s, name, false, &env, &err);
    if (r == 0)
        r = enter_show(&s, &env, &address, &err);
    if (r < 0 || tell_nested(env, address)) {
        env_free(env);
        return r < 0 ? print_error(&err) : EXIT_DONE;
    }
    struct start st = {.home = &s.home, .address = address};
    r = become_shell(&st, env, &err);
    words_release(&st.argv);
    free(st.activate);
    free(st.folder);
    free(st.file);
    return r < 0 ? print_error(&err) : r;
}
