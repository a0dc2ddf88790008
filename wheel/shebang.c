#include "wheel/shebang.h"

#include <stdbool.h>
#include <string.h>

static const char direct[] = "#!";
static const char exec_form[] = "#!/bin/sh\n'''exec' ";
static const char exec_end[] = " \"$0\" \"$@\"\n' '''\n";

/* What may follow ROOT: "/bin/python3.11", "/bin/pythonw". */
static bool is_interpreter(const char *s, size_t len)
{
    static const char bin[] = "/bin/python";
    const size_t n = sizeof(bin) - 1;
    if (len < n || memcmp(s, bin, n) != 0)
        return false;
    for (size_t i = n; i < len; i++)
        if (!s[i] || !strchr("0123456789.tw", s[i]))
            return false;
    return true;
}

static bool is_ours(const char *path, size_t len, const char *const *roots)
{
    for (; *roots; roots++) {
        size_t n = strlen(*roots);
        if (len > n && memcmp(path, *roots, n) == 0 && is_interpreter(path + n, len - n))
            return true;
    }
    return false;
}

static size_t direct_length(const char *data, size_t size, const char *const *roots)
{
    const char *path = data + sizeof(direct) - 1;
    const char *end = memchr(data, '\n', size);
    size_t length = end ? (size_t)(end + 1 - data) : size;
    if (!end)
        end = data + size;
    if (end > path && end[-1] == '\r')
        end--;
    return is_ours(path, (size_t)(end - path), roots) ? length : 0;
}

/* The path may stand in quotes. One with quotes in it is not recognised. */
static size_t exec_length(const char *data, size_t size, const char *const *roots)
{
    const size_t tail = sizeof(exec_end) - 1;
    const char *path = data + sizeof(exec_form) - 1;
    const char *end = memmem(path, size - (sizeof(exec_form) - 1), exec_end, tail);
    if (!end)
        return 0;
    size_t length = (size_t)(end - data) + tail, len = (size_t)(end - path);
    bool quoted = len >= 2 && (*path == '"' || *path == '\'') && path[len - 1] == *path;
    return is_ours(path + quoted, len - 2u * quoted, roots) ? length : 0;
}

static bool starts_with(const char *data, size_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    return size >= n && memcmp(data, prefix, n) == 0;
}

size_t shebang_length(const char *data, size_t size, const char *const *roots)
{
    if (starts_with(data, size, exec_form))
        return exec_length(data, size, roots);
    return starts_with(data, size, direct) ? direct_length(data, size, roots) : 0;
}
