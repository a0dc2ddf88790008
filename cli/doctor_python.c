/* Interpreters that were upgraded or removed since an environment was made for them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "env/interp.h"

struct doctor_answer {
    char *path;    /* of an executable, or "3.11" for what is found instead */
    char *version; /* NULL: it does not run */
    char *why;
};

static struct doctor_answer *known(const struct doctor_pythons *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i].path, path) == 0)
            return &p->v[i];
    return NULL;
}

static struct doctor_answer *add(struct doctor_pythons *p, const char *path)
{
    p->v = xgrow(p->v, &p->alloc, p->n + 1, sizeof(*p->v));
    p->v[p->n] = (struct doctor_answer){.path = xstrdup(path)};
    return &p->v[p->n++];
}

/* As python/facts.py says it. */
static const char program[] = "import sys; print(sys.version.split()[0].rstrip('+'))";

/* Not from the cache of interp_load(): that an executable did not change says nothing of the
 * libraries it needs. */
static const struct doctor_answer *ask(struct doctor_pythons *p, const char *path)
{
    struct doctor_answer *a = known(p, path);
    if (a)
        return a;
    a = add(p, path);
    const char *const argv[] = {path, "-I", "-S", "-c", program, NULL};
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, said = STRBUF_INIT;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    const struct proc_options options = {.cwd = "/", .output = &out, .diagnostics = &said};
    int status = 0;
    if (access(path, F_OK) < 0) {
        a->why = xstrdup(errno == ENOENT ? "is gone" : strerror(errno));
    } else if (proc_run(argv, &options, &status, &err) < 0) {
        a->why = xasprintf("does not run: %s", verror_message(&err));
    } else if (status) {
        said.buf[strcspn(said.buf, "\n")] = '\0';
        a->why = xasprintf("does not run (exit code %d): %s", status, said.buf);
    } else {
        out.buf[strcspn(out.buf, "\n")] = '\0';
        a->version = xstrdup(out.buf);
    }
    return a;
}

/* "3.11" of "3.11.7"; malloc'ed */
static char *minor_of(const char *version)
{
    const char *dot = strchr(version, '.');
    size_t end = dot ? (size_t)(dot - version) + 1 + strcspn(dot + 1, ".abr") : strlen(version);
    return xstrndup(version, end);
}

/* Is there another of the same minor version? */
static bool there_is(struct doctor *d, struct doctor_pythons *p, const char *minor)
{
    struct doctor_answer *a = known(p, minor);
    struct interp *found;
    if (!a) {
        a = add(p, minor);
        if (interp_find(&d->home, minor, NULL, &found, NULL) == 0) {
            a->version = xstrdup(found->version);
            interp_free(found);
        }
    }
    return a->version != NULL;
}

/* sync needs a lock; what was installed by name has none until export writes it. */
static void rebuild(struct doctor_finding *f, const struct env *env, const char *python,
                    const char *first)
{
    const json_t *locks = json_object_get(env->manifest->settings, "locks");
    _cleanup_free_ char *name = print_word(env->name), *py = print_word(python);
    if (json_array_size(locks) || env->manifest->project)
        doctor_remedy(f, "%svenvfs sync -n %s -p %s", first, name, py);
    else
        doctor_remedy(f,
                      "%svenvfs export -n %s -o requirements.txt && venvfs sync -n %s -r "
                      "requirements.txt -p %s",
                      first, name, name, py);
}

static void removed(struct doctor *d, const struct env *env, struct doctor_pythons *p,
                    const char *path, const char *why)
{
    _cleanup_free_ char *minor = minor_of(env->manifest->version);
    bool other = there_is(d, p, minor);
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "python-unusable", "%s: its Python %s, %s, %s",
                   env->name, env->manifest->version, path, why);
    doctor_about(f, env->name, path);
    _cleanup_free_ char *first = other ? xstrdup("") : xasprintf("install Python %s, then ", minor);
    rebuild(f, env, minor, first);
}

static void changed(struct doctor *d, const struct env *env, const char *path, const char *version)
{
    _cleanup_free_ char *was = minor_of(env->manifest->version), *is = minor_of(version);
    bool same = strcmp(was, is) == 0;
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, same ? DOCTOR_WARNING : DOCTOR_PROBLEM,
                   same ? "python-upgraded" : "python-other",
                   same ? "%s: %s is Python %s now, and was %s when the environment was made"
                        : "%s: %s is Python %s now; the packages are those for %s",
                   env->name, path, version, env->manifest->version);
    doctor_about(f, env->name, path);
    rebuild(f, env, path, "");
}

/* What bin/python leads to (env/view_merge.c). */
static const char *interpreter_of(const struct manifest *m)
{
    _cleanup_free_ char *dir = path_dirname(m->executable);
    return strcmp(dir, m->home) == 0 ? m->executable : m->base_executable;
}

/* A tool made the links itself, from inside; they are files of the upper layer. */
static void check_links(struct doctor *d, const struct env *env)
{
    _cleanup_free_ char *upper = env_upper(env), *link = path_join(upper, "bin/python");
    if (!path_exists(link) || access(link, F_OK) == 0)
        return;
    _cleanup_free_ char *address = print_word(env->manifest->address);
    _cleanup_free_ char *name = xasprintf("%s-again", env->name), *word = print_word(name);
    struct doctor_finding *f = doctor_add(
        d, DOCTOR_ENVS, DOCTOR_PROBLEM, "python-unusable",
        "%s: the Python that its bin/python names, given by who made it from inside, is gone",
        env->name);
    doctor_about(f, env->name, link);
    doctor_remedy(f, "venvfs adopt %s %s", address, word);
}

void doctor_python(struct doctor *d, const struct env *env, struct doctor_pythons *pythons)
{
    if (env->manifest->bare || !env->manifest->executable) {
        check_links(d, env);
        return;
    }
    const char *path = interpreter_of(env->manifest);
    const struct doctor_answer *a = ask(pythons, path);
    if (!a->version) {
        _cleanup_free_ char *why = xstrdup(a->why); /* the answers may move */
        removed(d, env, pythons, path, why);
    } else if (strcmp(a->version, env->manifest->version) != 0) {
        changed(d, env, path, a->version);
    }
}

void doctor_pythons_release(struct doctor_pythons *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].path);
        free(p->v[i].version);
        free(p->v[i].why);
    }
    free(p->v);
    *p = (struct doctor_pythons){0};
}
