#include "cli/fallback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/compose.h"
#include "cli/link.h"
#include "cli/print.h"
#include "env/plain.h"
#include "fs/stubs.h"

bool fallback_owns(const struct home *home, const char *env_name, const char *path)
{
    _cleanup_plain_ struct plain plain = {.path = NULL};
    return plain_read(home, env_name, &plain) && plain_is_at(&plain, path);
}

bool fallback_current(const struct home *home, const struct env *env)
{
    _cleanup_plain_ struct plain plain = {.path = NULL};
    return plain_read(home, env->name, &plain) && plain_is_at(&plain, env->manifest->address) &&
           plain.generation == env->manifest->generation;
}

static int set_aside(const char *address, char **old, struct verror *err)
{
    *old = xasprintf("%s.venvfs-old-%ld", address, (long)getpid());
    int r = io_rename(address, *old);
    return r < 0 ? verror_errno(err, r, "%s", address) : 0;
}

/* Stubs of the days when there was FUSE, at an address in the hub. */
static bool is_stubs(const struct home *home, const struct env *env)
{
    _cleanup_free_ char *in_hub = hub_path(home, env->name);
    return strcmp(env->manifest->address, in_hub) == 0 && stubs_alone(home, env->name);
}

/* Makes room at the address: ours is renamed to *old, a link of ours is removed. */
static int make_room(const struct home *home, const struct env *env, char **old, struct verror *err)
{
    const char *address = env->manifest->address;
    if (fallback_owns(home, env->name, address) || is_stubs(home, env))
        return set_aside(address, old, err);
    _cleanup_free_ char *leads_to = env_name_of_path(home, address);
    struct stat st;
    if (lstat(address, &st) < 0)
        return 0;
    if (S_ISLNK(st.st_mode) && leads_to && strcmp(leads_to, env->name) == 0) {
        int r = io_unlink(address);
        return r < 0 ? verror_errno(err, r, "%s", address) : 0;
    }
    verror_set(err, EEXIST, "%s exists and was not made by venvfs; it stays untouched", address);
    _cleanup_free_ char *word = print_word(env->name);
    return verror_hint(err, "move it away, or venvfs materialize -n %s DIR elsewhere", word);
}

/* With what was changed inside it while there was FUSE. */
static int write_files(struct session *s, const struct env *env, const char *dir,
                       struct verror *err)
{
    const char *address = env->manifest->address;
    _cleanup_free_ char *path = env_upper(env), *shown = hub_path(&s->home, env->name);
    _cleanup_free_ char *interpreter = path_join(address, "bin/python");
    const char *roots[] = {address, shown, NULL};
    const struct materialize_upper upper = {path, roots, interpreter};
    return write_plain_files(s, env->manifest, &upper, address, dir, err);
}

static int replace_folder(struct session *s, const struct env *env, struct verror *err)
{
    const char *address = env->manifest->address;
    _cleanup_free_ char *old = NULL;
    _cleanup_free_ char *new = xasprintf("%s.venvfs-new-%ld", address, (long)getpid());
    _cleanup_free_ char *parent = path_dirname(address);
    int r = path_mkdirs(parent, 0777);
    if (r < 0)
        verror_errno(err, r, "making %s", parent);
    if (r == 0)
        r = write_files(s, env, new, err);
    if (r == 0)
        r = make_room(&s->home, env, &old, err);
    if (r == 0 && (r = io_rename(new, address)) < 0)
        verror_errno(err, r, "%s", address);
    if (r < 0 && old)
        (void)io_rename(old, address);
    (void)path_remove_tree(r < 0 ? new : old ? old : new);
    return r;
}

int fallback_write(struct session *s, const struct env *env, struct verror *err)
{
    if (fallback_current(&s->home, env))
        return 0;
    int r = replace_folder(s, env, err);
    if (r < 0)
        return r;
    return plain_record(&s->home, env->name, env->manifest->address, env->manifest->generation,
                        err);
}

int fallback_retire(const struct home *home, const struct env *env, struct verror *err)
{
    const char *address = env->manifest->address;
    _cleanup_free_ char *old = NULL;
    if (!fallback_owns(home, env->name, address))
        return 0;
    int r = set_aside(address, &old, err);
    if (r < 0)
        return r;
    r = link_make(home, address, env->name, err);
    if (r < 0) {
        (void)io_rename(old, address);
        return r;
    }
    plain_forget(home, env->name);
    r = path_remove_tree(old);
    return r < 0 ? verror_errno(err, r, "removing the plain files in %s", old) : 0;
}
