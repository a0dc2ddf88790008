/* Allocation that cannot return NULL.
 *
 * A command of venvfs may die at any moment without harm (the store's order of a put sees to it),
 * so running out of memory ends the process with one line on standard error. The daemon's request
 * path must not use these with a size that a client or a file chose: it calls malloc() and answers
 * ENOMEM.
 */
#ifndef VENVFS_BASE_MEM_H
#define VENVFS_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* Grows an array to hold at least `need` elements; *alloc is in elements and doubles. */
void *xgrow(void *p, size_t *alloc, size_t need, size_t element_size)
    __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
char *xvasprintf(const char *fmt, va_list ap)
    __attribute__((format(printf, 1, 0), returns_nonnull));

#endif
