#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { REMEMBERED = 512 };

struct log_memory {
    pthread_mutex_t lock; /* protects what follows; a leaf */
    uint64_t keys[REMEMBERED];
    size_t n, next; /* a ring once it is full */
};

struct log_memory *log_memory_new(void)
{
    struct log_memory *memory = xcalloc(1, sizeof(*memory));
    pthread_mutex_init(&memory->lock, NULL);
    return memory;
}

void log_memory_free(struct log_memory *memory)
{
    if (!memory)
        return;
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

/* Is the key new? Then it is remembered. */
static bool remember(struct log_memory *memory, uint64_t key)
{
    pthread_mutex_lock(&memory->lock);
    bool known = false;
    for (size_t i = 0; i < memory->n && !known; i++)
        known = memory->keys[i] == key;
    if (!known) {
        memory->keys[memory->next] = key;
        memory->next = (memory->next + 1) % REMEMBERED;
        memory->n += memory->n < REMEMBERED;
    }
    pthread_mutex_unlock(&memory->lock);
    return !known;
}

static void log_va(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static void log_va(const char *fmt, va_list ap)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &tm))
        strbuf_addf(&sb, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ", tm.tm_year + 1900, tm.tm_mon + 1,
                    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
    strbuf_addf(&sb, "[%ld] ", (long)getpid());
    strbuf_vaddf(&sb, fmt, ap);
    strbuf_addch(&sb, '\n');
    ssize_t ignored = write(STDERR_FILENO, sb.buf, sb.len);
    (void)ignored;
}

void log_line(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_va(fmt, ap);
    va_end(ap);
}

void log_once(struct log_memory *memory, const char *subject, int errnum, const char *fmt, ...)
{
    uint64_t key = checksum_of(subject, strlen(subject)) ^ (uint64_t)(unsigned)errnum;
    if (memory && !remember(memory, key))
        return;
    va_list ap;
    va_start(ap, fmt);
    log_va(fmt, ap);
    va_end(ap);
}
