#include "cli/front_seed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/difference.h"
#include "cli/print.h"

enum { N_SEEDS = 3 };

static bool is_word(const char *wish, const char *word)
{
    return wish && strcmp(wish, word) == 0;
}

static bool is_bundle(const char *wish)
{
    return is_word(wish, "bundle") || is_word(wish, "embed");
}

/* What pip is asked for: "pip==24.0", "pip", or NULL where the index has no part in it. malloc'ed.
 */
static char *requirement(const char *name, const char *wish, bool newest)
{
    if (newest)
        return xstrdup(name);
    return wish && !is_word(wish, "none") && !is_bundle(wish) ? xasprintf("%s==%s", name, wish)
                                                              : NULL;
}

static void mark(struct manifest *m, const char *name)
{
    struct manifest_package *p = manifest_find(m, name);
    if (p)
        p->seed = p->requested = true;
}

static int from_index(struct apply *a, const char *const names[N_SEEDS],
                      const char *const wishes[N_SEEDS], const bool newest[N_SEEDS],
                      struct verror *err)
{
    char *wanted[N_SEEDS];
    const char *asked[N_SEEDS];
    size_t n = 0;
    for (size_t i = 0; i < N_SEEDS; i++) {
        wanted[i] = requirement(names[i], wishes[i], newest[i]);
        if (wanted[i])
            asked[n++] = wanted[i];
    }
    struct lock_request request = {.requirements = asked, .n_requirements = n, .upgrade = true};
    int r = n ? apply_fulfil(a, &request, false, NULL, err) : 0;
    for (size_t i = 0; i < N_SEEDS; i++) {
        if (r == 0 && wanted[i])
            mark(a->next, names[i]);
        free(wanted[i]);
    }
    return r;
}

/* apply_seed() brings both; what was not wanted and not there before goes again. */
static int from_interpreter(struct apply *a, bool pip, bool setuptools, struct verror *err)
{
    bool had_pip = manifest_package_named(a->next, "pip");
    bool had_setuptools = manifest_package_named(a->next, "setuptools");
    int r = apply_seed(a, err);
    if (r == 0 && !pip && !had_pip)
        manifest_drop(a->next, "pip");
    if (r == 0 && !setuptools && !had_setuptools)
        manifest_drop(a->next, "setuptools");
    return r;
}

int front_seed_apply(struct apply *a, const struct front_seed *seed, struct verror *err)
{
    static const char *const names[N_SEEDS] = {"pip", "setuptools", "wheel"};
    const char *const wishes[N_SEEDS] = {seed->pip, seed->setuptools, seed->wheel};
    bool brings_setuptools = a->interp->setuptools_wheel;
    bool pip = !wishes[0] || is_bundle(wishes[0]);
    bool setuptools = is_bundle(wishes[1]) || (!wishes[1] && brings_setuptools);
    const bool newest[N_SEEDS] = {pip && seed->newest,
                                  setuptools && (seed->newest || !brings_setuptools), false};
    if (is_bundle(wishes[2]))
        print_warning("no interpreter brings a wheel package along: --wheel VERSION names one");
    int r = from_index(a, names, wishes, newest, err);
    if (r == 0 && (pip || (setuptools && brings_setuptools)))
        r = from_interpreter(a, pip, setuptools, err);
    return r;
}
