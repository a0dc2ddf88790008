/* pyvenv.cfg, and what all activation files have in common. */
#include "env/activation_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"

const struct activation_file activation_files[] = {
    {"activate", "bash", activation_posix},
    {"activate.csh", "cshell", activation_csh},
    {"activate.fish", "fish", activation_fish},
    {"Activate.ps1", "powershell", activation_powershell},
    {"activate.nu", "nushell", activation_nu},
    {"activate.xsh", "xonsh", activation_xonsh},
    {"activate_this.py", "python", activation_this},
};
const size_t activation_n_files = ARRAY_SIZE(activation_files);

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool one_line(const char *s)
{
    while (*s != '\0' && !is_control(*s))
        s++;
    return *s == '\0';
}

void activation_expand(const char *template, const struct activation_word *words, size_t n,
                       struct strbuf *sb)
{
    for (;;) {
        const char *at = strchr(template, '@');
        if (at == NULL)
            break;
        strbuf_add(sb, template, (size_t)(at - template));
        size_t len = 1;
        const char *text = "@";
        for (size_t i = 0; i < n; i++) {
            if (strncmp(at, words[i].word, strlen(words[i].word)) == 0) {
                len = strlen(words[i].word);
                text = words[i].text;
                break;
            }
        }
        strbuf_addstr(sb, text);
        template = at + len;
    }
    strbuf_addstr(sb, template);
}

const char *activation_prompt(const struct manifest *m, const char *address)
{
    return m->prompt != NULL ? m->prompt : path_basename(address);
}

void activation_display(const char *prompt, const char *special, struct strbuf *sb)
{
    strbuf_addch(sb, '(');
    for (; *prompt != '\0'; prompt++) {
        if (is_control(*prompt) || strchr(special, *prompt) != NULL)
            strbuf_addch(sb, '_');
        else
            strbuf_addch(sb, *prompt);
    }
    strbuf_addstr(sb, ") ");
}

void activation_text(const char *template, activation_quote quote, const char *special,
                     const struct manifest *m, const char *address, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf dir = STRBUF_INIT, prompt = STRBUF_INIT;
    _cleanup_strbuf_ struct strbuf plain = STRBUF_INIT, display = STRBUF_INIT;
    quote(address, &dir);
    quote(activation_prompt(m, address), &prompt);
    activation_display(activation_prompt(m, address), special, &plain);
    quote(plain.buf, &display);
    const struct activation_word words[] = {
        {"@DIR@", dir.buf}, {"@PROMPT@", prompt.buf}, {"@DISPLAY@", display.buf}};
    activation_expand(template, words, ARRAY_SIZE(words), sb);
}

/* As Python's repr() writes a string. */
static void add_repr(const char *s, struct strbuf *sb)
{
    char quote = strchr(s, '\'') != NULL && strchr(s, '"') == NULL ? '"' : '\'';
    strbuf_addch(sb, quote);
    for (; *s != '\0'; s++) {
        if (*s == quote || *s == '\\')
            strbuf_addch(sb, '\\');
        if (is_control(*s))
            strbuf_addf(sb, "\\x%02x", (unsigned)(unsigned char)*s);
        else
            strbuf_addch(sb, *s);
    }
    strbuf_addch(sb, quote);
}

/* The command of venv that makes such an environment, which is what this key means. Left out when
 * it would not stay one line. */
static void add_command(const struct manifest *m, const char *address, struct strbuf *sb)
{
    if (!one_line(address) || (m->prompt != NULL && !one_line(m->prompt)))
        return;
    strbuf_addf(sb, "command = %s -m venv", m->executable);
    if (m->system_site_packages)
        strbuf_addstr(sb, " --system-site-packages");
    if (m->prompt != NULL)
        strbuf_addf(sb, " --prompt=\"%s\"", m->prompt);
    strbuf_addf(sb, " %s\n", address);
}

static const char *setting(const struct manifest *m, const char *key)
{
    const char *word = json_string_value(json_object_get(m->settings, key));
    return word ? word : "";
}

bool activation_wanted(const struct manifest *m, const struct activation_file *file)
{
    const json_t *list = json_object_get(m->settings, "activators");
    const json_t *name;
    size_t i;
    if (!json_is_array(list))
        return true;
    json_array_foreach(list, i, name)
    {
        const char *word = json_string_value(name);
        if (word && strcmp(word, file->activator) == 0)
            return true;
    }
    return false;
}

static bool since(const struct manifest *m, unsigned long minor)
{
    char *end;
    return strtoul(m->version, &end, 10) >= 3 && *end == '.' && strtoul(end + 1, NULL, 10) >= minor;
}

bool activation_gitignore(const struct manifest *m)
{
    const json_t *wish = json_object_get(m->settings, "gitignore");
    return json_is_boolean(wish) ? json_is_true(wish) : since(m, 13);
}

/* Tools that know virtualenv's environments look for these. "20" is the virtualenv that venvfs
 * behaves like, in the syntax of PEP 440. */
static void add_virtualenv(const struct manifest *m, struct strbuf *sb)
{
    _cleanup_free_ char *prefix = path_dirname(m->home);
    strbuf_addstr(sb, "implementation = CPython\n");
    strbuf_addf(sb, "version_info = %s.final.0\n", m->version);
    strbuf_addstr(sb, "virtualenv = 20+venvfs\n");
    strbuf_addf(sb, "base-prefix = %s\nbase-exec-prefix = %s\n", prefix, prefix);
    strbuf_addf(sb, "base-executable = %s\n", m->base_executable);
}

void activation_pyvenv_cfg(const struct manifest *m, const char *address, struct strbuf *sb)
{
    bool virtualenv = strcmp(setting(m, "made_by"), "virtualenv") == 0;
    strbuf_addf(sb, "home = %s\n", m->home);
    strbuf_addf(sb, "include-system-site-packages = %s\n",
                m->system_site_packages ? "true" : "false");
    strbuf_addf(sb, "version = %s\n", m->version);
    if (m->prompt != NULL) {
        strbuf_addstr(sb, "prompt = ");
        add_repr(m->prompt, sb);
        strbuf_addch(sb, '\n');
    }
    if (virtualenv) {
        add_virtualenv(m, sb);
    } else if (since(m, 11)) {
        strbuf_addf(sb, "executable = %s\n", m->base_executable);
        add_command(m, address, sb);
    }
}
