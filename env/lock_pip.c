/* lock_pip: pip, run by the target interpreter. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "env/lock_internal.h"

/* ---- the temporary folder ---- */

/* A folder belongs to who holds its lock. An owner that made his folder and is not yet holding it
 * notices that it was swept away, and makes another. */
void lock_sweep(const struct home *home)
{
    _cleanup_free_ char *parent = path_join(home->root, "tmp");
    DIR *dir = opendir(parent);
    for (struct dirent *de; dir && (de = readdir(dir));) {
        if (strncmp(de->d_name, "lock-", 5) != 0)
            continue;
        _cleanup_free_ char *path = path_join(parent, de->d_name);
        _cleanup_free_ char *file = path_join(path, "lock");
        _cleanup_close_ int fd = lock_file(file, LOCK_EXCLUSIVE, false);
        if (fd >= 0)
            (void)path_remove_tree(path);
    }
    if (dir) {
        closedir(dir);
        (void)rmdir(parent); /* only when nothing is left */
    }
}

/* A new folder, locked. -ENOENT: swept away before it was locked, or its parent was. */
static int make_tmp(struct lock_job *job, const char *parent, struct verror *err)
{
    int r = path_mkdirs(parent, 0700);
    if (r < 0)
        return verror_errno(err, r, "making %s", parent);
    _cleanup_free_ char *dir = path_join(parent, "lock-XXXXXX");
    if (!mkdtemp(dir))
        return verror_errno(err, errno, "making a folder in %s", parent);
    _cleanup_free_ char *file = path_join(dir, "lock");
    int fd = lock_file(file, LOCK_EXCLUSIVE, true);
    if (fd < 0) {
        (void)rmdir(dir);
        return verror_errno(err, fd, "%s", file);
    }
    job->tmp_lock = fd;
    job->tmp = steal_ptr(dir);
    return 0;
}

const char *lock_tmp(struct lock_job *job, struct verror *err)
{
    enum { ATTEMPTS = 100 };
    if (job->tmp)
        return job->tmp;
    _cleanup_free_ char *parent = path_join(job->home->root, "tmp");
    for (int i = 0; i < ATTEMPTS && make_tmp(job, parent, err) == -ENOENT; i++)
        ;
    if (job->tmp && err)
        verror_release(err); /* of attempts that came to nothing */
    return job->tmp;
}

void lock_tmp_remove(struct lock_job *job)
{
    if (!job->tmp)
        return;
    (void)path_remove_tree(job->tmp);
    if (job->tmp_lock >= 0)
        close(job->tmp_lock);
    job->tmp_lock = -1;
    _cleanup_free_ char *parent = path_dirname(job->tmp);
    (void)rmdir(parent); /* only when it was the last */
    free(job->tmp);
    job->tmp = NULL;
}

/* ---- running it ---- */

int lock_pip_choose(struct lock_job *job, struct verror *err)
{
    if (job->pip)
        return 0;
    if (!job->interps) {
        int r = interp_list(job->home, &job->interps, &job->n_interps, err);
        if (r < 0)
            return r;
    }
    json_t *request = json_object(), *wheels = json_array(), *answer = NULL;
    for (size_t i = 0; i < job->n_interps; i++)
        if (job->interps[i]->pip_wheel)
            json_array_append_new(wheels, json_string(job->interps[i]->pip_wheel));
    if (job->interp->pip_wheel)
        json_array_append_new(wheels, json_string(job->interp->pip_wheel));
    json_object_set_new(request, "command", json_string("pip"));
    json_object_set_new(request, "wheels", wheels);
    json_object_set_new(request, "python", json_string(job->interp->version));
    int r = lock_helper(job, request, &answer, err);
    json_decref(request);
    if (r < 0)
        return r;
    const char *pip = json_string_value(json_object_get(answer, "pip"));
    const char *version = json_string_value(json_object_get(answer, "version"));
    if (pip && version) {
        job->pip = xstrdup(pip);
        job->pip_version = xstrdup(version);
    } else {
        r = verror_set(err, EIO, "lock.py named no pip");
    }
    json_decref(answer);
    return r;
}

/* What a user's settings for `pip install` must not change here. Index, proxy and certificate
 * settings stay. */
