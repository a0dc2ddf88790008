#include <string.h>

#include "base/mem.h"
#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/point.h"
#include "cli/print.h"

static const struct command_help help = {
    .name = "diff",
    .synopsis = "[A [B]] [--exit-code] [--json]\n-n A [B]",
    .about =
        "Shows what differs between two points: packages added (+), removed (-) and changed (~)\n"
        "from A to B, and the files that were changed inside, each with a letter: A added,\n"
        "M modified, D removed, R renamed (a folder of a package). A point is an environment as\n"
        "it is now, or one of its generations without what was changed inside, ENV@N. One alone\n"
        "is compared with the environment as it is now; an environment alone shows what was\n"
        "changed inside it.",
    .max = 2,
};

struct diff {
    struct point from, to; /* to.env NULL: only the files of `from` */
    struct changes packages;
    struct edits from_edits, to_edits;
};

static void diff_release(struct diff *d)
{
    point_release(&d->from);
    point_release(&d->to);
    changes_release(&d->packages);
    edits_release(&d->from_edits);
    edits_release(&d->to_edits);
}

/* name: A given with -n, so that the operands begin with B. */
static int diff_find(struct session *s, const char *name, const struct words *words, struct diff *d,
                     struct verror *err)
{
    size_t second = name ? 0 : 1;
    const char *first = name ? name : words->n ? words->v[0] : NULL;
    int r = point_find(s, first, name != NULL, &d->from, err);
    if (r == 0 && words->n > second)
        r = point_find(s, words->v[second], false, &d->to, err);
    else if (r == 0 && !d->from.now)
        r = point_now(s, &d->from, &d->to, err);
    if (r < 0)
        return r;
    if (d->to.env)
        changes_find(d->from.manifest, d->to.manifest, &d->packages);
    r = point_edits(s, &d->from, &d->from_edits, err);
    bool same =
        d->to.env && d->from.now && d->to.now && strcmp(d->from.env->name, d->to.env->name) == 0;
    if (r == 0 && d->to.env && !same)
        r = point_edits(s, &d->to, &d->to_edits, err);
    else if (same) /* nothing differs */
        edits_release(&d->from_edits);
    return r;
}

static bool pythons_differ(const struct diff *d)
{
    return d->to.env &&
           strcmp(manifest_python(d->from.manifest), manifest_python(d->to.manifest)) != 0;
}

static bool differs(const struct diff *d)
{
    return d->packages.n || pythons_differ(d) || d->from_edits.n || d->to_edits.n;
}

/* ---- for people ---- */

/* Paths come from programs, and are printed so that each keeps to its line. */
static void put_path(const char *path)
{
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;
        if (c < 0x20 || c == 0x7f || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static enum style style_of(enum edit_kind kind)
{
    return kind == EDIT_ADDED     ? STYLE_GREEN
           : kind == EDIT_REMOVED ? STYLE_RED
           : kind == EDIT_RENAMED ? STYLE_CYAN
                                  : STYLE_YELLOW;
}

static void print_edit(const struct edit *e)
{
    printf("%s%c%s ", print_style(stdout, style_of(e->kind)), (char)e->kind,
           print_style(stdout, STYLE_PLAIN));
    if (e->source) {
        put_path(e->source);
        fputs("/ -> ", stdout);
    }
    put_path(e->path);
    printf("%s%s%s\n", e->folder || e->source ? "/" : "", e->attributes ? " (mode or owner)" : "",
           e->lost ? " (its package is gone)" : "");
}

static void print_edits(const struct point *p, const struct edits *edits, bool heading)
{
    if (!edits->n)
        return;
    if (heading)
        printf("%schanged inside %s:%s\n", print_style(stdout, STYLE_BOLD), p->label,
               print_style(stdout, STYLE_PLAIN));
    for (size_t i = 0; i < edits->n; i++)
        print_edit(&edits->v[i]);
}

static void print_text(const struct diff *d)
{
    if (pythons_differ(d))
        printf("Python %s -> %s\n", manifest_python(d->from.manifest),
               manifest_python(d->to.manifest));
    for (size_t i = 0; i < d->packages.n; i++)
        changes_print_line(stdout, "", &d->packages.v[i]);
    bool heading = d->to.env != NULL;
    print_edits(&d->from, &d->from_edits, heading);
    print_edits(&d->to, &d->to_edits, heading);
}

/* ---- for programs ---- */

/* Paths that are not UTF-8 have U+FFFD for each byte that is not, as there is no other way in JSON.
 */
static json_t *path_text(const char *path)
{
    json_t *text = json_string(path);
    struct strbuf sb = STRBUF_INIT;
    for (; !text && *path; path++) {
        if ((unsigned char)*path < 0x80)
            strbuf_addch(&sb, *path);
        else
            strbuf_addstr(&sb, "\xef\xbf\xbd");
    }
    if (!text)
        text = json_string(sb.buf);
    strbuf_release(&sb);
    return text;
}

static json_t *facts_of_edits(const struct edits *edits)
{
    json_t *array = json_array();
    for (size_t i = 0; i < edits->n; i++) {
        const struct edit *e = &edits->v[i];
        const char kind[2] = {(char)e->kind, '\0'};
        json_t *one =
            json_pack("{s:s, s:o, s:b, s:b}", "kind", kind, "path", path_text(e->path), "folder",
                      (int)(e->folder || e->source), "attributes", (int)e->attributes);
        if (e->source) {
            json_object_set_new(one, "source", path_text(e->source));
            json_object_set_new(one, "lost", json_boolean(e->lost));
        }
        json_array_append_new(array, one);
    }
    return array;
}

static json_t *facts_of_point(const struct point *p, const struct edits *edits)
{
    return json_pack("{s:s, s:i, s:b, s:s?, s:o}", "name", p->env->name, "generation",
                     (int)p->manifest->generation, "now", (int)p->now, "python",
                     p->manifest->version, "edits", facts_of_edits(edits));
}

static void print_facts(const struct diff *d)
{
    json_t *to = d->to.env ? facts_of_point(&d->to, &d->to_edits) : json_null();
    print_json(json_pack("{s:o, s:o, s:o}", "from", facts_of_point(&d->from, &d->from_edits), "to",
                         to, "packages", facts_of_changes(&d->packages)));
}

int cmd_diff(int argc, char **argv)
{
    bool json = false, exit_code = false;
    const char *name = NULL;
    const struct option_spec specs[] = {
        {'n', "name", OPTION_STRING, &name, "A",
         "the first point (default: the active environment)"},
        {0, "exit-code", OPTION_FLAG, &exit_code, NULL,
         "end with 1 when something differs, and with 2\nwhen it fails, as diff(1) does"},
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (name && operands.n > 1)
        return print_usage_error("diff", "with -n there is one more point at most");
    struct diff d = {.from = POINT_INIT, .to = POINT_INIT};
    r = session_open(&s, &err);
    if (r == 0)
        r = diff_find(&s, name, &operands, &d, &err);
    if (r < 0) {
        r = print_error(&err);
        r = exit_code ? EXIT_USAGE : r;
    } else {
        json ? print_facts(&d) : print_text(&d);
        r = exit_code && differs(&d) ? EXIT_FAILED : EXIT_DONE;
    }
    diff_release(&d);
    return r;
}
