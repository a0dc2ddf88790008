/* `.python-version` files, in the words of pyenv and uv. */
#ifndef VENVFS_ENV_VERSION_FILE_H
#define VENVFS_ENV_VERSION_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/verror.h"

/* The words of its lines that are no comment, the first of each line, in order. */
struct version_file {
    char *path;     /* NULL: the words are PYENV_VERSION's */
    char **words;   /* NULL-terminated; "3.11", "3.11.7", "system", "cpython-3.11", a name */
    char **refused; /* NULL-terminated, never NULL; words that no version can have */
};

/* Reads one. Words that would lead out of the versions' folder ('/', ".."; CVE-2022-35861) or are
 * longer than a name can be are refused. -ENOENT and other errnos of reading; -EFBIG. */
int version_file_read(const char *path, struct version_file *ret, struct verror *err);
/* The path of the file that counts for `dir`: the nearest upwards, by text. malloc'ed, or NULL. */
char *version_file_path(const char *dir);
/* Reads that one. -ENOENT when there is none. */
int version_file_find(const char *dir, struct version_file *ret, struct verror *err);
/* Replaces its content by these words, one a line. Written in place, as editors and links that lead
 * elsewhere expect. */
int version_file_write(const char *path, const char *const *words, struct verror *err);
/* The words of PYENV_VERSION, which come before any file's; path stays NULL, and nothing is
 * refused: who sets a variable may. False when it is not set, or empty. */
bool version_words_from_environment(struct version_file *ret);
void version_file_release(struct version_file *file);

#define _cleanup_version_file_ _cleanup_(version_file_release)

#endif
