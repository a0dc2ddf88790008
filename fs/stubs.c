#include "fs/stubs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/envs.h"
#include "env/inside.h"
#include "env/plain.h"
#include "fs/stub_text.h"

#define STUB_LINK "../../" STUB_FOLDER "/"
#define STUB_LIMIT 16384 /* bytes of a stub, at most */

struct stubs {
    const struct home *home;
    char *program;
    int folder; /* of the hub, beneath its mount */
};

static struct stub_program program_of(const struct stubs *s)
{
    return (struct stub_program){.home = s->home, .path = s->program};
}

/* ---- moving what is not ours ---- */

struct mover {
    struct stubs *stubs;
    char *to; /* HOME/edits/beneath-TIME, made when first needed */
    struct strbuf *moved;
};

/* rel: path below the hub's folder. */
static int move_away(struct mover *m, const char *rel, struct verror *err)
{
    _cleanup_free_ char *from = path_join(m->stubs->home->hub, rel);
    if (!m->to) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        m->to = xasprintf("%s/edits/beneath-%lld.%09ld", m->stubs->home->root,
                          (long long)now.tv_sec, now.tv_nsec);
    }
    _cleanup_free_ char *to = path_join(m->to, rel), *dir = path_dirname(to);
    int r = path_mkdirs(dir, 0700);
    if (r == 0)
        r = io_rename(from, to);
    if (r == -EXDEV) {
        const char *argv[] = {"mv", "--", from, to, NULL};
        int status;
        r = proc_run(argv, NULL, &status, err);
        if (r == 0 && status != 0)
            r = -EIO;
    }
    if (r < 0)
        return verror_errno(err, r, "moving %s, which lies beneath the hub, to %s", from, to);
    strbuf_addf(m->moved, "%s lay beneath the hub and was moved to %s\n", from, to);
    return 0;
}

/* Calls fn for each name in the folder `rel` below the hub's, which is read before. */
static int each_name(struct mover *m, const char *rel,
                     int (*fn)(struct mover *m, const char *rel, struct verror *err),
                     struct verror *err)
{
    int fd = io_openat(m->stubs->folder, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return verror_errno(err, fd, "%s/%s", m->stubs->home->hub, rel);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return verror_errno(err, errno, "%s/%s", m->stubs->home->hub, rel);
    }
    char **names = NULL;
    size_t n = 0, alloc = 0;
    struct dirent *e;
    while ((e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        names = xgrow(names, &alloc, n + 1, sizeof(*names));
        names[n++] = strcmp(rel, ".") == 0 ? xstrdup(e->d_name) : path_join(rel, e->d_name);
    }
    closedir(dir);
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = fn(m, names[i], err);
        free(names[i]);
    }
    free(names);
    return r;
}

