#include "cli/mount_project.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/binding.h"
#include "cli/difference.h"
#include "cli/editables.h"
#include "cli/fallback.h"
#include "cli/link.h"
#include "cli/linked_folder.h"
#include "cli/print.h"
#include "env/project.h"
#include "env/project_git.h"
#include "env/version_file.h"

/* pyenv's and uv's rule: the file counts for its folder and all below. */
static bool has_python_version(const char *dir)
{
    _cleanup_free_ char *at = xstrdup(dir);
    for (;;) {
        _cleanup_free_ char *file = path_join(at, ".python-version");
        if (path_exists(file))
            return true;
        char *parent = path_dirname(at);
        bool top = strcmp(parent, at) == 0 || strcmp(at, ".") == 0;
        free(at);
        at = parent;
        if (top)
            return false;
    }
}

static int replace(char **p, const char *value)
{
    if (*p && strcmp(*p, value) == 0)
        return 0;
    free(*p);
    *p = xstrdup(value);
    return 1;
}

/* What an environment is opened or made with. */
struct opening {
    const char *name, *address;
    const char *python; /* -p, or NULL */
    const char *start;  /* the project's folder when a .python-version counts for it, or NULL */
};

static int open_new(struct apply *a, struct session *s, const struct opening *o,
                    const struct project *project, struct verror *err)
{
    struct interp *interp;
    a->compile = true;
    int r = interp_find(&s->home, o->python, project->dir, &interp, err);
    if (r < 0)
        return r;
    return apply_create(a, s, o->name, interp, o->address, path_basename(project->dir), err);
}

/* A copied folder: the packages and options of the environment its link leads to. Its interpreter
 * too, unless the command or the copy's .python-version asks for another: then the packages are
 * those of the lock. */
static int open_clone(struct apply *a, struct session *s, const struct opening *o,
                      const char *source, struct verror *err)
{
    struct env *from;
    int r = env_open(&s->home, source, false, false, &from, err);
    if (r < 0)
        return r;
    struct interp *interp;
    if (o->python || o->start)
        r = interp_find(&s->home, o->python, o->start, &interp, err);
    else
        r = apply_load_interp(s, from, &interp, err);
    if (r == 0)
        r = apply_create(a, s, o->name, interp, o->address, from->manifest->prompt, err);
    /* Until the store's lock was held, what it had might be replaced and collected. */
    if (r == 0) {
        env_free(steal_ptr(from));
        r = env_open(&s->home, source, false, false, &from, err);
    }
    if (r == 0) {
        manifest_free(a->next);
        a->next = manifest_copy(from->manifest);
        a->next->bare = false;
        apply_recall(a);
        apply_interp(a, steal_ptr(a->interp));
        replace(&a->next->address, o->address);
        print_note("a copy of %s: cloned its environment %s", from->manifest->project, source);
    }
    env_free(from);
    return r;
}

/* Another process may make or remove the environment meanwhile: then the other way round. */
static int open_binding(struct apply *a, struct session *s, const struct mount_options *o,
                        const struct project *project, const struct binding *b, const char *address,
                        struct verror *err)
{
    enum { ATTEMPTS = 10 };
    bool exists = b->exists;
    const char *start = has_python_version(project->dir) ? project->dir : NULL;
    const struct opening with = {
        .name = b->name, .address = address, .python = o->python, .start = start};
    for (int i = 0;; i++) {
        int r;
        if (exists)
            r = apply_open(a, s, b->name, o->python, start, err);
        else if (b->clone_of)
            r = open_clone(a, s, &with, b->clone_of, err);
        else
            r = open_new(a, s, &with, project, err);
        bool missed = exists ? r == -ENOENT && !a->env : r == -EEXIST;
        if (!missed || i == ATTEMPTS)
            return r;
        apply_release(a);
        verror_release(err);
        exists = !exists;
    }
}

static void tell_ignored(const struct project *project)
{
    _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
    for (char **p = project->ignored; p && *p; p++)
        strbuf_addf(&names, "%s%s", names.len ? ", " : "", path_basename(*p));
    if (names.len)
        print_note("using %s; also there: %s", path_basename(project->lock), names.buf);
}

/* Without a lock the packages are the user's own affair (venvfs install). */
static int fulfil(struct apply *a, const struct mount_options *o, const struct project *project,
                  struct verror *err)
{
    struct lock_choice choice = o->choice;
    choice.files = (struct words){0};
    choice.in_place = true;
    if (!project->lock) {
        if (!a->before)
            print_note("no lock in %s: an empty environment with pip", project->dir);
        return 0;
    }
    tell_ignored(project);
    words_add(&choice.files, project->lock);
    int r = apply_locks(a, &choice, err);
    words_release(&choice.files);
    return r;
}

