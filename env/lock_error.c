/* lock_error: what pip says on standard error, in a line for people. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "env/lock_internal.h"

/* The end of the user and password that start at p, or NULL when there are none. */
static const char *auth_end(const char *p)
{
    const char *at = NULL;
    for (; *p && *p != '/' && *p != '?' && *p != '#' && !isspace((unsigned char)*p) &&
           !strchr("'\"<>", *p);
         p++)
        if (*p == '@')
            at = p;
    return at;
}

void lock_redact(struct strbuf *sb)
{
    struct strbuf out = STRBUF_INIT;
    for (const char *p = sb->buf; *p;) {
        if (strncmp(p, "://", 3) != 0) {
            strbuf_addch(&out, *p++);
            continue;
        }
        strbuf_addstr(&out, "://");
        p += 3;
        const char *at = auth_end(p);
        /* The user "git" of an ssh URL is no secret, and needed. */
        if (at && !(at - p == 3 && strncmp(p, "git", 3) == 0)) {
            strbuf_addstr(&out, "***");
            p = at;
        }
    }
    strbuf_release(sb);
    *sb = out;
}

static bool has_any(const char *text, const char *const *needles)
{
    for (; *needles; needles++)
        if (strcasestr(text, *needles))
            return true;
    return false;
}

static const char *const unreachable[] = {
    "Failed to establish a new connection",
    "Max retries exceeded",
    "NewConnectionError",
    "connection broken by",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Cannot connect to proxy",
    "SSLError",
    "Could not fetch URL",
    "Read timed out",
    "Connection refused",
    "Network is unreachable",
    "Connection aborted",
    NULL,
};
static const char *const mismatch[] = {
    "DO NOT MATCH THE HASHES",
    "has wrong size or hash",
    "hash mismatch",
    NULL,
};
static const char *const build[] = {
    "subprocess-exited-with-error", "Failed building wheel",  "Failed to build",
    "metadata-generation-failed",   "Could not build wheels", NULL,
};
static const char *const unknown[] = {
    "No matching distribution found",
    "Could not find a version",
    "404 Client Error",
    "HTTP error 404",
    NULL,
};
static const char *const input[] = {
    "ResolutionImpossible",     "--require-hashes mode",
    "Invalid requirement",      "Double requirement given",
    "conflicting dependencies", "requires a different Python",
    "is not a supported wheel", NULL,
};

static int classify(const char *text)
{
    static const struct {
        const char *const *needles;
        int errnum;
    } classes[] = {{mismatch, EBADMSG},
                   {unreachable, ENETUNREACH},
                   {input, EINVAL},
                   {build, EIO},
                   {unknown, ENOENT}};
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (has_any(text, classes[i].needles))
            return classes[i].errnum;
    return EIO;
}

/* Appends one line of pip's, its "ERROR: " gone, unless it is there already. */
static void add_line(struct strbuf *sb, const char *line, size_t len)
{
    while (len && isspace((unsigned char)*line))
        line++, len--;
    if (len > 7 && strncasecmp(line, "ERROR: ", 7) == 0)
        line += 7, len -= 7;
    if (len > 3 && strncmp(line, "\u00d7 ", 3) == 0)
        line += 3, len -= 3;
    while (len && isspace((unsigned char)line[len - 1]))
        len--;
    _cleanup_free_ char *one = xstrndup(line, len > 400 ? 400 : len);
    if (!*one || strstr(sb->buf, one))
        return;
    if (strcmp(one, "subprocess-exited-with-error") == 0)
        return;
    /* pip says the same twice. */
    if (strncmp(one, "No matching distribution", 24) == 0 && strstr(sb->buf, "Could not find"))
        return;
    if (sb->len)
        strbuf_addstr(sb, sb->buf[sb->len - 1] == ':' || sb->buf[sb->len - 1] == '.' ? " " : "; ");
    strbuf_addstr(sb, one);
}

/* The ERROR lines, and for a hash mismatch the indented lines that name it. */
static void condense(const char *text, bool indented, struct strbuf *sb)
{
    unsigned lines = 0;
    bool in_error = false;
    const char *last = text; /* the line before: the end of a build's output says most */
    size_t last_len = 0;
    for (const char *p = text; *p && lines < 6;) {
        size_t len = strcspn(p, "\n");
        static const char cross[] = "\u00d7 "; /* what failed: "x Building wheel ..." */
        size_t blanks = strspn(p, " ");
        bool error = strncasecmp(p + blanks, "ERROR: ", 7) == 0 ||
                     strncmp(p + blanks, cross, sizeof(cross) - 1) == 0;
        if (strncmp(p + blanks, "[end of output]", 15) == 0)
            add_line(sb, last, last_len);
        if (strncmp(p, "ERROR: Exception:", 17) == 0)
            break; /* of pip itself: the end of the traceback says which */
        bool more = indented && in_error && (*p == ' ' || *p == '\t');
        if (error || more) {
            add_line(sb, p, len);
            lines++;
        }
        in_error = error || more;
        last = p;
        last_len = len;
        p += len;
        p += *p == '\n';
    }
    if (sb->len)
        return;
    size_t end = strlen(text); /* no ERROR line: its last line, say of a traceback */
    while (end && isspace((unsigned char)text[end - 1]))
        end--;
    size_t start = end;
    while (start && text[start - 1] != '\n')
        start--;
    add_line(sb, text + start, end - start);
}

