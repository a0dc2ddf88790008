/* shell, init: what a shell evaluates. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/print.h"
#include "cli/pyenv_commands.h"

const char *front_shell(void)
{
    const char *shell = getenv("PYENV_SHELL");
    if (!shell || !*shell)
        shell = getenv("SHELL");
    return shell ? path_basename(shell) : "";
}

enum dialect { DIALECT_SH, DIALECT_FISH, DIALECT_PWSH };

static enum dialect dialect_of(const char *shell)
{
    if (strcmp(shell, "fish") == 0)
        return DIALECT_FISH;
    return strcmp(shell, "pwsh") == 0 ? DIALECT_PWSH : DIALECT_SH;
}

/* The version before is kept in PYENV_VERSION_OLD, for `shell -`. */
static const char *const revert_text[] = {
    [DIALECT_SH] = "if [ -n \"${PYENV_VERSION_OLD+x}\" ]; then\n"
                   "  if [ -n \"$PYENV_VERSION_OLD\" ]; then\n"
                   "    PYENV_VERSION_OLD_=\"${PYENV_VERSION-}\"\n"
                   "    export PYENV_VERSION=\"$PYENV_VERSION_OLD\"\n"
                   "    PYENV_VERSION_OLD=\"$PYENV_VERSION_OLD_\"\n"
                   "    unset PYENV_VERSION_OLD_\n"
                   "  else\n"
                   "    PYENV_VERSION_OLD=\"${PYENV_VERSION-}\"\n"
                   "    unset PYENV_VERSION\n"
                   "  fi\n"
                   "else\n"
                   "  echo \"%s: PYENV_VERSION_OLD is not set\" >&2\n"
                   "  false\n"
                   "fi\n",
    [DIALECT_FISH] = "if set -q PYENV_VERSION_OLD\n"
                     "  set -l before \"$PYENV_VERSION_OLD\"\n"
                     "  set -gu PYENV_VERSION_OLD \"$PYENV_VERSION\"\n"
                     "  if test -n \"$before\"\n"
                     "    set -gx PYENV_VERSION \"$before\"\n"
                     "  else\n"
                     "    set -e PYENV_VERSION\n"
                     "  end\n"
                     "else\n"
                     "  echo \"%s: PYENV_VERSION_OLD is not set\" >&2\n"
                     "  false\n"
                     "end\n",
    [DIALECT_PWSH] = "if ( Get-Item -Path Env:\\PYENV_VERSION* ) {\n"
                     "  $Env:PYENV_VERSION, $Env:PYENV_VERSION_OLD = $Env:PYENV_VERSION_OLD, "
                     "$Env:PYENV_VERSION\n"
                     "} else {\n"
                     "  Write-Error \"%s: PYENV_VERSION_OLD is not set\"\n"
                     "  return $false\n"
                     "}\n",
};

static void print_unset(enum dialect dialect)
{
    static const char *const texts[] = {
        [DIALECT_SH] = "PYENV_VERSION_OLD=\"${PYENV_VERSION-}\"\nunset PYENV_VERSION",
        [DIALECT_FISH] = "set -gu PYENV_VERSION_OLD \"$PYENV_VERSION\"\nset -e PYENV_VERSION",
        [DIALECT_PWSH] = "$Env:PYENV_VERSION, $Env:PYENV_VERSION_OLD = $null, $Env:PYENV_VERSION",
    };
    puts(texts[dialect]);
}

/* Names of folders may hold what a shell would expand within its double quotes. */
static char *quoted(enum dialect dialect, const char *word)
{
    struct strbuf text = STRBUF_INIT;
    const char *special = dialect == DIALECT_PWSH ? "\"$`" : "\"$`\\";
    for (; *word; word++) {
        if (strchr(special, *word) && !(dialect == DIALECT_FISH && *word == '`'))
            strbuf_addch(&text, dialect == DIALECT_PWSH ? '`' : '\\');
        strbuf_addch(&text, *word);
    }
    return strbuf_detach(&text, NULL);
}

