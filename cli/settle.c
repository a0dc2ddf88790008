#include "cli/settle.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/progress.h"
#include "cli/compose.h"
#include "cli/difference.h"
#include "cli/point.h"
#include "cli/print.h"
#include "cli/show_env.h"
#include "env/inside.h"
#include "env/settle.h"
#include "fs/control.h"

/* Files in a message, and bytes of it, far below CONTROL_LIMIT. */
enum { BATCH = 2000, BATCH_BYTES = 2 << 20, NUMBERS_BYTES = 90 };

void settled_release(struct settled *s)
{
    manifest_free(s->before);
    for (size_t i = 0; i < s->n_problems; i++) {
        free(s->problems[i].what);
        free(s->problems[i].why);
    }
    free(s->problems);
    *s = (struct settled){.before = NULL};
}

struct work {
    struct session *session;
    struct env *env;
    const struct settle_options *options;
    struct settled *result;
    struct interp *interp;
    struct view *before, *after;
    struct manifest *next;
    struct settle settle;
    char *upper, *root;
    const char *names[3];
    struct settle_from from;
    struct wheel_options wheel;
    struct control *control;
};

static void work_release(struct work *w)
{
    settle_release(&w->settle);
    if (w->before)
        view_unref(w->before);
    if (w->after)
        view_unref(w->after);
    manifest_free(w->next);
    interp_free(w->interp);
    control_close(w->control);
    free(w->upper);
    free(w->root);
}

/* ---- what there is ---- */

static int prepare(struct work *w, struct verror *err)
{
    if (w->env->manifest->bare)
        inside_read(&w->session->home, w->env);
    const struct manifest *m = w->env->manifest;
    if (!m->executable)
        return verror_set(err, ENOENT, "environment %s has no Python yet", w->env->name);
    int r = session_store(w->session, err);
    if (r == 0)
        r = store_lock_shared(w->session->store, err);
    if (r == 0)
        r = interp_load(&w->session->home, m->executable, &w->interp, err);
    if (r == 0)
        r = compose_view(w->session->store, m, NULL, &w->before, err);
    if (r < 0)
        return r;
    const struct wheel_compile compile = settings_compile(m);
    if (!m->target_key) /* a tool chose the interpreter */
        w->env->manifest->target_key = wheel_target_key(&w->interp->target, &compile);
    w->root = hub_path(&w->session->home, w->env->name);
    w->names[0] = m->address;
    w->names[1] = w->root;
    w->from = (struct settle_from){.manifest = m,
                                   .view = w->before,
                                   .upper = w->upper,
                                   .root = w->root,
                                   .names = w->names,
                                   .target = &w->interp->target};
    w->wheel.compile = compile;
    w->wheel.jobs = w->options->jobs;
    w->wheel.warn = print_wheel_warning;
    return 0;
}

static int look(struct work *w, struct verror *err)
{
    struct progress *progress = progress_new("settling", w->options->quiet || print_quiet());
    w->wheel.progress = progress;
    int r = settle_read(&w->from, &w->wheel, &w->settle, err);
    bool go = r == 0 && !(w->options->wait && w->settle.unfinished);
    if (go && !w->options->dry_run)
        r = settle_ingest(&w->settle, w->session->store, &w->wheel, err);
    progress_finish(progress);
    w->wheel.progress = NULL;
    if (r < 0 || !go)
        return r;
    w->next = manifest_copy(w->env->manifest);
    settle_apply(&w->settle, w->next);
    if (w->options->dry_run) /* the images are not known */
        return 0;
    r = compose_view(w->session->store, w->next, NULL, &w->after, err);
    return r < 0 ? r : settle_compare(&w->settle, &w->from, w->after, err);
}

/* ---- asking the daemon ---- */

static int ask(struct work *w, const char *step, json_t *argument, json_t **ret, struct verror *err)
{
    json_t *answer = NULL, *images = json_array();
    for (size_t i = 0; i < w->settle.n_dists; i++)
        json_array_append_new(images, json_integer(w->settle.dists[i]->image.number));
    json_t *request = json_pack("{s:s, s:s, s:o, s:o}", "do", "settle", "env", w->env->name, step,
                                argument, "images", images);
    int r = control_call(w->control, request, &answer, err);
    if (r < 0)
        return verror_prefix(err, "settling environment %s", w->env->name), r;
    if (ret)
        *ret = answer;
    else
        json_decref(answer);
    return 0;
}

static int hide(struct work *w, struct verror *err)
{
    if (!w->settle.n_hidden)
        return 0;
    json_t *paths = json_array();
    for (size_t i = 0; i < w->settle.n_hidden; i++)
        json_array_append_new(paths, json_string(w->settle.hidden[i]));
    return ask(w, "hide", paths, NULL, err);
}

static void add_image(json_t *images, const struct sha256 *id)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(id, hex);
    json_array_append_new(images, json_string(hex));
}

/* Folders that were moved may show what an image has that leaves, or that is to be seen at its own
 * place again: a node must not be at two places. */
