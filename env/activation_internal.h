/* What the files of activation texts share.
 *
 * A text is a template with words such as @DIR@ in it, each replaced by a complete literal of the
 * shell's language, quotes included, so that no address and no prompt can end its string.
 */
#ifndef VENVFS_ENV_ACTIVATION_INTERNAL_H
#define VENVFS_ENV_ACTIVATION_INTERNAL_H

#include "env/activation.h"

struct activation_word {
    const char *word; /* "@DIR@" */
    const char *text;
};
/* Appends the template with all words replaced; what was replaced is not looked at again. */
void activation_expand(const char *template, const struct activation_word *words, size_t n,
                       struct strbuf *sb);

/* The prompt that was asked for, else the last component of the address. */
const char *activation_prompt(const struct manifest *m, const char *address);
/* "(PROMPT) " for languages in which a prompt is text that is interpreted again: bytes of `special`
 * and control characters become "_". */
void activation_display(const char *prompt, const char *special, struct strbuf *sb);

/* One shell's way: both strings as literals for @DIR@ and @PROMPT@, "(PROMPT) " for @DISPLAY@. */
typedef void (*activation_quote)(const char *s, struct strbuf *sb);
void activation_text(const char *template, activation_quote quote, const char *special,
                     const struct manifest *m, const char *address, struct strbuf *sb);

void quote_posix(const char *s, struct strbuf *sb);      /* sh, bash, zsh, ksh, dash */
void quote_csh(const char *s, struct strbuf *sb);        /* csh, tcsh */
void quote_fish(const char *s, struct strbuf *sb);       /* fish */
void quote_powershell(const char *s, struct strbuf *sb); /* PowerShell */
void quote_nu(const char *s, struct strbuf *sb);         /* nushell */
void quote_python(const char *s, struct strbuf *sb);     /* Python, xonsh; ASCII alone */

void activation_posix(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_csh(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_fish(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_powershell(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_nu(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_xonsh(const struct manifest *m, const char *address, struct strbuf *sb);
void activation_this(const struct manifest *m, const char *address, struct strbuf *sb);

#endif
