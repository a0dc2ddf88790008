/* Versions of Python and the ways people ask for one. */
#ifndef VENVFS_ENV_PYVERSION_H
#define VENVFS_ENV_PYVERSION_H

#include <stdbool.h>
#include <stddef.h>

#define PYVERSION_PARTS 3

/* X[.Y[.Z]] at the start of s; what follows must not be a digit or a dot with one. */
struct pyversion {
    unsigned part[PYVERSION_PARTS];
    unsigned n; /* how many were given, 1..3 */
};
/* Returns the number of bytes read, 0 when s does not start with a version. */
size_t pyversion_parse(const char *s, struct pyversion *ret);
/* Missing parts count as 0. */
int pyversion_cmp(const struct pyversion *a, const struct pyversion *b);
/* Do the parts given in both agree? "3.11" and "3.11.7" do. */
bool pyversion_agrees(const struct pyversion *a, const struct pyversion *b);

enum pyspec_kind {
    PYSPEC_ANY,     /* "python", "python3", "cpython": whatever is first */
    PYSPEC_PATH,    /* holds a slash */
    PYSPEC_VERSION, /* "3", "3.11", "3.11.7", "python3.12", "cpython3.12", "cpython-3.11", "3.13t"
                     */
    PYSPEC_RANGE,   /* ">=3.10,<3.13", "cpython>=3.10" */
    PYSPEC_SYSTEM,  /* "system": python3 on PATH, pyenv's shims left out */
    PYSPEC_NAME,    /* any other word: a program on PATH or a version of pyenv */
    PYSPEC_FOREIGN, /* another implementation: "pypy3.10" */
};
enum { PYSPEC_RANGE_SIZE = 64 };
struct pyspec {
    enum pyspec_kind kind;
    const char *text;              /* borrowed */
    struct pyversion version;      /* PYSPEC_VERSION */
    char range[PYSPEC_RANGE_SIZE]; /* PYSPEC_RANGE: its clauses alone */
    bool threaded;                 /* a free-threaded build: "3.13t" */
    unsigned bits;                 /* "3.12-64": 32 or 64; 0: either */
    char machine[16];              /* "3.12-x86_64", as platform.machine() says; "": any */
};
struct pyspec pyspec_parse(const char *text);
/* May an interpreter of this version (as far as it is known) be what was asked for? */
bool pyspec_admits(const struct pyspec *spec, const struct pyversion *version);

#endif
