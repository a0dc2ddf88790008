#include "cli/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/difference.h"
#include "cli/front_place.h"
#include "cli/link.h"
#include "cli/linked_folder.h"
#include "cli/print.h"
#include "env/project_git.h"
#include "env/upper_read.h"

/* ---- which interpreter ---- */

static int find_spec(const struct session *s, const struct front *f, const char *spec,
                     struct interp **ret, struct verror *err)
{
    for (size_t i = 0; i < f->tried_first.n; i++) {
        struct interp *in;
        if (interp_load(&s->home, f->tried_first.v[i], &in, NULL) < 0)
            continue;
        if (interp_is(in, spec)) {
            *ret = in;
            return 0;
        }
        interp_free(in);
    }
    return interp_find(&s->home, spec, ".", ret, err);
}

static int find_python(const struct session *s, const struct front *f, struct interp **ret,
                       struct verror *err)
{
    if (!f->pythons.n && f->tried_first.n)
        return interp_load(&s->home, f->tried_first.v[0], ret, err);
    if (!f->pythons.n)
        return interp_find(&s->home, NULL, ".", ret, err);
    int r = -ENOENT;
    for (size_t i = 0; i < f->pythons.n && r < 0; i++) {
        verror_release(err);
        r = find_spec(s, f, f->pythons.v[i], ret, err);
    }
    return r;
}

/* ---- the environment ---- */

static int open_new(struct apply *a, struct session *s, const struct front *f,
                    const struct front_place *p, struct verror *err)
{
    struct interp *interp;
    int r = find_python(s, f, &interp, err);
    if (r < 0)
        return r;
    a->compile = true;
    return apply_create(a, s, p->to.name, interp, p->to.address, NULL, err);
}

/* Everything goes: what was installed is a generation (settled before), and what was written
 * besides is gone, as after the other tools' --clear. */
static int open_cleared(struct apply *a, struct session *s, const struct front *f,
                        const struct front_place *p, struct verror *err)
{
    struct interp *interp;
    int r = find_python(s, f, &interp, err);
    if (r < 0)
        return r;
    r = apply_open_settled(a, s, p->to.name, err);
    if (r == 0 && !a->env->emptied)
        r = env_empty(a->env, err);
    if (r < 0) {
        interp_free(interp);
        return r;
    }
    a->next->bare = false;
    while (a->next->n_packages)
        manifest_drop(a->next, a->next->packages[0].normalised);
    manifest_drop_editables(a->next);
    apply_interp(a, interp);
    return 0;
}

/* Packages stay, where they fit the interpreter. */
static int open_existing(struct apply *a, struct session *s, const struct front *f,
                         const struct front_place *p, struct verror *err)
{
    struct interp *interp = NULL;
    int r = 0;
    if (f->pythons.n)
        r = find_python(s, f, &interp, err);
    if (r == 0)
        r = apply_open(a, s, p->to.name, interp ? interp->executable : NULL, NULL, err);
    interp_free(interp);
    return r;
}

/* A tool that makes an environment again first removes what is in it, and not always all of it: one
 * without a pyvenv.cfg is none. So is one that mkdir made in the hub, and nothing else. */
static bool is_hollow(const struct session *s, const char *name)
{
    struct env *env;
    if (env_open(&s->home, name, false, false, &env, NULL) < 0)
        return false;
    _cleanup_free_ char *upper = env_upper(env);
    _cleanup_free_ char *removed = path_join(upper, UPPER_PREFIX "pyvenv.cfg");
    _cleanup_free_ char *written = path_join(upper, "pyvenv.cfg");
    bool hollow =
        env->emptied || path_exists(removed) || (env->manifest->bare && !path_exists(written));
    env_free(env);
    return hollow;
}

static int open_env(struct apply *a, struct session *s, const struct front *f,
                    const struct front_place *p, struct verror *err)
{
    if (!p->exists)
        return open_new(a, s, f, p, err);
    if (f->clear || p->removed || is_hollow(s, p->to.name))
        return open_cleared(a, s, f, p, err);
    return open_existing(a, s, f, p, err);
}

static void set_options(struct manifest *m, const struct front *f, bool folder)
{
    _cleanup_free_ char *here =
        f->prompt && strcmp(f->prompt, ".") == 0 ? path_absolute(".") : NULL;
    const char *prompt = here ? path_basename(here) : f->prompt;
    m->system_site_packages = f->system_site_packages;
    free(m->prompt);
    m->prompt = prompt && *prompt ? xstrdup(prompt) : NULL;
    settings_set(m, "made_by", f->virtualenv ? json_string("virtualenv") : NULL);
    settings_set(m, "gitignore", f->show_to_git ? json_false() : json_true());
    settings_set_flag(m, "linked_folder", folder);
    settings_set_words(m, "activators", f->activators.n ? f->activators.v : NULL);
}

/* --upgrade alone brings nothing back that its user has uninstalled. */
static int seed(struct apply *a, const struct front *f, struct verror *err)
{
    if (f->upgrade && !a->reseed && !f->seed.newest)
        return 0;
    return front_seed_apply(a, &f->seed, err);
}

/* ---- the way from its address ---- */

/* A convenience: a checkout that cannot be written gets its environment all the same. */
static void hide_from_git(const char *link)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (project_git_exclude(link, &err) < 0)
        print_warning("git will show %s: %s", link, verror_message(&err));
}

static int make_way(struct session *s, const struct front *f, const struct front_place *p,
                    const struct env *env, struct verror *err)
{
    int r = 0;
    if (!p->to.link || (p->exists && !p->removed && !p->folder))
        return 0;
    if (p->replace && (r = path_remove_tree(p->to.address)) < 0)
        return verror_errno(err, r, "removing %s", p->to.address);
    if (p->folder)
        return linked_folder_make(&s->home, env, err);
    r = link_make(&s->home, p->to.address, p->to.name, err);
    if (r == 0 && !f->show_to_git)
        hide_from_git(p->to.address);
    return r;
}

/* ---- all of it ---- */

static int make(struct session *s, const struct front *f, const struct front_place *p, char **made,
                struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    int r = open_env(&a, s, f, p, err);
    if (r < 0)
        return r;
    if (!f->upgrade)
        set_options(a.next, f, p->folder);
    r = seed(&a, f, err);
    if (r == 0)
        r = apply_commit(&a, f->tool, err);
    if (r == 0)
        r = make_way(s, f, p, a.env, err);
    if (!a.before)
        print_set_quiet(); /* the tools count no packages */
    if (r == 0)
        r = apply_show(&a, false, err);
    if (r == 0)
        *made = xasprintf("CPython%s-%d in %s", a.interp->version, a.interp->is_64bit ? 64 : 32,
                          p->to.address);
    else if (a.created && p->to.link)
        link_remove(&s->home, p->to.address, p->to.name);
    return r;
}

static int check_upgrade(const struct front *f, const struct front_place *p, const char *dir,
                         struct verror *err)
{
    if (!f->upgrade || (p->exists && !p->removed))
        return 0;
    verror_set(err, ENOENT, "%s: there is no environment to upgrade", dir);
    return verror_hint(err, "without --upgrade, one is made");
}

int front_make(struct session *s, const struct front *f, const char *dir, char **made,
               struct verror *err)
{
    _cleanup_front_place_ struct front_place p = {.exists = false};
    int r = front_place_find(s, dir, f->clear, f->folder, &p, err);
    if (r == 0)
        r = check_upgrade(f, &p, dir, err);
    return r < 0 ? r : make(s, f, &p, made, err);
}
