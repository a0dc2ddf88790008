#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "env/helper.h"

static const struct command_help help = {
    .name = "shell-init",
    .synopsis = "[--auto-activate] bash|zsh|fish",
    .about =
        "Prints, for the start file of a shell, its completion, the function that venvfs python\n"
        "shell needs, and the commands of virtualenvwrapper (mkvirtualenv, workon, ...). These\n"
        "are read when the first is called; where virtualenvwrapper has defined them already,\n"
        "they stay its own:\n\n"
        "  eval \"$(venvfs shell-init bash)\"       in ~/.bashrc\n"
        "  eval \"$(venvfs shell-init zsh)\"        in ~/.zshrc, after compinit\n"
        "  venvfs shell-init fish | source        in ~/.config/fish/config.fish",
    .min = 1,
    .max = 1,
};

/* Made from shell/ by the build. */
static const char bash_text[] =
#include "shell/completion-bash.inc"
    ;
static const char python_shell_text[] = /* bash's and zsh's */
#include "shell/python-shell-sh.inc"
    ;
static const char wrapper_text[] = /* bash's and zsh's */
#include "shell/wrapper-init-sh.inc"
    ;
static const char wrapper_fish_text[] =
#include "shell/wrapper-init-fish.inc"
    ;
static const char python_shell_fish_text[] =
#include "shell/python-shell-fish.inc"
    ;
static const char auto_text[] = /* bash's and zsh's */
#include "shell/auto-activate-sh.inc"
    ;
static const char auto_fish_text[] =
#include "shell/auto-activate-fish.inc"
    ;
static const char zsh_text[] =
#include "shell/completion-zsh.inc"
    ;
static const char fish_text[] =
#include "shell/completion-fish.inc"
    ;

int cmd_shell_init(int argc, char **argv)
{
    static const struct {
        const char *shell, *text, *python_shell, *auto_activate, *wrapper, *assignment;
    } texts[] = {
        {"bash", bash_text, python_shell_text, auto_text, wrapper_text, "_venvw_share="},
        {"zsh", zsh_text, python_shell_text, auto_text, wrapper_text, "_venvw_share="},
        {"fish", fish_text, python_shell_fish_text, auto_fish_text, wrapper_fish_text,
         "set -g _venvw_share "},
    };
    bool auto_activate = false;
    const struct option_spec specs[] = {
        {0, "auto-activate", OPTION_FLAG, &auto_activate, NULL,
         "also activate a project's environment when its folder is\n"
         "entered, and deactivate it when the folder is left"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (strcmp(texts[i].shell, operands.v[0]) == 0) {
            fputs(texts[i].text, stdout);
            fputs(texts[i].python_shell, stdout);
            if (auto_activate)
                fputs(texts[i].auto_activate, stdout);
            _cleanup_free_ char *share = print_word(helper_dir());
            printf("%s%s\n", texts[i].assignment, share);
            fputs(texts[i].wrapper, stdout);
            return EXIT_DONE;
        }
    }
    return print_usage_error("shell-init", "\"%s\" is not bash, zsh or fish", operands.v[0]);
}