static void bind_to(struct apply *a, const struct mount_options *o, const struct project *project,
                    const struct binding *b, const char *address)
{
    replace(&a->next->address, address);
    if (replace(&a->next->project, project->dir) || !a->next->prompt)
        replace(&a->next->prompt, path_basename(project->dir));
    if (b->moved)
        print_note("moved here from %s", b->moved);
    if (o->accelerator || o->no_accelerator)
        settings_set_accelerator(a->next, !o->no_accelerator);
    if (o->no_project || o->with_project)
        settings_set_flag(a->next, "no-project", o->no_project);
}

/* The project itself: as its lock says, and without a word there, when it can be built. */
static void want_project(struct apply *a, const struct project *project)
{
    if (settings_flag(a->next, "no-project"))
        editables_leave_out(a, project->dir);
    else if (project->has_build_system && !editables_is_package(a->next, project->dir))
        editables_want(a, project->dir);
}

/* .python-version (or -p, or what the environment has) against pyproject.toml. */
static int check_python(const struct apply *a, const struct mount_options *o,
                        const struct project *project, struct verror *err)
{
    _cleanup_free_ char *pyproject = path_join(project->dir, "pyproject.toml");
    _cleanup_free_ char *unfit = NULL;
    struct version_file file = {.path = NULL};
    int r = lock_requires_python(&a->session->home, a->session->store, a->interp, pyproject, &unfit,
                                 err);
    if (r < 0 || !unfit)
        return r;
    if (!o->python && version_file_find(project->dir, &file, NULL) == 0 && file.words[0])
        verror_set(err, EINVAL, "%s asks for Python %s, and %s requires %s", file.path,
                   file.words[0], pyproject, unfit);
    else
        verror_set(err, EINVAL, "%s requires Python %s, and the interpreter is %s (%s)", pyproject,
                   unfit, a->interp->version, a->interp->executable);
    version_file_release(&file);
    return verror_hint(err,
                       "choose another interpreter with -p, for example -p '%s', or change "
                       "the files",
                       unfit);
}

/* A convenience: a checkout that cannot be written gets its environment all the same. */
static void hide_from_git(const char *link)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    if (project_git_exclude(link, &err) < 0)
        print_warning("git will show .venv: %s", verror_message(&err));
}

static int mount_bound(struct session *s, const struct mount_options *o,
                       const struct project *project, const struct binding *b, const char *address,
                       struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    bool had_link = path_exists(project->link);
    int r = open_binding(&a, s, o, project, b, address, err);
    if (r < 0)
        return r;
    a.jobs = o->jobs;
    a.offline = o->offline;
    a.refresh = o->refresh;
    bind_to(&a, o, project, b, address);
    r = check_python(&a, o, project, err);
    if (r == 0)
        r = fulfil(&a, o, project, err);
    if (r == 0) {
        want_project(&a, project);
        r = apply_editables(&a, err);
    }
    if (r == 0 && ((!a.before && !b->clone_of) || a.reseed))
        r = apply_seed(&a, err);
    if (r == 0 && o->locked)
        r = apply_unchanged(&a, err);
    if (r == 0)
        r = apply_commit(&a, a.before ? "mount" : b->clone_of ? "clone" : "create", err);
    if (r == 0 && !o->no_link && linked_folder_is(project->link))
        r = linked_folder_make(&s->home, a.env, err);
    else if (r == 0 && !o->no_link && !fallback_owns(&s->home, b->name, project->link))
        r = project_link(project, &s->home, b->name, err);
    if (r == 0 && !o->no_link)
        hide_from_git(project->link);
    if (r == 0)
        r = apply_show(&a, o->fallback, err);
    if (r < 0 && !had_link) /* no link that dangles */
        link_remove(&s->home, project->link, b->name);
    return r;
}

int mount_project(struct session *s, const struct mount_options *o, const char *dir, char **name,
                  char **address, struct verror *err)
{
    struct project project;
    _cleanup_binding_ struct binding b = {0};

    int r = project_inspect(dir, o->lock, &project, err);
    if (r < 0)
        return r;
    r = address_usable(project.dir, err);
    if (r == 0)
        r = binding_find(&s->home, &project, o->no_link, &b, err);
    if (r == 0) {
        *address = o->no_link ? hub_path(&s->home, b.name) : xstrdup(project.link);
        r = mount_bound(s, o, &project, &b, *address, err);
    }
    if (r == 0)
        *name = xstrdup(b.name);
    project_release(&project);
    return r;
}
