#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/adopt.h"
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/compose.h"
#include "cli/print.h"
#include "fs/upper_fill.h"

static const struct command_help help = {
    .name = "adopt",
    .synopsis = "VENV [NAME] [options]",
    .about =
        "Makes an environment of what is installed in VENV, a folder that venv, virtualenv or uv\n"
        "made, and prints its path. VENV is only read; it may have been moved, or have lost its\n"
        "interpreter. Packages go to the store; files that were edited, files that no RECORD\n"
        "lists and editable installs are taken along as the environment's own. Activation files\n"
        "are made anew. NAME defaults to the folder's name.",
    .min = 1,
    .max = 2,
};

struct request {
    const char *venv, *name, *python;
    bool dry_run, no_leftovers, json, no_compile;
    unsigned levels;
    size_t jobs;
};

/* ---- what it becomes ---- */

/* A folder like .venv says nothing; the one above it does. */
static char *default_name(const char *root)
{
    if (path_basename(root)[0] != '.')
        return xstrdup(path_basename(root));
    _cleanup_free_ char *parent = path_dirname(root);
    return xstrdup(path_basename(parent));
}

static int choose_name(struct adopt *a, const struct request *o, const struct home *home,
                       struct verror *err)
{
    a->name = o->name ? xstrdup(o->name) : default_name(a->venv.root);
    if (!env_name_ok(a->name)) {
        verror_set(err, EINVAL, "\"%s\" cannot be the name of an environment", a->name);
        return verror_hint(err, "names have 1 to 100 bytes and do not start with . or -; give one "
                                "behind the folder");
    }
    a->address = hub_path(home, a->name);
    return address_usable(a->venv.root, err); /* the report and the history name it */
}

static bool is_seed(const struct venv *v, const char *normalised)
{
    bool has_setuptools = v->major == 3 && v->minor < 12; /* what `python -m venv` makes */
    return strcmp(normalised, "pip") == 0 ||
           (has_setuptools && strcmp(normalised, "setuptools") == 0);
}

static void add_package(struct manifest *m, const struct venv *v, const struct installed_dist *d)
{
    struct manifest_package *p = manifest_add(m, d->name);
    free(p->version);
    p->version = xstrdup(d->version);
    p->image = d->image;
    p->wheel = d->wheel;
    p->requested = d->requested;
    p->seed = is_seed(v, p->normalised);
    manifest_set_installer(p, d->installer);
    p->direct_url = d->direct_url ? json_loads(d->direct_url, 0, NULL) : NULL;
}

static int ingest(struct adopt *a, struct apply *to, struct wheel_options *options,
                  struct verror *err)
{
    struct progress *progress = progress_new("installing", print_quiet());
    options->progress = progress;
    int r = installed_ingest(a->installed, to->session->store, options, err);
    progress_finish(progress);
    for (size_t i = 0; r == 0 && i < installed_count(a->installed); i++)
        if (installed_dist(a->installed, i)->state == INSTALLED_PACKAGE)
            add_package(to->next, &a->venv, installed_dist(a->installed, i));
    if (r == -ESTALE)
        verror_hint(err, "something writes to %s; try again when it has ended", a->venv.root);
    return r;
}

/* ---- edits that the view does not show by itself ---- */

/* The distribution whose file a path shows, or NULL. */
static const struct installed_dist *shown(const struct adopt *a, const struct manifest *m,
                                          const struct view *view, const char *path)
{
    struct view_node node;
    uint32_t layer;
    if (!view_walk(view, path, &node) || !view_layer_behind(view, node, &layer))
        return NULL;
    for (size_t i = 0; i < installed_count(a->installed); i++) {
        const struct installed_dist *d = installed_dist(a->installed, i);
        _cleanup_free_ char *name = d->name ? dist_name_normalise(d->name) : NULL;
        if (d->state == INSTALLED_PACKAGE && strcmp(name, m->packages[layer].normalised) == 0)
            return d;
    }
    return NULL;
}

static bool shows_right(const struct adopt *a, const struct manifest *m, const struct view *view,
                        const struct installed_edit *edit)
{
    const struct installed_dist *d = shown(a, m, view, edit->path);
    return d && installed_owns(d, edit->path) && !installed_edit_at(d, edit->path);
}

static void drop_shown(struct adopt *a, const struct manifest *m, const struct view *view)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->n_edits; i++)
        if (!shows_right(a, m, view, a->edits[i]))
            a->edits[kept++] = a->edits[i];
    a->n_edits = kept;
}

/* Nothing there, or nothing that could be copied: then what an image has there is hidden. */
static int carry_edit(struct upper_fill *fill, const struct view *view,
                      const struct installed_edit *edit, struct verror *err)
{
    struct view_node node;
    int r = edit->kind == INSTALLED_MISSING ? -ENOENT : upper_fill_copy(fill, edit->path, err);
    if (r == 0 || (r != -ELOOP && r != -ENOENT && r != -EOPNOTSUPP))
        return r;
    verror_release(err);
    if (r == -ELOOP) /* it lies below a link, which is a leftover */
        return 0;
    return view_walk(view, edit->path, &node) ? upper_fill_whiteout(fill, edit->path, err) : 0;
}

static int carry_all(struct adopt *a, struct upper_fill *fill, const struct view *view,
                     struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < a->n_edits; i++)
        r = carry_edit(fill, view, a->edits[i], err);
    for (size_t i = 0; r == 0 && i < a->leftovers.n && !a->no_leftovers; i++)
        if (!a->leftovers.list[i].problem)
            r = upper_fill_copy(fill, a->leftovers.list[i].path, err);
    return r < 0 ? r : upper_fill_sync(fill, err);
}

