/* What of an interpreter shapes an installed package. env/interp.c fills it from the interpreter's
 * own answers; this room needs no more of it. */
#ifndef VENVFS_WHEEL_TARGET_H
#define VENVFS_WHEEL_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wheel_target {
    const char *executable;  /* absolute path of the base interpreter, for the bytecode workers */
    unsigned major, minor;   /* 3, 11 */
    const char *cache_tag;   /* sys.implementation.cache_tag, "cpython-311" */
    uint32_t magic;          /* importlib.util.MAGIC_NUMBER, little-endian */
    const char *python_dir;  /* "python3.11": the folder in lib/ and include/site/ */
    const char *const *tags; /* supported tags, best first, "cp311-cp311-manylinux_2_17_x86_64" */
    size_t n_tags;
};

struct wheel_compile {
    bool enabled;
    unsigned levels; /* bit N: compile with optimisation level N; 1 by default */
};

/* The store's key for images of this target: "cp311-3495-lib/python3.11-c1-f1" (tag, magic number,
 * folder, levels of bytecode as in wheel_compile or 0, and the number of the installed form that
 * this program makes). malloc'ed. */
char *wheel_target_key(const struct wheel_target *target, const struct wheel_compile *compile);

/* Rank of the best tag of a wheel's file name, 0 the best; -1: none fits. Compressed tag sets
 * ("py2.py3-none-any") are expanded (PEP 425, PEP 427). */
int wheel_target_rank(const struct wheel_target *target, const char *wheel_filename);

#endif
