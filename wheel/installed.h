/* installed: from distributions that another installer put into a tree (an existing venv, what pip
 * wrote into an environment) to images ("Recording installed projects", PEP 376, PEP 610).
 *
 * Each .dist-info folder and its RECORD make one image, the same bytes as ingesting the wheel
 * makes, so that what the store knows is found again. Bytes decide, not RECORD: every file is read,
 * and one that is not what its row says is an *edit*: it is not in the image (unless the store has
 * the image of the unchanged distribution), and its bytes are the caller's to keep. Bytecode is not
 * taken but compiled anew; console scripts, #!python scripts, INSTALLER, REQUESTED, RECORD and
 * direct_url.json are treated as for wheels. The tree is only read, and is untrusted: no link in it
 * is followed.
 *
 * Done in two steps, so that a report needs no store: installed_read() looks and hashes,
 * installed_ingest() makes the images.
 */
#ifndef VENVFS_WHEEL_INSTALLED_H
#define VENVFS_WHEEL_INSTALLED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "base/verror.h"
#include "store/store.h"
#include "wheel/target.h"
#include "wheel/wheel.h"

struct installed_tree {
    const char *root; /* of the environment: an absolute path */
    const char *site; /* its site-packages, from the root; NULL: lib/pythonX.Y/site-packages */
    /* Paths that its scripts may name it by: the root's and those it had before it was moved.
     * NULL-terminated. */
    const char *const *names;
};

enum installed_state {
    INSTALLED_PACKAGE,  /* an image was, or can be, made */
    INSTALLED_EDITABLE, /* an editable install (PEP 660): its files are its author's, left alone */
    INSTALLED_REFUSED,  /* `error` says why; ENODATA: METADATA or RECORD is not there (yet) */
};

enum installed_edit_kind {
    INSTALLED_CHANGED, /* its bytes are others */
    INSTALLED_MISSING, /* not there */
    INSTALLED_LINK,    /* a symlink, or below one */
    INSTALLED_OTHER,   /* a folder, a FIFO, a device; or too big to be read */
};

/* Paths are those of the image, from the environment's root. */
struct installed_edit {
    char *path;
    enum installed_edit_kind kind;
};

struct wheel_plan;

struct installed_dist {
    char *dist_info; /* the folder's name */
    enum installed_state state;
    struct verror error;
    char *name, *version; /* of METADATA; NULL when it was refused before they were read */
    char *installer;      /* of INSTALLER, one line, or NULL */
    char *direct_url;     /* of direct_url.json, a JSON object, or NULL */
    bool requested;
    struct installed_edit *edits; /* sorted by path */
    size_t n_edits;
    char **owned; /* every file that RECORD or the image accounts for, sorted; edits too */
    size_t n_owned;
    /* Known after installed_ingest(): */
    struct store_image image;
    struct sha256 wheel; /* the wheel that the image was made from; of an image made from a tree the
                          * digest of the content */
    bool found;          /* the store had it */
    /* For this room: */
    struct sha256 content;  /* of the files as they are */
    struct sha256 recorded; /* as RECORD has them; the same when there are no edits */
    struct wheel_plan *plan;
};

struct installed;

/* Names of the .dist-info folders in the tree's site-packages, sorted. names: malloc'ed, to be
 * freed with installed_scan_free(). -ENOENT: there is no site-packages. */
int installed_scan(const struct installed_tree *tree, const struct wheel_target *target,
                   char ***names, size_t *n, struct verror *err);
void installed_scan_free(char **names, size_t n);

/* Reads the distributions of these .dist-info folders, in parallel. What is wrong with one of them
 * is in its `error` (-EBADMSG of a hostile or malformed RECORD; files outside the environment;
 * errno of a read). `target` must outlive *ret. A negative errno: the tree itself cannot be read.
 */
int installed_read(const struct installed_tree *tree, const struct wheel_target *target,
                   const char *const *dist_infos, size_t n, const struct wheel_options *options,
                   struct installed **ret, struct verror *err);
size_t installed_count(const struct installed *in);
struct installed_dist *installed_dist(struct installed *in, size_t i);

/* Makes sure that the store has an image of each distribution whose state is INSTALLED_PACKAGE: an
 * image of the recorded or of the present content is found, else one is made, all in one put.
 * Call once, with the target's options of before. Takes the store's lock shared. -ESTALE: a file
 * was changed since it was read; read again. */
int installed_ingest(struct installed *in, struct store *store, const struct wheel_options *options,
                     struct verror *err);
void installed_free(struct installed *in); /* NULL is accepted */

bool installed_owns(const struct installed_dist *dist, const char *path);
/* NULL: no edit. */
const struct installed_edit *installed_edit_at(const struct installed_dist *dist, const char *path);

#endif
