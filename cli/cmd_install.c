/* install and uninstall: changes by name, as pip takes them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/apply.h"
#include "cli/commands.h"
#include "cli/difference.h"
#include "cli/print.h"

static const struct command_help install_help = {
    .name = "install",
    .synopsis = "[-n ENV] PKG...\n[-n ENV] -r FILE...",
    .about =
        "Installs packages and what they need, as pip would choose them. What is installed stays\n"
        "as it is where it satisfies them. PKG is a requirement (\"requests>=2\"), a wheel or\n"
        "a folder.",
    .max = OPERANDS_ANY,
};

static const struct command_help uninstall_help = {
    .name = "uninstall",
    .synopsis = "[-n ENV] PKG...\n[-n ENV] -r FILE...",
    .about = "Takes packages out of an environment; what they needed stays. The store keeps them.",
    .max = OPERANDS_ANY,
};

struct change {
    const char *env;
    struct words files, packages;
    bool offline, refresh, upgrade, no_deps, fallback, no_wait;
    size_t jobs;
};

static int changed(struct apply *a, const char *verb, const struct change *o, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf reason = STRBUF_INIT;
    strbuf_addstr(&reason, verb);
    for (size_t i = 0; i < o->packages.n; i++)
        strbuf_addf(&reason, " %s", o->packages.v[i]);
    for (size_t i = 0; i < o->files.n; i++)
        strbuf_addf(&reason, " -r %s", path_basename(o->files.v[i]));
    int r = apply_commit(a, reason.buf, err);
    if (r == 0)
        r = apply_show(a, o->fallback, err);
    return r;
}

/* The distribution's name at the start of a requirement, normalised; NULL when it starts otherwise
 * (a path, a URL, an option). malloc'ed. */
static char *requirement_name(const char *text)
{
    size_t len = 0;
    while (isalnum((unsigned char)text[len]) || (text[len] && strchr("._-", text[len])))
        len++;
    if (!len || text[len] == '/' || text[len] == ':' || !isalnum((unsigned char)text[0]))
        return NULL;
    _cleanup_free_ char *name = xstrndup(text, len);
    return dist_name_normalise(name);
}

static bool is_named(const struct words *packages, const char *normalised)
{
    for (size_t i = 0; i < packages->n; i++) {
        _cleanup_free_ char *name = requirement_name(packages->v[i]);
        if (name && strcmp(name, normalised) == 0)
            return true;
    }
    return false;
}

/* "name==version" of all that is installed and not asked for: it should stay. */
static char **constraints(const struct manifest *m, const struct words *packages, size_t *n)
{
    char **list = xcalloc(m->n_packages + 1, sizeof(*list));
    *n = 0;
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        if (!p->direct_url && !is_named(packages, p->normalised))
            list[(*n)++] = xasprintf("%s==%s", p->normalised, p->version);
    }
    return list;
}

static void free_list(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

/* First with everything that is installed held where it is; when that cannot be, as pip does: what
 * stands in the way is changed. */
static int resolve(struct apply *a, const struct change *o, char **files, struct verror *err)
{
    size_t n;
    char **held = constraints(a->next, &o->packages, &n);
    struct lock_request request = {
        .files = (const char *const *)files,
        .n_files = o->files.n,
        .requirements = o->packages.v,
        .n_requirements = o->packages.n,
        .constraints = (const char *const *)held,
        .n_constraints = n,
        .no_deps = o->no_deps,
        .upgrade = o->upgrade,
    };
    _cleanup_verror_ struct verror first = VERROR_INIT;
    int r = -EINVAL;
    if (!o->upgrade)
        r = apply_fulfil(a, &request, false, NULL, &first);
    if (o->upgrade || (r < 0 && n && r != -ENETUNREACH && r != -EBADMSG && r != -ENOSPC)) {
        request.constraints = NULL;
        request.n_constraints = 0;
        r = apply_fulfil(a, &request, false, NULL, err);
    } else if (r < 0) {
        verror_move(err, &first);
    }
    free_list(held);
    return r;
}

static int install(struct session *s, const struct change *o, struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    int r = apply_open(&a, s, o->env, NULL, NULL, err);
    if (r == 0)
        r = apply_check_address(&a, o->fallback, err);
    if (r < 0)
        return r;
    a.jobs = o->jobs;
    a.offline = o->offline;
    a.refresh = o->refresh;
    char **files = xcalloc(o->files.n + 1, sizeof(*files));
    for (size_t i = 0; i < o->files.n; i++)
        files[i] = path_absolute(o->files.v[i]);
    r = resolve(&a, o, files, err);
    free_list(files);
    return r < 0 ? r : changed(&a, "install", o, err);
}

static int not_installed(const struct apply *a, const char *name, struct verror *err)
{
    const char **names = xcalloc(a->before->n_packages + 1, sizeof(*names));
    for (size_t i = 0; i < a->before->n_packages; i++)
        names[i] = a->before->packages[i].normalised;
    const char *near = options_near(name, names);
    verror_set(err, ENOENT, "%s is not installed in environment %s", name, a->env->name);
    if (near)
        verror_hint(err, "did you mean %s?", near);
    free(names);
    return -ENOENT;
}

static int drop(struct apply *a, const char *requirement, struct verror *err)
{
    _cleanup_free_ char *name = requirement_name(requirement);
    if (!name)
        return verror_set(err, EINVAL, "\"%s\" does not name a package", requirement);
    if (manifest_drop(a->next, name) || manifest_drop_editable(a->next, name) ||
        manifest_package_named(a->before, name))
        return 0;
    return not_installed(a, name, err);
}

/* Names at the start of the lines; options and comments are passed over. */
static int drop_file(struct apply *a, const char *path, struct verror *err)
{
    enum { LARGEST = 16 << 20 };
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, LARGEST);
    if (r < 0)
        return verror_errno(err, r, "%s", path);
    char *save = NULL;
    for (char *line = strtok_r(text.buf, "\r\n", &save); line && r == 0;
         line = strtok_r(NULL, "\r\n", &save))
        if (isalnum((unsigned char)line[0]))
            r = drop(a, line, err);
    return r;
}

