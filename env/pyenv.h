/* pyenv: its versions, its shims, its files. What `pyenv which` would run is found without starting
 * pyenv (100 ms). */
#ifndef VENVFS_ENV_PYENV_H
#define VENVFS_ENV_PYENV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"

/* $PYENV_ROOT, else ~/.pyenv. malloc'ed, or NULL. */
char *pyenv_root(void);
/* Is this file one of $PYENV_ROOT/shims? */
bool pyenv_is_shim(const char *path);
/* The program that the shim `name` would start from folder `dir` (NULL: the current one). *ret is
 * malloc'ed. -ENOENT with the reason. */
int pyenv_which(const char *name, const char *dir, char **ret, struct verror *err);

/* The program that PATH gives without pyenv's shims; pyenv calls it "system". malloc'ed, or NULL.
 */
char *pyenv_system(const char *name);

/* A `.python-version` file: the words of its lines that are no comment, in order. */
struct version_file {
    char *path;
    char **words; /* NULL-terminated; "3.11", "3.11.7", "system", "cpython-3.11", a name */
};
/* Reads one; at most 1024 bytes of it count, and words that would lead out of the versions' folder
 * ('/', "..") are skipped, as pyenv does. */
int version_file_read(const char *path, struct version_file *ret, struct verror *err);
/* The one that counts for `dir`: the first upwards with a word in it. -ENOENT when there is none.
 */
int version_file_find(const char *dir, struct version_file *ret, struct verror *err);
/* The words of PYENV_VERSION, which come before any file's; path stays NULL. False when it is not
 * set. */
bool version_words_from_environment(struct version_file *ret);
void version_file_release(struct version_file *file);

/* The folder ROOT/versions/X that a word means: itself, or the newest of its prefix ("3.11" is
 * "3.11.7"). malloc'ed, or NULL. */
char *pyenv_version_dir(const char *root, const char *word);

#endif
