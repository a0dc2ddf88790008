/* editable: pip installs a project into a private environment below HOME, and lock.py reads it.
 *
 * The environment has nothing in it, not even pip (pip's own folder is what its Python runs), so
 * all that is there afterwards is the install. It is a real one, and not pip's --prefix, because
 * some systems put a prefix's files elsewhere (Debian: local/lib/python3.11/dist-packages).
 */
#include "env/editable.h"

#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"

static const char *const settings[] = {"pyproject.toml", "setup.py", "setup.cfg"};

static void add_text(struct sha256_state *st, const char *s)
{
    sha256_update(st, s, strlen(s) + 1);
}

void editable_key(const char *folder, const struct interp *interp, struct sha256 *ret)
{
    enum { LARGEST = 16 << 20 };
    struct sha256_state *st = sha256_begin();
    add_text(st, "venvfs editable 1");
    add_text(st, folder);
    add_text(st, interp->target.python_dir);
    add_text(st, interp->soabi ? interp->soabi : "");
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        _cleanup_free_ char *path = path_join(folder, settings[i]);
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        bool there = io_read_file(path, &text, LARGEST) == 0;
        struct sha256 digest;
        sha256_of(text.buf, text.len, &digest);
        add_text(st, there ? settings[i] : "missing");
        sha256_update(st, digest.bytes, SHA256_SIZE);
    }
    sha256_end(st, ret);
}

/* ---- the private environment ---- */

static int make_environment(const struct interp *interp, const char *env, struct verror *err)
{
    _cleanup_free_ char *bin = path_join(env, "bin"), *cfg = path_join(env, "pyvenv.cfg");
    _cleanup_free_ char *lib64 = path_join(env, "lib64"), *python = path_join(bin, "python");
    _cleanup_free_ char *site =
        xasprintf("%s/lib/%s/site-packages", env, interp->target.python_dir);
    _cleanup_free_ char *text = xasprintf("home = %s\ninclude-system-site-packages = false\n"
                                          "version = %s\n",
                                          interp->home, interp->version);
    int r = path_mkdirs(bin, 0700);
    if (r == 0)
        r = path_mkdirs(site, 0700);
    if (r == 0 && interp->is_64bit)
        r = io_symlinkat("lib", -100 /* AT_FDCWD */, lib64);
    if (r == 0)
        r = io_symlinkat(interp->base_executable, -100, python);
    if (r == 0)
        r = io_write_file_atomic(cfg, text, strlen(text), 0600, false);
    return r < 0 ? verror_errno(err, r, "making %s", env) : 0;
}

/* ---- building ---- */

struct build {
    struct lock_job *job;
    const char *folder;
    const struct editable_options *options;
    char *env;     /* the private environment */
    json_t *begun; /* lock.py's answer before the build */
};

static int begin(struct build *b, struct verror *err)
{
    json_t *request = json_pack("{s:s, s:s}", "command", "begin-editable", "project", b->folder);
    if (!request)
        return verror_set(err, EILSEQ, "%s: its path is not UTF-8", b->folder);
    int r = lock_helper(b->job, request, &b->begun, err);
    json_decref(request);
    return r;
}

/* failed: only tidies up. */
static int end(struct build *b, bool failed, json_t **ret, struct verror *err)
{
    json_t *request =
        json_pack("{s:s, s:s, s:O, s:s?, s:s}", "command", "end-editable", "project", b->folder,
                  "traces", json_object_get(b->begun, "traces"), "environment",
                  failed ? NULL : b->env, "python_dir", b->job->interp->target.python_dir);
    if (!request)
        return verror_set(err, EIO, "lock.py named no traces");
    int r = lock_helper(b->job, request, ret, err);
    json_decref(request);
    return r;
}

