#include "fs/stub_text.h"

#include <string.h>

/* Each shell's single quotes end at a single quote; `special` characters are escaped by closing the
 * quotes, a backslash and the character, and opening them again. */
static void quote(struct strbuf *sb, const char *text, const char *special)
{
    strbuf_addch(sb, '\'');
    for (const char *p = text; *p; p++) {
        if (strchr(special, *p))
            strbuf_addf(sb, "'\\%c'", *p);
        else
            strbuf_addch(sb, *p);
    }
    strbuf_addch(sb, '\'');
}

#define SH_SPECIAL "'"
#define CSH_SPECIAL "'!"
#define FISH_SPECIAL "'\\"

/* env VENVFS_HOME=... VENVFS_HUB=... PROGRAM up: the same words in every shell. */
static void add_up(struct strbuf *sb, const struct stub_program *p, const char *program,
                   const char *special)
{
    strbuf_addstr(sb, "env VENVFS_HOME=");
    quote(sb, p->home->root, special);
    strbuf_addstr(sb, " VENVFS_HUB=");
    quote(sb, p->home->hub, special);
    strbuf_addch(sb, ' ');
    quote(sb, program, special);
    strbuf_addstr(sb, " up");
}

static void add_hub_path(struct strbuf *sb, const struct stub_program *p, const char *rest,
                         const char *special)
{
    quote(sb, p->home->hub, special);
    strbuf_addch(sb, '/');
    quote(sb, rest, special);
}

/* The program, else one of this name on PATH. */
static void add_sh_up(struct strbuf *sb, const struct stub_program *p)
{
    strbuf_addstr(sb, "if [ -x ");
    quote(sb, p->path, SH_SPECIAL);
    strbuf_addstr(sb, " ]; then ");
    add_up(sb, p, p->path, SH_SPECIAL);
    strbuf_addstr(sb, "; else ");
    add_up(sb, p, "venvfs", SH_SPECIAL);
    strbuf_addstr(sb, "; fi >&2");
}

void stub_text_python(const struct stub_program *p, struct strbuf *sb)
{
    strbuf_addstr(sb, "#!/bin/sh\n" STUB_MARK "starts the file system, then runs what it covers\n");
    add_sh_up(sb, p);
    strbuf_addstr(sb, "\nif [ -e ");
    add_hub_path(sb, p, STUB_FOLDER, SH_SPECIAL);
    /* Still to be seen: nothing covers the stubs, and running $0 again would never end. */
    strbuf_addstr(sb, " ]; then\n    echo \"venvfs: $0: the environments are not mounted\" >&2\n"
                      "    exit 126\nfi\nexec \"$0\" \"$@\"\n");
}

void stub_text_sh(const struct stub_program *p, const char *name, struct strbuf *sb)
{
    strbuf_addstr(sb, STUB_MARK "source it to start the file system and activate\n");
    add_sh_up(sb, p);
    strbuf_addstr(sb, "\n[ -e ");
    add_hub_path(sb, p, STUB_FOLDER, SH_SPECIAL);
    strbuf_addstr(sb, " ] || . ");
    add_hub_path(sb, p, name, SH_SPECIAL);
    strbuf_addstr(sb, "/bin/activate\n");
}

void stub_text_csh(const struct stub_program *p, const char *name, struct strbuf *sb)
{
    strbuf_addstr(sb, STUB_MARK "source it to start the file system and activate\n");
    add_up(sb, p, p->path, CSH_SPECIAL);
    strbuf_addstr(sb, "\nif ( ! -e ");
    add_hub_path(sb, p, STUB_FOLDER, CSH_SPECIAL);
    strbuf_addstr(sb, " ) source ");
    add_hub_path(sb, p, name, CSH_SPECIAL);
    strbuf_addstr(sb, "/bin/activate.csh\n");
}

void stub_text_fish(const struct stub_program *p, struct strbuf *sb)
{
    strbuf_addstr(sb, STUB_MARK "source it to start the file system and activate\n");
    add_up(sb, p, p->path, FISH_SPECIAL);
    strbuf_addstr(sb, " >&2\ntest -e ");
    add_hub_path(sb, p, STUB_FOLDER, FISH_SPECIAL);
    strbuf_addstr(sb, "; or source (status filename)\n");
}
