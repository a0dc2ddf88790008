#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/aside.h"
#include "cli/commands.h"
#include "cli/compose.h"
#include "cli/difference.h"
#include "cli/point.h"
#include "cli/print.h"
#include "cli/settle.h"
#include "env/edits.h"
#include "env/env_layer.h"
#include "env/inside.h"
#include "env/manifest_check.h"

static const struct command_help help = {
    .name = "rollback",
    .synopsis = "[-n ENV] [N]",
    .about =
        "Makes generation N of an environment (venvfs history; by default the one before the\n"
        "current) the content of a new generation, and prints the difference. So nothing is\n"
        "lost, and a rollback can be rolled back. Edits of packages that leave are set aside,\n"
        "those that generation N had come back; other files of the environment's own stay. One\n"
        "whose folder was removed from inside, or that a tool made anew there, comes back as it\n"
        "was without what was written inside since; that is set aside for its generation.",
    .max = 1,
};

struct rollback {
    const char *env;
    unsigned number; /* 0: the one before the current */
    bool fallback;
};

/* The operand as a number, 0 when it is none. */
static unsigned parse_number(const char *text)
{
    char *end;
    if (text[0] < '1' || text[0] > '9')
        return 0;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    return *end || errno || n > MANIFEST_MAX_GENERATION ? 0 : (unsigned)n;
}

/* What a tool wrote from inside and nobody made packages of is files alone, and gone once its
 * folder was removed. */
static bool is_lost(const struct env *env, const struct manifest *m)
{
    return m->bare && !m->target_key && layer_ended(env->dir, m->upper) >= m->generation;
}

/* What a tool wrote was made packages of in the generation behind: without them it is half of what
 * it was. */
static bool is_half(const struct manifest *m, const struct manifest *next)
{
    return next && m->bare && !m->target_key && next->bare && next->upper == m->upper &&
           settle_is_reason(next->reason);
}

static int nothing_before(const struct env *env, size_t n, struct verror *err)
{
    if (env->emptied)
        return verror_set(err, ENOENT,
                          "nothing of environment %s can come back: what was there was written "
                          "from inside, and removed",
                          env->name);
    if (n < 2)
        return verror_set(err, ENOENT, "environment %s has only one generation", env->name);
    return verror_set(err, ENOENT,
                      "environment %s has no generation before this one that can come back",
                      env->name);
}

/* The current one itself when its folder was removed, else the one before. */
static int find_target(const struct env *env, unsigned *number, struct verror *err)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    if (*number)
        return 0;
    struct manifest *next = NULL;
    int r = env_generations(env, &numbers, &n, err);
    for (size_t i = n; r == 0 && !*number && i-- > 0;) {
        struct manifest *m = NULL;
        bool current = numbers[i] == env->manifest->generation;
        r = env_generation(env, numbers[i], &m, err);
        if (r == 0 && (!current || env->emptied) && !is_lost(env, m) && !is_half(m, next))
            *number = numbers[i];
        manifest_free(next);
        next = m;
    }
    manifest_free(next);
    return r < 0 || *number ? r : nothing_before(env, n, err);
}

static int no_images(const struct env *env, const struct manifest *m,
                     const struct manifest_package *first, size_t missing, struct verror *err)
{
    if (missing > 1)
        verror_set(err, ENOENT,
                   "generation %u of environment %s cannot come back: the store has %s %s and %zu "
                   "more of its packages no longer",
                   m->generation, env->name, first->name, first->version, missing - 1);
    else
        verror_set(err, ENOENT,
                   "generation %u of environment %s cannot come back: the store has %s %s no "
                   "longer",
                   m->generation, env->name, first->name, first->version);
    _cleanup_free_ char *word = print_word(env->name);
    return verror_hint(err, "venvfs install -n %s %s==%s fetches it again", word, first->name,
                       first->version);
}

/* An image that the current generation shows, too, only has to be there: damage in it is nothing
 * that a rollback brings, and to read all of a large environment takes as long as all the rest. */
static int check_image(struct store *store, struct manifest *now, const struct manifest_package *p,
                       struct verror *err)
{
    const struct manifest_package *same = manifest_find(now, p->normalised);
    struct image *image = NULL;
    if (same && same->image.number == p->image.number &&
        sha256_equal(&same->image.id, &p->image.id)) {
        _cleanup_free_ char *path = store_image_path(store, &p->image);
        if (access(path, F_OK) == 0)
            return 0;
    }
    int r = store_image_open(store, &p->image, &image, err);
    image_unref(image);
    return r;
}

