#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "fs/control.h"

#define FS_TYPE "fuse.venvfs"
#define CAP_SYS_ADMIN_BIT 21
#define WORDS_LIMIT 65536

/* ---- may we mount? ---- */

/* A field of /proc/self/status as a number in the given base; fallback when it is missing. */
static unsigned long long status_field(const char *name, int base, unsigned long long fallback)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    size_t len = strlen(name);
    unsigned long long value = fallback;
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            value = strtoull(line + len + 1, NULL, base);
    if (f)
        fclose(f);
    return value;
}

unsigned long long mount_privileges(void)
{
    return status_field("CapEff", 16, 0);
}

static bool may_mount_directly(void)
{
    return (mount_privileges() >> CAP_SYS_ADMIN_BIT) & 1;
}

static int check_helper(struct verror *err)
{
    _cleanup_free_ char *helper = proc_which("fusermount3");
    struct stat st;
    if (!helper && access("/usr/bin/fusermount3", X_OK) == 0)
        helper = xstrdup("/usr/bin/fusermount3");
    if (!helper) {
        verror_set(err, EPERM, "mounting needs the program fusermount3, which is not installed");
        return verror_hint(err, "apt install fuse3"), -EPERM;
    }
    if (geteuid() == 0) {
        verror_set(err, EPERM,
                   "this root user lacks the privilege to mount (CAP_SYS_ADMIN), as in "
                   "most containers");
        return verror_hint(err, "start the container with --device /dev/fuse --cap-add SYS_ADMIN, "
                                "or materialize the environment into plain files"),
               -EPERM;
    }
    if (status_field("NoNewPrivs", 10, 0) != 0 || stat(helper, &st) < 0 ||
        !(st.st_mode & S_ISUID)) {
        verror_set(err, EPERM, "%s cannot gain the privilege to mount here", helper);
        return verror_hint(err, "materialize the environment into plain files"), -EPERM;
    }
    return 0;
}

int fuse_usable(struct verror *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return may_mount_directly() ? 0 : check_helper(err);
    }
    if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
        verror_set(err, ENODEV, "there is no /dev/fuse here: the kernel's FUSE is not available");
        verror_hint(err, "modprobe fuse, or start the container with --device /dev/fuse; else "
                         "materialize the environment into plain files");
        return -ENODEV;
    }
    int r = -errno;
    verror_errno(err, r, "/dev/fuse");
    verror_hint(err, "let this user read and write /dev/fuse, or materialize the environment into "
                     "plain files");
    return r == -EPERM ? -EPERM : -EACCES;
}

void mount_words_begin(struct mount_words *w)
{
    w->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    w->file = memfd_create("words", MFD_CLOEXEC);
    if (w->saved >= 0 && w->file >= 0)
        dup2(w->file, STDERR_FILENO);
}

char *mount_words_end(struct mount_words *w)
{
    struct strbuf words = STRBUF_INIT;
    if (w->saved >= 0) {
        dup2(w->saved, STDERR_FILENO);
        close(w->saved);
    }
    if (w->file >= 0) {
        if (lseek(w->file, 0, SEEK_SET) == 0)
            (void)io_read_to_end(w->file, &words, WORDS_LIMIT);
        close(w->file);
    }
    if (words.len)
        (void)io_write_all(STDERR_FILENO, words.buf, words.len);
    return strbuf_detach(&words, NULL);
}

int mount_explain(const char *path, int errnum, const char *words, struct verror *err)
{
    int r = fuse_usable(err);
    if (r < 0)
        return r;
    if (errnum == 0)
        errnum = EPERM;
    size_t len = strcspn(words, "\n");
    if (len)
        verror_set(err, errnum, "mounting at %s: %.*s", path, (int)len, words);
    else
        verror_errno(err, errnum, "mounting at %s", path);
    verror_hint(err, "the folder must be this user's and on a local file system");
    return -errnum;
}

/* ---- unmounting ---- */

static int unmount_by_helper(const char *path, bool lazy, struct verror *err)
{
    const char *argv[6] = {"fusermount3", "-u"};
    size_t n = 2;
    if (lazy)
        argv[n++] = "-z";
    argv[n++] = "--";
    argv[n++] = path;
    _cleanup_strbuf_ struct strbuf words = STRBUF_INIT;
    struct proc_options options = {.cwd = "/", .output = &words, .diagnostics = &words};
    int status;
    int r = proc_run(argv, &options, &status, err);
    if (r < 0 || status == 0)
        return r;
    words.buf[strcspn(words.buf, "\n")] = '\0';
    bool busy = strstr(words.buf, "busy") != NULL;
    return verror_set(err, busy ? EBUSY : EPERM, "unmounting %s: %s", path, words.buf);
}

int unmount_path(const char *path, bool lazy, struct verror *err)
{
    if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return 0;
    if (errno == EPERM)
        return unmount_by_helper(path, lazy, err);
    return verror_errno(err, errno, "unmounting %s", path);
}

/* ---- what is mounted ---- */

/* Undoes mountinfo's octal escapes in place. */
static void unescape(char *s)
{
    char *to = s;
    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [FIELDS] - TYPE SOURCE SUPER" */
static bool is_ours_at(char *line, const char *path)
{
    char *rest = strstr(line, " - ");
    if (!rest || strncmp(rest + 3, FS_TYPE " ", strlen(FS_TYPE) + 1) != 0)
        return false;
    char *save = NULL, *field = strtok_r(line, " ", &save);
    for (int i = 0; field && i < 4; i++)
        field = strtok_r(NULL, " ", &save);
    if (!field)
        return false;
    unescape(field);
    return strcmp(field, path) == 0;
}

/* The path as mountinfo has it. Only what leads to the mount is resolved: a dead mount itself may
 * not answer. malloc'ed. */
static char *resolve(const char *path)
{
    struct stat st;
    _cleanup_free_ char *dir = path_dirname(path), *real_dir = realpath(dir, NULL);
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        char *real = realpath(path, NULL);
        return real ? real : xstrdup(path);
    }
    return real_dir ? path_join(real_dir, path_basename(path)) : xstrdup(path);
}

bool mounted_at(const char *given)
{
    _cleanup_free_ char *path = resolve(given);
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t alloc = 0;
    bool found = false;
    while (f && !found && getline(&line, &alloc, f) > 0)
        found = is_ours_at(line, path);
    free(line);
    if (f)
        fclose(f);
    return found;
}

enum mount_health mount_health(const char *path)
{
    struct statfs st;
    if (!mounted_at(path))
        return MOUNT_NONE;
    /* Not opendir() or stat(): those succeed from the kernel's caches, and without a message under
     * no-opendir, though the daemon is gone. STATFS is never cached. */
    if (statfs(path, &st) == 0)
        return MOUNT_LIVE;
    return errno == ENOTCONN || errno == ECONNABORTED ? MOUNT_STALE : MOUNT_LIVE;
}
