#include "env/plain.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"

void plain_release(struct plain *plain)
{
    free(plain->path);
    *plain = (struct plain){0};
}

static char *record_path(const struct home *home, const char *env_name)
{
    return xasprintf("%s/%s/fallback.json", home->envs, env_name);
}

bool plain_read(const struct home *home, const char *env_name, struct plain *ret)
{
    enum { LARGEST = 64 << 10 };
    _cleanup_free_ char *file = record_path(home, env_name);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(file, &text, LARGEST) < 0)
        return false;
    json_t *o = json_loadb(text.buf, text.len, 0, NULL);
    const char *path;
    json_int_t dev, ino, generation;
    bool ok = o && json_unpack(o, "{s:s, s:I, s:I, s:I}", "path", &path, "dev", &dev, "ino", &ino,
                               "generation", &generation) == 0;
    if (ok)
        *ret = (struct plain){.path = xstrdup(path),
                              .dev = (uint64_t)dev,
                              .ino = (uint64_t)ino,
                              .generation = (unsigned)generation};
    json_decref(o);
    return ok;
}

int plain_record(const struct home *home, const char *env_name, const char *path,
                 unsigned generation, struct verror *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return verror_errno(err, errno, "%s", path);
    json_t *o = json_pack("{s:s, s:I, s:I, s:I}", "path", path, "dev", (json_int_t)st.st_dev, "ino",
                          (json_int_t)st.st_ino, "generation", (json_int_t)generation);
    _cleanup_free_ char *text = json_dumps(o, JSON_INDENT(2));
    _cleanup_free_ char *file = record_path(home, env_name);
    json_decref(o);
    int r = text ? io_write_file_atomic(file, text, strlen(text), 0644, false) : -EINVAL;
    return r < 0 ? verror_errno(err, r, "writing %s", file) : 0;
}

void plain_forget(const struct home *home, const char *env_name)
{
    _cleanup_free_ char *file = record_path(home, env_name);
    (void)io_unlink(file);
}

bool plain_is_at(const struct plain *plain, const char *path)
{
    struct stat st;
    return strcmp(plain->path, path) == 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (uint64_t)st.st_dev == plain->dev && (uint64_t)st.st_ino == plain->ino;
}
