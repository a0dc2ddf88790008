#include "cli/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/aside.h"
#include "cli/conflicts.h"
#include "cli/difference.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/settle.h"
#include "cli/show_env.h"
#include "env/edits.h"
#include "env/inside.h"
#include "wheel/content.h"

void apply_release(struct apply *a)
{
    interrupt_removes_nothing();
    if (a->created && a->env && a->env->manifest) {
        (void)hide_env(&a->session->home, a->env->name, true, NULL);
        (void)env_remove(a->env, NULL);
    }
    manifest_free(a->before);
    manifest_free(a->next);
    interp_free(a->interp);
    env_free(a->env);
    free(a->resolved);
    for (size_t i = 0; i < a->n_editables; i++)
        free(a->editables[i]);
    free(a->editables);
    *a = (struct apply){0};
}

static struct wheel_compile compile_options(const struct apply *a)
{
    return (struct wheel_compile){.enabled = a->compile, .levels = a->levels ? a->levels : 1};
}

static void remember_compile(struct apply *a)
{
    static const char *const numbers[] = {"0", "1", "2"};
    const char *levels[4] = {NULL};
    size_t n = 0;
    for (unsigned i = 0; i < 3; i++)
        if (a->levels & 1u << i)
            levels[n++] = numbers[i];
    settings_set_flag(a->next, "no-compile", !a->compile);
    settings_set_words(a->next, "optimize", a->levels > 1 ? levels : NULL);
}

void apply_recall(struct apply *a)
{
    const struct wheel_compile compile = settings_compile(a->next);
    a->compile = compile.enabled;
    a->levels |= compile.levels;
}

void apply_interp(struct apply *a, struct interp *interp)
{
    struct wheel_compile compile = compile_options(a);
    char *key = wheel_target_key(&interp->target, &compile);
    bool differs = a->next->target_key && strcmp(key, a->next->target_key) != 0;
    while (differs && a->next->n_packages) {
        a->reseed |= a->next->packages[0].seed;
        manifest_drop(a->next, a->next->packages[0].normalised);
    }
    if (differs) /* their paths name the Python */
        manifest_drop_editables(a->next);
    manifest_set_interp(a->next, interp);
    free(a->next->target_key);
    a->next->target_key = key;
    interp_free(a->interp);
    a->interp = interp;
}

int apply_begin(struct apply *a, struct session *s, struct interp *interp, struct verror *err)
{
    a->session = s;
    a->next = manifest_new();
    apply_interp(a, interp);
    remember_compile(a);
    int r = session_store(s, err);
    return r < 0 ? r : store_lock_shared(s->store, err);
}

int apply_begin_env(struct apply *a, const char *name, const char *address, struct verror *err)
{
    int r = session_create_env(a->session, name, &a->env, err);
    if (r < 0)
        return r;
    a->created = true;
    interrupt_removes(a->env->dir);
    free(a->next->address);
    a->next->address = xstrdup(address);
    return 0;
}

/* The environment's folder, and the store's lock. */
static int begin_create(struct apply *a, struct session *s, const char *name, struct verror *err)
{
    a->session = s;
    int r = session_store(s, err);
    if (r < 0)
        return r;
    r = session_create_env(s, name, &a->env, err);
    if (r < 0)
        return r;
    a->created = true;
    interrupt_removes(a->env->dir);
    return store_lock_shared(s->store, err);
}

static void set_address(struct manifest *m, const char *address, const char *prompt)
{
    free(m->address);
    free(m->prompt);
    m->address = xstrdup(address);
    m->prompt = prompt ? xstrdup(prompt) : NULL;
}

int apply_create(struct apply *a, struct session *s, const char *name, struct interp *interp,
                 const char *address, const char *prompt, struct verror *err)
{
    a->interp = interp;
    int r = begin_create(a, s, name, err);
    if (r < 0)
        return r;
    a->next = manifest_new();
    set_address(a->next, address, prompt);
    a->interp = NULL;
    apply_interp(a, interp);
    remember_compile(a);
    return 0;
}

int apply_create_like(struct apply *a, struct session *s, const char *name,
                      const struct manifest *like, const char *address, const char *prompt,
                      struct verror *err)
{
    int r = begin_create(a, s, name, err);
    if (r < 0)
        return r;
    a->next = manifest_copy(like);
    set_address(a->next, address, prompt);
    free(a->next->project);
    a->next->project = NULL;
    return 0;
}

/* The executable's spelling (a link in PATH) may differ while it leads somewhere; what it is does
 * not. */
static bool same_interp(const struct manifest *m, const struct interp *interp)
{
    return m->base_executable && access(m->executable, X_OK) == 0 &&
           strcmp(m->base_executable, interp->base_executable) == 0 &&
           strcmp(m->version, interp->version) == 0;
}

int apply_open_as_is(struct apply *a, struct session *s, const char *given, struct verror *err)
{
    a->session = s;
    int r = session_store(s, err);
    if (r < 0)
        return r;
    r = session_env(s, given, true, &a->env, err);
    if (r < 0)
        return r;
    r = store_lock_shared(s->store, err);
    if (r < 0)
        return r;
    if (a->env->manifest->bare)
        inside_read(&s->home, a->env);
    a->before = manifest_copy(a->env->manifest);
    a->next = manifest_copy(a->env->manifest);
    apply_recall(a);
    return 0;
}

