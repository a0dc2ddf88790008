#include "cli/from_lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/difference.h"
#include "cli/editables.h"
#include "cli/print.h"

void lock_choice_release(struct lock_choice *choice)
{
    words_release(&choice->files);
    words_release(&choice->groups);
    words_release(&choice->extras);
}

/* The absolute paths of the locks: given, else remembered. NULL-terminated, malloc'ed. */
static char **lock_files(const struct apply *a, const struct words *given, size_t *n)
{
    const char **remembered = given->n ? NULL : settings_words(a->next, "locks");
    const char *const *from = given->n ? given->v : remembered;
    *n = 0;
    while (from && from[*n])
        ++*n;
    char **paths = xcalloc(*n + 1, sizeof(*paths));
    for (size_t i = 0; i < *n; i++)
        paths[i] = path_absolute(from[i]);
    free(remembered);
    return paths;
}

static void free_paths(char **paths)
{
    for (char **p = paths; *p; p++)
        free(*p);
    free(paths);
}

static void remember(struct manifest *m, const char *const *files, const struct lock_choice *c)
{
    settings_set_words(m, "locks", files[0] ? files : NULL);
    if (!c->groups.n && !c->extras.n && !c->no_dev)
        return;
    settings_set_words(m, "groups", c->groups.v);
    settings_set_words(m, "extras", c->extras.v);
    settings_set_flag(m, "no-dev", c->no_dev);
}

/* lock_request's groups: NULL means the lock's own defaults, which --no-dev turns into none. */
static const char **groups_of(const struct manifest *m)
{
    const char **groups = settings_words(m, "groups");
    if (!settings_flag(m, "no-dev"))
        return groups;
    if (!groups)
        return xcalloc(1, sizeof(*groups));
    size_t n = 0;
    for (size_t i = 0; groups[i]; i++)
        if (strcmp(groups[i], "dev") != 0)
            groups[n++] = groups[i];
    groups[n] = NULL;
    return groups;
}

static void tell_resolved(const char *const *files, const struct lock_result *result)
{
    time_t when = (time_t)(result->resolved_ns / 1000000000);
    char date[32];
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
    print_note("%s is not fully pinned: resolved on %s (--refresh resolves again)",
               path_basename(files[0]), date);
}

static int fulfil_files(struct apply *a, const struct lock_choice *choice, const char *const *files,
                        size_t n, struct verror *err)
{
    if (!n) {
        verror_set(err, ENOENT, "environment %s has no lock", a->env->name);
        return verror_hint(err, "give one with -r LOCK");
    }
    remember(a->next, files, choice);
    bool in_place = choice->in_place || !choice->files.n;
    _cleanup_free_ char *base = in_place ? path_dirname(files[0]) : NULL;
    _cleanup_free_ const char **groups = groups_of(a->next);
    _cleanup_free_ const char **extras = settings_words(a->next, "extras");
    struct lock_request request = {
        .files = files, .n_files = n, .base = base, .groups = groups, .extras = extras};
    struct lock_result result = {0};
    int r = apply_fulfil(a, &request, true, &result, err);
    if (r < 0)
        return r;
    if (result.resolved)
        tell_resolved(files, &result);
    for (size_t i = 0; i < result.n_editables; i++)
        editables_want(a, result.editables[i].path);
    free(a->resolved);
    a->resolved = steal_ptr(result.lock_text);
    lock_result_release(&result);
    return 0;
}

int apply_locks(struct apply *a, const struct lock_choice *choice, struct verror *err)
{
    size_t n;
    char **paths = lock_files(a, &choice->files, &n);
    int r = fulfil_files(a, choice, (const char *const *)paths, n, err);
    free_paths(paths);
    return r;
}
