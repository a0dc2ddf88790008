/* Two generations of an environment compared, and the options that a manifest remembers. */
#ifndef VENVFS_CLI_DIFFERENCE_H
#define VENVFS_CLI_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "env/manifest.h"
#include "wheel/target.h"

/* In anything but number, time and reason. */
bool manifests_differ(const struct manifest *a, const struct manifest *b);
bool manifest_packages_differ(const struct manifest *a, const struct manifest *b);
/* Do both have editables of the same names? */
bool manifest_editables_named(const struct manifest *a, const struct manifest *b);
/* Notes "Python old -> new", "+ name version", "- name version", "~ name old -> new" and a summary;
 * of a new environment (before NULL) only the summary. A package of the same version is a line
 * only when its wheel is another though Python is not. */
void print_difference(const struct manifest *before, const struct manifest *after);

/* The package of this normalised name, or NULL. */
const struct manifest_package *manifest_package_named(const struct manifest *m,
                                                      const char *normalised);

/* Options remembered in the manifest's settings; NULL or false removes the key. settings_set()
 * takes the value over. */
void settings_set(struct manifest *m, const char *key, json_t *value);
void settings_set_words(struct manifest *m, const char *key, const char *const *words);
void settings_set_flag(struct manifest *m, const char *key, bool value);
/* NULL-terminated, the strings borrowed; free() the array. NULL when absent. */
const char **settings_words(const struct manifest *m, const char *key);
bool settings_flag(const struct manifest *m, const char *key);
/* Is _venvfs.pth shown (env/view.h)? Unless it was left out. */
void settings_set_accelerator(struct manifest *m, bool shown);
/* How its packages are compiled. */
struct wheel_compile settings_compile(const struct manifest *m);

#endif
