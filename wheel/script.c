#include <string.h>

#include "wheel/wheel.h"

/* The kernel reads this much of a first line, its newline included. */
#define MAX_SHEBANG 127

/* Quotes a path for /bin/sh in a text that Python reads as part of a ''' string: no backslash may
 * appear that the path does not have, since Python warns about unknown escapes. */
static void add_quoted(const char *path, struct strbuf *sb)
{
    bool plain = !path[strcspn(path, "\"'$`\\\n")];
    if (plain && !path[strcspn(path, " \t&;|<>()*?[]#~!{}")]) {
        strbuf_addstr(sb, path);
        return;
    }
    if (plain) { /* as pip writes it */
        strbuf_addf(sb, "\"%s\"", path);
        return;
    }
    strbuf_addch(sb, '\'');
    for (; *path; path++) {
        if (*path == '\'')
            strbuf_addstr(sb, "'\"'\"'");
        else
            strbuf_addch(sb, *path);
    }
    strbuf_addch(sb, '\'');
}

/* A line the kernel cannot take (too long, or a blank that would end the interpreter's path) is
 * replaced by one for /bin/sh that is at the same time a Python string. */
static void add_shebang(const char *interpreter, struct strbuf *sb)
{
    size_t len = strlen(interpreter);
    if (len + 3 <= MAX_SHEBANG && !interpreter[strcspn(interpreter, " \t\n")]) {
        strbuf_addf(sb, "#!%s\n", interpreter);
        return;
    }
    strbuf_addstr(sb, "#!/bin/sh\n'''exec' ");
    add_quoted(interpreter, sb);
    strbuf_addstr(sb, " \"$0\" \"$@\"\n' '''\n");
}

void script_text(const struct image_script *script, const char *interpreter, struct strbuf *sb)
{
    add_shebang(interpreter, sb);
    if (script->kind == IMAGE_SCRIPT_PYTHON)
        return;
    /* Byte for byte what the pips of Python 3.6 to 3.12 write, so that comparing an environment
     * with a plain one shows no difference. */
    int first = (int)strcspn(script->attr, ".");
    strbuf_addf(sb,
                "# -*- coding: utf-8 -*-\n"
                "import re\n"
                "import sys\n"
                "from %s import %.*s\n"
                "if __name__ == '__main__':\n"
                "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n"
                "    sys.exit(%s())\n",
                script->module, first, script->attr, script->attr);
}