static int absorb(struct work *w, struct verror *err)
{
    json_t *images = json_array();
    for (size_t i = 0; i < w->env->manifest->n_packages; i++) {
        const struct manifest_package *p = &w->env->manifest->packages[i];
        const struct manifest_package *now = manifest_find(w->next, p->normalised);
        if (!now || !sha256_equal(&now->image.id, &p->image.id))
            add_image(images, &p->image.id);
    }
    for (size_t i = 0; i < w->settle.n_dists; i++)
        add_image(images, &w->settle.dists[i]->image.id);
    if (json_array_size(images))
        return ask(w, "absorb", images, NULL, err);
    json_decref(images);
    return 0;
}

static json_t *entry_of(const struct settle_file *f)
{
    json_t *path = f->way != SETTLE_STAYS ? json_string(f->path) : NULL; /* NULL: not UTF-8 */
    if (!path)
        return NULL;
    return json_pack("[o, I, I, I, I, b]", path, (json_int_t)f->ino, (json_int_t)f->size,
                     (json_int_t)f->mtime_ns, (json_int_t)f->ctime_ns, f->way == SETTLE_SAME);
}

/* Are they in one folder of site-packages, or of whatever has three folders above it? Then they
 * should go together. */
static bool belong_together(const char *a, const char *b)
{
    size_t same = 0, slashes = 0;
    for (; a[same] && a[same] == b[same] && slashes < 4; same++)
        slashes += a[same] == '/';
    return slashes == 4;
}

/* Files from *next on that make one request. */
static json_t *next_batch(const struct settle *s, size_t *next, uint64_t *bytes)
{
    json_t *files = json_array();
    const char *last = "";
    size_t size = 0;
    for (; *next < s->n_files; ++*next) {
        const struct settle_file *f = &s->files[*next];
        size_t n = json_array_size(files);
        if (size >= BATCH_BYTES || (n >= BATCH && !belong_together(last, f->path)))
            break;
        json_t *entry = entry_of(f);
        if (!entry)
            continue;
        json_array_append_new(files, entry);
        last = f->path;
        size += strlen(f->path) + NUMBERS_BYTES;
        *bytes += (uint64_t)f->size;
    }
    return files;
}

static int give_way(struct work *w, struct verror *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < w->settle.n_files;) {
        json_t *answer = NULL, *files = next_batch(&w->settle, &i, &w->result->bytes);
        if (!json_array_size(files)) {
            json_decref(files);
            break;
        }
        r = ask(w, "give-way", files, &answer, err);
        w->result->files += (size_t)json_integer_value(json_object_get(answer, "gone"));
        json_decref(answer);
    }
    return r;
}

/* Was a package touched since the last time? */
static int is_due(struct work *w, bool *ret, struct verror *err)
{
    json_t *answer = NULL;
    int r = ask(w, "due", json_true(), &answer, err);
    *ret = r == 0 && json_is_true(json_object_get(answer, "due"));
    json_decref(answer);
    return r;
}

/* ---- doing it ---- */

#define BY_PIP "by pip"
#define BY_UV "by uv"
#define BY_BOTH "by pip and uv"
#define FROM_INSIDE "from inside"

static const char *installers(const struct settle *s)
{
    bool pip = false, uv = false;
    for (size_t i = 0; i < s->n_dists; i++) {
        const char *name = s->dists[i]->installer ? s->dists[i]->installer : "";
        pip |= strcmp(name, "pip") == 0;
        uv |= strcmp(name, "uv") == 0;
    }
    return pip && uv ? BY_BOTH : uv ? BY_UV : pip ? BY_PIP : FROM_INSIDE;
}

bool settle_is_reason(const char *reason)
{
    static const char *const all[] = {BY_PIP, BY_UV, BY_BOTH, FROM_INSIDE};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (strcmp(all[i], reason) == 0)
            return true;
    return false;
}

static int make_generation(struct work *w, struct verror *err)
{
    struct manifest *m = manifest_copy(w->next);
    free(m->reason);
    m->reason = xstrdup(installers(&w->settle));
    w->result->before = manifest_copy(w->env->manifest);
    int r = env_commit(w->env, m, err);
    return r < 0 ? r : attach_env(w->control, w->env->name, err);
}

static int change(struct work *w, struct verror *err)
{
    bool differs = manifests_differ(w->env->manifest, w->next);
    if (w->options->dry_run) {
        if (differs) {
            w->result->before = manifest_copy(w->env->manifest);
            manifest_free(w->env->manifest);
            w->env->manifest = manifest_copy(w->next);
        }
        return 0;
    }
    int r = hide(w, err);
    if (r == 0)
        r = absorb(w, err);
    if (r == 0 && differs)
        r = make_generation(w, err);
    if (r == 0)
        r = give_way(w, err);
    return r < 0 ? r : ask(w, "sweep", json_true(), NULL, err);
}