static void print_set(enum dialect dialect, const char *words)
{
    _cleanup_free_ char *text = quoted(dialect, words);
    switch (dialect) {
    case DIALECT_FISH:
        printf("set -gu PYENV_VERSION_OLD \"$PYENV_VERSION\"\nset -gx PYENV_VERSION \"%s\"\n",
               text);
        break;
    case DIALECT_PWSH:
        printf("$Env:PYENV_VERSION, $Env:PYENV_VERSION_OLD = \"%s\", $Env:PYENV_VERSION\n", text);
        break;
    case DIALECT_SH:
        printf("PYENV_VERSION_OLD=\"${PYENV_VERSION-}\"\nexport PYENV_VERSION=\"%s\"\n", text);
        break;
    }
}

int pyenv_sh_shell(const struct front *f, int argc, char **argv)
{
    enum dialect dialect = dialect_of(front_shell());
    const char *now = getenv("PYENV_VERSION");
    if (argc < 2 || !*argv[1]) {
        if (!now || !*now)
            return front_fail("no shell-specific version configured");
        puts("echo \"$PYENV_VERSION\"");
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--unset") == 0) {
        print_unset(dialect);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "-") == 0) {
        const char *text = revert_text[dialect], *mark = strstr(text, "%s");
        printf("%.*s%s%s", (int)(mark - text), text, f->is_pyenv ? "pyenv" : "venvfs", mark + 2);
        return EXIT_DONE;
    }
    if (!front_all_installed(f, (const char *const *)argv + 1)) {
        puts("false");
        return EXIT_FAILED;
    }
    _cleanup_strbuf_ struct strbuf words = STRBUF_INIT;
    for (int i = 1; i < argc; i++)
        strbuf_addf(&words, "%s%s", i > 1 ? ":" : "", argv[i]);
    if (!now || strcmp(now, words.buf) != 0)
        print_set(dialect, words.buf);
    return EXIT_DONE;
}

/* A program cannot change its shell's variables; the function of shell-init calls sh-shell. */
int pyenv_shell(const struct front *f, int argc, char **argv)
{
    (void)f;
    (void)argc;
    (void)argv;
    front_fail("shell integration not enabled");
    print_hint("eval \"$(venvfs shell-init bash)\" in ~/.bashrc; see venvfs shell-init --help");
    return EXIT_FAILED;
}

/* ---- init ---- */

/* The shell that called, by its own name. malloc'ed. */
static char *parent_shell(void)
{
    enum { MAX_COMMAND = 1 << 20 };
    _cleanup_free_ char *path = xasprintf("/proc/%ld/cmdline", (long)getppid());
    _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
    const char *name = io_read_file(path, &line, MAX_COMMAND) == 0 ? line.buf : "";
    name += *name == '-'; /* a login shell */
    if (!*name)
        name = getenv("SHELL") ? getenv("SHELL") : "";
    name = path_basename(name);
    return xstrndup(name, strcspn(name, " -"));
}

static void print_path(enum dialect dialect, const char *shims, bool push)
{
    _cleanup_free_ char *word = quoted(dialect, shims);
    _cleanup_free_ char *single = print_word(shims);
    switch (dialect) {
    case DIALECT_FISH:
        if (push)
            printf("while set pyenv_index (contains -i -- \"%s\" $PATH)\n"
                   "set -eg PATH[$pyenv_index]; end; set -e pyenv_index\n",
                   word);
        else
            printf("if not contains -- \"%s\" $PATH\n", word);
        if (single[0] == '\'')
            printf("set -gx PATH %s $PATH\n", single);
        else
            printf("set -gx PATH '%s' $PATH\n", single);
        puts(push ? "" : "end");
        break;
    case DIALECT_PWSH:
        if (!push)
            printf("if ( ($Env:PATH -split ':') -notcontains \"%s\" ) {\n", word);
        printf("$Env:PATH=(($Env:PATH -split ':') | where { $_ -ne \"%s\" }) -join ':'\n"
               "$Env:PATH=\"%s:$Env:PATH\"\n%s",
               word, word, push ? "" : "}\n");
        break;
    case DIALECT_SH:
        if (!push) {
            printf("case \":$PATH:\" in\n*:\"%s\":*) ;;\n*)\n", word);
        } else { /* no other process for it */
            printf(
                "PATH=\":$PATH:\"\nwhile case \"$PATH\" in *:\"%s\":*) true;; *) false;; esac; do\n"
                "  PATH=\"${PATH%%%%:\"%s\":*}:${PATH#*:\"%s\":}\"\ndone\n"
                "PATH=\"${PATH#:}\"; PATH=\"${PATH%%:}\"\n",
                word, word, word);
        }
        printf("export PATH=\"%s:${PATH}\"\n%s", word, push ? "" : ";;\nesac\n");
        break;
    }
}

