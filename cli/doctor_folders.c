/* The folders that venvfs lives in, and the room there is. */
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "fs/mount.h"

#define LOW_SPACE (UINT64_C(1) << 30)

enum folder_kind { PRIVATE, INNER }; /* inner: below one that nobody else can enter */

static struct doctor_finding *problem(struct doctor *d, const char *path, const char *code,
                                      const char *what)
{
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_FOLDERS, DOCTOR_PROBLEM, code, "%s %s", path, what);
    doctor_about(f, NULL, path);
    return f;
}

static void foreign(struct doctor *d, const char *path, uid_t owner)
{
    const struct passwd *pw = getpwuid(owner);
    _cleanup_free_ char *name = pw ? xstrdup(pw->pw_name) : xasprintf("#%ld", (long)owner);
    _cleanup_free_ char *word = print_word(path);
    _cleanup_free_ char *what = xasprintf("belongs to the user %s, not to you", name);
    struct doctor_finding *f = problem(d, path, "folder-owner", what);
    if (geteuid() == 0)
        doctor_remedy(f, "sudo -u '%s' venvfs doctor", name);
    else
        doctor_remedy(f, "sudo chown -R %ld %s", (long)geteuid(), word);
}

static void check_mode(struct doctor *d, const char *path, mode_t mode, enum folder_kind kind)
{
    _cleanup_free_ char *word = print_word(path);
    struct doctor_finding *f;
    if ((mode & 0700) != 0700) {
        f = problem(d, path, "folder-mode", "cannot be read and written by you");
        doctor_remedy(f, "chmod u+rwx %s", word);
    }
    if (mode & 022) {
        f = problem(d, path, "folder-writable", "can be written by other users");
        doctor_remedy(f, "chmod go-w %s", word);
    } else if (mode & 077 && kind == PRIVATE) {
        f = doctor_add(d, DOCTOR_FOLDERS, DOCTOR_WARNING, "folder-readable",
                       "%s can be entered or read by other users", path);
        doctor_about(f, NULL, path);
        doctor_remedy(f, "chmod go-rwx %s", word);
    }
}

static void check(struct doctor *d, const char *path, enum folder_kind kind)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno != ENOENT)
            problem(d, path, "folder-unreadable", strerror(errno));
        return; /* made when it is needed */
    }
    if (!S_ISDIR(st.st_mode)) {
        _cleanup_free_ char *word = print_word(path);
        doctor_remedy(problem(d, path, "folder-kind", "is no folder"), "mv %s %s.old", word, word);
    } else if (st.st_uid != geteuid()) {
        foreign(d, path, st.st_uid);
    } else {
        check_mode(d, path, st.st_mode, kind);
    }
}

/* What lies beneath a mount is the daemon's; and the mount may not answer. */
static void look_at_hub(const void *arg, int out)
{
    const char *hub = arg;
    struct stat st;
    if (!mounted_at(hub) && stat(hub, &st) == 0)
        (void)io_write_all(out, &st, sizeof(st));
}

static void check_hub(struct doctor *d)
{
    _cleanup_strbuf_ struct strbuf answer = STRBUF_INIT;
    struct stat st;
    if (doctor_probe(look_at_hub, d->home.hub, &answer) < 0 || answer.len != sizeof(st))
        return;
    memcpy(&st, answer.buf, sizeof(st));
    if (!S_ISDIR(st.st_mode)) {
        _cleanup_free_ char *word = print_word(d->home.hub);
        doctor_remedy(problem(d, d->home.hub, "folder-kind", "is no folder to mount at"),
                      "mv %s %s.old", word, word);
    } else if (st.st_uid != geteuid()) {
        foreign(d, d->home.hub, st.st_uid);
    }
}

/* malloc'ed */
static char *nearest_existing(const char *path)
{
    char *at = xstrdup(path);
    while (strcmp(at, "/") != 0 && access(at, F_OK) < 0) {
        char *parent = path_dirname(at);
        free(at);
        at = parent;
    }
    return at;
}

static void check_space(struct doctor *d)
{
    _cleanup_free_ char *at = nearest_existing(d->home.store);
    char bytes[PRINT_BYTES_SIZE];
    struct statvfs fs;
    if (statvfs(at, &fs) < 0)
        return;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    print_bytes(left, bytes);
    doctor_summary(d, DOCTOR_FOLDERS, "%s, %s free", d->home.root, bytes);
    if (fs.f_flag & ST_RDONLY) {
        struct doctor_finding *f =
            problem(d, at, "read-only", "is on a file system that is mounted read-only");
        doctor_remedy(f, "set VENVFS_HOME to a folder that can be written");
    } else if (left < LOW_SPACE) {
        struct doctor_finding *f =
            doctor_add(d, DOCTOR_FOLDERS, DOCTOR_WARNING, "low-space",
                       "%s is left on the file system of the store, %s", bytes, d->home.store);
        doctor_about(f, NULL, d->home.store);
        doctor_remedy(f, "make room there, or set VENVFS_HOME to a folder on a bigger disk");
    }
}

void doctor_folders(struct doctor *d)
{
    const char *const inner[] = {d->home.store, d->home.envs, d->home.interpreters, d->home.tools};
    check(d, d->home.root, PRIVATE);
    for (size_t i = 0; i < ARRAY_SIZE(inner) && access(d->home.root, X_OK) == 0; i++)
        check(d, inner[i], INNER);
    check(d, d->home.runtime, PRIVATE);
    check_hub(d);
    doctor_summary(d, DOCTOR_FOLDERS, "%s", d->home.root);
    check_space(d);
}
