#include "wheel/layout.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"

/* A path from a wheel: no longer than a path below any usual folder may be, and no deeper than a
 * walk of the tree should have to follow. */
#define MAX_MEMBER_NAME 2048
#define MAX_MEMBER_DEPTH 100
/* How the files begin that views add to site-packages: _venvfs.pth, and what may follow it. */
#define OWN_PREFIX "_venvfs"

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

void layout_printable(const char *name, size_t len, struct strbuf *sb)
{
    enum { SHOWN = 200 };
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (i == SHOWN) {
            strbuf_addstr(sb, "...");
            break;
        }
        if (c < 0x20 || c == 0x7f)
            strbuf_addf(sb, "\\x%02x", c);
        else
            strbuf_addch(sb, (char)c);
    }
}

static const char *component_problem(const char *s, size_t len)
{
    if (!len)
        return "has an empty component";
    if ((len == 1 && s[0] == '.') || (len == 2 && memcmp(s, "..", 2) == 0))
        return "leads out of its folder (\".\" or \"..\")";
    if (!path_component_ok(s, len))
        return "has a component that is too long";
    if (len >= 4 && memcmp(s, ".wh.", 4) == 0)
        return "has a component that starts with \".wh.\", which marks deletions";
    return NULL;
}

const char *layout_member_problem(const char *name, size_t len)
{
    if (!len)
        return "is empty";
    if (len > MAX_MEMBER_NAME)
        return "is too long";
    if (name[0] == '/')
        return "is absolute";
    if (len >= 2 && isalpha((unsigned char)name[0]) && name[1] == ':')
        return "names a drive";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '\\')
            return "has a backslash";
        if (c < 0x20 || c == 0x7f)
            return "has a control character";
    }
    size_t depth = 0;
    for (size_t at = 0; at < len;) {
        const char *slash = memchr(name + at, '/', len - at);
        size_t n = slash ? (size_t)(slash - name) - at : len - at;
        const char *problem = component_problem(name + at, n);
        if (problem)
            return problem;
        if (++depth > MAX_MEMBER_DEPTH)
            return "is nested too deeply";
        at += n + 1;
    }
    return NULL;
}

bool layout_is_reserved_in_bin(const char *name)
{
    static const char *const activation[] = {
        "activate",         "activate.csh",  "activate.fish",       "activate.nu",
        "activate.xsh",     "activate.bat",  "activate.ps1",        "Activate.ps1",
        "activate_this.py", "deactivate.nu", "\xf0\x9d\x9c\x8bthon"};
    for (size_t i = 0; i < ARRAY_SIZE(activation); i++)
        if (strcmp(name, activation[i]) == 0)
            return true;
    size_t n = starts_with(name, "python") ? 6 : starts_with(name, "pypy") ? 4 : 0;
    if (!n)
        return false;
    name += n;
    name += *name == 'w';
    /* python3.13t, the free-threaded one, too */
    name += strspn(name, "0123456789.");
    return !*name || strcmp(name, "t") == 0;
}

const char *layout_bin_name_problem(const char *name)
{
    size_t len = strlen(name);
    if (memchr(name, '/', len))
        return "holds a '/'";
    const char *problem = layout_member_problem(name, len);
    if (problem)
        return problem;
    return layout_is_reserved_in_bin(name) ? "is one of the environment's own files" : NULL;
}

static int refuse(struct verror *err, const char *member, const char *why)
{
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(member, strlen(member), &shown);
    return verror_set(err, EBADMSG, "member %s %s", shown.buf, why);
}

/* Is this file's path where the environment has a folder? */
static bool is_own_folder(const struct layout *l, const char *path)
{
    static const char *const folders[] = {"bin", "lib", "include", "include/site"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (strcmp(path, folders[i]) == 0)
            return true;
    _cleanup_free_ char *lib = xasprintf("lib/%s", l->python_dir);
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages", l->python_dir);
    _cleanup_free_ char *include = xasprintf("include/%s", l->python_dir);
    return strcmp(path, lib) == 0 || strcmp(path, site) == 0 || strcmp(path, include) == 0;
}

/* Files that belong to the environment and not to a package. */
static int check_owned(const struct layout *l, const char *path, const char *member,
                       struct verror *err)
{
    static const char own[] = "would replace the environment's own ";
    const char *problem = NULL;
    if (starts_with(path, "bin/")) {
        _cleanup_free_ char *first = xstrndup(path + 4, strcspn(path + 4, "/"));
        problem = layout_bin_name_problem(first);
        if (problem)
            return verror_set(err, EBADMSG, "member %s: the name %s in bin/ %s", member, first,
                              problem);
        return 0;
    }
    static const char *const roots[] = {"pyvenv.cfg", "lib64", ".gitignore"};
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        size_t n = strlen(roots[i]);
        if (strncmp(path, roots[i], n) == 0 && (!path[n] || path[n] == '/'))
            return verror_set(err, EBADMSG, "member %s %s%s", member, own, roots[i]);
    }
    if (is_own_folder(l, path))
        return verror_set(err, EBADMSG, "member %s %s%s/", member, own, path);
    return 0;
}

/* Files of the .dist-info folder that say how it was installed: made for each environment. */
static bool is_written_anew(const char *name)
{
    static const char *const written[] = {"RECORD", "INSTALLER", "REQUESTED"};
    for (size_t i = 0; i < ARRAY_SIZE(written); i++)
        if (strcmp(name, written[i]) == 0)
            return true;
    return false;
}

