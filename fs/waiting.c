#include "fs/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* That long for a try and a sched_yield(): another thread has run. */
#define GAVE_WAY_NS 20000
#define REST_MIN 16u
#define REST_MAX 1024u

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void waiting_begin(struct waiting *w)
{
    cpu_set_t set;
    *w = (struct waiting){.blocking = true, .next_rest = REST_MIN};
    w->never = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) < 2;
}

static void set_blocking(struct waiting *w, int fd, bool blocking)
{
    if (w->blocking == blocking)
        return;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0)
        w->blocking = blocking;
}

static bool nothing_yet(ssize_t n)
{
    return n < 0 && errno == EAGAIN;
}

/* Asks again for a moment. */
static ssize_t ask(struct waiting *w, int fd, void *buf, size_t size)
{
    int64_t begin = now_ns(), last, now = begin;
    ssize_t n;
    do {
        last = now;
        sched_yield();
        n = read(fd, buf, size);
        now = now_ns();
    } while (nothing_yet(n) && now - last < GAVE_WAY_NS && now - begin < WAITING_POLL_NS);
    if (now - last >= GAVE_WAY_NS) {
        w->rest = w->next_rest;
        w->next_rest = w->rest < REST_MAX ? w->rest * 2 : REST_MAX;
    } else if (!nothing_yet(n)) {
        w->next_rest = REST_MIN;
    }
    return n;
}

ssize_t waiting_read(struct waiting *w, int fd, void *buf, size_t size)
{
    if (w->rest)
        w->rest--;
    set_blocking(w, fd, w->never || w->rest > 0);
    ssize_t n = read(fd, buf, size);
    if (nothing_yet(n))
        n = ask(w, fd, buf, size);
    while (nothing_yet(n)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, -1) < 0)
            return -1;
        n = read(fd, buf, size);
    }
    return n;
}
