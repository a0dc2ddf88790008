/* What the files lock*.c share. */
#ifndef VENVFS_ENV_LOCK_INTERNAL_H
#define VENVFS_ENV_LOCK_INTERNAL_H

#include <jansson.h>

#include "base/strbuf.h"
#include "env/lockfile.h"

/* A local folder and its copy below the temporary folder, both also as file: URLs. */
struct lock_copy {
    char *path, *url, *copy, *copy_url;
};

/* One call of lock_fulfil(). */
struct lock_job {
    const struct home *home;
    struct store *store;
    const struct interp *interp;
    const struct lock_request *request;
    const struct wheel_options *wheel;
    char *target_key;
    char *cwd;
    /* Filled when first needed: */
    struct interp **interps; /* all found, newest first */
    size_t n_interps;
    char *pip;         /* what the target runs as `python pip ...` */
    char *pip_version; /* "24.2" */
    char *tmp;         /* a private folder below HOME, gone at the end */
    int tmp_lock;
    struct lock_copy *copies;
    size_t n_copies;
};

/* Frees what a job owns and removes its temporary folder. */
void lock_job_release(struct lock_job *job);

/* One package that the lock (or pip) has chosen. */
struct lock_pin {
    char *name;    /* normalised */
    char *version; /* NULL: known once it is built */
    char *where;   /* "FILE:LINE", for messages */
    bool requested, no_binary;
    char **hashes; /* "sha256:HEX", also sha384 and sha512 */
    size_t n_hashes;
    char *path;             /* a local wheel file, or NULL */
    char *by_name, *by_url; /* lines for pip, with hashes; either may be NULL */
    char *direct_url;       /* JSON text of the PEP 610 record, or NULL */
};

struct lock_input {
    char *path;
    bool missing; /* and has to stay so */
    struct sha256 digest;
};
struct lock_variable {
    char *name;
    bool set;
    struct sha256 digest;
};

/* What lock.py made of the input, or pip's report. */
struct lock_plan {
    bool complete;              /* nothing to resolve */
    bool mixed;                 /* incomplete, but not all files are requirement files */
    bool is_volatile, relative; /* hangs on what cannot be watched; on the current folder */
    char *why;                  /* the first reason why it is not complete, or NULL */
    struct lock_pin *pins;
    size_t n_pins, alloc_pins;
    struct lock_input *inputs;
    size_t n_inputs;
    struct lock_variable *variables;
    size_t n_variables;
    char **options; /* lines for pip's requirements file; may hold credentials */
    size_t n_options;
    json_t *lines; /* all that the files say, to be staged, when a local folder is among it */
    char **words;  /* requirements that no file tells pip (of a pyproject.toml) */
    size_t n_words;
    char **names; /* normalised names that the input names itself */
    size_t n_names;
    struct lock_editable *editables;
    size_t n_editables;
};
void lock_plan_release(struct lock_plan *plan);
void lock_pin_release(struct lock_pin *pin);
struct lock_pin *lock_plan_add(struct lock_plan *plan); /* zeroed; valid until the next call */
/* One for each path; name may be NULL when it is not known yet. */
void lock_plan_add_editable(struct lock_plan *plan, const char *name, const char *path);

/* lock_plain.c: what lock.py would answer, for files of plain pins with hashes alone; false: it has
 * to be asked. */
bool lock_plain_read(const struct lock_job *job, struct lock_plan *ret);

/* lock_read.c: runs lock.py. */
int lock_read(struct lock_job *job, struct lock_plan *ret, struct verror *err);
int lock_helper(struct lock_job *job, json_t *request, json_t **ret, struct verror *err);

/* lock_pip.c: runs pip for the target. */
struct lock_pip_run {
    const char *const *args; /* NULL-terminated, behind `python pip` */
    const char *python;      /* that runs it; NULL: the target's base interpreter */
    const char *tmpdir;
    struct strbuf output, diagnostics;
    int status;
};
/* Chooses job->pip; call it before the first run. Not thread-safe; lock_pip_start() is. */
int lock_pip_choose(struct lock_job *job, struct verror *err);
int lock_pip_start(const struct lock_job *job, struct lock_pip_run *run, struct verror *err);
/* Replaces plan's pins by those of pip's resolution. */
int lock_resolve(struct lock_job *job, struct lock_plan *plan, struct verror *err);
/* The folder job->tmp, made when first needed; NULL with err set. */
const char *lock_tmp(struct lock_job *job, struct verror *err);
void lock_tmp_remove(struct lock_job *job);

/* lock_report.c */
int lock_report_read(const struct lock_job *job, const char *text, size_t len,
                     struct lock_plan *plan, struct verror *err);
/* The plan as requirements with hashes. malloc'ed. */
char *lock_plan_text(const struct lock_plan *plan);

/* lock_stage.c: pip resolves and builds local folders in copies of them. */

/* Copies folders that have no copy yet. lines: those of a plan; then *file (malloc'ed) is a
 * requirements file that says the same of the copies. */
int lock_stage(struct lock_job *job, const char *const *folders, size_t n, json_t *lines,
               char **file, struct verror *err);
/* Copies the folders that these pins (indices into plan->pins) are built from. */
int lock_stage_pins(struct lock_job *job, const struct lock_plan *plan, const size_t *pins,
                    size_t n, struct verror *err);
/* Appends one of the pin's lines, with the copy in place of its folder. */
void lock_stage_line(const struct lock_job *job, const struct lock_pin *pin, const char *line,
                     struct strbuf *sb);
const struct lock_copy *lock_copy_of(const struct lock_job *job, const char *path);
const struct lock_copy *lock_original_of(const struct lock_job *job, const char *path);
/* Puts folders in place of their copies. */
void lock_unstage_text(const struct lock_job *job, struct strbuf *sb);
void lock_copies_release(struct lock_job *job);

/* lock_error.c: pip's standard error, condensed to a line for people; returns the errno. */
int lock_pip_error(const struct lock_job *job, const struct strbuf *diagnostics,
                   struct verror *err);
/* lock_explain.c: after -ENOENT of pip. When the index has the package, but nothing that fits, says
 * which tags were wanted and found (-ENOEXEC instead). */
int lock_explain_missing(struct lock_job *job, const struct lock_plan *plan, struct verror *err);
/* Puts "***" in place of the user and password of every URL. */
void lock_redact(struct strbuf *sb);

/* lock_fetch.c: wheels of the wanted pins (indices into plan->pins) into the store. */
struct lock_found {
    bool known;
    struct sha256 wheel;
    struct store_image image;
};
int lock_fetch(struct lock_job *job, const struct lock_plan *plan, const size_t *wanted, size_t n,
               struct lock_found *found, struct verror *err);
/* The key under which a pin's chosen wheel is remembered. */
void lock_choice_key(const struct lock_job *job, const struct lock_pin *pin, struct sha256 *ret);

/* lock_cache.c: answers. */
int lock_cache_key(const struct lock_job *job, struct sha256 *ret, struct verror *err);
/* 0: *ret is complete and all its images are in the store. -ENOENT: no usable answer. */
int lock_cache_load(const struct lock_job *job, const struct sha256 *key, struct lock_result *ret,
                    struct verror *err);
int lock_cache_save(const struct lock_job *job, const struct sha256 *key,
                    const struct lock_plan *plan, const struct lock_result *result,
                    struct verror *err);

#endif