/* .data/KEY/REST. As pip does, any folder NAME.data at the top is taken for one. */
static int place_data(const struct layout *l, const char *member, const char *key,
                      struct layout_place *ret, struct verror *err)
{
    size_t n = strcspn(key, "/");
    const char *rest = key[n] ? key + n + 1 : "";
    if (!n || !*rest)
        return refuse(err, member, "lies in .data but in none of its folders");
#define IS(name) (n == strlen(name) && memcmp(key, name, n) == 0)
    if (IS("purelib") || IS("platlib")) {
        ret->path = xasprintf("lib/%s/site-packages/%s", l->python_dir, rest);
        ret->site = true;
    } else if (IS("headers")) {
        ret->path = xasprintf("include/site/%s/%s/%s", l->python_dir, l->headers, rest);
    } else if (IS("scripts")) {
        ret->path = xasprintf("bin/%s", rest);
        ret->kind = LAYOUT_SCRIPT;
    } else if (IS("data")) {
        ret->path = xstrdup(rest);
    } else {
        return refuse(err, member,
                      "lies in an unknown folder of .data (known: purelib, platlib, headers, "
                      "scripts, data)");
    }
#undef IS
    return check_owned(l, ret->path, member, err);
}

/* Whatever way a file takes into site-packages, it may neither make a second distribution nor one
 * of the files that are written anew, nor take a name that a view may need there for itself. */
static int check_site(const struct layout *l, const struct layout_place *place, const char *member,
                      struct verror *err)
{
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages/", l->python_dir);
    if (!starts_with(place->path, site))
        return 0;
    const char *path = place->path + strlen(site);
    if (starts_with(path, OWN_PREFIX))
        return refuse(err, member,
                      "has a name in site-packages that starts with \"" OWN_PREFIX
                      "\", which is for venvfs's own files");
    size_t top = strcspn(path, "/");
    if (top < 10 || memcmp(path + top - 10, ".dist-info", 10) != 0)
        return 0;
    if (strlen(l->dist_info) != top || memcmp(path, l->dist_info, top) != 0)
        return refuse(err, member, "lies in a second .dist-info folder");
    if (!path[top])
        return refuse(err, member, "is a file where the .dist-info folder must be");
    if (place->kind != LAYOUT_RECORD && is_written_anew(path + top + 1))
        return refuse(err, member, "would replace a file that records the installation");
    return 0;
}

static int place_any(const struct layout *l, const char *member, struct layout_place *place,
                     struct verror *err)
{
    size_t top = strcspn(member, "/");
    if (member[top] && top > 5 && memcmp(member + top - 5, ".data", 5) == 0)
        return place_data(l, member, member + top + 1, place, err);
    if (member[top] && strlen(l->dist_info) == top && memcmp(member, l->dist_info, top) == 0 &&
        is_written_anew(member + top + 1))
        place->kind = LAYOUT_RECORD;
    place->site = true;
    place->path = xasprintf("lib/%s/site-packages/%s", l->python_dir, member);
    return 0;
}

int layout_place(const struct layout *l, const char *member, struct layout_place *ret,
                 struct verror *err)
{
    struct layout_place place = {.kind = LAYOUT_FILE};
    int r = place_any(l, member, &place, err);
    if (r == 0)
        r = check_site(l, &place, member, err);
    if (r < 0) {
        free(place.path);
        return r;
    }
    *ret = place;
    return 0;
}

int layout_check_path(const struct layout *l, const char *path, struct verror *err)
{
    const struct layout_place place = {.path = (char *)(uintptr_t)path, .kind = LAYOUT_FILE};
    int r = check_owned(l, path, path, err);
    return r < 0 ? r : check_site(l, &place, path, err);
}

/* Goes one folder up; false at the root. */
static bool leave_folder(struct strbuf *path)
{
    if (!path->len)
        return false;
    const char *slash = memrchr(path->buf, '/', path->len);
    strbuf_truncate(path, slash ? (size_t)(slash - path->buf) : 0);
    return true;
}

char *layout_record_place(const struct layout *l, const char *path)
{
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
    strbuf_addf(&out, "lib/%s/site-packages", l->python_dir);
    for (const char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        bool up = n == 2 && memcmp(p, "..", 2) == 0;
        if (up && !leave_folder(&out))
            return NULL;
        if (n && !up && !(n == 1 && *p == '.')) {
            if (out.len)
                strbuf_addch(&out, '/');
            strbuf_add(&out, p, n);
        }
        p += n + (p[n] == '/');
    }
    if (strncmp(out.buf, "lib64/", 6) == 0)
        return xasprintf("lib/%s", out.buf + 6);
    return strbuf_detach(&out, NULL);
}

char *layout_record_path(const struct layout *l, const char *path)
{
    _cleanup_free_ char *site = xasprintf("lib/%s/site-packages/", l->python_dir);
    if (starts_with(path, site))
        return xstrdup(path + strlen(site));
    _cleanup_free_ char *lib = xasprintf("lib/%s/", l->python_dir);
    if (starts_with(path, lib))
        return xasprintf("../%s", path + strlen(lib));
    if (starts_with(path, "lib/"))
        return xasprintf("../../%s", path + 4);
    return xasprintf("../../../%s", path);
}