static const char *const cleared[] = {
    "PYTHON*",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_REQUIREMENT",
    "PIP_REQUIREMENTS",
    "PIP_EDITABLE",
    "PIP_LOG",
    "PIP_LOG_FILE",
    "PIP_LOCAL_LOG",
    "PIP_DRY_RUN",
    "PIP_REPORT",
    "PIP_PYTHON",
    "PIP_WHEEL_DIR",
    "PIP_NO_DEPS",
    "PIP_NO_DEPENDENCIES",
    "PIP_UPGRADE",
    "PIP_IGNORE_INSTALLED",
    "PIP_FORCE_REINSTALL",
    "PIP_PLATFORM",
    "PIP_PYTHON_VERSION",
    "PIP_ABI",
    "PIP_IMPLEMENTATION",
    "PIP_SRC",
    "PIP_QUIET",
    "PIP_VERBOSE",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
    "PIP_HELP",
    "PIP_VERSION",
    "PIP_NO_COMPILE",
    "PIP_COMPILE",
    "PIP_DOWNLOAD_DIR",
    "PIP_DEST",
    "PIP_DESTINATION_DIRECTORY",
    "PIP_BUILD",
    "PIP_BUILD_DIR",
    "PIP_CLEAN",
    "PIP_NO_CLEAN",
    "PIP_GROUP",
    "PIP_DEBUG",
    "PIP_NO_COLOR",
    "SOURCE_DATE_EPOCH",
    "TMPDIR",
    NULL,
};

/* Without a retry pip is silent about an index that it cannot reach, and the package would seem
 * unknown; its own five keep people waiting. */
static const char *retries(void)
{
    const char *own = getenv("PIP_RETRIES");
    return !own || !*own ? "PIP_RETRIES=2" : strcmp(own, "0") == 0 ? "PIP_RETRIES=1" : NULL;
}

int lock_pip_start(const struct lock_job *job, struct lock_pip_run *run, struct verror *err)
{
    size_t n = 0;
    while (run->args[n])
        n++;
    _cleanup_free_ const char **argv = xcalloc(n + 10, sizeof(*argv));
    size_t k = 0;
    argv[k++] = run->python ? run->python : job->interp->base_executable;
    argv[k++] = "-I";
    argv[k++] = job->pip;
    argv[k++] = run->args[0];
    argv[k++] = "--disable-pip-version-check";
    argv[k++] = "--no-input";
    argv[k++] = "--no-cache-dir";
    for (size_t i = 1; i < n; i++)
        argv[k++] = run->args[i];
    _cleanup_free_ char *tmpdir = xasprintf("TMPDIR=%s", run->tmpdir);
    const char *set[] = {tmpdir, "PIP_REQUIRE_VIRTUALENV=0", /* also against pip.conf */
                         "PIP_BREAK_SYSTEM_PACKAGES=1",      /* nothing is installed */
                         "PIP_NO_COLOR=1", "PIP_PROGRESS_BAR=off",
                         /* for backends within a project; -I keeps it from pip itself */
                         "PYTHONDONTWRITEBYTECODE=1",
                         "GIT_OPTIONAL_LOCKS=0", /* a build that asks for the version only reads */
                         retries(), NULL};
    struct proc_options options = {
        .cwd = job->cwd,
        .unset = cleared,
        .set = set,
        .output = &run->output,
        .diagnostics = &run->diagnostics,
    };
    return proc_run(argv, &options, &run->status, err);
}

/* ---- resolving ---- */

static bool has_report(const char *version)
{
    char *end;
    unsigned long major = strtoul(version, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major > 22 || (major == 22 && minor >= 2);
}

static int write_constraints(const struct lock_job *job, const char *path, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i < job->request->n_constraints; i++)
        strbuf_addf(&sb, "%s\n", job->request->constraints[i]);
    int r = io_write_file_atomic(path, sb.buf, sb.len, 0600, false);
    return r < 0 ? verror_errno(err, r, "writing %s", path) : 0;
}

static bool is_pyproject(const char *path)
{
    return strcmp(path_basename(path), "pyproject.toml") == 0;
}

/* The arguments that hand the input to pip, behind `args[*n]`: `staged`, or as it is, and of a
 * pyproject.toml, which pip reads only to build, what it asks for. args is zeroed. */
static void add_input(const struct lock_job *job, const struct lock_plan *plan, const char *staged,
                      const char *constraints, const char **args, size_t *n)
{
    const struct lock_request *q = job->request;
    if (q->no_deps)
        args[(*n)++] = "--no-deps";
    if (q->n_constraints) {
        args[(*n)++] = "-c";
        args[(*n)++] = constraints;
    }
    if (staged) {
        args[(*n)++] = "-r";
        args[(*n)++] = staged;
        return;
    }
    for (size_t i = 0; i < q->n_files; i++) {
        if (is_pyproject(q->files[i]))
            continue;
        args[(*n)++] = "-r";
        args[(*n)++] = q->files[i];
    }
    if (q->n_requirements || plan->n_words)
        args[(*n)++] = "--";
    for (size_t i = 0; i < q->n_requirements; i++)
        args[(*n)++] = q->requirements[i];
    for (size_t i = 0; i < plan->n_words; i++)
        args[(*n)++] = plan->words[i];
}