static int run_pip(struct build *b, struct verror *err)
{
    const char *tmp = lock_tmp(b->job, err);
    const char *url = json_string_value(json_object_get(b->begun, "url"));
    if (!tmp || !url)
        return err && err->errnum ? -err->errnum : -EIO;
    _cleanup_free_ char *python = path_join(b->env, "bin/python");
    const char *args[] = {"install",
                          "--no-deps",
                          "--no-user",
                          "--no-compile",
                          "--use-pep517",
                          "--no-warn-script-location",
                          "--quiet",
                          "-e",
                          url,
                          b->options->offline ? "--no-index" : NULL,
                          NULL};
    struct lock_pip_run run = {.args = args,
                               .python = python,
                               .tmpdir = tmp,
                               .output = STRBUF_INIT,
                               .diagnostics = STRBUF_INIT};
    struct progress *progress = progress_new("building", b->options->quiet);
    progress_item(progress, path_basename(b->folder));
    int r = lock_pip_start(b->job, &run, err);
    progress_finish(progress);
    if (r == 0 && run.status != 0)
        r = lock_pip_error(b->job, &run.diagnostics, err);
    strbuf_release(&run.output);
    strbuf_release(&run.diagnostics);
    return r;
}

/* Text files alone can be kept, and only what lies in site-packages and bin. */
static void warn_left_out(const struct build *b, const json_t *answer)
{
    const json_t *left_out = json_object_get(answer, "left_out");
    const char *first = json_string_value(json_array_get(left_out, 0));
    if (!first || !b->options->warn)
        return;
    _cleanup_free_ char *line =
        xasprintf("warning: the editable install of %s: left out %s (%zu in all outside of "
                  "site-packages and bin)",
                  b->folder, first, json_array_size(left_out));
    b->options->warn(line, b->options->warn_arg);
}

static int read_answer(const struct build *b, const json_t *answer, struct manifest_editable *ret,
                       struct verror *err)
{
    const char *name = json_string_value(json_object_get(answer, "name"));
    const char *version = json_string_value(json_object_get(answer, "version"));
    struct manifest_editable e = {.path = xstrdup(b->folder)};
    int r = name && version ? manifest_files_from_json(json_object_get(answer, "files"), &e, err)
                            : verror_set(err, EIO, "lock.py named no name and version");
    if (r < 0) {
        manifest_editable_release(&e);
        return r;
    }
    e.name = xstrdup(name);
    e.version = xstrdup(version);
    e.normalised = dist_name_normalise(name);
    warn_left_out(b, answer);
    *ret = e;
    return 0;
}

static int build(struct build *b, struct manifest_editable *ret, struct verror *err)
{
    json_t *answer = NULL;
    int r = begin(b, err);
    if (r < 0)
        return r;
    r = run_pip(b, err);
    if (r < 0)
        (void)end(b, true, &answer, NULL);
    else
        r = end(b, false, &answer, err);
    if (r == 0)
        r = read_answer(b, answer, ret, err);
    json_decref(answer);
    return r;
}

int editable_build(const struct home *home, const struct interp *interp, const char *folder,
                   const struct editable_options *options, struct manifest_editable *ret,
                   struct verror *err)
{
    _cleanup_verror_ struct verror local = VERROR_INIT;
    struct verror *e = err ? err : &local;
    const struct lock_request request = {.offline = options->offline, .quiet = options->quiet};
    struct lock_job job = {
        .home = home, .interp = interp, .request = &request, .cwd = xstrdup("/"), .tmp_lock = -1};
    struct build b = {.job = &job, .folder = folder, .options = options};
    struct manifest_editable made = {0};
    struct sha256 key;
    editable_key(folder, interp, &key); /* before: a change while it builds is one for the next */
    int r = lock_pip_choose(&job, e);
    const char *tmp = r == 0 ? lock_tmp(&job, e) : NULL;
    if (r == 0 && !tmp)
        r = e->errnum ? -e->errnum : -EIO;
    if (r == 0) {
        b.env = path_join(tmp, "env");
        r = make_environment(interp, b.env, e);
    }
    if (r == 0)
        r = build(&b, &made, e);
    if (r == 0) {
        made.key = key;
        *ret = made;
    } else {
        verror_prefix(e, "%s cannot be installed editable", folder);
    }
    json_decref(b.begun);
    free(b.env);
    lock_job_release(&job);
    return r;
}