static int uninstall(struct session *s, const struct change *o, struct verror *err)
{
    _cleanup_apply_ struct apply a = APPLY_INIT;
    int r = apply_open(&a, s, o->env, NULL, NULL, err);
    if (r == 0)
        r = apply_check_address(&a, o->fallback, err);
    for (size_t i = 0; r == 0 && i < o->packages.n; i++)
        r = drop(&a, o->packages.v[i], err);
    for (size_t i = 0; r == 0 && i < o->files.n; i++)
        r = drop_file(&a, o->files.v[i], err);
    return r < 0 ? r : changed(&a, "uninstall", o, err);
}

static int run(const struct command_help *help, const struct option_spec *specs, struct change *o,
               int (*act)(struct session *, const struct change *, struct verror *), int argc,
               char **argv)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(help, specs, argc, argv, &o->packages);
    if (r == OPTIONS_GO && !o->packages.n && !o->files.n)
        r = print_usage_error(help->name, "name a package, or a file with -r");
    if (r == OPTIONS_GO) {
        s.no_wait = o->no_wait;
        r = session_open(&s, &err);
        if (r == 0)
            r = act(&s, o, &err);
        r = r < 0 ? print_error(&err) : EXIT_DONE;
    }
    words_release(&o->packages);
    words_release(&o->files);
    return r;
}

int cmd_install(int argc, char **argv)
{
    struct change o = {.env = NULL};
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.env, "ENV", "the environment (default: the active one)"},
        {'r', "requirement", OPTION_WORDS, &o.files, "FILE", "a requirements file; repeatable"},
        {'U', "upgrade", OPTION_FLAG, &o.upgrade, NULL, "take the newest that fits"},
        {0, "no-deps", OPTION_FLAG, &o.no_deps, NULL, "leave out what the packages need"},
        {'j', "jobs", OPTION_NUMBER, &o.jobs, "N", "threads (default: one per CPU)"},
        {0, "offline", OPTION_FLAG, &o.offline, NULL, "start no download"},
        {0, "refresh", OPTION_FLAG, &o.refresh, NULL, "resolve again, whatever is remembered"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {0, "no-wait", OPTION_FLAG, &o.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    return run(&install_help, specs, &o, install, argc, argv);
}

int cmd_uninstall(int argc, char **argv)
{
    struct change o = {.env = NULL};
    bool yes; /* pip asks; venvfs does not, and takes the flag of scripts written for pip */
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &o.env, "ENV", "the environment (default: the active one)"},
        {'r', "requirement", OPTION_WORDS, &o.files, "FILE", "a requirements file; repeatable"},
        {'y', "yes", OPTION_FLAG, &yes, NULL, "accepted as pip's; nothing is asked"},
        {0, "fallback", OPTION_FLAG, &o.fallback, NULL, "without FUSE, write plain files instead"},
        {0, "no-wait", OPTION_FLAG, &o.no_wait, NULL, "fail where another process changes it"},
        OPTIONS_END,
    };
    return run(&uninstall_help, specs, &o, uninstall, argc, argv);
}
