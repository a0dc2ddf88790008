/* lock_plain: requirement files that say nothing but pins and their hashes, read without Python.
 *
 * What resolvers write by default is of one shape: NAME==VERSION with plain words, --hash=sha256:
 * behind it, comments on lines of their own. Of that nothing has to be asked of packaging:
 * requirements.py itself takes such a line by a pattern (_PLAIN_PIN), and this file takes no line
 * that the pattern would not. Anything else, a marker, an option, an include, a variable, a byte
 * that is not ASCII, a name that comes twice, is left to lock.py with the whole input. So there is
 * one reader for what has a meaning of its own, and starting it (a tenth of a second) is saved
 * where there is nothing to find out.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"
#include "wheel/wheel.h"

enum { LOCK_FILE_MAX = 64 << 20 };

/* ---- one line ---- */

/* [A-Za-z0-9](?:[-_.A-Za-z0-9]*[A-Za-z0-9])? */
static bool name_ok(const char *s, size_t n)
{
    if (!n || !isalnum((unsigned char)s[0]) || !isalnum((unsigned char)s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

static size_t digits(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && isdigit((unsigned char)s[i]))
        i++;
    return i;
}

/* [0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc|\.post|\.dev)[0-9]+)* */
static bool version_ok(const char *s, size_t n)
{
    static const char *const letters[] = {"a", "b", "rc", ".post", ".dev"};
    size_t at = digits(s, n);
    bool ok = at > 0;
    while (ok && at < n && s[at] == '.' && digits(s + at + 1, n - at - 1))
        at += 1 + digits(s + at + 1, n - at - 1);
    while (ok && at < n) {
        size_t next = 0;
        for (size_t i = 0; i < ARRAY_SIZE(letters) && !next; i++) {
            size_t len = strlen(letters[i]);
            if (n - at > len && strncmp(s + at, letters[i], len) == 0)
                next = len;
        }
        size_t number = next ? digits(s + at + next, n - at - next) : 0;
        ok = number > 0;
        at += next + number;
    }
    return ok;
}

static bool hash_ok(const char *s, size_t n)
{
    static const char option[] = "--hash=sha256:";
    size_t head = sizeof(option) - 1;
    if (n != head + SHA256_HEX_SIZE - 1 || strncmp(s, option, head) != 0)
        return false;
    for (size_t i = head; i < n; i++)
        if (!isdigit((unsigned char)s[i]) && (s[i] < 'a' || s[i] > 'f'))
            return false;
    return true;
}

static bool read_pin_name(const char *word, size_t n, struct lock_pin *pin)
{
    const char *equals = memmem(word, n, "==", 2);
    size_t name = equals ? (size_t)(equals - word) : 0;
    if (!equals || !name_ok(word, name) || !version_ok(equals + 2, n - name - 2))
        return false;
    _cleanup_free_ char *spelled = xstrndup(word, name);
    pin->name = dist_name_normalise(spelled);
    pin->version = xstrndup(equals + 2, n - name - 2);
    return true;
}

/* As requirements.py has it: the name as it is normalised, all hashes behind. */
static char *line_for_pip(const struct lock_pin *pin)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_addf(&sb, "%s==%s", pin->name, pin->version);
    for (size_t i = 0; i < pin->n_hashes; i++) {
        strbuf_addstr(&sb, " --hash=");
        strbuf_addstr(&sb, pin->hashes[i]);
    }
    return strbuf_detach(&sb, NULL);
}

/* A logical line: words with spaces between them. */
static bool read_words(const char *line, struct lock_pin *pin)
{
    size_t alloc = 0;
    for (const char *p = line + strspn(line, " "); *p;) {
        size_t n = strcspn(p, " ");
        if (!pin->name) {
            if (!read_pin_name(p, n, pin))
                return false;
        } else if (hash_ok(p, n)) {
            pin->hashes = xgrow(pin->hashes, &alloc, pin->n_hashes + 1, sizeof(*pin->hashes));
            pin->hashes[pin->n_hashes++] = xstrndup(p + strlen("--hash="), n - strlen("--hash="));
        } else {
            return false;
        }
        p += n + strspn(p + n, " ");
    }
    return pin->n_hashes > 0;
}

/* ---- one file ---- */

static bool is_comment(const char *line, size_t n)
{
    size_t at = 0;
    while (at < n && line[at] == ' ')
        at++;
    return at < n && line[at] == '#';
}

/* Could its bytes mean something else than this file takes them for: another encoding (a byte order
 * mark, PEP 263's comment), other ends of lines than '\n', a variable? */
static bool is_plain_text(const struct strbuf *text)
{
    const char *end = text->buf;
    for (int i = 0; i < 2 && end; i++) {
        const char *line = end;
        end = strchr(line, '\n');
        size_t n = end ? (size_t)(end++ - line) : strlen(line);
        if (line[0] == '#' && memmem(line, n, "coding", 6))
            return false;
    }
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->buf[i];
        if ((c < 0x20 && c != '\n') || c >= 0x7f)
            return false;
    }
    return !strstr(text->buf, "${");
}

