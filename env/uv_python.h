/* The interpreters that uv installed. */
#ifndef VENVFS_ENV_UV_PYTHON_H
#define VENVFS_ENV_UV_PYTHON_H

/* UV_PYTHON_INSTALL_DIR, else uv/python in the user's data. malloc'ed, or NULL. */
char *uv_python_dir(void);
/* The version that a folder there is named for, as pyenv would call it: "3.12.7" of
 * "cpython-3.12.7-linux-x86_64-gnu", "3.13.0t" of "cpython-3.13.0+freethreaded-...". malloc'ed;
 * NULL: uv's links of minor versions, debug builds and what is no CPython. */
char *uv_python_version(const char *folder);

#endif
