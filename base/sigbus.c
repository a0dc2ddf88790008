#include "base/sigbus.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

/* DESIGN
 * The handler may run in any thread at any instruction, so it takes no lock: watches form a list
 * that only ever grows at its head. An ended watch has size 0 and is taken again by a later one. A
 * fault inside a range can only come from its user, who has not ended the watch, so the entry it
 * finds is stable.
 */
struct sigbus_watch {
    struct sigbus_watch *next; /* constant once published */
    _Atomic(uintptr_t) base;
    atomic_size_t size; /* 0: free to be taken */
    atomic_bool damaged;
};

static _Atomic(struct sigbus_watch *) watches;
static pthread_mutex_t taking = PTHREAD_MUTEX_INITIALIZER; /* orders sigbus_watch() calls */
static uintptr_t page_mask;

static struct sigbus_watch *find(uintptr_t at)
{
    for (struct sigbus_watch *w = atomic_load(&watches); w; w = w->next) {
        uintptr_t base = atomic_load(&w->base);
        if (at >= base && at - base < atomic_load(&w->size))
            return w;
    }
    return NULL;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    struct sigbus_watch *w = find(at);
    if (w) {
        atomic_store(&w->damaged, true);
        void *page = (void *)(at & ~page_mask);
        if (mmap(page, page_mask + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            page)
            return;
    }
    signal(sig, SIG_DFL); /* the access is repeated and ends the process */
}

static void install(void)
{
    page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &sa, NULL);
}

struct sigbus_watch *sigbus_watch(const void *base, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);

    pthread_mutex_lock(&taking);
    struct sigbus_watch *w = atomic_load(&watches);
    while (w && atomic_load(&w->size))
        w = w->next;
    bool fresh = !w;
    if (fresh) {
        w = xcalloc(1, sizeof(*w));
        w->next = atomic_load(&watches);
    }
    atomic_store(&w->damaged, false);
    atomic_store(&w->base, (uintptr_t)base);
    atomic_store(&w->size, size);
    if (fresh)
        atomic_store(&watches, w);
    pthread_mutex_unlock(&taking);
    return w;
}

void sigbus_unwatch(struct sigbus_watch *watch)
{
    if (watch)
        atomic_store(&watch->size, 0);
}

bool sigbus_damaged(const struct sigbus_watch *watch)
{
    return watch && atomic_load(&watch->damaged);
}
