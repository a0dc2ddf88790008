/* A growing byte string, always NUL-terminated behind its length (git's strbuf is the model). */
#ifndef VENVFS_BASE_STRBUF_H
#define VENVFS_BASE_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct strbuf {
    char *buf; /* never NULL once something was added; "" before */
    size_t len;
    size_t alloc;
};

extern char strbuf_empty[];
#define STRBUF_INIT                                                                                \
    {                                                                                              \
        strbuf_empty, 0, 0                                                                         \
    }

void strbuf_init(struct strbuf *sb);
void strbuf_release(struct strbuf *sb); /* frees and re-initialises */
void strbuf_reset(struct strbuf *sb);   /* length 0, memory kept */
/* Hands the malloc'ed string over to the caller and re-initialises; *len may be NULL. */
char *strbuf_detach(struct strbuf *sb, size_t *len);

void strbuf_grow(struct strbuf *sb, size_t extra); /* room for `extra` more bytes */
void strbuf_add(struct strbuf *sb, const void *data, size_t len);
void strbuf_addstr(struct strbuf *sb, const char *s);
void strbuf_addch(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0), nonnull(2)));
void strbuf_truncate(struct strbuf *sb, size_t len); /* len <= sb->len */
bool strbuf_ends_with(const struct strbuf *sb, const char *suffix);

#define _cleanup_strbuf_ _cleanup_(strbuf_release)

#endif