/* The part of a physical line that belongs to its logical one; *goes_on: the next one does, too. */
static bool part_of_line(const char *line, size_t n, bool *goes_on, struct strbuf *joined)
{
    *goes_on = n && line[n - 1] == '\\';
    n -= *goes_on;
    if (memchr(line, '\\', n) || memchr(line, '#', n))
        return false;
    strbuf_add(joined, line, n);
    return true;
}

static bool add_pin(struct lock_plan *plan, const char *line, const char *path, size_t number)
{
    if (!line[strspn(line, " ")])
        return true;
    struct lock_pin *pin = lock_plan_add(plan);
    if (!read_words(line, pin))
        return false;
    pin->requested = true;
    pin->where = xasprintf("%s:%zu", path, number);
    pin->by_name = line_for_pip(pin);
    return true;
}

static bool read_text(const char *text, const char *path, struct lock_plan *plan)
{
    _cleanup_strbuf_ struct strbuf joined = STRBUF_INIT;
    size_t number = 1, start = 1;
    bool goes_on = false;
    for (const char *line = text; *line; number++) {
        size_t n = strcspn(line, "\n");
        if (!goes_on) {
            start = number;
            strbuf_reset(&joined);
        }
        /* A comment inside a continuation ends it, in pip's way. */
        bool comment = is_comment(line, n);
        if (comment ? goes_on : !part_of_line(line, n, &goes_on, &joined))
            return false;
        if (!goes_on && !add_pin(plan, joined.buf, path, start))
            return false;
        line += n + (line[n] == '\n');
    }
    return !goes_on;
}

/* ---- the input ---- */

/* By the name, as main.py tells the kinds of files apart. */
static bool is_requirements(const char *path)
{
    const char *name = path_basename(path);
    size_t n = strlen(name);
    bool toml = n >= 5 && strcmp(name + n - 5, ".toml") == 0;
    return !toml && strcmp(name, "uv.lock") != 0;
}

static bool read_file(const char *path, struct lock_plan *plan)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    return is_requirements(path) && io_read_file(path, &text, LOCK_FILE_MAX) == 0 &&
           is_plain_text(&text) && read_text(text.buf, path, plan);
}

static int by_name(const void *a, const void *b)
{
    const struct lock_pin *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool names_differ(const struct lock_plan *plan)
{
    for (size_t i = 1; i < plan->n_pins; i++)
        if (strcmp(plan->pins[i - 1].name, plan->pins[i].name) == 0)
            return false;
    return true;
}

bool lock_plain_read(const struct lock_job *job, struct lock_plan *ret)
{
    const struct lock_request *q = job->request;
    const char *constraint = getenv("PIP_CONSTRAINT");
    struct lock_plan plan = {.complete = true};
    bool ok = q->n_requirements == 0 && q->n_constraints == 0 && !(constraint && constraint[0]);
    for (size_t i = 0; i < q->n_files && ok; i++)
        ok = read_file(q->files[i], &plan);
    if (ok && plan.n_pins)
        qsort(plan.pins, plan.n_pins, sizeof(*plan.pins), by_name);
    if (!ok || !plan.n_pins || !names_differ(&plan)) {
        lock_plan_release(&plan);
        return false;
    }
    *ret = plan;
    return true;
}