/* Damaged images are an error of their own. */
static int check_images(struct store *store, const struct env *env, const struct manifest *m,
                        struct verror *err)
{
    const struct manifest_package *first = NULL;
    size_t missing = 0;
    for (size_t i = 0; i < m->n_packages; i++) {
        int r = check_image(store, env->manifest, &m->packages[i], err);
        if (r == -ENOENT) {
            verror_release(err);
            first = first ? first : &m->packages[i];
            missing++;
        } else if (r < 0) {
            return r;
        }
    }
    return missing ? no_images(env, m, first, missing, err) : 0;
}

static int check_python(const struct env *env, const struct manifest *m, struct verror *err)
{
    if (!m->base_executable || access(m->base_executable, X_OK) == 0)
        return 0;
    _cleanup_free_ char *word = print_word(env->name);
    verror_set(err, ENOENT,
               "generation %u of environment %s cannot come back: its Python %s, %s, is gone",
               m->generation, env->name, m->version, m->base_executable);
    return verror_hint(err, "install that Python again, or venvfs sync -n %s -p PY", word);
}

/* What a tool wrote names its path in many places. */
static int check_place(const struct env *env, const struct manifest *m, struct verror *err)
{
    if (!m->bare || strcmp(m->address, env->manifest->address) == 0)
        return 0;
    return verror_set(err, ESTALE,
                      "generation %u of environment %s cannot come back: it was made from inside "
                      "at %s, and its files name that path",
                      m->generation, env->name, m->address);
}

static void take_string(char **to, const char *from)
{
    free(*to);
    *to = from ? xstrdup(from) : NULL;
}

/* Where the environment is and whose it is are not part of what comes back. */
static void keep_place(struct manifest *m, const struct manifest *now)
{
    take_string(&m->address, now->address);
    take_string(&m->prompt, now->prompt);
    take_string(&m->project, now->project);
}

/* All that was in the folder was removed, and not the folder: it is as if that was, too. */
static int notice_emptied(struct apply *a, struct verror *err)
{
    _cleanup_free_ char *upper = env_upper(a->env);
    struct view *view = NULL;
    if (a->env->emptied || !edits_any(upper))
        return 0;
    int r = compose_view(a->session->store, a->env->manifest, NULL, &view, err);
    if (r < 0)
        return r;
    bool emptied = inside_hides_all(upper, view);
    view_unref(view);
    return emptied ? env_empty(a->env, err) : 0;
}

static int rollback(struct session *s, const struct rollback *o, struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    unsigned number = o->number;
    struct manifest *target = NULL;
    int r = apply_open_as_is(&a, s, o->env, err);
    if (r == 0)
        r = apply_check_address(&a, o->fallback, err);
    if (r == 0)
        r = notice_emptied(&a, err);
    if (r == 0)
        r = apply_settle(&a, err);
    if (r == 0)
        r = find_target(a.env, &number, err);
    if (r == 0)
        r = env_generation(a.env, number, &target, err);
    if (r == 0 && (r = check_place(a.env, target, err)) < 0)
        manifest_free(target);
    if (r < 0)
        return r;
    manifest_free(a.next);
    a.next = target;
    keep_place(a.next, a.before);
    if (a.next->bare && layer_ended(a.env->dir, target->upper) < target->generation) {
        _cleanup_free_ char *folder = layer_folder(a.env->dir, target->upper);
        _cleanup_free_ char *upper = path_join(folder, "upper");
        inside_read_upper(&s->home, upper, a.next);
    }
    r = check_python(a.env, target, err);
    if (r == 0)
        r = check_images(s->store, a.env, target, err);
    if (r == 0 && !a.env->emptied && !manifests_differ(a.before, a.next))
        print_note("environment %s is as generation %u already", a.env->name, number);
    if (r == 0 && a.env->emptied)
        print_note("environment %s was emptied from inside: generation %u comes back", a.env->name,
                   number);
    _cleanup_free_ char *reason = xasprintf("rollback to %u", number);
    if (r == 0)
        r = apply_commit(&a, reason, err);
    if (r == 0)
        r = apply_show(&a, o->fallback, err);
    return r < 0 ? r : aside_restore(s, a.env, number, err);
}

int cmd_rollback(int argc, char **argv)
{
    struct rollback o = {.env = NULL};
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.env, "ENV", "the environment (default: the active one)"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {0, "no-wait", OPTION_FLAG, &s.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (operands.n && !(o.number = parse_number(operands.v[0])))
        return print_usage_error("rollback", "\"%s\" is no number of a generation", operands.v[0]);
    r = session_open(&s, &err);
    if (r == 0)
        r = rollback(&s, &o, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
