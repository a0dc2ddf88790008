#include "env/venv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"

enum { MAX_TEXT = 1 << 20 };

/* ---- lists of strings ---- */

static size_t count(char **list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* Adds a copy, unless it is there. */
static void add(char ***list, const char *s)
{
    size_t n = count(*list);
    for (size_t i = 0; i < n; i++)
        if (strcmp((*list)[i], s) == 0)
            return;
    *list = xrealloc(*list, (n + 2) * sizeof(**list));
    (*list)[n] = xstrdup(s);
    (*list)[n + 1] = NULL;
}

static void list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static bool is_plain_path(const char *s)
{
    if (*s != '/' || !s[1])
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

/* ---- pyvenv.cfg ---- */

/* The value of a key in lines of "key = value", trimmed and malloc'ed, or NULL. */
static char *config(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "\r\n");
        const char *end = p + len, *s = p;
        p += len + strspn(p + len, "\r\n");
        while (s < end && isspace((unsigned char)*s))
            s++;
        if ((size_t)(end - s) <= n || strncasecmp(s, key, n) != 0)
            continue;
        for (s += n; s < end && isspace((unsigned char)*s);)
            s++;
        if (s == end || *s != '=')
            continue;
        for (s++; s < end && isspace((unsigned char)*s);)
            s++;
        while (end > s && isspace((unsigned char)end[-1]))
            end--;
        return xstrndup(s, (size_t)(end - s));
    }
    return NULL;
}

/* venv writes repr(), virtualenv the text. */
static char *unquoted(char *s)
{
    size_t n = s ? strlen(s) : 0;
    if (n < 2 || (*s != '\'' && *s != '"') || s[n - 1] != *s)
        return s;
    char *inner = xstrndup(s + 1, n - 2);
    free(s);
    return inner;
}

static bool is_line(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return *s != '\0';
}

/* "command = PYTHON -m venv [options] DIR" (3.11 and newer): the folder it was made as. */
static void add_command(struct venv *v, const char *text)
{
    _cleanup_free_ char *command = config(text, "command");
    const char *dir = command ? strstr(command, " /") : NULL;
    if (dir && is_plain_path(dir + 1))
        add(&v->names, dir + 1);
}

static void add_interpreters(struct venv *v, const char *text)
{
    static const char *const keys[] = {"base-executable", "executable"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        _cleanup_free_ char *path = config(text, keys[i]);
        if (path && is_plain_path(path))
            add(&v->interpreters, path);
    }
    _cleanup_free_ char *home = config(text, "home");
    if (!home || !is_plain_path(home))
        return;
    _cleanup_free_ char *versioned = path_join(home, v->python_dir);
    _cleanup_free_ char *plain = path_join(home, "python3");
    add(&v->interpreters, versioned);
    add(&v->interpreters, plain);
}

static void take_config(struct venv *v, const char *text)
{
    _cleanup_free_ char *site = config(text, "include-system-site-packages");
    v->system_site_packages = site && strcasecmp(site, "true") == 0;
    v->prompt = unquoted(config(text, "prompt"));
    if (v->prompt && !is_line(v->prompt)) {
        free(v->prompt);
        v->prompt = NULL;
    }
    add_command(v, text);
    add_interpreters(v, text);
}

/* ---- bin/activate ---- */

/* VIRTUAL_ENV=PATH, quoted or not. */
static void add_virtual_env(struct venv *v, const char *text)
{
    static const char key[] = "VIRTUAL_ENV=";
    for (const char *p = text; (p = strstr(p, key));) {
        p += sizeof(key) - 1;
        bool quoted = *p == '"' || *p == '\'';
        const char end[] = {quoted ? *p : '\n', '\n', '\0'};
        const char *s = p + quoted;
        _cleanup_free_ char *path = xstrndup(s, strcspn(s, end));
        if (is_plain_path(path))
            add(&v->names, path);
    }
}

static void read_activate(struct venv *v)
{
    _cleanup_free_ char *path = path_join(v->root, "bin/activate");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && io_read_file(path, &text, MAX_TEXT) == 0)
        add_virtual_env(v, text.buf);
}

/* ---- lib/pythonX.Y ---- */

/* Free-threaded builds have a "t" behind the version. */
static bool parse_python_dir(const char *name, unsigned *major, unsigned *minor)
{
    int at = 0;
    if (sscanf(name, "python%1u.%2u%n", major, minor, &at) != 2 || at == 0 || name[6] == '0')
        return false;
    return !name[at] || strcmp(name + at, "t") == 0;
}

