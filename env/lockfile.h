/* Locks and requirements: from text to wheels in the store.
 *
 * venvfs writes no resolver, no index client and no TOML or PEP 508 parser: python/lock.py (with
 * pip's vendored packaging and tomli) reads locks, pip resolves, downloads and builds. The helper's
 * answer is cached in the catalog, keyed by all that shapes it, so the warm path is C alone.
 */
#ifndef VENVFS_ENV_LOCKFILE_H
#define VENVFS_ENV_LOCKFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/home.h"
#include "base/progress.h"
#include "base/verror.h"
#include "env/interp.h"
#include "store/store.h"
#include "wheel/wheel.h"

struct lock_request {
    const char *const *files; /* locks or requirement files, absolute paths */
    size_t n_files;
    const char *const *requirements; /* "requests>=2", "./x.whl", as pip install takes them */
    size_t n_requirements;
    /* Where relative paths in files and requirements start; NULL: at the caller's folder, as pip
     * has it. */
    const char *base;
    const char *const *constraints; /* "name==version" lines that must hold when resolving */
    size_t n_constraints;
    const char *const *groups, *const *extras; /* NULL-terminated, or NULL: the lock's defaults */
    bool no_deps;                              /* requirements: do not resolve dependencies */
    bool upgrade;
    bool refresh; /* resolve again although an answer is cached */
    bool offline; /* never start a download: -ENETUNREACH instead */
    size_t jobs;
    bool quiet;
};

struct lock_package {
    char *name, *version;
    bool requested;
    struct sha256 wheel;
    struct store_image image;
    char *direct_url; /* JSON text of the PEP 610 record, or NULL */
};
struct lock_result {
    struct lock_package *packages; /* sorted by normalised name */
    size_t n_packages;
    bool resolved;       /* the input was not a complete lock; pip resolved it */
    char *lock_text;     /* then: requirements with hashes, what was chosen */
    int64_t resolved_ns; /* then: when that was (a cached answer is older than the call) */
    /* Projects the lock wants installed editable: the store never holds those (design 5). */
    struct lock_editable {
        char *name, *path; /* normalised name, or NULL: a build will tell; absolute path */
    } * editables;
    size_t n_editables;
};

/* Which file of a pin: a lock's hashes do not name files, so a stored wheel with one of them that
 * fits the target is taken (the best of several), even if the index has one that fits better; what
 * is not stored is chosen by pip. A lock in which every requirement is pinned and hashed is taken
 * as complete and nothing is resolved. An answer that pip resolved for files alone holds until
 * `refresh` or until the input changes; for requirements given by word, ten minutes.
 *
 * Does everything from the lock's text to images in the store: evaluates markers for the target,
 * finds which pins are stored, has pip download and build the rest into a temporary folder, ingests
 * them (hashes of the lock enforced). Holds the store's lock shared. Errors: -ENOENT no such file
 * or package, -EINVAL a lock for another Python or malformed, -ENOEXEC no wheel fits the
 * interpreter, -ENETUNREACH the index cannot be reached, -EIO a build failed, -EBADMSG a hash
 * differs, ... of wheel_ingest(). *ret is untouched on failure. Blocks on the network. */
int lock_fulfil(const struct home *home, struct store *store, const struct interp *interp,
                const struct lock_request *request, const struct wheel_options *wheel,
                struct lock_result *ret, struct verror *err);
void lock_result_release(struct lock_result *result);

/* Does the interpreter satisfy requires-python of a pyproject.toml's [project]? *unfit is the
 * specifier (malloc'ed) if it does not, else NULL, also without a file or a word in it. Asks
 * packaging once for each content and version; the answer is kept in the catalog. -EINVAL: the file
 * is malformed. */
int lock_requires_python(const struct home *home, struct store *store, const struct interp *interp,
                         const char *pyproject, char **unfit, struct verror *err);

/* Adds what pip is told by variables and configuration files to a key of what it would choose. */
void lock_add_settings(struct sha256_state *st);

/* The path of a file: URL, percent signs decoded; NULL when it is none. malloc'ed. */
char *lock_path_of_url(const char *url);

/* Removes the downloads of killed commands below HOME; never those of live ones, whose locks tell.
 * With none there it costs one failed open. */
void lock_sweep(const struct home *home);

#endif
