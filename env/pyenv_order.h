/* The orders of versions' names. */
#ifndef VENVFS_ENV_PYENV_ORDER_H
#define VENVFS_ENV_PYENV_ORDER_H

#include <stdbool.h>

/* As `sort --version-sort`: runs of digits by their number, "~" before everything, letters before
 * other signs. */
int pyenv_order(const char *a, const char *b);
/* Development builds and pre-releases ("3.14.0rc1", "3.14-dev"), which no prefix means. */
bool pyenv_is_unfinished(const char *name);
/* A free-threaded build's name, or prefix: "3.13.1t". */
bool pyenv_is_threaded(const char *name);

#endif
