/* manifest: the immutable description of one generation of an environment (JSON on disk, stable key
 * order, human-readable). */
#ifndef VENVFS_ENV_MANIFEST_H
#define VENVFS_ENV_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verror.h"
#include "env/manifest_editable.h"
#include "store/store.h"

struct manifest_package {
    char *name; /* as in METADATA */
    char *version;
    char *normalised; /* PEP 503; packages are sorted by it, and later ones win a contested path */
    struct store_image image;
    struct sha256 wheel; /* the wheel it came from */
    bool requested;      /* asked for by name: REQUESTED is present */
    bool seed;           /* pip or setuptools, seeded at creation */
    char *installer;     /* what INSTALLER says, one line; NULL: venvfs */
    json_t *direct_url;  /* PEP 610 record, or NULL */
    int64_t entered_ns;  /* when it entered this environment; later than any earlier package's */
};

struct manifest {
    unsigned generation; /* 1, 2, ... */
    char *reason;        /* "create", "sync", "install requests" */
    int64_t time_ns; /* of this generation; the mtime of every merged folder; strictly increasing */
    char *address;   /* the environment's path as its user names it */
    char *prompt;    /* or NULL: the address's last component */
    bool system_site_packages;
    bool bare;      /* made from inside: a tool writes pyvenv.cfg, bin/python* and the activation
                       files itself, so none is generated */
    unsigned upper; /* which writable layer lies on top (env/env_layer.h) */
    /* The interpreter, as the generated files need it. All NULL in one that is bare while nobody
     * has read what the tool wrote (env/inside.h): */
    char *executable, *base_executable, *home, *version; /* see struct interp */
    char *python_dir;                                    /* "python3.11" */
    char *platlibdir;
    bool is_64bit;
    char *target_key; /* wheel_target_key() of its images */
    char *project;    /* folder of the project bound to it, or NULL */
    json_t *settings; /* remembered options of the project (lock, groups, extras), object or NULL */
    struct manifest_package *packages;
    size_t n_packages;
    struct manifest_editable *editables; /* sorted by normalised name */
    size_t n_editables;
};

struct manifest *manifest_new(void);
/* An empty one for the environment of another, to be written to from inside: address, prompt,
 * project and settings are kept. */
struct manifest *manifest_bare(const struct manifest *of, const char *reason);
struct manifest *manifest_copy(const struct manifest *m);
void manifest_free(struct manifest *m); /* NULL is accepted */
/* The version of its Python, or "none". */
static inline const char *manifest_python(const struct manifest *m)
{
    return m->version ? m->version : "none";
}
struct manifest_package *manifest_find(struct manifest *m, const char *normalised);
/* Adds a package (all zero, name and normalised set) or returns the one of this name. Keeps the
 * order. */
struct manifest_package *manifest_add(struct manifest *m, const char *name);
bool manifest_drop(struct manifest *m, const char *normalised);
/* Copies; NULL and "venvfs" are the same. */
void manifest_set_installer(struct manifest_package *p, const char *installer);

/* Text to and from JSON. A manifest is checked completely when read: -EBADMSG with what is wrong.
 */
char *manifest_to_json(const struct manifest *m);
int manifest_from_json(const char *text, size_t len, struct manifest **ret, struct verror *err);
/* The same without the packages, which are only counted, one a line, and not looked into: for who
 * only tells what there is. (*ret)->packages is NULL. */
int manifest_glance(const char *text, size_t len, struct manifest **ret, size_t *n_packages,
                    struct verror *err);

#endif