static bool has_site(const char *lib, const char *name)
{
    _cleanup_free_ char *site = xasprintf("%s/%s/site-packages", lib, name);
    struct stat st;
    return stat(site, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Of several (a venv that was upgraded) the one that pyvenv.cfg names, else the newest. */
static bool is_better(const struct venv *v, const char *name, unsigned major, unsigned minor,
                      const char *wanted)
{
    if (!v->python_dir)
        return true;
    size_t n = strlen(wanted);
    bool old_fits = n && strncmp(v->python_dir, wanted, n) == 0;
    bool new_fits = n && strncmp(name, wanted, n) == 0 && (!name[n] || name[n] == 't');
    if (old_fits != new_fits)
        return new_fits;
    return major != v->major ? major > v->major : minor > v->minor;
}

static int find_python_dir(struct venv *v, struct verror *err)
{
    _cleanup_free_ char *lib = path_join(v->root, "lib");
    unsigned major = 0, minor = 0;
    char wanted[32] = "";
    if (v->version && sscanf(v->version, "%1u.%2u", &major, &minor) == 2)
        (void)snprintf(wanted, sizeof(wanted), "python%u.%u", major, minor);
    DIR *dir = opendir(lib);
    const struct dirent *de;
    while (dir && (de = readdir(dir))) {
        if (!parse_python_dir(de->d_name, &major, &minor) || !has_site(lib, de->d_name) ||
            !is_better(v, de->d_name, major, minor, wanted))
            continue;
        free(v->python_dir);
        v->python_dir = xstrdup(de->d_name);
        v->major = major;
        v->minor = minor;
    }
    if (dir)
        closedir(dir);
    if (v->python_dir)
        return 0;
    return verror_set(err, EINVAL,
                      "%s is no environment of Python: it has no lib/pythonX.Y/site-packages",
                      v->root);
}

static int refuse_other_kinds(const struct venv *v, struct verror *err)
{
    _cleanup_free_ char *conda = path_join(v->root, "conda-meta");
    struct stat st;
    if (stat(v->root, &st) < 0)
        return verror_errno(err, errno, "%s", v->root);
    if (!S_ISDIR(st.st_mode))
        return verror_errno(err, ENOTDIR, "%s", v->root);
    if (path_exists(conda))
        return verror_set(err, EINVAL, "%s is an environment of conda, whose Python lies in it",
                          v->root);
    return 0;
}

int venv_read(const char *path, struct venv *ret, struct verror *err)
{
    struct venv v = {.root = path_absolute(path)};
    if (!v.root)
        return verror_errno(err, errno, "%s", path);
    _cleanup_free_ char *config_path = path_join(v.root, "pyvenv.cfg");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    struct stat st;
    int r = refuse_other_kinds(&v, err);
    /* virtualenv before 20 wrote none, and a broken environment may have lost it. */
    if (r == 0 && stat(config_path, &st) == 0 && S_ISREG(st.st_mode))
        (void)io_read_file(config_path, &text, MAX_TEXT);
    v.version = config(text.buf, "version");
    if (!v.version)
        v.version = config(text.buf, "version_info");
    if (r == 0)
        r = find_python_dir(&v, err);
    if (r < 0) {
        venv_release(&v);
        return r;
    }
    char *real = realpath(v.root, NULL);
    add(&v.names, v.root);
    if (real)
        add(&v.names, real);
    free(real);
    take_config(&v, text.buf);
    read_activate(&v);
    *ret = v;
    return 0;
}

void venv_release(struct venv *v)
{
    free(v->root);
    free(v->python_dir);
    free(v->prompt);
    free(v->version);
    list_free(v->names);
    list_free(v->interpreters);
    *v = (struct venv){0};
}

/* ---- its interpreter ---- */

static bool fits(const struct venv *v, const struct interp *interp)
{
    return strcmp(interp->target.python_dir, v->python_dir) == 0;
}

static int find_by(const struct home *home, const struct venv *v, const char *spec,
                   struct interp **ret, struct verror *err)
{
    struct interp *interp;
    int r = interp_find(home, spec, NULL, &interp, err);
    if (r < 0)
        return r;
    if (fits(v, interp)) {
        *ret = interp;
        return 0;
    }
    verror_set(err, EINVAL, "%s has packages for %s, and %s is %s", v->root, v->python_dir,
               interp->executable, interp->target.python_dir);
    interp_free(interp);
    return verror_hint(err, "another minor version needs other wheels: venvfs create -r LOCK");
}

int venv_interp(const struct home *home, const struct venv *v, const char *spec,
                struct interp **ret, bool *own, struct verror *err)
{
    *own = false;
    if (spec)
        return find_by(home, v, spec, ret, err);
    for (size_t i = 0; v->interpreters && v->interpreters[i]; i++) {
        struct interp *interp;
        if (!path_exists(v->interpreters[i]) ||
            interp_load(home, v->interpreters[i], &interp, NULL) < 0)
            continue;
        if (fits(v, interp)) {
            *ret = interp;
            *own = true;
            return 0;
        }
        interp_free(interp);
    }
    _cleanup_free_ char *same = xasprintf("%u.%u", v->major, v->minor);
    return find_by(home, v, same, ret, err);
}
