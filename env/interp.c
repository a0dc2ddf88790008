#include "env/interp.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "env/interp_facts.h"
#include "env/pyenv.h"

enum {
    MAX_TAGS = 20000,
    MAX_CFG = 64 * 1024,
    MAX_HOPS = 4, /* a wrapper of a wrapper, an environment made from an environment */
};

void interp_free(struct interp *interp)
{
    if (!interp)
        return;
    free(interp->executable);
    free(interp->base_executable);
    free(interp->home);
    free(interp->implementation);
    free(interp->version);
    free(interp->platlibdir);
    free(interp->soabi);
    free(interp->pip_wheel);
    free(interp->setuptools_wheel);
    if (interp->tags)
        free(interp->tags[0]);
    free(interp->tags);
    free((char *)(uintptr_t)interp->target.cache_tag);
    free((char *)(uintptr_t)interp->target.python_dir);
    json_decref(interp->markers);
    free(interp);
}

/* ---- from the interpreter's answer ---- */

static int incomplete(const char *path, const char *key, struct verror *err)
{
    return verror_set(err, ENOEXEC, "%s: its answer has no usable \"%s\"", path, key);
}

static bool take_string(const json_t *answer, const char *key, char **ret)
{
    const char *s = json_string_value(json_object_get(answer, key));
    if (!s)
        return false;
    *ret = xstrdup(s);
    return true;
}

static int take_strings(const json_t *answer, const char *path, struct interp *in,
                        struct verror *err)
{
    char *cache_tag = NULL, *python_dir = NULL;
    const struct {
        const char *key;
        char **ret;
        bool optional;
    } strings[] = {
        {"base_executable", &in->base_executable, false},
        {"implementation", &in->implementation, false},
        {"version", &in->version, false},
        {"platlibdir", &in->platlibdir, false},
        {"soabi", &in->soabi, false},
        {"cache_tag", &cache_tag, false},
        {"python_dir", &python_dir, false},
        {"pip_wheel", &in->pip_wheel, true},
        {"setuptools_wheel", &in->setuptools_wheel, true},
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(strings) && r == 0; i++)
        if (!take_string(answer, strings[i].key, strings[i].ret) && !strings[i].optional)
            r = incomplete(path, strings[i].key, err);
    in->target.cache_tag = cache_tag;
    in->target.python_dir = python_dir;
    if (r == 0 && !path_component_ok(python_dir, strlen(python_dir)))
        r = incomplete(path, "python_dir", err);
    if (r == 0 && !path_component_ok(in->platlibdir, strlen(in->platlibdir)))
        r = incomplete(path, "platlibdir", err);
    return r;
}

static int take_numbers(const json_t *answer, const char *path, struct interp *in,
                        struct verror *err)
{
    json_t *version = json_object_get(answer, "version_info");
    int major = 0, minor = 0, micro = 0;
    if (json_unpack(version, "[iii]", &major, &minor, &micro) < 0 || major < 3 || major > 99 ||
        minor < 0 || minor > 999 || micro < 0 || micro > 999)
        return incomplete(path, "version_info", err);
    json_int_t magic = json_integer_value(json_object_get(answer, "magic"));
    if (magic <= 0 || magic > UINT32_MAX)
        return incomplete(path, "magic", err);
    in->major = (unsigned)major;
    in->minor = (unsigned)minor;
    in->micro = (unsigned)micro;
    in->is_64bit = json_is_true(json_object_get(answer, "is_64bit"));
    in->target.magic = (uint32_t)magic;
    return 0;
}

/* The answer has them in one string; the strings of `tags` are pieces of one copy, its first. */
static int take_tags(const json_t *answer, const char *path, struct interp *in, struct verror *err)
{
    const char *tags = json_string_value(json_object_get(answer, "tags"));
    if (!tags || !*tags) {
        verror_set(err, ENOEXEC, "%s has no pip, which knows the wheels that fit it", path);
        verror_hint(err, "install its ensurepip (on Debian and Ubuntu: apt install python3-venv)");
        return -ENOEXEC;
    }
    size_t n = 1;
    for (const char *s = tags; (s = strchr(s, ' ')); s++)
        n++;
    if (n > MAX_TAGS)
        return incomplete(path, "tags", err);
    in->tags = xcalloc(n + 1, sizeof(*in->tags));
    char *rest = xstrdup(tags);
    for (size_t i = 0; i < n; i++)
        in->tags[i] = strsep(&rest, " ");
    in->target.tags = (const char *const *)in->tags;
    in->target.n_tags = n;
    return 0;
}

/* The kernel may be another than when the answer was cached; the rest of the markers are the
 * interpreter's own. */
static int take_markers(const json_t *answer, const char *path, struct interp *in,
                        struct verror *err)
{
    json_t *markers = json_object_get(answer, "markers");
    const char *key;
    json_t *value;
    if (!json_is_object(markers))
        return incomplete(path, "markers", err);
    in->markers = json_copy(markers);
    json_object_foreach(in->markers, key,
                        value) if (!json_is_string(value)) return incomplete(path, "markers", err);
    struct utsname u;
    if (uname(&u) == 0) {
        json_object_set_new(in->markers, "platform_release", json_string(u.release));
        json_object_set_new(in->markers, "platform_version", json_string(u.version));
    }
    return 0;
}

/* pyvenv.cfg's "home": the folder the interpreter was found in, as venv writes it, as long as the
 * standard library can be found from there; a link in a folder far from it (~/bin) would leave the
 * environment without one. */