static int fill_upper(struct adopt *a, struct apply *to, const struct view *view,
                      struct verror *err)
{
    _cleanup_free_ char *path = env_upper(to->env);
    _cleanup_free_ char *python = path_join(a->address, "bin/python");
    _cleanup_close_ int tree = io_open(a->venv.root, O_RDONLY | O_DIRECTORY, 0);
    if (tree < 0)
        return verror_errno(err, tree, "%s", a->venv.root);
    struct upper_fill fill = {.tree = tree,
                              .root = a->venv.root,
                              .names = (const char *const *)a->venv.names,
                              .interpreter = python};
    int r = upper_fill_begin(&fill, path, err);
    if (r < 0)
        return r;
    r = carry_all(a, &fill, view, err);
    upper_fill_end(&fill);
    return r;
}

static int make_upper(struct adopt *a, struct apply *to, struct verror *err)
{
    struct view *view;
    int r = compose_view(to->session->store, to->next, NULL, &view, err);
    if (r < 0)
        return r;
    drop_shown(a, to->next, view);
    r = fill_upper(a, to, view, err);
    view_unref(view);
    return r;
}

/* ---- all of it ---- */

static int read_all(struct adopt *a, const struct wheel_target *target,
                    struct wheel_options *options, struct verror *err)
{
    struct progress *progress = progress_new("reading", print_quiet());
    options->progress = progress;
    int r = adopt_read(a, target, options, err);
    progress_finish(progress);
    return r;
}

static int begin(struct adopt *a, const struct request *o, struct session *s, struct interp **ret,
                 struct verror *err)
{
    a->dry_run = o->dry_run;
    a->no_leftovers = o->no_leftovers;
    int r = venv_read(o->venv, &a->venv, err);
    if (r == 0)
        r = choose_name(a, o, &s->home, err);
    if (r == 0)
        r = venv_interp(&s->home, &a->venv, o->python, ret, &a->own_python, err);
    if (r < 0)
        return r;
    a->own_python = a->own_python || o->python;
    a->python = xstrdup((*ret)->executable);
    a->python_version = xstrdup((*ret)->version);
    return 0;
}

static int make(struct adopt *a, const struct request *o, struct session *s, struct interp *interp,
                struct wheel_options *options, struct verror *err)
{
    _cleanup_apply_ struct apply to = {
        .compile = !o->no_compile, .levels = o->levels ? o->levels | 1 : 0, .jobs = o->jobs};
    _cleanup_free_ char *reason = xasprintf("adopt %s", a->venv.root);
    int r = apply_create(&to, s, a->name, interp, a->address, a->venv.prompt, err);
    if (r == -EEXIST) {
        _cleanup_free_ char *word = print_word(o->venv);
        verror_hint(err, "venvfs adopt %s NAME takes another name", word);
    }
    if (r < 0)
        return r;
    to.next->system_site_packages = a->venv.system_site_packages;
    r = read_all(a, &to.interp->target, options, err);
    if (r == 0)
        r = ingest(a, &to, options, err);
    if (r == 0)
        r = make_upper(a, &to, err);
    if (r == 0)
        r = apply_commit(&to, reason, err);
    if (r < 0)
        return r;
    adopt_tell(a);
    return apply_show(&to, false, err);
}

static int look(struct adopt *a, struct interp *interp, struct wheel_options *options,
                struct verror *err)
{
    int r = read_all(a, &interp->target, options, err);
    interp_free(interp);
    if (r == 0)
        adopt_tell(a);
    return r;
}

static int run(struct adopt *a, const struct request *o, struct session *s, struct verror *err)
{
    struct wheel_options options = {
        .compile = {.enabled = !o->no_compile, .levels = o->levels ? o->levels | 1 : 1},
        .jobs = o->jobs,
        .warn = print_wheel_warning,
    };
    struct interp *interp;
    int r = begin(a, o, s, &interp, err);
    if (r < 0)
        return r;
    return o->dry_run ? look(a, interp, &options, err) : make(a, o, s, interp, &options, err);
}

int cmd_adopt(int argc, char **argv)
{
    struct request o = {.python = NULL};
    const struct option_spec specs[] = {
        {'p', "python", OPTION_STRING, &o.python, "PY",
         "interpreter, of VENV's minor version\n(default: VENV's own, else another of it)"},
        {0, "dry-run", OPTION_FLAG, &o.dry_run, NULL, "only say what would be done"},
        {0, "no-leftovers", OPTION_FLAG, &o.no_leftovers, NULL,
         "leave out files that no RECORD lists"},
        {0, "no-compile", OPTION_FLAG, &o.no_compile, NULL, "make no bytecode"},
        {0, "optimize", OPTION_BITS, &o.levels, "N", "also make bytecode of level 1 or 2"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "json", OPTION_FLAG, &o.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    _cleanup_adopt_ struct adopt a = {.name = NULL};
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    o.venv = operands.v[0];
    o.name = operands.n > 1 ? operands.v[1] : NULL;
    r = session_open(&s, &err);
    if (r == 0)
        r = run(&a, &o, &s, &err);
    if (r < 0)
        return print_error(&err);
    if (o.json)
        return adopt_print_json(&a);
    if (!o.dry_run)
        puts(a.address);
    return EXIT_DONE;
}