static bool is_stub(const struct stubs *s, const char *rel)
{
    struct stat st;
    char target[sizeof(STUB_LINK) + 16] = "";
    if (fstatat(s->folder, rel, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(s->folder, rel, target, sizeof(target) - 1);
        return n > 0 && strncmp(target, STUB_LINK, strlen(STUB_LINK)) == 0;
    }
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    return S_ISREG(st.st_mode) && st.st_size <= STUB_LIMIT &&
           io_read_fileat(s->folder, rel, &text, STUB_LIMIT) == 0 &&
           strncmp(text.buf, STUB_MARK, strlen(STUB_MARK)) == 0;
}

static bool is_folder(const struct stubs *s, const char *rel)
{
    struct stat st;
    return fstatat(s->folder, rel, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int clean_bin(struct mover *m, const char *rel, struct verror *err)
{
    return is_stub(m->stubs, rel) ? 0 : move_away(m, rel, err);
}

/* Stub folders are 0555; moving something out of one needs them writable. */
static int clean_writable(struct mover *m, const char *rel,
                          int (*fn)(struct mover *m, const char *rel, struct verror *err),
                          struct verror *err)
{
    (void)fchmodat(m->stubs->folder, rel, 0755, 0);
    int r = each_name(m, rel, fn, err);
    (void)fchmodat(m->stubs->folder, rel, 0555, 0);
    return r;
}

static int clean_env(struct mover *m, const char *rel, struct verror *err)
{
    if (strcmp(path_basename(rel), "bin") == 0 && is_folder(m->stubs, rel))
        return clean_writable(m, rel, clean_bin, err);
    return move_away(m, rel, err);
}

/* Plain files at HUB/NAME, written when there was no FUSE. */
static bool is_plain(const struct mover *m, const char *rel)
{
    _cleanup_plain_ struct plain plain = {.path = NULL};
    _cleanup_free_ char *path = path_join(m->stubs->home->hub, rel);
    return env_name_ok(rel) && plain_read(m->stubs->home, rel, &plain) && plain_is_at(&plain, path);
}

static int drop_plain(struct mover *m, const char *rel, struct verror *err)
{
    plain_forget(m->stubs->home, rel);
    return stubs_remove(m->stubs, rel, err);
}

static int clean_hub(struct mover *m, const char *rel, struct verror *err)
{
    if (strcmp(rel, STUB_FOLDER) == 0)
        return 0;
    if (is_plain(m, rel))
        return drop_plain(m, rel, err);
    if (!is_folder(m->stubs, rel) || !env_name_ok(rel))
        return move_away(m, rel, err);
    _cleanup_free_ char *bin = path_join(rel, "bin");
    if (!is_folder(m->stubs, bin)) /* never a stub's */
        return move_away(m, rel, err);
    return clean_writable(m, rel, clean_env, err);
}

static int find_any(struct mover *m, const char *rel, struct verror *err)
{
    if (is_plain(m, rel))
        return 0;
    verror_set(err, ENOTEMPTY, "%s is not empty (it has %s) and was never a hub of venvfs",
               m->stubs->home->hub, rel);
    return verror_hint(err, "name another folder by VENVFS_HUB, or empty this one"), -ENOTEMPTY;
}

/* ---- looking ---- */

static int want_stub(struct mover *m, const char *rel, struct verror *err)
{
    (void)err;
    return is_stub(m->stubs, rel) ? 0 : -ENOTEMPTY;
}

static int want_bin(struct mover *m, const char *rel, struct verror *err)
{
    bool bin = strcmp(path_basename(rel), "bin") == 0 && is_folder(m->stubs, rel);
    return bin ? each_name(m, rel, want_stub, err) : -ENOTEMPTY;
}

bool stubs_alone(const struct home *home, const char *name)
{
    _cleanup_close_ int folder = io_open(home->hub, O_PATH | O_DIRECTORY, 0);
    struct stubs s = {.home = home, .folder = folder};
    struct mover m = {.stubs = &s};
    return folder >= 0 && env_name_ok(name) && is_folder(&s, name) &&
           each_name(&m, name, want_bin, NULL) == 0;
}

/* ---- writing stubs ---- */

static int write_stub(const struct stubs *s, const char *rel, const struct strbuf *text,
                      struct verror *err)
{
    (void)unlinkat(s->folder, rel, 0);
    _cleanup_close_ int fd = io_openat(s->folder, rel, O_WRONLY | O_CREAT | O_EXCL, 0555);
    int r = fd < 0 ? fd : io_write_all(fd, text->buf, text->len);
    if (r == 0 && fchmod(fd, 0555) < 0)
        r = -errno;
    return r < 0 ? verror_errno(err, r, "writing the stub %s/%s", s->home->hub, rel) : 0;
}

static int write_shared(const struct stubs *s, struct verror *err)
{
    struct stub_program program = program_of(s);
    _cleanup_strbuf_ struct strbuf python = STRBUF_INIT, fish = STRBUF_INIT;
    stub_text_python(&program, &python);
    stub_text_fish(&program, &fish);
    int r = io_mkdirat(s->folder, STUB_FOLDER, 0755);
    if (r < 0 && r != -EEXIST)
        return verror_errno(err, r, "making %s/%s", s->home->hub, STUB_FOLDER);
    r = write_stub(s, STUB_FOLDER "/python", &python, err);
    if (r == 0)
        r = write_stub(s, STUB_FOLDER "/activate.fish", &fish, err);
    return r;
}

static int link_stub(const struct stubs *s, const char *bin, const char *name, const char *target,
                     struct verror *err)
{
    _cleanup_free_ char *rel = path_join(bin, name);
    int r = io_symlinkat(target, s->folder, rel);
    if (r < 0 && r != -EEXIST)
        return verror_errno(err, r, "making the stub %s/%s", s->home->hub, rel);
    return 0;
}

static int write_env(const struct stubs *s, const char *name, const char *bin,
                     const char *python_dir, struct verror *err)
{
    const char *pythons[] = {"python", "python3", python_dir};
    for (size_t i = 0; i < ARRAY_SIZE(pythons) && pythons[i]; i++) {
        int r = link_stub(s, bin, pythons[i], STUB_LINK "python", err);
        if (r < 0)
            return r;
    }
    struct stub_program program = program_of(s);
    _cleanup_strbuf_ struct strbuf sh = STRBUF_INIT, csh = STRBUF_INIT;
    stub_text_sh(&program, name, &sh);
    stub_text_csh(&program, name, &csh);
    _cleanup_free_ char *sh_path = path_join(bin, "activate");
    _cleanup_free_ char *csh_path = path_join(bin, "activate.csh");
    int r = link_stub(s, bin, "activate.fish", STUB_LINK "activate.fish", err);
    if (r == 0)
        r = write_stub(s, sh_path, &sh, err);
    if (r == 0)
        r = write_stub(s, csh_path, &csh, err);
    return r;
}

int stubs_add(struct stubs *s, const char *name, const char *python_dir, struct verror *err)
{
    const char *last = python_dir ? python_dir : "python3";
    _cleanup_free_ char *bin = path_join(name, "bin"), *python = path_join(bin, last);
    if (!env_name_ok(name) || !path_component_ok(last, strlen(last)))
        return verror_set(err, EINVAL, "not a name for an environment: %s", name);
    struct stat st;
    if (fstatat(s->folder, python, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    const char *dirs[] = {name, bin};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        int r = io_mkdirat(s->folder, dirs[i], 0755);
        if (r < 0 && r != -EEXIST)
            return verror_errno(err, r, "making %s/%s", s->home->hub, dirs[i]);
        (void)fchmodat(s->folder, dirs[i], 0755, 0);
    }
    int r = write_env(s, name, bin, python_dir, err);
    for (size_t i = ARRAY_SIZE(dirs); i-- > 0;)
        (void)fchmodat(s->folder, dirs[i], 0555, 0);
    return r;
}

int stubs_remove(struct stubs *s, const char *name, struct verror *err)
{
    if (!env_name_ok(name))
        return verror_set(err, EINVAL, "not a name for an environment: %s", name);
    /* Through the descriptor: the path itself leads into the mounted hub. */
    _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d/%s", s->folder, name);
    int r = path_remove_tree(path);
    return r < 0 ? verror_errno(err, r, "removing the stubs of %s", name) : 0;
}

/* ---- the folder ---- */

/* Stubs of an environment that was removed while no daemon ran, or emptied, would start one in
 * vain. All that is no stub was moved away before. */
static int drop_removed(struct mover *m, const char *rel, struct verror *err)
{
    _cleanup_free_ char *current = xasprintf("%s/%s/current", m->stubs->home->envs, rel);
    if (strcmp(rel, STUB_FOLDER) == 0 ||
        (path_exists(current) && !env_is_emptied(m->stubs->home, rel)))
        return 0;
    return stubs_remove(m->stubs, rel, err);
}

static int find_versioned(struct mover *m, const char *rel, struct verror *err)
{
    (void)m, (void)err;
    return strncmp(path_basename(rel), "python3.", strlen("python3.")) == 0 ? -EEXIST : 0;
}

/* An environment made from inside gets its stubs before its tool says which Python it is. */
static int add_if_missing(struct stubs *s, const char *name, struct verror *err)
{
    _cleanup_free_ char *bin = path_join(name, "bin");
    struct mover m = {.stubs = s};
    struct env *env;
    if (is_folder(s, bin) && each_name(&m, bin, find_versioned, NULL) == -EEXIST)
        return 0;
    if (env_open(s->home, name, false, false, &env, NULL) < 0)
        return 0; /* a damaged environment is told of when it is used */
    _cleanup_free_ char *python_dir = inside_python_dir(env);
    int r = env->emptied ? 0 : stubs_add(s, name, python_dir, err);
    env_free(env);
    return r;
}

static int add_missing(struct stubs *s, struct verror *err)
{
    char **names;
    size_t n;
    int r = env_list(s->home, &names, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_if_missing(s, names[i], err);
    env_list_free(names, n);
    return r;
}

static char *own_program(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    return n > 0 ? xstrndup(path, (size_t)n) : xstrdup("venvfs");
}

static int fill_folder(struct stubs *s, struct strbuf *moved, struct verror *err)
{
    struct mover m = {.stubs = s, .moved = moved};
    int r = 0;
    if (!is_folder(s, STUB_FOLDER))
        r = each_name(&m, ".", find_any, err);
    if (r == 0)
        r = write_shared(s, err);
    if (r == 0)
        r = each_name(&m, ".", clean_hub, err);
    if (r == 0)
        r = each_name(&m, ".", drop_removed, err);
    if (r == 0)
        r = add_missing(s, err);
    free(m.to);
    return r;
}

int stubs_prepare(const struct home *home, struct stubs **ret, struct strbuf *moved,
                  struct verror *err)
{
    int r = path_mkdirs(home->hub, 0700);
    if (r < 0)
        return verror_errno(err, r, "making the hub's folder %s", home->hub);
    int folder = io_open(home->hub, O_PATH | O_DIRECTORY, 0);
    if (folder < 0)
        return verror_errno(err, folder, "%s", home->hub);
    struct stubs *s = xcalloc(1, sizeof(*s));
    *s = (struct stubs){.home = home, .program = own_program(), .folder = folder};
    r = fill_folder(s, moved, err);
    if (r < 0) {
        stubs_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct stubs *stubs_resume(const struct home *home, int folder)
{
    struct stubs *s = xcalloc(1, sizeof(*s));
    *s = (struct stubs){.home = home, .program = own_program(), .folder = folder};
    return s;
}

int stubs_descriptor(const struct stubs *s)
{
    return s->folder;
}

void stubs_free(struct stubs *s)
{
    if (!s)
        return;
    close(s->folder);
    free(s->program);
    free(s);
}
