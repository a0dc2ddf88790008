/* What was found, and how it is told. */
#include "cli/doctor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/print.h"

static const char *const area_names[DOCTOR_AREAS] = {
    [DOCTOR_FUSE] = "fuse",   [DOCTOR_FOLDERS] = "folders",   [DOCTOR_DAEMON] = "daemon",
    [DOCTOR_STORE] = "store", [DOCTOR_ENVS] = "environments",
};
static const char *const level_names[] = {
    [DOCTOR_NOTE] = "note", [DOCTOR_WARNING] = "warning", [DOCTOR_PROBLEM] = "problem"};

/* ---- adding ---- */

struct doctor_finding *doctor_add(struct doctor *d, enum doctor_area area, enum doctor_level level,
                                  const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    d->v = xgrow(d->v, &d->alloc, d->n + 1, sizeof(*d->v));
    d->v[d->n] = (struct doctor_finding){
        .area = area, .level = level, .code = code, .message = xvasprintf(fmt, ap)};
    va_end(ap);
    return &d->v[d->n++];
}

void doctor_remedy(struct doctor_finding *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(f->remedy);
    f->remedy = xvasprintf(fmt, ap);
    va_end(ap);
}

void doctor_about(struct doctor_finding *f, const char *env, const char *path)
{
    free(f->env);
    free(f->path);
    f->env = env ? xstrdup(env) : NULL;
    f->path = path ? xstrdup(path) : NULL;
}

void doctor_summary(struct doctor *d, enum doctor_area area, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(d->summary[area]);
    d->summary[area] = xvasprintf(fmt, ap);
    va_end(ap);
}

void doctor_release(struct doctor *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->v[i].message);
        free(d->v[i].remedy);
        free(d->v[i].env);
        free(d->v[i].path);
    }
    free(d->v);
    for (size_t i = 0; i < DOCTOR_AREAS; i++)
        free(d->summary[i]);
    doctor_images_free(d->images);
    store_close(d->store);
    home_release(&d->home);
}

/* ---- counting ---- */

static size_t count(const struct doctor *d, enum doctor_area area, enum doctor_level level)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        n += (area == DOCTOR_AREAS || d->v[i].area == area) && d->v[i].level == level;
    return n;
}

static enum doctor_level worst(const struct doctor *d, enum doctor_area area)
{
    enum doctor_level level = DOCTOR_NOTE;
    for (size_t i = 0; i < d->n; i++)
        if (d->v[i].area == area && d->v[i].level > level)
            level = d->v[i].level;
    return level;
}

static int exit_code(const struct doctor *d)
{
    return count(d, DOCTOR_AREAS, DOCTOR_PROBLEM) ? EXIT_FAILED : EXIT_DONE;
}

/* ---- for people ---- */

enum { SHOWN = 5 }; /* findings of one code */

static void print_heading(const struct doctor *d, enum doctor_area area)
{
    static const struct {
        const char *mark;
        enum style style;
    } marks[] = {[DOCTOR_NOTE] = {"ok", STYLE_GREEN},
                 [DOCTOR_WARNING] = {"warning", STYLE_YELLOW},
                 [DOCTOR_PROBLEM] = {"problem", STYLE_RED}};
    enum doctor_level level = worst(d, area);
    _cleanup_free_ char *name = xasprintf("%s:", area_names[area]);
    printf("%s%-8s%s %-13s ", print_style(stdout, marks[level].style), marks[level].mark,
           print_style(stdout, STYLE_PLAIN), name);
    print_out_line(d->summary[area] ? d->summary[area] : "");
}

static void print_finding(const struct doctor_finding *f)
{
    _cleanup_free_ char *message = xasprintf("  %s: %s", level_names[f->level], f->message);
    _cleanup_free_ char *remedy = f->remedy ? xasprintf("    -> %s", f->remedy) : NULL;
    print_out_line(message);
    if (remedy)
        print_out_line(remedy);
}

/* How many findings of the same code there are, in all and before this one. */
static void number_of(const struct doctor *d, size_t i, size_t *all, size_t *before)
{
    *all = *before = 0;
    for (size_t j = 0; j < d->n; j++)
        if (strcmp(d->v[j].code, d->v[i].code) == 0) {
            ++*all;
            *before += j < i;
        }
}

static void print_findings(const struct doctor *d, enum doctor_area area, enum doctor_level level)
{
    for (size_t i = 0; i < d->n; i++) {
        size_t all, before;
        if (d->v[i].area != area || d->v[i].level != level)
            continue;
        number_of(d, i, &all, &before);
        if (before < SHOWN)
            print_finding(&d->v[i]);
        else if (before == SHOWN)
            printf("  ... and %zu more like this one; --json has all\n", all - SHOWN);
    }
}

int doctor_print(const struct doctor *d)
{
    size_t problems = count(d, DOCTOR_AREAS, DOCTOR_PROBLEM);
    size_t warnings = count(d, DOCTOR_AREAS, DOCTOR_WARNING);
    for (enum doctor_area area = 0; area < DOCTOR_AREAS; area++) {
        print_heading(d, area);
        print_findings(d, area, DOCTOR_PROBLEM);
        print_findings(d, area, DOCTOR_WARNING);
        print_findings(d, area, DOCTOR_NOTE);
    }
    if (problems || warnings)
        print_note("%zu problem%s, %zu warning%s", problems, problems == 1 ? "" : "s", warnings,
                   warnings == 1 ? "" : "s");
    else
        print_note("nothing is wrong");
    return exit_code(d);
}

/* ---- for programs ---- */

/* Paths need not be UTF-8; JSON must. */
static json_t *text(const char *s)
{
    if (!s)
        return json_null();
    json_t *value = json_string(s);
    if (value)
        return value;
    char *ascii = xstrdup(s);
    for (char *p = ascii; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

int doctor_print_json(const struct doctor *d)
{
    json_t *areas = json_array(), *findings = json_array();
    for (enum doctor_area area = 0; area < DOCTOR_AREAS; area++) {
        enum doctor_level level = worst(d, area);
        json_array_append_new(areas,
                              json_pack("{s:s, s:s, s:o}", "name", area_names[area], "state",
                                        level == DOCTOR_NOTE ? "ok" : level_names[level], "summary",
                                        text(d->summary[area] ? d->summary[area] : "")));
        for (size_t i = 0; i < d->n; i++) {
            const struct doctor_finding *f = &d->v[i];
            if (f->area == area)
                json_array_append_new(
                    findings, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "level",
                                        level_names[f->level], "area", area_names[area], "code",
                                        f->code, "environment", text(f->env), "path", text(f->path),
                                        "message", text(f->message), "remedy", text(f->remedy)));
        }
    }
    print_json(json_pack("{s:b, s:I, s:I, s:o, s:o}", "ok", exit_code(d) == EXIT_DONE, "problems",
                         (json_int_t)count(d, DOCTOR_AREAS, DOCTOR_PROBLEM), "warnings",
                         (json_int_t)count(d, DOCTOR_AREAS, DOCTOR_WARNING), "areas", areas,
                         "findings", findings));
    return exit_code(d);
}