/* ---- a hash that is not the lock's ---- */

/* The first word behind `label` at the start of a line (blanks aside), or NULL. malloc'ed. */
static char *word_behind(const char *line, const char *label)
{
    line += strspn(line, " \t");
    size_t len = strlen(label);
    if (strncmp(line, label, len) != 0)
        return NULL;
    line += len + strspn(line + len, " \t");
    return xstrndup(line, strcspn(line, " \t\r\n"));
}

static const char *next_line(const char *p)
{
    p += strcspn(p, "\n");
    return p + (*p == '\n');
}

/* "thing==1.0 from URL (from -r FILE (line 3)):" -> "thing 1.0 (thing-1.0-py3-none-any.whl)" */
static void add_subject(struct strbuf *sb, const char *line)
{
    line += strspn(line, " \t");
    const char *end = line + strcspn(line, "\n"),
               *from = memmem(line, (size_t)(end - line), " from ", 6);
    const char *name_end = from ? from : end;
    for (const char *p = line; p < name_end; p++) {
        if (p + 1 < name_end && p[0] == '=' && p[1] == '=')
            strbuf_addch(sb, ' '), p++;
        else
            strbuf_addch(sb, *p);
    }
    if (!from)
        return;
    const char *url = from + 6, *url_end = url + strcspn(url, " #?\n"), *file = url_end;
    while (file > url && file[-1] != '/')
        file--;
    if (file < url_end)
        strbuf_addf(sb, " (%.*s)", (int)(url_end - file), file);
}

/* pip shouts for 300 characters, then names the package, the hashes wanted, one a line, and the one
 * it got. Appends one line of that; false when it is not there. */
static bool add_mismatch(const char *text, struct strbuf *sb)
{
    const char *shout = strstr(text, "DO NOT MATCH THE HASHES");
    const char *subject = shout ? next_line(shout) : "";
    _cleanup_free_ char *wanted = NULL, *got = NULL, *algorithm = NULL;
    size_t n = 0;
    if (*subject != ' ')
        return false;
    for (const char *p = next_line(subject); *p == ' ' && !got; p = next_line(p)) {
        _cleanup_free_ char *kind = word_behind(p, "Expected");
        got = word_behind(p, "Got");
        if (!kind)
            continue;
        bool another = strcmp(kind, "or") == 0;
        if (n++ == 0 && !another) {
            const char *hash = strstr(p, kind) + strlen(kind);
            wanted = word_behind(hash, "");
            algorithm = steal_ptr(kind);
        }
    }
    if (!wanted || !got)
        return false;
    add_subject(sb, subject);
    strbuf_addf(sb, ": the lock wants %s %s", algorithm, wanted);
    if (n > 1)
        strbuf_addf(sb, " or one of %zu more", n - 1);
    strbuf_addf(sb, ", the download has %s %s", algorithm, got);
    return true;
}

static int mismatch_error(const char *text, const char *said, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    if (!add_mismatch(text, &sb))
        return verror_set(err, EBADMSG, "a download does not have the hash that the lock names: %s",
                          said);
    verror_set(err, EBADMSG, "%s", sb.buf);
    return verror_hint(err, "lock again if the package was published anew; else do not trust this "
                            "index");
}

/* Does pip look at no page of an index because it is plain http? It only warns of that. */
static bool is_untrusted(const char *text)
{
    return strstr(text, "is not a trusted or secure host") != NULL;
}

int lock_pip_error(const struct lock_job *job, const struct strbuf *diagnostics, struct verror *err)
{
    const struct interp *interp = job->interp;
    const char *text = diagnostics->buf;
    int errnum = classify(text);
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    condense(text, errnum == EBADMSG, &sb);
    lock_unstage_text(job, &sb);
    lock_redact(&sb);
    const char *said = sb.len ? sb.buf : "it failed without a word";
    switch (errnum) {
    case ENETUNREACH:
        verror_set(err, errnum, "the package index cannot be reached: %s", said);
        verror_hint(err, "check the network, PIP_INDEX_URL and the proxy settings");
        break;
    case EBADMSG:
        mismatch_error(text, said, err);
        break;
    case ENOENT:
        verror_set(err, errnum, "for Python %s (%s...): %s", interp->version,
                   interp->target.n_tags ? interp->target.tags[0] : "?", said);
        if (is_untrusted(text))
            verror_hint(err, "pip ignores an index without https unless PIP_TRUSTED_HOST names "
                             "its host");
        else
            verror_hint(err,
                        "check the spelling, and that the version has a wheel or a source archive "
                        "for this Python");
        break;
    default:
        verror_set(err, errnum, "pip: %s", said);
    }
    return -errnum;
}
