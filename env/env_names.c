#include "env/env_names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/envs.h"

enum { MAX_NAME = 100, MAX_SUGGESTIONS = 5 };

bool env_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n < 1 || n > MAX_NAME || !path_component_ok(name, n) || name[0] == '.' || name[0] == '-')
        return false;
    for (; *name; name++) /* names are shown in lines of their own */
        if ((unsigned char)*name < 0x20 || *name == 0x7f)
            return false;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_generation(int envs, const char *name)
{
    char current[MAX_NAME + sizeof("/current")];
    size_t n = strlen(name);
    memcpy(current, name, n);
    memcpy(current + n, "/current", sizeof("/current"));
    struct stat st;
    return fstatat(envs, current, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int env_list(const struct home *home, char ***names, size_t *n, struct verror *err)
{
    char **list = NULL;
    size_t count = 0, alloc = 0;
    DIR *dir = opendir(home->envs);
    if (!dir && errno != ENOENT)
        return verror_errno(err, errno, "reading %s", home->envs);
    errno = 0;
    for (struct dirent *de; dir && (de = readdir(dir)); errno = 0) {
        if (!env_name_ok(de->d_name) || !has_generation(dirfd(dir), de->d_name))
            continue;
        list = xgrow(list, &alloc, count + 1, sizeof(*list));
        list[count++] = xstrdup(de->d_name);
    }
    int e = dir ? errno : 0;
    if (dir)
        closedir(dir);
    if (e) {
        env_list_free(list, count);
        return verror_errno(err, e, "reading %s", home->envs);
    }
    if (count)
        qsort(list, count, sizeof(*list), by_name);
    *names = list;
    *n = count;
    return 0;
}

void env_list_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* Edits (insert, drop, replace a byte) between two names of at most MAX_NAME bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[MAX_NAME + 1];
    size_t nb = strlen(b);
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i]; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < nb; j++) {
            unsigned best = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j + 1] + 1 < best)
                best = row[j + 1] + 1;
            row[j + 1] = best;
        }
    }
    return row[nb];
}

static bool is_near(const char *name, const char *other)
{
    size_t n = strlen(name);
    if (n > MAX_NAME)
        return false;
    /* "proj" stands for "proj-1a2b3c", which a project's environment is called. */
    return strcasestr(other, name) || distance(name, other) <= (n < 6 ? 1 : 2);
}

int env_unknown(const struct home *home, const char *name, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf near = STRBUF_INIT;
    char **names = NULL;
    size_t n = 0, shown = 0;
    if (!name[0]) { /* everything would be near */
        verror_set(err, ENOENT, "the name of the environment is empty");
        verror_hint(err, "venvfs list shows the names; an unset variable may stand here");
        return -ENOENT;
    }
    (void)env_list(home, &names, &n, NULL);
    for (size_t i = 0; i < n && shown < MAX_SUGGESTIONS; i++)
        if (is_near(name, names[i]))
            strbuf_addf(&near, "%s%s", shown++ ? ", " : "", names[i]);
    env_list_free(names, n);
    verror_set(err, ENOENT, "there is no environment \"%.100s\"", name);
    if (shown)
        verror_hint(err, "did you mean %s?", near.buf);
    else if (n)
        verror_hint(err, "venvfs list shows the %zu there %s", n, n == 1 ? "is" : "are");
    else
        verror_hint(err, "there are none yet; venvfs create makes one");
    return -ENOENT; /* verror_hint() cannot tell without err */
}
