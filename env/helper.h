/* Where venvfs's Python helpers are. */
#ifndef VENVFS_ENV_HELPER_H
#define VENVFS_ENV_HELPER_H

/* The folder with venvfs's Python helpers: beside the program as installed (EXE/../share/venvfs,
 * also when the whole prefix was moved), the source tree's when it runs from a build folder, else
 * where the build was told to install them. Decided once per process. Thread-safe. */
const char *helper_dir(void);

#endif