static bool is_editable(const struct lock_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_editables; i++)
        if (plan->editables[i].name && strcmp(plan->editables[i].name, name) == 0)
            return true;
    return false;
}

static bool is_named(const struct lock_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_names; i++)
        if (strcmp(plan->names[i], name) == 0)
            return true;
    return false;
}

/* For a pip without --report: the wheels themselves are the answer. */
static int pins_of_folder(const char *folder, struct lock_plan *plan, struct verror *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return verror_errno(err, errno, "%s", folder);
    int r = 0;
    for (struct dirent *de; r == 0 && (de = readdir(dir));) {
        size_t len = strlen(de->d_name);
        if (len < 5 || strcmp(de->d_name + len - 4, ".whl") != 0)
            continue;
        struct wheel_name name;
        r = wheel_name_parse(de->d_name, &name, err);
        if (r < 0)
            break;
        _cleanup_free_ char *normalised = dist_name_normalise(name.dist);
        if (is_editable(plan, normalised)) { /* its wheel only told what it needs */
            wheel_name_release(&name);
            continue;
        }
        struct lock_pin *pin = lock_plan_add(plan);
        pin->name = steal_ptr(normalised);
        pin->version = xstrdup(name.version);
        pin->requested = is_named(plan, pin->name);
        pin->path = path_join(folder, de->d_name);
        pin->where = xstrdup(pin->path);
        wheel_name_release(&name);
        _cleanup_close_ int fd = io_open(pin->path, O_RDONLY, 0);
        struct sha256 digest;
        r = fd < 0 ? fd : sha256_of_fd(fd, &digest);
        if (r < 0) {
            verror_errno(err, r, "%s", pin->path);
            break;
        }
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&digest, hex);
        pin->hashes = xcalloc(1, sizeof(*pin->hashes));
        pin->hashes[pin->n_hashes++] = xasprintf("sha256:%s", hex);
    }
    closedir(dir);
    return r;
}

static void drop_pins(struct lock_plan *plan)
{
    for (size_t i = 0; i < plan->n_pins; i++)
        lock_pin_release(&plan->pins[i]);
    plan->n_pins = 0;
}

int lock_resolve(struct lock_job *job, struct lock_plan *plan, struct verror *err)
{
    const struct lock_request *q = job->request;
    if (q->offline)
        return verror_set(err, ENETUNREACH, "offline, and versions have to be resolved: %s",
                          plan->why ? plan->why : "the input is not a complete lock");
    int r = lock_pip_choose(job, err);
    if (r < 0)
        return r;
    const char *tmp = lock_tmp(job, err);
    if (!tmp)
        return err ? -err->errnum : -EIO;
    _cleanup_free_ char *constraints = path_join(tmp, "constraints.txt");
    if (q->n_constraints && (r = write_constraints(job, constraints, err)) < 0)
        return r;
    _cleanup_free_ char *staged = NULL;
    if (plan->lines && (r = lock_stage(job, NULL, 0, plan->lines, &staged, err)) < 0)
        return r;
    bool report = has_report(job->pip_version);
    _cleanup_free_ char *wheels = path_join(tmp, "resolved");
    _cleanup_free_ const char **args =
        xcalloc(16 + 2 * q->n_files + q->n_requirements + plan->n_words, sizeof(*args));
    size_t n = 0;
    if (report) {
        const char *const fixed[] = {
            "install", "--dry-run", "--ignore-installed", "--no-user", "--quiet", "--report", "-"};
        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
            args[n++] = fixed[i];
    } else {
        args[n++] = "wheel";
        args[n++] = "-w";
        args[n++] = wheels;
        (void)mkdir(wheels, 0700);
    }
    add_input(job, plan, staged, constraints, args, &n);
    struct lock_pip_run run = {
        .args = args, .tmpdir = tmp, .output = STRBUF_INIT, .diagnostics = STRBUF_INIT};
    struct progress *progress = progress_new("resolving", q->quiet);
    progress_item(progress, q->n_requirements ? q->requirements[0] : "");
    r = lock_pip_start(job, &run, err);
    progress_finish(progress);
    if (r == 0 && run.status != 0) {
        r = lock_pip_error(job, &run.diagnostics, err);
        if (r == -ENOENT)
            r = lock_explain_missing(job, plan, err);
    } else if (r == 0) {
        drop_pins(plan);
        r = report ? lock_report_read(job, run.output.buf, run.output.len, plan, err)
                   : pins_of_folder(wheels, plan, err);
    }
    strbuf_release(&run.output);
    strbuf_release(&run.diagnostics);
    return r;
}
