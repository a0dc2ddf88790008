#include "cli/linked_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/session.h"
#include "env/activation.h"

static const char landmark[] = "pyvenv.cfg", ignore[] = "# Created by venvfs\n*\n";
static const char *const linked[] = {"bin", "include", "share", "etc"};

/* The link's target within buf, or NULL. */
static const char *read_link(const char *path, char buf[PATH_MAX])
{
    ssize_t n = readlink(path, buf, PATH_MAX - 1);
    if (n < 0)
        return NULL;
    buf[n] = '\0';
    return buf;
}

bool linked_folder_is(const char *path)
{
    char target[PATH_MAX];
    struct stat st;
    _cleanup_free_ char *link = path_join(path, landmark);
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && read_link(link, target);
}

/* ---- making ---- */

/* A link is replaced by rename, so that whoever runs from the folder always finds one. */
static int make_link(const char *dir, const char *entry, const char *target, struct verror *err)
{
    _cleanup_free_ char *path = path_join(dir, entry);
    _cleanup_free_ char *temporary = xasprintf("%s.venvfs-%ld", path, (long)getpid());
    char now[PATH_MAX];
    if (read_link(path, now) && strcmp(now, target) == 0)
        return 0;
    int r = io_symlinkat(target, AT_FDCWD, temporary);
    if (r == 0 && (r = io_rename(temporary, path)) < 0)
        (void)io_unlink(temporary);
    return r < 0 ? verror_errno(err, r, "linking %s to %s", path, target) : 0;
}

static int make_entry(const char *dir, const char *in_hub, const char *entry, struct verror *err)
{
    _cleanup_free_ char *target = path_join(in_hub, entry);
    return make_link(dir, path_basename(entry), target, err);
}

static bool is_below(const char *target, const char *folder)
{
    size_t n = strlen(folder);
    return target && strncmp(target, folder, n) == 0 && target[n] == '/';
}

/* Removes the links in `dir` that lead below `folder`, but for the one called `kept`. */
static void remove_links(const char *dir, const char *folder, const char *kept)
{
    DIR *d = opendir(dir);
    char target[PATH_MAX];
    for (const struct dirent *de; d && (de = readdir(d));) {
        _cleanup_free_ char *path = path_join(dir, de->d_name);
        if (is_below(read_link(path, target), folder) && (!kept || strcmp(de->d_name, kept) != 0))
            (void)io_unlink(path);
    }
    if (d)
        closedir(d);
}

static int make_lib(const struct home *home, const char *dir, const char *in_hub,
                    const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *lib = path_join(dir, "lib");
    _cleanup_free_ char *python = path_join("lib", m->python_dir);
    int r = path_mkdirs(lib, 0777);
    if (r < 0)
        return verror_errno(err, r, "making %s", lib);
    r = make_entry(lib, in_hub, python, err);
    if (r == 0)
        remove_links(lib, home->hub, m->python_dir); /* of the Python that it had */
    return r < 0 || !m->is_64bit ? r : make_link(dir, "lib64", "lib", err);
}

static int make_ignore(const char *dir, const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *path = path_join(dir, ".gitignore");
    if (!activation_gitignore(m) || path_exists(path))
        return 0;
    int r = io_write_file_atomic(path, ignore, strlen(ignore), 0644, false);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

static int check_free(const char *dir, const char *entry, struct verror *err)
{
    _cleanup_free_ char *path = path_join(dir, entry);
    struct stat st;
    if (lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
        return 0;
    verror_set(err, EEXIST, "%s is in the way of an environment", path);
    return verror_hint(err, "move it away, or choose another folder");
}

static int check_all(const char *dir, const struct manifest *m, struct verror *err)
{
    _cleanup_free_ char *python = path_join("lib", m->python_dir);
    const char *const others[] = {python, "lib64", landmark};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(linked); i++)
        r = check_free(dir, linked[i], err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(others); i++)
        r = check_free(dir, others[i], err);
    return r;
}

int linked_folder_make(const struct home *home, const struct env *env, struct verror *err)
{
    const char *dir = env->manifest->address;
    _cleanup_free_ char *in_hub = hub_path(home, env->name);
    int r = check_all(dir, env->manifest, err);
    if (r < 0)
        return r;
    r = path_mkdirs(dir, 0777);
    if (r < 0)
        return verror_errno(err, r, "making %s", dir);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(linked); i++)
        r = make_entry(dir, in_hub, linked[i], err);
    if (r == 0)
        r = make_lib(home, dir, in_hub, env->manifest, err);
    if (r == 0)
        r = make_ignore(dir, env->manifest, err);
    return r < 0 ? r : make_entry(dir, in_hub, landmark, err);
}

/* ---- removing ---- */

static void remove_ignore(const char *dir)
{
    _cleanup_free_ char *path = path_join(dir, ".gitignore");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(path, &text, sizeof(ignore)) == 0 && strcmp(text.buf, ignore) == 0)
        (void)io_unlink(path);
}

bool linked_folder_remove(const struct home *home, const char *path, const char *env_name)
{
    _cleanup_free_ char *name = env_name_of_path(home, path);
    if (!linked_folder_is(path) || !name || strcmp(name, env_name) != 0)
        return false;
    _cleanup_free_ char *in_hub = hub_path(home, env_name);
    _cleanup_free_ char *lib = path_join(path, "lib"), *lib64 = path_join(path, "lib64");
    _cleanup_free_ char *config = path_join(path, landmark);
    char target[PATH_MAX];
    if (io_unlink(config) < 0)
        return false;
    remove_links(lib, in_hub, NULL);
    (void)rmdir(lib);
    if (read_link(lib64, target) && strcmp(target, "lib") == 0)
        (void)io_unlink(lib64);
    remove_links(path, in_hub, NULL);
    remove_ignore(path);
    (void)rmdir(path);
    return true;
}