static char *venv_home(const struct interp *in)
{
    _cleanup_free_ char *found = path_dirname(in->executable);
    const char *const libs[] = {"lib", in->platlibdir};
    for (size_t i = 0; i < ARRAY_SIZE(libs); i++) {
        _cleanup_free_ char *os =
            xasprintf("%s/../%s/%s/os.py", found, libs[i], in->target.python_dir);
        if (access(os, F_OK) == 0)
            return steal_ptr(found);
    }
    return path_dirname(in->base_executable);
}

static int from_answer(const json_t *answer, const char *executable, struct interp **ret,
                       struct verror *err)
{
    struct interp *in = xcalloc(1, sizeof(*in));
    in->executable = xstrdup(executable);
    int r = take_strings(answer, executable, in, err);
    if (r == 0)
        r = take_numbers(answer, executable, in, err);
    if (r == 0)
        r = take_tags(answer, executable, in, err);
    if (r == 0)
        r = take_markers(answer, executable, in, err);
    if (r < 0) {
        interp_free(in);
        return r;
    }
    in->home = venv_home(in);
    in->target.executable = in->base_executable;
    in->target.major = in->major;
    in->target.minor = in->minor;
    *ret = in;
    return 0;
}

/* ---- from a path to the base interpreter ---- */

/* The value of "home" in a pyvenv.cfg, or NULL. malloc'ed. */
static char *cfg_home(const char *path)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(path, &text, MAX_CFG) < 0)
        return NULL;
    for (const char *line = text.buf; *line;) {
        size_t n = strcspn(line, "\n");
        const char *eq = memchr(line, '=', n);
        const char *key_end = eq;
        while (key_end && key_end > line && isspace((unsigned char)key_end[-1]))
            key_end--;
        if (eq && key_end - line == 4 && strncasecmp(line, "home", 4) == 0) {
            const char *v = eq + 1, *end = line + n;
            while (v < end && isspace((unsigned char)*v))
                v++;
            while (end > v && isspace((unsigned char)end[-1]))
                end--;
            return xstrndup(v, (size_t)(end - v));
        }
        line += n;
        line += *line == '\n';
    }
    return NULL;
}

/* The folder that an environment's interpreter came from; NULL: it is in no environment (PEP 405
 * looks beside the executable and one level up, links not followed). malloc'ed. */
static char *environment_home(const char *executable)
{
    _cleanup_free_ char *bin = path_dirname(executable);
    _cleanup_free_ char *root = path_dirname(bin);
    const char *const dirs[] = {bin, root};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        _cleanup_free_ char *cfg = path_join(dirs[i], "pyvenv.cfg");
        char *home = cfg_home(cfg);
        if (home && home[0] == '/')
            return home;
        free(home);
    }
    return NULL;
}

/* The base interpreter in `home` that an environment's executable stands for. */
static char *base_in(const char *home, const char *executable)
{
    const char *const names[] = {path_basename(executable), "python3", "python"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *base = path_join(home, names[i]);
        if (access(base, X_OK) == 0)
            return base;
        free(base);
    }
    return NULL;
}

/* Out of environments and pyenv's shims: the interpreter that `path` means. malloc'ed. */
static int resolve(const char *path, char **ret, struct verror *err)
{
    _cleanup_free_ char *at = path_absolute(path);
    if (!at)
        return verror_errno(err, errno, "%s", path);
    for (unsigned hop = 0; hop < MAX_HOPS; hop++) {
        char *next = NULL;
        _cleanup_free_ char *home = environment_home(at);
        if (pyenv_is_shim(at)) {
            int r = pyenv_which(path_basename(at), NULL, &next, err);
            if (r < 0)
                return r;
        } else if (home) {
            next = base_in(home, at);
            if (!next) {
                verror_set(err, ENOENT, "%s: the interpreter it was made from is gone from %s", at,
                           home);
                return -ENOENT;
            }
        }
        if (!next)
            break;
        free(at);
        at = next;
    }
    *ret = steal_ptr(at);
    return 0;
}

/* A folder is the environment or the installation in it. */
static char *inside_folder(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return xstrdup(path);
    char *python = path_join(path, "bin/python3");
    if (access(python, X_OK) == 0)
        return python;
    free(python);
    return path_join(path, "bin/python");
}

static int load_at(const struct home *home, const char *executable, unsigned hop,
                   struct interp **ret, struct verror *err)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(executable, real) || stat(real, &st) < 0)
        return verror_errno(err, errno, "%s", executable);
    if (!S_ISREG(st.st_mode) || access(real, X_OK) < 0)
        return verror_set(err, ENOEXEC, "%s is no program", executable);
    json_t *answer = NULL;
    int r = interp_facts(home, real, &answer, err);
    if (r < 0)
        return r;
    const char *base = json_string_value(json_object_get(answer, "base_executable"));
    if (base && strcmp(base, real) != 0 && hop < MAX_HOPS)
        r = load_at(home, base, hop + 1, ret, err); /* a wrapper */
    else
        r = from_answer(answer, executable, ret, err);
    json_decref(answer);
    return r;
}

int interp_load(const struct home *home, const char *executable, struct interp **ret,
                struct verror *err)
{
    _cleanup_free_ char *path = inside_folder(executable);
    _cleanup_free_ char *found = NULL;
    int r = resolve(path, &found, err);
    if (r < 0)
        return r;
    return load_at(home, found, 0, ret, err);
}
