#include "fs/autosettle.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/overlay_settle.h"

enum {
    QUIET_S = 60,
    LONGEST_S = 7 * 24 * 3600,
    BUSY_MS = 100,  /* while a process works */
    AHEAD_MS = 300, /* an installer writes RECORD last, and a little behind it */
};

void autosettle_init(struct autosettle *a)
{
    const char *text = getenv("VENVFS_SETTLE");
    char *end;
    *a = (struct autosettle){.quiet_s = QUIET_S};
    if (!text || !text[0])
        return;
    long seconds = strtol(text, &end, 10);
    if (strcmp(text, "off") == 0)
        a->quiet_s = 0;
    else if (*end || seconds < 0 || seconds > LONGEST_S)
        log_line("VENVFS_SETTLE is \"%s\", neither seconds nor off: taken for %d", text, QUIET_S);
    else
        a->quiet_s = (int)seconds;
}

/* ---- the process ---- */

static void finished(struct autosettle *a, int status)
{
    if (status != 0)
        log_line("settling environment %s in the background failed; venvfs commit -n %s says why",
                 a->env, a->env);
    free(a->env);
    a->env = NULL;
}

void autosettle_stop(struct autosettle *a)
{
    if (!a->errand.pid)
        return;
    errand_stop(&a->errand);
    finished(a, 0);
}

static void start(struct autosettle *a, const struct home *home, const char *env,
                  const char *const *argv)
{
    if (errand_start(&a->errand, home, argv) < 0)
        log_line("settling environment %s: no process could be made", env);
    else
        a->env = xstrdup(env);
}

static void start_settling(struct autosettle *a, const struct home *home, const char *env)
{
    const char *argv[] = {"venvfs", "settle", "--", env, NULL};
    start(a, home, env, argv);
}

static void start_ahead(struct autosettle *a, const struct home *home, const char *env,
                        char *const *dist_infos, size_t n)
{
    const char **argv = xcalloc(n + 6, sizeof(*argv));
    size_t k = 0;
    argv[k++] = "venvfs";
    argv[k++] = "settle";
    argv[k++] = "--ahead";
    argv[k++] = "--";
    argv[k++] = env;
    for (size_t i = 0; i < n; i++)
        argv[k++] = dist_infos[i];
    start(a, home, env, argv);
    free(argv);
}

/* ---- what is due ---- */

struct look {
    struct autosettle *autosettle;
    const struct home *home;
    int wait_ms; /* -1: for ever */
};

static void want(struct look *l, int64_t ms)
{
    int wait = ms < BUSY_MS ? BUSY_MS : ms > 1000 * LONGEST_S ? 1000 * LONGEST_S : (int)ms;
    if (l->wait_ms < 0 || wait < l->wait_ms)
        l->wait_ms = wait;
}

static void look_at(void *arg, const char *env, struct overlay *overlay)
{
    struct look *l = arg;
    struct autosettle *a = l->autosettle;
    char **ready;
    size_t n;
    int64_t until = overlay_settling_ms(overlay, INT64_C(1000) * a->quiet_s);
    if (until < 0) {
        return;
    } else if (until == 0 && !a->errand.pid) {
        overlay_tried_settling(overlay);
        start_settling(a, l->home, env);
    } else if (!a->errand.pid && (ready = overlay_take_ready(overlay, AHEAD_MS, &n))) {
        start_ahead(a, l->home, env, ready, n);
        for (size_t i = 0; i < n; i++)
            free(ready[i]);
        free(ready);
    }
    want(l, overlay_has_ready(overlay) ? AHEAD_MS : until);
}

int autosettle_tick(struct autosettle *a, const struct home *home, struct realm *realm)
{
    struct look look = {.autosettle = a, .home = home, .wait_ms = -1};
    int status;
    if (errand_ended(&a->errand, &status))
        finished(a, status);
    if (!a->quiet_s || !realm)
        return -1;
    realm_each_overlay(realm, look_at, &look);
    if (a->errand.pid)
        want(&look, BUSY_MS);
    return look.wait_ms;
}
