#include "base/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"

struct progress {
    pthread_mutex_t lock; /* protects all below */
    char *title;
    char item[64];
    bool terminal, quiet, drawn;
    uint64_t items, items_total, bytes, bytes_total;
    double started, drawn_at;
};

static double now_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct progress *progress_new(const char *title, bool quiet)
{
    struct progress *p = xcalloc(1, sizeof(*p));
    const char *term = getenv("TERM");
    pthread_mutex_init(&p->lock, NULL);
    p->title = xstrdup(title);
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
    p->started = p->drawn_at = now_seconds();
    return p;
}

static void put(const struct strbuf *sb)
{
    ssize_t ignored = write(STDERR_FILENO, sb->buf, sb->len);
    (void)ignored;
}

static void add_bar(struct strbuf *sb, double part)
{
    enum { WIDTH = 20 };
    int full = (int)(part * WIDTH);
    strbuf_addch(sb, '[');
    for (int i = 0; i < WIDTH; i++)
        strbuf_addch(sb, i < full ? '#' : '.');
    strbuf_addstr(sb, "] ");
}

static void draw(struct progress *p, double now)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    double part = 0; /* by bytes, or by items where nobody knows the bytes */
    if (p->bytes_total)
        part = (double)p->bytes / (double)p->bytes_total;
    else if (p->items_total)
        part = (double)p->items / (double)p->items_total;
    double seconds = now - p->started;
    double rate = seconds > 0 ? (double)p->bytes / seconds / 1e6 : 0;
    strbuf_addf(&sb, "%s%s ", p->terminal ? "\r\033[K" : "venvfs: ", p->title);
    if (p->terminal)
        add_bar(&sb, part > 1 ? 1 : part);
    if (p->items_total)
        strbuf_addf(&sb, "%llu/%llu  ", (unsigned long long)p->items,
                    (unsigned long long)p->items_total);
    strbuf_addf(&sb, "%.1f", (double)p->bytes / 1e6);
    if (p->bytes_total)
        strbuf_addf(&sb, "/%.1f", (double)p->bytes_total / 1e6);
    strbuf_addf(&sb, " MB  %.1f MB/s", rate);
    if (part > 0.02)
        strbuf_addf(&sb, "  %.0f s left", seconds / part - seconds);
    if (p->item[0])
        strbuf_addf(&sb, "  %s", p->item);
    if (p->terminal) {
        struct winsize ws;
        size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
        if (sb.len > columns + 3)
            strbuf_truncate(&sb, columns + 3);
    } else {
        strbuf_addch(&sb, '\n');
    }
    put(&sb);
    p->drawn = true;
    p->drawn_at = now;
}

/* With the lock held. */
static void maybe_draw(struct progress *p)
{
    double now = now_seconds();
    if (p->quiet || now - p->started < 0.5)
        return;
    if (now - p->drawn_at >= (p->terminal ? 0.1 : 5.0))
        draw(p, now);
}

void progress_add_total(struct progress *p, uint64_t items, uint64_t bytes)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->items_total += items;
    p->bytes_total += bytes;
    pthread_mutex_unlock(&p->lock);
}

void progress_item(struct progress *p, const char *name)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    (void)snprintf(p->item, sizeof(p->item), "%s", name);
    maybe_draw(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_advance(struct progress *p, uint64_t items, uint64_t bytes)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->items += items;
    p->bytes += bytes;
    maybe_draw(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_finish(struct progress *p)
{
    if (!p)
        return;
    double seconds = now_seconds() - p->started;
    if (p->drawn && p->terminal) {
        static const char clear[] = "\r\033[K";
        ssize_t ignored = write(STDERR_FILENO, clear, sizeof(clear) - 1);
        (void)ignored;
    }
    if (!p->quiet && seconds > 1.0 && p->items) {
        _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
        strbuf_addf(&sb, "venvfs: %s: %llu packages, %.1f MB in %.1f s\n", p->title,
                    (unsigned long long)p->items, (double)p->bytes / 1e6, seconds);
        put(&sb);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->title);
    free(p);
}