static int settle(struct work *w, struct verror *err)
{
    int r = prepare(w, err);
    if (r == 0 && !w->options->dry_run)
        r = ask(w, "begin", json_true(), NULL, err);
    if (r == 0)
        r = look(w, err);
    if (r == 0 && w->next)
        r = change(w, err);
    else if (r == 0)
        r = ask(w, "begin", json_false(), NULL, err);
    w->result->unfinished = r == 0 && !w->next;
    w->result->problems = w->settle.problems;
    w->result->n_problems = w->settle.n_problems;
    w->settle.problems = NULL;
    w->settle.n_problems = 0;
    return r;
}

int settle_env(struct session *s, struct env *env, const struct settle_options *options,
               struct settled *ret, struct verror *err)
{
    struct work w = {.session = s, .env = env, .options = options, .result = ret};
    *ret = (struct settled){.before = NULL};
    w.upper = env_upper(env);
    if (env->manifest->bare)
        inside_read(&s->home, env);
    if (daemon_unwanted() || env->emptied || !env->manifest->executable || !edits_any(w.upper)) {
        free(w.upper);
        return 0;
    }
    int r = control_start(&s->home, &w.control, err);
    if (no_fuse(r)) { /* then nobody wrote anything since it was settled last */
        verror_release(err);
        r = 0;
    } else if (r == 0) {
        bool due = true;
        r = attach_env(w.control, env->name, err);
        if (r == 0)
            r = look_at_env(&s->home, env->name, err);
        if (r == 0 && options->due)
            r = is_due(&w, &due, err);
        if (r == 0 && due) {
            flush_env(&s->home, env->name);
            r = settle(&w, err);
        }
    }
    work_release(&w);
    return r;
}

/* Is there a dist-info folder in the layer, or the mark of one that went? */
static bool has_dist_info(const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env), *python = inside_python_dir(env);
    _cleanup_free_ char *site = python ? xasprintf("%s/lib/%s/site-packages", upper, python) : NULL;
    DIR *dir = site ? opendir(site) : NULL;
    const struct dirent *e;
    bool found = false;
    while (dir && !found && (e = readdir(dir)))
        found = path_has_suffix(e->d_name, ".dist-info");
    if (dir)
        closedir(dir);
    return found;
}

bool settle_pending(const struct home *home, const struct env *env)
{
    struct control *control;
    json_t *answer = NULL;
    int r = control_connect(home, &control, NULL);
    if (r == 0) {
        json_t *ask = json_pack("{s:s, s:s, s:b}", "do", "settle", "env", env->name, "due", 1);
        r = control_call(control, ask, &answer, NULL);
        control_close(control);
    }
    if (r < 0) /* it is not in view */
        return has_dist_info(env);
    bool due = json_is_true(json_object_get(answer, "due"));
    json_decref(answer);
    return due;
}

void settled_tell(const struct env *env, const struct settled *done)
{
    for (size_t i = 0; i < done->n_problems; i++)
        print_warning("%s in %s is left as it is: %s", done->problems[i].what, env->name,
                      done->problems[i].why);
    if (!done->before)
        return;
    print_note("what was installed inside %s is its generation %u:", env->name,
               env->manifest->generation);
    print_difference(done->before, env->manifest);
}

int settle_sweep(struct session *s, const struct env *env, struct verror *err)
{
    _cleanup_free_ char *upper = env_upper(env);
    struct control *control;
    if (daemon_unwanted() || !edits_any(upper))
        return 0;
    int r = control_connect(&s->home, &control, err);
    if (r == -ENOENT) { /* plain files are shown */
        verror_release(err);
        return 0;
    }
    if (r < 0)
        return r;
    json_t *answer = NULL;
    r = look_at_env(&s->home, env->name, err); /* only what is in view has a layer */
    if (r == 0)
        r = control_call(control,
                         json_pack("{s:s, s:s, s:b}", "do", "settle", "env", env->name, "sweep", 1),
                         &answer, err);
    control_close(control);
    json_decref(r < 0 ? NULL : answer);
    return r;
}

int settle_ahead(struct session *s, const struct env *env, char *const *dist_infos, size_t n,
                 struct verror *err)
{
    struct settle_options options = {.quiet = true, .jobs = 1};
    struct settled result = {.before = NULL};
    struct work w = {
        .session = s, .env = (struct env *)(uintptr_t)env, .options = &options, .result = &result};
    struct installed *in = NULL;
    w.upper = env_upper(env);
    int r = prepare(&w, err);
    const struct installed_tree tree = {.root = w.upper, .names = w.names};
    if (r == 0)
        r = installed_read(&tree, w.from.target, (const char *const *)dist_infos, n, &w.wheel, &in,
                           err);
    for (size_t i = 0; r == 0 && i < installed_count(in); i++)
        if (installed_dist(in, i)->n_edits) /* still being written, or settled otherwise */
            installed_dist(in, i)->state = INSTALLED_EDITABLE;
    if (r == 0)
        r = installed_ingest(in, s->store, &w.wheel, err);
    installed_free(in);
    work_release(&w);
    return r;
}
