/* Files that `python -m venv` and virtualenv put beside the interpreter. Texts are our own;
 * variables, prompt and behaviour are those of CPython's Lib/venv/scripts and virtualenv's
 * activators. */
#ifndef VENVFS_ENV_ACTIVATION_H
#define VENVFS_ENV_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "env/manifest.h"

/* pyvenv.cfg: home, include-system-site-packages, version, executable, prompt ... (PEP 405). */
void activation_pyvenv_cfg(const struct manifest *m, const char *address, struct strbuf *sb);

struct activation_file {
    const char *name;      /* in bin/ */
    const char *activator; /* virtualenv's name of it */
    void (*text)(const struct manifest *m, const char *address, struct strbuf *sb);
};
/* activate, activate.csh, activate.fish, Activate.ps1, activate.nu, activate.xsh, activate_this.py.
 * All quote any address: spaces, quotes, $, non-ASCII. */
extern const struct activation_file activation_files[];
extern const size_t activation_n_files;

/* Settings of a manifest that decide what of this is there (cli/front.c sets them):
 *   "made_by": "virtualenv"      pyvenv.cfg also has the keys that virtualenv writes
 *   "gitignore": true or false   .gitignore is there; without it from Python 3.13 on
 *   "activators": [NAME, ...]    these files alone */
bool activation_wanted(const struct manifest *m, const struct activation_file *file);
bool activation_gitignore(const struct manifest *m);

#endif
