/* bin/activate for sh, bash, zsh, ksh and dash. */
#include "env/activation_internal.h"

#include <string.h>

/* The names of saved values are those of venv and virtualenv, so that activating an environment of
 * theirs inside one of ours, or the other way round, restores what was there before both. Every
 * expansion has a default and no list ends in a failing test, for `set -euo pipefail`. */
static const char text[] =
    "# Activates this Python environment in sh, bash, zsh, ksh and dash:\n"
    "#     . bin/activate\n"
    "# \"deactivate\" puts everything back as it was.\n"
    "\n"
    "deactivate () {\n"
    "    if [ -n \"${_OLD_VIRTUAL_PATH+set}\" ]; then\n"
    "        PATH=\"$_OLD_VIRTUAL_PATH\"\n"
    "        export PATH\n"
    "        unset _OLD_VIRTUAL_PATH\n"
    "    fi\n"
    "    if [ -n \"${_OLD_VIRTUAL_PYTHONHOME+set}\" ]; then\n"
    "        PYTHONHOME=\"$_OLD_VIRTUAL_PYTHONHOME\"\n"
    "        export PYTHONHOME\n"
    "        unset _OLD_VIRTUAL_PYTHONHOME\n"
    "    fi\n"
    "    if [ -n \"${_OLD_VIRTUAL_PS1+set}\" ]; then\n"
    "        PS1=\"$_OLD_VIRTUAL_PS1\"\n"
    "        unset _OLD_VIRTUAL_PS1\n"
    "    elif [ -n \"${_VENVFS_PS1_WAS_UNSET+set}\" ]; then\n"
    "        unset PS1\n"
    "    fi\n"
    "    unset _VENVFS_PS1_WAS_UNSET\n"
    "    if [ -n \"${_VENVFS_UV_LINK_MODE+set}\" ]; then\n"
    "        unset UV_LINK_MODE _VENVFS_UV_LINK_MODE\n"
    "    fi\n"
    "    unset VIRTUAL_ENV VIRTUAL_ENV_PROMPT\n"
    "    # The shell may remember where it found python.\n"
    "    hash -r 2>/dev/null || true\n"
    "    if [ \"${1-}\" != nondestructive ]; then\n"
    "        unset -f deactivate\n"
    "    fi\n"
    "}\n"
    "\n"
    "# Leave an environment that is active now.\n"
    "deactivate nondestructive\n"
    "\n"
    "VIRTUAL_ENV=@DIR@\n"
    "export VIRTUAL_ENV\n"
    "VIRTUAL_ENV_PROMPT=@PROMPT@\n"
    "export VIRTUAL_ENV_PROMPT\n"
    "\n"
    "_OLD_VIRTUAL_PATH=\"${PATH-}\"\n"
    "PATH=\"$VIRTUAL_ENV/bin${PATH:+:$PATH}\"\n"
    "export PATH\n"
    "\n"
    "# PYTHONHOME would lead the interpreter to another standard library.\n"
    "if [ -n \"${PYTHONHOME+set}\" ]; then\n"
    "    _OLD_VIRTUAL_PYTHONHOME=\"$PYTHONHOME\"\n"
    "    unset PYTHONHOME\n"
    "fi\n"
    "\n"
    "# uv cannot make hard links or clones into a file system of its own; asked to copy, it does\n"
    "# not warn.\n"
    "if [ -z \"${UV_LINK_MODE+set}\" ]; then\n"
    "    _VENVFS_UV_LINK_MODE=1\n"
    "    UV_LINK_MODE=copy\n"
    "    export UV_LINK_MODE\n"
    "fi\n"
    "\n"
    "if [ -z \"${VIRTUAL_ENV_DISABLE_PROMPT-}\" ]; then\n"
    "    if [ -n \"${PS1+set}\" ]; then\n"
    "        _OLD_VIRTUAL_PS1=\"$PS1\"\n"
    "    else\n"
    "        _VENVFS_PS1_WAS_UNSET=1\n"
    "    fi\n"
    "@SET_PS1@"
    "fi\n"
    "\n"
    "hash -r 2>/dev/null || true\n";

/* bash decodes PS1 twice, as a prompt and as a string in double quotes: "\\$" shows "$". */
static void display_bash(const char *prompt, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT;
    activation_display(prompt, "", &plain);
    for (const char *s = plain.buf; *s != '\0'; s++) {
        if (*s == '\\')
            strbuf_addstr(sb, "\\\\\\");
        else if (*s == '$' || *s == '`')
            strbuf_addstr(sb, "\\\\");
        strbuf_addch(sb, *s);
    }
}

/* zsh: "%%" shows "%"; `$` and the like mean something only with PROMPT_SUBST, which many set. */
static void display_zsh(const char *prompt, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT;
    activation_display(prompt, "\\$`!", &plain);
    for (const char *s = plain.buf; *s != '\0'; s++) {
        if (*s == '%')
            strbuf_addch(sb, '%');
        strbuf_addch(sb, *s);
    }
}

/* The shells agree on a prompt without special characters, that is, on nearly all. */
static void set_ps1(const char *prompt, struct strbuf *sb)
{
    static const char by_shell[] = "    if [ -n \"${BASH_VERSION-}\" ]; then\n"
                                   "        PS1=@BASH@\"${PS1-}\"\n"
                                   "    elif [ -n \"${ZSH_VERSION-}\" ]; then\n"
                                   "        PS1=@ZSH@\"${PS1-}\"\n"
                                   "    else\n"
                                   "        PS1=@OTHER@\"${PS1-}\"\n"
                                   "    fi\n";
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT, bash = STRBUF_INIT, zsh = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf plain_q = STRBUF_INIT, bash_q = STRBUF_INIT, zsh_q = STRBUF_INIT;
    activation_display(prompt, "\\$`!", &plain);
    display_bash(prompt, &bash);
    display_zsh(prompt, &zsh);
    quote_posix(plain.buf, &plain_q);
    quote_posix(bash.buf, &bash_q);
    quote_posix(zsh.buf, &zsh_q);
    const struct activation_word words[] = {
        {"@BASH@", bash_q.buf}, {"@ZSH@", zsh_q.buf}, {"@OTHER@", plain_q.buf}};
    if (strcmp(plain.buf, bash.buf) == 0 && strcmp(plain.buf, zsh.buf) == 0)
        strbuf_addf(sb, "    PS1=%s\"${PS1-}\"\n", plain_q.buf);
    else
        activation_expand(by_shell, words, ARRAY_SIZE(words), sb);
}

void activation_posix(const struct manifest *m, const char *address, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf dir = STRBUF_INIT, prompt = STRBUF_INIT, ps1 = STRBUF_INIT;
    quote_posix(address, &dir);
    quote_posix(activation_prompt(m, address), &prompt);
    set_ps1(activation_prompt(m, address), &ps1);
    const struct activation_word words[] = {
        {"@DIR@", dir.buf}, {"@PROMPT@", prompt.buf}, {"@SET_PS1@", ps1.buf}};
    activation_expand(text, words, ARRAY_SIZE(words), sb);
}
