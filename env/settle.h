/* settle: what installers wrote into an environment's upper layer, as packages of its next
 * generation.
 *
 * Bytes decide, not RECORD: a file that differs from its row stays an edit, and so does every file
 * that no RECORD lists. A distribution is taken when its .dist-info folder has something in the
 * upper and its RECORD can be read; a package leaves when nothing of it shows any more. Editable
 * installs are their authors', and stay where they are.
 *
 * Nothing here writes to the upper or to the environment; it belongs to the daemon, and commands
 * hand the results to it (fs/control.h, "settle"). Done in steps: settle_read() looks and hashes,
 * settle_ingest() makes the images, settle_apply() changes the next manifest, settle_compare()
 * finds what gives way to the view of that.
 */
#ifndef VENVFS_ENV_SETTLE_H
#define VENVFS_ENV_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/verror.h"
#include "env/manifest.h"
#include "env/view.h"
#include "wheel/installed.h"

struct settle_from {
    const struct manifest *manifest; /* of the current generation */
    const struct view *view;         /* of it */
    const char *upper;               /* the layer on disk */
    const char *root;                /* the environment as it is shown */
    const char *const *names;        /* by which its scripts may name it; NULL-terminated */
    const struct wheel_target *target;
};

/* A file, link or other thing of the upper that is no folder. */
struct settle_file {
    char *path;  /* from the root */
    mode_t mode; /* as it is shown, with its type */
    uid_t uid;
    nlink_t links;
    uint64_t ino;
    int64_t size, mtime_ns, ctime_ns;
    /* settle_compare(): the view has it, with the same bytes or with others that mean the same. */
    enum settle_way { SETTLE_STAYS, SETTLE_SAME, SETTLE_OTHER } way;
};

struct settle_problem {
    char *what; /* a distribution */
    char *why;
};

struct settle {
    struct settle_file *files; /* sorted by path */
    size_t n_files, alloc_files;
    struct installed *own;         /* read on disk */
    struct installed *shown;       /* those that are not whole there, as they show; or NULL */
    struct installed_dist **dists; /* those that become packages */
    size_t n_dists;
    char **gone; /* normalised names of packages and editables that leave */
    size_t n_gone;
    struct settle_problem *problems; /* what is left as it is, and why */
    size_t n_problems;
    bool unfinished; /* an installation seems to be under way: files are missing */
    char **hidden;   /* settle_compare(): paths that would show though they were removed */
    size_t n_hidden;
};

/* -EUCLEAN: a mark of the layer is damaged; else errno of a call. */
int settle_read(const struct settle_from *from, const struct wheel_options *options,
                struct settle *ret, struct verror *err);
/* Images of the distributions. Takes the store's lock shared. Errors of installed_ingest(). */
int settle_ingest(struct settle *s, struct store *store, const struct wheel_options *options,
                  struct verror *err);
/* Changes a copy of the manifest. After settle_ingest(). */
void settle_apply(const struct settle *s, struct manifest *next);
/* after: the view of that. Fills the files' way, and hidden. */
int settle_compare(struct settle *s, const struct settle_from *from, const struct view *after,
                   struct verror *err);
void settle_release(struct settle *s);
#define _cleanup_settle_ _cleanup_(settle_release)

#endif
