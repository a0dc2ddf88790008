#include "cli/point.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/compose.h"
#include "cli/show_env.h"
#include "env/inside.h"
#include "env/manifest_check.h"

void point_release(struct point *p)
{
    manifest_free(p->manifest);
    env_free(p->env);
    free(p->label);
    *p = (struct point){.env = NULL};
}

/* The "@N" that a word ends with, or NULL. */
static const char *suffix_of(const char *word, unsigned *number)
{
    const char *at = strrchr(word, '@');
    char *end;
    if (!at || at == word || at[1] < '0' || at[1] > '9')
        return NULL;
    errno = 0;
    unsigned long n = strtoul(at + 1, &end, 10);
    *number = errno || n > MANIFEST_MAX_GENERATION ? 0 : (unsigned)n;
    return *end == '\0' ? at : NULL;
}

static int open_now(const struct session *s, const char *name, struct point *ret,
                    struct verror *err)
{
    int r = env_open(&s->home, name, false, true, &ret->env, err);
    if (r < 0)
        return r;
    if (ret->env->manifest->bare)
        inside_read(&s->home, ret->env);
    ret->manifest = manifest_copy(ret->env->manifest);
    ret->now = true;
    ret->label = xstrdup(name);
    return 0;
}

static int open_at(const struct session *s, const char *name, unsigned number, struct point *ret,
                   struct verror *err)
{
    int r = env_open(&s->home, name, false, true, &ret->env, err);
    if (r == 0)
        r = env_generation(ret->env, number, &ret->manifest, err);
    if (r == 0)
        ret->label = xasprintf("%s@%u", name, number);
    else
        point_release(ret);
    return r;
}

/* A folder or an environment whose own name ends with @N. */
static bool is_there(const struct session *s, const char *word)
{
    enum word kind = WORD_NEITHER;
    return path_exists(word) || (session_word(s, word, &kind, NULL) == 0 && kind == WORD_ENV);
}

int point_find(const struct session *s, const char *word, bool named, struct point *ret,
               struct verror *err)
{
    _cleanup_free_ char *name = NULL;
    unsigned number = 0;
    *ret = (struct point){.env = NULL};
    const char *at = word ? suffix_of(word, &number) : NULL;
    if (at && is_there(s, word))
        at = NULL;
    _cleanup_free_ char *before = at ? xstrndup(word, (size_t)(at - word)) : NULL;
    const char *which = before ? before : word;
    int r = word && !named ? session_select_word(s, which, &name, err)
                           : session_select(s, which, &name, err);
    if (r < 0)
        return r;
    return at ? open_at(s, name, number, ret, err) : open_now(s, name, ret, err);
}

int point_now(const struct session *s, const struct point *of, struct point *ret,
              struct verror *err)
{
    *ret = (struct point){.env = NULL};
    return open_now(s, of->env->name, ret, err);
}

int point_edits(struct session *s, const struct point *p, struct edits *ret, struct verror *err)
{
    _cleanup_free_ char *upper = env_upper(p->env);
    struct view *view = NULL;
    *ret = (struct edits){0};
    if (!p->now || p->env->emptied)
        return 0;
    flush_env(&s->home, p->env->name);
    if (!edits_any(upper))
        return 0;
    int r = session_store(s, err);
    if (r == 0)
        r = store_lock_shared(s->store, err);
    if (r == 0)
        r = compose_view(s->store, p->manifest, NULL, &view, err);
    if (r < 0)
        return r;
    r = edits_read(upper, view, ret, err);
    view_unref(view);
    return r;
}
