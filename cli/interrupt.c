#include "cli/interrupt.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"

/* Everything the handler needs is made ready before it may run: it only renames and unlinks. */
static struct {
    char dir[PATH_MAX], gone[PATH_MAX], slot[PATH_MAX], lock[PATH_MAX];
    volatile sig_atomic_t armed;
} unfinished;

static volatile sig_atomic_t deferring, noted;

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static void on_signal(int number)
{
    if (deferring) { /* SA_RESETHAND: the next one ends the process */
        noted = number;
        return;
    }
    if (unfinished.armed && rename(unfinished.dir, unfinished.gone) == 0) {
        (void)unlink(unfinished.slot);
        (void)unlink(unfinished.lock);
        (void)rmdir(unfinished.gone);
    }
    raise(number); /* SA_RESETHAND: now as if there were no handler */
}

static void handle(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++) {
        struct sigaction before;
        /* One that is ignored (nohup, a job in the background) stays so. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}

void interrupt_removes(const char *env_dir)
{
    char *parent = path_dirname(env_dir);
    int n = snprintf(unfinished.gone, PATH_MAX, "%s/.interrupted-%ld", parent, (long)getpid());
    free(parent);
    if (n >= PATH_MAX - 8 || strlen(env_dir) >= PATH_MAX)
        return;
    (void)snprintf(unfinished.dir, PATH_MAX, "%s", env_dir);
    (void)snprintf(unfinished.slot, PATH_MAX, "%.*s/slot", PATH_MAX - 8, unfinished.gone);
    (void)snprintf(unfinished.lock, PATH_MAX, "%.*s/lock", PATH_MAX - 8, unfinished.gone);
    unfinished.armed = 1;
    handle();
}

void interrupt_removes_nothing(void)
{
    unfinished.armed = 0;
}

void interrupt_defer(void)
{
    deferring = 1;
    handle();
}

bool interrupt_noted(void)
{
    return noted != 0;
}

void interrupt_deliver(void)
{
    deferring = 0;
    if (noted)
        raise(noted);
}
