#include "cli/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "store/image.h"

/* Files whose bytes were asked for and are on their way. More would only make who imports meanwhile
 * wait behind them. */
enum { UNDER_WAY = 4 };
/* What one readahead() reads at most, by the kernel's default. */
#define AHEAD (128 << 10)

struct reading {
    int fd;
    off_t last; /* a byte of the last page that was asked for */
};

struct walk {
    int root;
    const char *soabi;
    size_t bytes; /* left */
    time_t until;
    void *listed; /* of tsearch(): folders */
    struct reading under_way[UNDER_WAY];
    size_t n;
};

static time_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool seen(struct walk *w, const char *folder)
{
    if (tfind(folder, &w->listed, compare))
        return true;
    tsearch(xstrdup(folder), &w->listed, compare);
    return false;
}

/* ---- names ---- */

/* FileFinder tries these for a package before __init__.py. */
static void look_in_vain(const struct walk *w, int folder)
{
    struct stat st;
    char name[128];
    if (w->soabi && snprintf(name, sizeof(name), "__init__.%s.so", w->soabi) < (int)sizeof(name))
        (void)fstatat(folder, name, &st, 0);
    (void)fstatat(folder, "__init__.abi3.so", &st, 0);
    (void)fstatat(folder, "__init__.so", &st, 0);
}

static void list(struct walk *w, const char *folder)
{
    int fd = openat(w->root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    bool package = false;
    struct stat st;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(dir)))
        package = package || strcmp(e->d_name, "__init__.py") == 0;
    (void)fstat(fd, &st); /* listing made the kernel forget */
    if (package)
        look_in_vain(w, fd);
    closedir(dir);
}

/* The folder of a path, and before it those above it that an import comes through. */
static void list_above(struct walk *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return;
    _cleanup_free_ char *folder = xstrndup(path, (size_t)(slash - path));
    if (seen(w, folder))
        return;
    list_above(w, folder);
    list(w, folder);
}

/* ---- bytes ---- */

static void finish(const struct reading *r)
{
    char byte;
    struct stat st;
    (void)pread(r->fd, &byte, 1, r->last);
    (void)fstat(r->fd, &st);
    close(r->fd);
}

static void finish_first(struct walk *w)
{
    finish(&w->under_way[0]);
    memmove(&w->under_way[0], &w->under_way[1], --w->n * sizeof(w->under_way[0]));
}

static void read_slice(struct walk *w, const char *path, off_t slice)
{
    const off_t from = slice * IMAGE_SLICE_SIZE;
    struct stat st;
    int fd = openat(w->root, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || from >= st.st_size) {
        close(fd);
        return;
    }
    off_t size = st.st_size - from < IMAGE_SLICE_SIZE ? st.st_size - from : IMAGE_SLICE_SIZE;
    w->bytes -= (size_t)size < w->bytes ? (size_t)size : w->bytes;
    for (off_t at = 0; at < size; at += AHEAD)
        (void)readahead(fd, from + at, AHEAD);
    if (w->n == UNDER_WAY)
        finish_first(w);
    w->under_way[w->n++] = (struct reading){.fd = fd, .last = from + size - 1};
}

int warm_walk(const char *root, const json_t *files, const char *soabi, size_t bytes,
              struct verror *err)
{
    struct walk w = {.soabi = soabi, .bytes = bytes, .until = now() + WARM_SECONDS};
    w.root = io_open(root, O_PATH | O_DIRECTORY, 0);
    if (w.root < 0)
        return verror_errno(err, w.root, "%s", root);
    size_t i;
    const json_t *file;
    json_array_foreach(files, i, file)
    {
        const char *path = json_string_value(json_array_get(file, 0));
        if (!w.bytes || now() > w.until)
            break;
        if (!path || !path[0])
            continue;
        list_above(&w, path); /* of a folder's, the folder itself */
        if (path[strlen(path) - 1] != '/')
            read_slice(&w, path, (off_t)json_integer_value(json_array_get(file, 1)));
    }
    while (w.n)
        finish_first(&w);
    tdestroy(w.listed, free);
    close(w.root);
    return 0;
}
