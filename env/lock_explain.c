/* lock_explain: why no file of a package fits, from what pip says when it is asked verbosely. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"

enum { TAGS_SHOWN = 8, TAGS_WANTED = 3 };

/* Appends an item to a comma-separated list unless it is there; counts those not shown. */
static void add_item(struct strbuf *sb, const char *item, size_t *n)
{
    if (strstr(sb->buf, item))
        return;
    if (*n < TAGS_SHOWN)
        strbuf_addf(sb, "%s%s", *n ? ", " : "", item);
    *n += 1;
}

/* The wheel's file name in a line that names its URL, or NULL. malloc'ed. */
static char *wheel_in(const char *line, size_t len)
{
    const char *end = memmem(line, len, ".whl", 4), *start;
    if (!end)
        return NULL;
    for (start = end; start > line && start[-1] != '/' && start[-1] != ' '; start--)
        ;
    return xstrndup(start, (size_t)(end - start) + 4);
}

static char *requires_in(const char *line, size_t len)
{
    static const char mark[] = "requires-python:";
    const char *p = memmem(line, len, mark, sizeof(mark) - 1);
    if (!p)
        return NULL;
    p += sizeof(mark) - 1;
    size_t n = 0;
    while (p + n < line + len && p[n] != ')')
        n++;
    return xstrndup(p, n);
}

struct found {
    struct strbuf tags, pythons;
    size_t n_tags, n_pythons;
};

/* One line of pip's search. `version`: only files of this version count; NULL: of any. */
static void read_line(const char *line, size_t len, const char *version, struct found *found)
{
    bool skipped =
        memmem(line, len, "Skipping link:", 14) || memmem(line, len, "Link requires", 13);
    _cleanup_free_ char *file = skipped ? wheel_in(line, len) : NULL;
    struct wheel_name name;
    if (!file || wheel_name_parse(file, &name, NULL) < 0)
        return;
    if (!version || strcmp(name.version, version) == 0) {
        _cleanup_free_ char *requires = requires_in(line, len);
        if (memmem(line, len, "equires a different Python", 26) && requires)
            add_item(&found->pythons, requires, &found->n_pythons);
        else
            add_item(&found->tags, name.tags, &found->n_tags);
    }
    wheel_name_release(&name);
}

static void read_output(const struct strbuf *out, const char *version, struct found *found)
{
    for (const char *p = out->buf; *p;) {
        size_t len = strcspn(p, "\n");
        read_line(p, len, version, found);
        p += len;
        p += *p == '\n';
    }
}

/* The requirement that pip could not satisfy. malloc'ed, or NULL. */
static char *missing_of(const char *message)
{
    static const char *const marks[] = {"No matching distribution found for ",
                                        "satisfies the requirement "};
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        const char *p = strstr(message, marks[i]);
        if (!p)
            continue;
        p += strlen(marks[i]);
        size_t n = strcspn(p, " ;\n");
        return xstrndup(p, n);
    }
    return NULL;
}

static int ask(struct lock_job *job, const struct lock_plan *plan, const char *requirement,
               struct strbuf *output)
{
    const char *tmp = lock_tmp(job, NULL);
    if (!tmp)
        return -EIO;
    _cleanup_strbuf_ struct strbuf list = STRBUF_INIT;
    for (size_t i = 0; i < plan->n_options; i++)
        strbuf_addf(&list, "%s\n", plan->options[i]);
    strbuf_addf(&list, "%s\n", requirement);
    _cleanup_free_ char *file = path_join(tmp, "explain.txt");
    _cleanup_free_ char *folder = path_join(tmp, "explain");
    if (io_write_file_atomic(file, list.buf, list.len, 0600, 0) < 0)
        return -EIO;
    const char *args[] = {"wheel", "-vv", "--no-deps", "-w", folder, "-r", file, NULL};
    struct lock_pip_run run = {
        .args = args, .tmpdir = tmp, .output = STRBUF_INIT, .diagnostics = STRBUF_INIT};
    int r = lock_pip_start(job, &run, NULL);
    strbuf_add(output, run.output.buf, run.output.len);
    strbuf_add(output, run.diagnostics.buf, run.diagnostics.len);
    strbuf_release(&run.output);
    strbuf_release(&run.diagnostics);
    return r;
}

int lock_explain_missing(struct lock_job *job, const struct lock_plan *plan, struct verror *err)
{
    _cleanup_free_ char *requirement = missing_of(verror_message(err));
    _cleanup_strbuf_ struct strbuf output = STRBUF_INIT;
    if (!requirement || ask(job, plan, requirement, &output) < 0)
        return -err->errnum;
    const char *equals = strstr(requirement, "==");
    const char *version = equals && !strpbrk(equals + 2, ",*=") ? equals + 2 : NULL;
    struct found found = {.tags = STRBUF_INIT, .pythons = STRBUF_INIT};
    read_output(&output, version, &found);
    const struct wheel_target *t = &job->interp->target;
    if (found.n_tags || found.n_pythons) {
        _cleanup_strbuf_ struct strbuf wanted = STRBUF_INIT;
        for (size_t i = 0; i < t->n_tags && i < TAGS_WANTED; i++)
            strbuf_addf(&wanted, "%s%s", i ? ", " : "", t->tags[i]);
        verror_set(err, ENOEXEC,
                   "no wheel of %s fits this interpreter (Python %s); wanted %s...%s%s%s%s%s",
                   requirement, job->interp->version, wanted.buf, found.n_tags ? "; found " : "",
                   found.tags.buf, found.n_tags > TAGS_SHOWN ? ", ..." : "",
                   found.n_pythons ? "; others are for Python " : "", found.pythons.buf);
        verror_hint(err, "choose another Python with -p, or lock again for this one");
    }
    strbuf_release(&found.tags);
    strbuf_release(&found.pythons);
    return -err->errnum;
}