static void print_function(enum dialect dialect, const char *shell)
{
    static const char sh[] = "  [ \"$#\" -gt 0 ] && shift\n"
                             "  case \"$command\" in\n"
                             "  activate|deactivate|rehash|shell)\n"
                             "    eval \"$(pyenv \"sh-$command\" \"$@\")\"\n"
                             "    ;;\n"
                             "  *)\n"
                             "    command pyenv \"$command\" \"$@\"\n"
                             "    ;;\n"
                             "  esac\n"
                             "}\n";
    switch (dialect) {
    case DIALECT_FISH:
        fputs("function pyenv\n"
              "  set command $argv[1]\n"
              "  set -e argv[1]\n\n"
              "  switch \"$command\"\n"
              "  case activate deactivate rehash shell\n"
              "    source (pyenv \"sh-$command\" $argv|psub)\n"
              "  case \"*\"\n"
              "    command pyenv \"$command\" $argv\n"
              "  end\n"
              "end\n",
              stdout);
        break;
    case DIALECT_PWSH:
        fputs("function pyenv {\n"
              "  $command, $rest = $args\n"
              "  $pyenv = get-command -commandtype application pyenv\n"
              "  if ( @('activate', 'deactivate', 'rehash', 'shell') -contains $command ) {\n"
              "    $text = (& $pyenv sh-$command $rest)\n"
              "    if ( $text ) { iex ($text -join \"`n\") }\n"
              "  } else { & $pyenv $command $rest }\n"
              "}\n",
              stdout);
        break;
    case DIALECT_SH:
        if (strcmp(shell, "ksh") == 0 || strcmp(shell, "ksh93") == 0 || strcmp(shell, "mksh") == 0)
            printf("function pyenv {\n  typeset command=${1:-}\n%s", sh);
        else
            printf("pyenv() {\n  local command=${1:-}\n%s", sh);
        break;
    }
}

static int tell_how(const char *shell)
{
    if (dialect_of(shell) == DIALECT_FISH)
        fputs("# in ~/.config/fish/config.fish:\n\npyenv init - fish | source\n", stderr);
    else if (dialect_of(shell) == DIALECT_PWSH)
        fputs("# in ~/.config/powershell/profile.ps1:\n\niex ((pyenv init -) -join \"`n\")\n",
              stderr);
    else
        fprintf(stderr,
                "# in the start file of your shell (~/.bashrc, ~/.zshrc, ~/.profile):\n\n"
                "eval \"$(pyenv init - %s)\"\n",
                shell);
    return EXIT_FAILED;
}

int pyenv_init(const struct front *f, int argc, char **argv)
{
    bool print = false, path_only = false, push = true, rehash = true;
    const char *named = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-") == 0)
            print = true;
        else if (strcmp(argv[i], "--path") == 0)
            path_only = true;
        else if (strcmp(argv[i], "--no-push-path") == 0)
            push = false;
        else if (strcmp(argv[i], "--no-rehash") == 0)
            rehash = false;
        else if (argv[i][0] == '-')
            return front_usage(f);
        else
            named = argv[i];
    }
    _cleanup_free_ char *parent = named ? NULL : parent_shell();
    const char *shell = named ? named : parent;
    enum dialect dialect = dialect_of(shell);
    if (!print && !path_only)
        return tell_how(shell);
    _cleanup_free_ char *shims = path_join(f->root, "shims");
    _cleanup_free_ char *versions = path_join(f->root, "versions");
    if (path_mkdirs(shims, 0777) < 0 || path_mkdirs(versions, 0777) < 0)
        return front_fail("%s: its folders cannot be made", f->root);
    print_path(dialect, shims, push);
    if (!path_only && dialect == DIALECT_SH)
        printf("export PYENV_SHELL=%s\n", shell);
    else if (!path_only)
        printf(dialect == DIALECT_FISH ? "set -gx PYENV_SHELL %s\n" : "$Env:PYENV_SHELL=\"%s\"\n",
               shell);
    if (rehash)
        puts(dialect == DIALECT_PWSH ? "& pyenv rehash" : "command pyenv rehash");
    if (!path_only)
        print_function(dialect, shell);
    return EXIT_DONE;
}
