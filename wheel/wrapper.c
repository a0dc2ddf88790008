#include "wheel/wrapper.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"

/* One line of a wrapper: of those that distlib, pip, uv and venvfs write for an entry point, the
 * indentation and the kind of quotes aside. */
static bool is_wrapper_line(const char *line, size_t len, const char *import, const char *call)
{
    static const char *const lines[] = {
        "",
        "# -*- coding: utf-8 -*-",
        "import re",
        "import sys",
        "if __name__ == '__main__':",
        "sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])",
        "sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])",
        "if sys.argv[0].endswith('-script.pyw'):",
        "sys.argv[0] = sys.argv[0][:-11]",
        "if sys.argv[0].endswith('.exe'):",
        "elif sys.argv[0].endswith('.exe'):",
        "sys.argv[0] = sys.argv[0][:-4]",
    };
    _cleanup_free_ char *text = xstrndup(line, len);
    for (char *p = text; *p; p++)
        if (*p == '"')
            *p = '\'';
    const char *s = text + strspn(text, " ");
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (strcmp(s, lines[i]) == 0)
            return true;
    return strcmp(s, import) == 0 || strcmp(s, call) == 0;
}

bool wrapper_is_plain(const char *data, size_t size, const struct entry_point *ep)
{
    int first = (int)strcspn(ep->attr, ".");
    _cleanup_free_ char *import = xasprintf("from %s import %.*s", ep->module, first, ep->attr);
    _cleanup_free_ char *call = xasprintf("sys.exit(%s())", ep->attr);
    if (memchr(data, '\0', size) || !strstr(data, import) || !strstr(data, call))
        return false;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(data + at, '\n', size - at);
        size_t end = newline ? (size_t)(newline - data) : size;
        if (!is_wrapper_line(data + at, end - at, import, call))
            return false;
        at = end + 1;
    }
    return true;
}
