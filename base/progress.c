/* DESIGN
 *
 * Those who work only count; a thread of the progress draws, so that the line moves on while a
 * worker waits, and no worker waits for a terminal. It is started by the first thing that is told
 * about the work: a command that finds everything done starts no thread.
 *
 * Two clocks: what takes over half a second is drawn, whatever it is; rate and time left count from
 * the first total, because before it nothing of the whole was worked on.
 */
#include "base/progress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/progress_line.h"
#include "base/strbuf.h"

struct progress {
    pthread_mutex_t lock; /* protects all below; a leaf */
    pthread_cond_t ending;
    pthread_t drawer;
    char *title;
    char item[64];
    bool terminal, quiet, running, over, drawn;
    uint64_t items, items_total, bytes, bytes_total;
    double started; /* the first total; 0: none yet */
    double begun;   /* the first word of any kind */
};

static double seconds_of(const struct timespec *ts)
{
    return (double)ts->tv_sec + (double)ts->tv_nsec / 1e9;
}

static double now_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return seconds_of(&ts);
}

struct progress *progress_new(const char *title, bool quiet)
{
    struct progress *p = xcalloc(1, sizeof(*p));
    const char *term = getenv("TERM");
    pthread_condattr_t monotonic;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->ending, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->title = xstrdup(title);
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
    return p;
}

static void put(const struct strbuf *sb)
{
    ssize_t ignored = write(STDERR_FILENO, sb->buf, sb->len);
    (void)ignored;
}

static struct progress_state state_of(const struct progress *p)
{
    double since = p->started > 0 ? p->started : p->begun;
    return (struct progress_state){
        .title = p->title,
        .item = p->item,
        .items = p->items,
        .items_total = p->items_total,
        .bytes = p->bytes,
        .bytes_total = p->bytes_total,
        .seconds = since > 0 ? now_seconds() - since : 0,
    };
}

static size_t terminal_columns(void)
{
    struct winsize ws;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
}

static void draw(struct progress *p)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    struct progress_state state = state_of(p);
    strbuf_addstr(&sb, p->terminal ? "\r\033[K" : "venvfs: ");
    progress_line(&state, p->terminal ? terminal_columns() : 0, &sb);
    if (!p->terminal)
        strbuf_addch(&sb, '\n');
    put(&sb);
    p->drawn = true;
}

/* With the lock held: false when the progress is over first. */
static bool sleep_until(struct progress *p, struct timespec *when, long milliseconds)
{
    when->tv_sec += milliseconds / 1000;
    when->tv_nsec += milliseconds % 1000 * 1000000;
    when->tv_sec += when->tv_nsec / 1000000000;
    when->tv_nsec %= 1000000000;
    int r = 0;
    while (!p->over && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&p->ending, &p->lock, when);
    return !p->over;
}

static void *drawer(void *arg)
{
    enum { FIRST_ON_TERMINAL = 500, ON_TERMINAL = 100, PLAIN = 5000 };
    struct progress *p = arg;
    struct timespec when;
    clock_gettime(CLOCK_MONOTONIC, &when);
    pthread_mutex_lock(&p->lock);
    bool on = sleep_until(p, &when, p->terminal ? FIRST_ON_TERMINAL : PLAIN);
    while (on) {
        draw(p);
        on = sleep_until(p, &when, p->terminal ? ON_TERMINAL : PLAIN);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* With the lock held. A thread that cannot be had is a line that is not drawn. Signals are for the
 * threads that were there before. */
static void begin(struct progress *p)
{
    sigset_t all, before;
    if (p->begun > 0)
        return;
    p->begun = now_seconds();
    if (p->quiet)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->running = pthread_create(&p->drawer, NULL, drawer, p) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void progress_add_total(struct progress *p, uint64_t items, uint64_t bytes)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    begin(p);
    if (p->started <= 0)
        p->started = now_seconds();
    p->items_total += items;
    p->bytes_total += bytes;
    pthread_mutex_unlock(&p->lock);
}

void progress_item(struct progress *p, const char *name)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    begin(p);
    (void)snprintf(p->item, sizeof(p->item), "%s", name);
    pthread_mutex_unlock(&p->lock);
}

void progress_advance(struct progress *p, uint64_t items, uint64_t bytes)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->items += items;
    p->bytes += bytes;
    pthread_mutex_unlock(&p->lock);
}

static void stop_drawer(struct progress *p)
{
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_signal(&p->ending);
    pthread_mutex_unlock(&p->lock);
    if (p->running)
        pthread_join(p->drawer, NULL);
}

void progress_finish(struct progress *p)
{
    if (!p)
        return;
    stop_drawer(p);
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    struct progress_state state = state_of(p);
    if (p->drawn && p->terminal)
        strbuf_addstr(&sb, "\r\033[K");
    if (!p->quiet && state.seconds > 1.0 && p->items) {
        strbuf_addstr(&sb, "venvfs: ");
        progress_summary(&state, &sb);
        strbuf_addch(&sb, '\n');
    }
    put(&sb);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->ending);
    free(p->title);
    free(p);
}
