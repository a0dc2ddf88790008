/* doctor: what is wrong with this user's venvfs, and the command that mends it.
 *
 * One function per area; each adds what it finds and a line that says how things are. They look and
 * change nothing, start no daemon, and never wait for a mount: whatever may hang is done in a child
 * (doctor_probe()). */
#ifndef VENVFS_CLI_DOCTOR_H
#define VENVFS_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/home.h"
#include "base/strbuf.h"
#include "env/envs.h"
#include "store/store.h"

enum doctor_area {
    DOCTOR_FUSE,
    DOCTOR_FOLDERS,
    DOCTOR_DAEMON,
    DOCTOR_STORE,
    DOCTOR_ENVS,
    DOCTOR_AREAS
};

enum doctor_level {
    DOCTOR_NOTE,    /* worth knowing; nothing to do */
    DOCTOR_WARNING, /* works, but something is not as it should be */
    DOCTOR_PROBLEM,
};

struct doctor_finding {
    enum doctor_area area;
    enum doctor_level level;
    const char *code; /* for programs, documented in venvfs(1); static */
    char *message;
    char *remedy; /* a command, or NULL */
    char *env, *path;
};

struct doctor_images; /* doctor_images.c */

struct doctor {
    struct home home;
    struct doctor_finding *v;
    size_t n, alloc;
    char *summary[DOCTOR_AREAS];
    long daemon;         /* its pid; 0: none runs */
    bool hangs;          /* it, or a mount of its: nothing in a mount may be looked at */
    struct store *store; /* NULL: none, or it cannot be used */
    struct doctor_images *images;
    size_t envs, plain; /* environments, and those that plain files stand for */
};

/* Adds a finding. What is returned is valid until the next one. */
struct doctor_finding *doctor_add(struct doctor *d, enum doctor_area area, enum doctor_level level,
                                  const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void doctor_remedy(struct doctor_finding *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Copies; NULL is accepted. */
void doctor_about(struct doctor_finding *f, const char *env, const char *path);
/* How an area is when nothing is wrong with it. */
void doctor_summary(struct doctor *d, enum doctor_area area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void doctor_release(struct doctor *d);
#define _cleanup_doctor_ _cleanup_(doctor_release)

/* Prints all of it. Returns the exit code. */
int doctor_print(const struct doctor *d);
int doctor_print_json(const struct doctor *d);

/* ---- the areas, in the order in which they are looked at ---- */

void doctor_folders(struct doctor *d);
/* Heals mounts whose daemon is gone, as every command does, and says so. Before the store is
 * opened: it forks. */
void doctor_daemon(struct doctor *d);
void doctor_store(struct doctor *d);
void doctor_envs(struct doctor *d);
/* After the environments: where all of them are plain files, FUSE is not needed. */
void doctor_fuse(struct doctor *d);

/* ---- what they share ---- */

/* Runs fn in a child, and appends what it writes to `out`. 0, -ETIMEDOUT when it did not end within
 * five seconds (the child is killed and not waited for: a process that waits for a hung mount may
 * not die), or errno of a call. */
int doctor_probe(void (*fn)(const void *arg, int out), const void *arg, struct strbuf *ret);
/* As umount(8) or fusermount3(1) is to be called by this user for a mount whose daemon is gone. */
char *doctor_umount_command(const char *path);
/* Is there a lock on the file (base/lock.h)? Changes nothing. */
bool doctor_is_locked(const char *path);

/* The image of a package, opened once for all environments. Borrowed; NULL: it cannot be used,
 * which is remembered to be told. */
struct image *doctor_image(struct doctor *d, const struct env *env,
                           const struct manifest_package *package);
/* Tells which images cannot be used and who needs them. */
void doctor_images_tell(struct doctor *d);
void doctor_images_free(struct doctor_images *images); /* NULL is accepted */

/* An environment's upper layer, what waits to be removed or to come back, and its plain files.
 * *edits grows by how many edits there are. settled: no command is changing the environment. */
void doctor_layer(struct doctor *d, const struct env *env, bool settled, size_t *edits);

/* What interpreters answered, each asked once. All zero: none yet. */
struct doctor_pythons {
    struct doctor_answer *v;
    size_t n, alloc;
};
/* Does the interpreter run, and is it what the manifest says? */
void doctor_python(struct doctor *d, const struct env *env, struct doctor_pythons *pythons);
void doctor_pythons_release(struct doctor_pythons *pythons);

/* Upper layers that processes have locked. All zero: nobody has looked yet. */
struct doctor_holders {
    struct doctor_holder *v;
    size_t n, alloc;
    bool looked, daemon_hidden;
};
/* Is the lock of the environment's upper layer held by a process that is no daemon of this user? */
void doctor_holder(struct doctor *d, const struct env *env, struct doctor_holders *holders);
void doctor_holders_release(struct doctor_holders *holders);

#endif
