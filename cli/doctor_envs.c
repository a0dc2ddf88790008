/* Each environment, and what is left of some. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "cli/session.h"

struct tour {
    struct doctor_pythons pythons;
    struct doctor_holders holders;
    size_t edited, edits;
};

/* ---- one environment ---- */

/* A hint for people may say behind the command what it does. */
static size_t command_length(const char *hint)
{
    static const char explanation[] = " makes it again";
    const char *end = strstr(hint, explanation);
    return end && !end[sizeof(explanation) - 1] ? (size_t)(end - hint) : strlen(hint);
}

static void check_address(struct doctor *d, const struct env *env)
{
    _cleanup_free_ char *in_hub = hub_path(&d->home, env->name);
    _cleanup_verror_ struct verror why = VERROR_INIT;
    struct stat st;
    const char *project = env->manifest->project;
    if (d->hangs || strcmp(env->manifest->address, in_hub) == 0 ||
        address_check(&d->home, env, false, &why) == 0)
        return;
    bool gone = project && stat(project, &st) < 0;
    struct doctor_finding *f = doctor_add(d, DOCTOR_ENVS, gone ? DOCTOR_WARNING : DOCTOR_PROBLEM,
                                          gone ? "project-gone" : "address-broken", "%s: %s",
                                          env->name, verror_message(&why));
    doctor_about(f, env->name, gone ? project : env->manifest->address);
    _cleanup_free_ char *name = print_word(env->name);
    if (gone)
        doctor_remedy(f, "%s; or, if it is gone for good, venvfs remove -n %s", why.hint, name);
    else
        doctor_remedy(f, "%.*s", (int)command_length(why.hint), why.hint);
}

/* Its generations are kept, and the hub does not show it. */
static void tell_emptied(struct doctor *d, const struct env *env)
{
    _cleanup_free_ char *word = print_word(env->name);
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_NOTE, "environment-emptied",
                   "%s: its folder was removed from inside; its generations are kept", env->name);
    doctor_about(f, env->name, env->dir);
    doctor_remedy(f, "venvfs rollback -n %s", word);
}

static void check_env(struct doctor *d, const char *name, struct tour *tour)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    _cleanup_free_ char *word = print_word(name);
    struct env *env;
    int r = env_open(&d->home, name, false, false, &env, &why);
    if (r == -ENOENT)
        return; /* removed meanwhile */
    d->envs++;
    if (r < 0) {
        _cleanup_free_ char *dir = path_join(d->home.envs, name);
        struct doctor_finding *f = doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "environment-damaged",
                                              "%s: %s", name, verror_message(&why));
        doctor_about(f, name, dir);
        doctor_remedy(f, "venvfs remove -n %s, and make it again", word);
        return;
    }
    if (env->emptied) {
        tell_emptied(d, env);
        env_free(env);
        return;
    }
    _cleanup_free_ char *lock = path_join(env->dir, "lock");
    size_t edits = 0;
    doctor_python(d, env, &tour->pythons);
    check_address(d, env);
    doctor_layer(d, env, !doctor_is_locked(lock), &edits);
    doctor_holder(d, env, &tour->holders);
    tour->edited += edits != 0;
    tour->edits += edits;
    env_free(env);
}

/* ---- what is none ---- */

/* ".removed-NAME-SLOT-PID"; who removes it may be at it. */
static void check_removed(struct doctor *d, const char *name)
{
    const char *dash = strrchr(name, '-');
    long pid = dash ? strtol(dash + 1, NULL, 10) : 0;
    if (pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
        return;
    _cleanup_free_ char *path = path_join(d->home.envs, name), *word = print_word(path);
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_WARNING, "removed-halfway",
                   "%s is of an environment that a killed command had begun to remove", path);
    doctor_about(f, NULL, path);
    doctor_remedy(f, "rm -rf %s", word);
}

/* No generation: it is being made, or its creator was killed. */
static void check_unfinished(struct doctor *d, const char *name)
{
    _cleanup_free_ char *path = path_join(d->home.envs, name), *word = print_word(path);
    _cleanup_free_ char *lock = path_join(path, "lock");
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || doctor_is_locked(lock))
        return;
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_ENVS, DOCTOR_WARNING, "environment-unfinished",
                   "%s is of an environment that was never finished; making one of this name "
                   "takes it over",
                   path);
    doctor_about(f, NULL, path);
    doctor_remedy(f, "rm -rf %s", word);
}

static void check_others(struct doctor *d)
{
    DIR *dir = opendir(d->home.envs);
    const struct dirent *de;
    while (dir && (de = readdir(dir))) {
        _cleanup_free_ char *current = xasprintf("%s/%s/current", d->home.envs, de->d_name);
        if (strncmp(de->d_name, ".removed-", 9) == 0)
            check_removed(d, de->d_name);
        else if (env_name_ok(de->d_name) && !path_exists(current))
            check_unfinished(d, de->d_name);
    }
    if (dir)
        closedir(dir);
}

void doctor_envs(struct doctor *d)
{
    struct tour tour = {.edits = 0};
    _cleanup_verror_ struct verror why = VERROR_INIT;
    char **names = NULL;
    size_t n = 0;
    if (env_list(&d->home, &names, &n, &why) < 0)
        doctor_about(doctor_add(d, DOCTOR_ENVS, DOCTOR_PROBLEM, "environments-unreadable", "%s",
                                verror_message(&why)),
                     NULL, d->home.envs);
    for (size_t i = 0; i < n; i++)
        check_env(d, names[i], &tour);
    check_others(d);
    doctor_images_tell(d);
    if (tour.edits)
        doctor_summary(d, DOCTOR_ENVS, "%zu; %zu edit%s in %zu of them", d->envs, tour.edits,
                       tour.edits == 1 ? "" : "s", tour.edited);
    else
        doctor_summary(d, DOCTOR_ENVS, "%zu", d->envs);
    env_list_free(names, n);
    doctor_pythons_release(&tour.pythons);
    doctor_holders_release(&tour.holders);
}