static int no_python(const struct env *env, struct verror *err)
{
    _cleanup_free_ char *word = print_word(env->name);
    verror_set(err, ENOENT, "environment %s was made from inside and has no Python yet", env->name);
    return verror_hint(
               err, "make one there with venv, virtualenv or uv, or venvfs sync -n %s -p PY", word),
           -ENOENT;
}

int apply_load_interp(const struct session *s, struct env *env, struct interp **ret,
                      struct verror *err)
{
    inside_read(&s->home, env);
    if (!env->manifest->executable)
        return no_python(env, err);
    return interp_load(&s->home, env->manifest->executable, ret, err);
}

/* What a tool wrote lies on top, and would hide another interpreter. */
static int check_inside(const struct apply *a, const struct interp *interp, struct verror *err)
{
    const struct manifest *m = a->next;
    if (!m->bare || same_interp(m, interp))
        return 0;
    _cleanup_free_ char *word = print_word(a->env->name);
    verror_set(err, EINVAL, "environment %s was made from inside with Python %s, not %s (%s)",
               a->env->name, m->version, interp->version, interp->executable);
    return verror_hint(err,
                       "make it anew with that tool, or venvfs rollback -n %s for what was "
                       "there before",
                       word);
}

int apply_open(struct apply *a, struct session *s, const char *given, const char *python,
               const char *start, struct verror *err)
{
    struct interp *interp;
    int r = apply_open_settled(a, s, given, err);
    if (r < 0)
        return r;
    if (python || start)
        r = interp_find(&s->home, python, start, &interp, err);
    else
        r = apply_load_interp(s, a->env, &interp, err);
    /* Nothing of a tool is there: from now on it is one like any other. */
    if (r == 0 && (a->env->emptied || !a->next->executable))
        a->next->bare = false;
    if (r == 0 && (r = check_inside(a, interp, err)) < 0)
        interp_free(interp);
    if (r < 0)
        return r;
    if (!same_interp(a->next, interp) || !a->next->target_key)
        apply_interp(a, interp);
    else
        a->interp = interp;
    return 0;
}

int apply_settle(struct apply *a, struct verror *err)
{
    _cleanup_settled_ struct settled done = {.before = NULL};
    const struct settle_options options = {.due = true, .quiet = print_quiet(), .jobs = a->jobs};
    int r = a->env->emptied ? 0 : aside_recover(a->session, a->env, err);
    if (r == 0)
        r = settle_env(a->session, a->env, &options, &done, err);
    if (r < 0)
        return r;
    settled_tell(a->env, &done);
    manifest_free(a->before);
    manifest_free(a->next);
    a->before = manifest_copy(a->env->manifest);
    a->next = manifest_copy(a->env->manifest);
    return 0;
}

int apply_open_settled(struct apply *a, struct session *s, const char *given, struct verror *err)
{
    int r = apply_open_as_is(a, s, given, err);
    return r < 0 ? r : apply_settle(a, err);
}

static bool content_of(struct store *store, const struct store_image *which, struct sha256 *ret)
{
    struct image *image;
    if (store_image_open(store, which, &image, NULL) < 0)
        return false;
    content_of_image(image, ret);
    bool whole = !image_damaged(image);
    image_unref(image);
    return whole;
}

/* What pip has installed inside has an image of its own, with the content that the wheel's has:
 * then it stays, and what is in the kernel's caches of it. */
static bool same_content(struct store *store, const struct manifest_package *old,
                         const struct lock_package *from)
{
    struct sha256 a, b;
    return old && strcmp(old->version, from->version) == 0 &&
           !sha256_equal(&old->image.id, &from->image.id) && content_of(store, &old->image, &a) &&
           content_of(store, &from->image, &b) && sha256_equal(&a, &b);
}

static void merge_package(struct store *store, struct manifest *m, const struct lock_package *from)
{
    _cleanup_free_ char *name = dist_name_normalise(from->name);
    bool same = same_content(store, manifest_package_named(m, name), from);
    struct manifest_package *to = manifest_add(m, from->name);
    free(to->name);
    free(to->version);
    to->name = xstrdup(from->name);
    to->version = xstrdup(from->version);
    to->image = same ? to->image : from->image;
    to->wheel = from->wheel;
    to->requested = from->requested;
    to->seed = false;
    manifest_set_installer(to, NULL);
    json_decref(to->direct_url);
    to->direct_url = from->direct_url ? json_loads(from->direct_url, 0, NULL) : NULL;
}

static bool answered(const struct lock_result *result, const char *normalised)
{
    for (size_t i = 0; i < result->n_packages; i++)
        if (dist_name_compare(result->packages[i].name, normalised) == 0)
            return true;
    return false;
}

