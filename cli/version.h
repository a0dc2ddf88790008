#ifndef VENVFS_CLI_VERSION_H
#define VENVFS_CLI_VERSION_H

/* "venvfs 0.1.0" and the libraries with the versions found at run time, to standard output. */
void version_print(void);

#endif
