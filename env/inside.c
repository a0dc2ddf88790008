#include "env/inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/env_layer.h"
#include "env/upper_read.h"
#include "env/venv.h"

static bool has_config(const char *upper)
{
    _cleanup_free_ char *config = path_join(upper, "pyvenv.cfg");
    return path_exists(config);
}

static void take_interp(struct manifest *m, const struct venv *venv, const struct interp *interp)
{
    bool same = m->base_executable && strcmp(m->base_executable, interp->base_executable) == 0 &&
                strcmp(m->version, interp->version) == 0;
    m->system_site_packages = venv->system_site_packages;
    if (venv->prompt && !m->prompt)
        m->prompt = xstrdup(venv->prompt);
    if (same)
        return;
    manifest_set_interp(m, interp);
}

void inside_read_upper(const struct home *home, const char *upper, struct manifest *m)
{
    _cleanup_venv_ struct venv venv = {.root = NULL};
    struct interp *interp;
    bool own;
    if (!has_config(upper) || venv_read(upper, &venv, NULL) < 0 ||
        venv_interp(home, &venv, NULL, &interp, &own, NULL) < 0)
        return;
    if (own || !m->executable)
        take_interp(m, &venv, interp);
    interp_free(interp);
}

void inside_read(const struct home *home, struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env);
    inside_read_upper(home, upper, env->manifest);
}

char *inside_python_dir(const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env);
    _cleanup_venv_ struct venv venv = {.root = NULL};
    if (!env->manifest->bare)
        return xstrdup(env->manifest->python_dir);
    if (has_config(upper) && venv_read(upper, &venv, NULL) == 0)
        return xstrdup(venv.python_dir);
    return env->manifest->python_dir ? xstrdup(env->manifest->python_dir) : NULL;
}

static bool is_files_alone(const struct manifest *m)
{
    return m->bare && !m->target_key && !m->project && !m->settings;
}

bool inside_only(const struct env *env)
{
    _cleanup_free_ unsigned *numbers = NULL;
    size_t n = 0;
    bool only = is_files_alone(env->manifest) && env_generations(env, &numbers, &n, NULL) == 0;
    for (size_t i = 0; only && i < n; i++) {
        struct manifest *m = NULL;
        only = env_generation(env, numbers[i], &m, NULL) == 0 && is_files_alone(m);
        manifest_free(m);
    }
    return only;
}

/* ---- a root of which everything was removed ---- */

struct root_marks {
    const struct view *view;
    size_t hidden, names; /* of the view's root */
    bool opaque, holds;
};

static void note_entry(void *arg, const char *name, size_t len, mode_t type)
{
    (void)name, (void)len, (void)type;
    ((struct root_marks *)arg)->holds = true;
}

static void note_whiteout(void *arg, const char *name, size_t len)
{
    struct root_marks *m = arg;
    struct view_node node;
    if (view_lookup(m->view, view_root(m->view), name, len, &node))
        m->hidden++;
}

static void note_opaque(void *arg)
{
    ((struct root_marks *)arg)->opaque = true;
}

static bool count_name(void *arg, const char *name, size_t len, struct view_node node,
                       uint64_t cookie)
{
    (void)name, (void)len, (void)node, (void)cookie;
    ((struct root_marks *)arg)->names++;
    return true;
}

bool inside_hides_all(const char *upper, const struct view *view)
{
    struct root_marks marks = {.view = view};
    const struct upper_reader reader = {
        .entry = note_entry, .whiteout = note_whiteout, .opaque = note_opaque, .arg = &marks};
    _cleanup_close_ int root = open(upper, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0 || upper_read_folder(root, "", &reader) < 0 || marks.holds)
        return false;
    view_readdir(view, view_root(view), 0, count_name, &marks);
    return marks.names && (marks.opaque || marks.hidden == marks.names);
}