static void merge(struct store *store, struct manifest *m, const struct lock_result *result,
                  bool exact)
{
    for (size_t i = 0; exact && i < m->n_packages;) {
        const struct manifest_package *p = &m->packages[i];
        if (p->seed || answered(result, p->normalised))
            i++;
        else
            manifest_drop(m, p->normalised);
    }
    for (size_t i = 0; i < result->n_packages; i++) {
        _cleanup_free_ char *name = dist_name_normalise(result->packages[i].name);
        const struct manifest_package *old = manifest_package_named(m, name);
        bool requested = !exact && old && old->requested;
        merge_package(store, m, &result->packages[i]);
        manifest_drop_editable(m, name);
        if (requested)
            manifest_find(m, name)->requested = true;
    }
}

int apply_fulfil(struct apply *a, struct lock_request *request, bool exact, struct lock_result *ret,
                 struct verror *err)
{
    struct lock_result result = {0};
    struct progress *progress = progress_new("installing", print_quiet());
    struct wheel_options wheel = {.compile = compile_options(a),
                                  .jobs = a->jobs,
                                  .progress = progress,
                                  .warn = print_wheel_warning};
    request->jobs = a->jobs;
    request->offline = a->offline;
    request->refresh = a->refresh;
    request->quiet = print_quiet();
    int r =
        lock_fulfil(&a->session->home, a->session->store, a->interp, request, &wheel, &result, err);
    progress_finish(progress);
    if (r < 0)
        return r;
    merge(a->session->store, a->next, &result, exact);
    if (ret)
        *ret = result;
    else
        lock_result_release(&result);
    return 0;
}

int apply_unchanged(const struct apply *a, struct verror *err)
{
    if (!a->before || (!manifest_packages_differ(a->before, a->next) &&
                       manifest_editables_named(a->before, a->next)))
        return 0;
    print_difference(a->before, a->next);
    return verror_set(err, EBUSY,
                      "environment %s does not match its lock, and --locked forbids "
                      "changing it",
                      a->env->name);
}

/* The same text is not written again, so the file's time says when it was resolved. */
static int keep_resolved(const struct apply *a, struct verror *err)
{
    enum { LARGEST = 64 << 20 };
    _cleanup_free_ char *path = path_join(a->env->dir, "resolved.txt");
    _cleanup_strbuf_ struct strbuf old = STRBUF_INIT;
    if (io_read_file(path, &old, LARGEST) == 0 && strcmp(old.buf, a->resolved) == 0)
        return 0;
    int r = io_write_file_atomic(path, a->resolved, strlen(a->resolved), 0644, false);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

/* A generation that was shown under another writable layer comes without this one. */
static void tell_set_aside(const struct apply *a, const char *upper)
{
    _cleanup_free_ char *now = env_upper(a->env);
    if (upper && strcmp(now, upper) != 0 && edits_any(upper))
        print_note("what was written inside since stays in %s, and comes back with its generation",
                   upper);
}

int apply_commit(struct apply *a, const char *reason, struct verror *err)
{
    if (!a->before || a->env->emptied || manifests_differ(a->before, a->next)) {
        _cleanup_free_ char *upper = a->before ? env_upper(a->env) : NULL;
        struct manifest *m = manifest_copy(a->next);
        free(m->reason);
        m->reason = xstrdup(reason);
        conflicts_warn(a->session->store, m);
        interrupt_removes_nothing();
        /* Another layer has edits of its own, and this one keeps what it has. */
        bool stays = a->before && !env_leaves_upper(a->env, m);
        int r = stays ? aside_before(a->session, a->env, m, &a->edits_aside, err) : 0;
        if (r < 0) {
            manifest_free(m);
            return r;
        }
        a->aside_generation = stays ? a->env->manifest->generation : 0;
        r = env_commit(a->env, m, err);
        if (r < 0)
            return r;
        tell_set_aside(a, upper);
    }
    return a->resolved ? keep_resolved(a, err) : 0;
}

/* The generation stays: it is complete, only not in view. */
static int not_shown(struct apply *a, struct verror *err)
{
    bool differs = a->before && manifests_differ(a->before, a->env->manifest);
    const char *done = a->created ? "is made, but " : differs ? "is changed, but " : "";
    a->created = false;
    no_fuse_hint(err, a->env->name);
    return verror_prefix(err, "environment %s %scannot be shown here", a->env->name, done);
}

int apply_check_address(const struct apply *a, bool fallback, struct verror *err)
{
    return address_check(&a->session->home, a->env, fallback, err);
}

/* Whiteouts of what has left would hide what comes later. */
static int clean_up(struct apply *a, struct verror *err)
{
    if (a->edits_aside) {
        _cleanup_free_ char *path = aside_path(a->env, a->aside_generation);
        print_note("%zu edited files of packages that left are in %s now", a->edits_aside, path);
    }
    return a->aside_generation ? settle_sweep(a->session, a->env, err) : 0;
}

int apply_show(struct apply *a, bool fallback, struct verror *err)
{
    int r = show_env(a->session, a->env, fallback ? SHOW_OR_FALLBACK : SHOW, err);
    if (no_fuse(r))
        r = not_shown(a, err);
    if (r < 0)
        return r;
    a->created = false;
    print_difference(a->before, a->env->manifest);
    return clean_up(a, err);
}
