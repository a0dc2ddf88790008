#include "cli/print.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"

static bool quiet;
static const char *program = "venvfs";

void print_set_program(const char *name)
{
    program = name;
}

void print_set_quiet(void)
{
    quiet = true;
}

bool print_quiet(void)
{
    return quiet;
}

const char *print_style(FILE *stream, enum style style)
{
    static const char *const codes[] = {
        [STYLE_PLAIN] = "\033[0m",  [STYLE_BOLD] = "\033[1m",    [STYLE_RED] = "\033[31m",
        [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_CYAN] = "\033[36m"};
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((no_color && no_color[0]) || (term && strcmp(term, "dumb") == 0) || !isatty(fileno(stream)))
        return "";
    return codes[style];
}

/* The bytes of a control character that s begins with (C0, DEL, or C1 in UTF-8), else 0. */
static size_t control_length(const char *s)
{
    unsigned char a = (unsigned char)s[0], b = a ? (unsigned char)s[1] : 0;
    if (a < 0x20 || a == 0x7f)
        return 1;
    return a == 0xc2 && b >= 0x80 && b < 0xa0 ? 2 : 0;
}

/* Writes text as one line. Messages quote what wheels, locks and servers say, which must neither
 * look like a line of ours nor command the terminal; none of ours holds a control character. */
static void put_line(FILE *stream, const char *text)
{
    while (*text) {
        size_t n = control_length(text);
        if (n == 0)
            fputc(*text++, stream);
        for (; n > 0; n--)
            fprintf(stream, "\\x%02x", (unsigned char)*text++);
    }
    fputc('\n', stream);
}

void print_out_line(const char *text)
{
    put_line(stdout, text);
}

static void say(enum style style, const char *label, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));
static void say(enum style style, const char *label, const char *fmt, va_list ap)
{
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    if (label[0])
        fprintf(stderr, "%s%s%s", print_style(stderr, style), label,
                print_style(stderr, STYLE_PLAIN));
    put_line(stderr, text);
}

int print_error(const struct verror *err)
{
    fprintf(stderr, "%s%s:%s ", print_style(stderr, STYLE_RED), program,
            print_style(stderr, STYLE_PLAIN));
    put_line(stderr, verror_message(err));
    if (err->hint)
        print_hint("%s", err->hint);
    return err->errnum == ENOTUNIQ ? EXIT_USAGE : EXIT_FAILED;
}

int print_usage_error(const char *command, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%svenvfs%s%s:%s ", print_style(stderr, STYLE_RED), command[0] ? " " : "",
            command, print_style(stderr, STYLE_PLAIN));
    va_start(ap, fmt);
    _cleanup_free_ char *text = xvasprintf(fmt, ap);
    va_end(ap);
    put_line(stderr, text);
    print_hint("see venvfs %s%s--help", command, command[0] ? " " : "");
    return EXIT_USAGE;
}

void print_warning(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(STYLE_YELLOW, "warning: ", fmt, ap);
    va_end(ap);
}

void print_wheel_warning(const char *line, void *arg)
{
    static const char label[] = "warning: ";
    (void)arg;
    if (strncmp(line, label, sizeof(label) - 1) == 0)
        line += sizeof(label) - 1;
    print_warning("%s", line);
}

void print_hint(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(STYLE_CYAN, "hint: ", fmt, ap);
    va_end(ap);
}

char *print_word(const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (word[0] && !word[strspn(word, plain)])
        return xstrdup(word);
    struct strbuf quoted = STRBUF_INIT;
    strbuf_addch(&quoted, '\'');
    for (; *word; word++)
        if (*word == '\'')
            strbuf_addstr(&quoted, "'\\''");
        else
            strbuf_addch(&quoted, *word);
    strbuf_addch(&quoted, '\'');
    return strbuf_detach(&quoted, NULL);
}

void print_note(const char *fmt, ...)
{
    if (quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    say(STYLE_PLAIN, "", fmt, ap);
    va_end(ap);
}

int print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
    return EXIT_DONE;
}

const char *print_bytes(uint64_t bytes, char buf[PRINT_BYTES_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, PRINT_BYTES_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

struct table {
    size_t columns, n, alloc;
    char **cells;
};

struct table *table_new(size_t columns)
{
    struct table *t = xcalloc(1, sizeof(*t));
    t->columns = columns;
    return t;
}

void table_cell(struct table *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    t->cells = xgrow(t->cells, &t->alloc, t->n + 1, sizeof(*t->cells));
    t->cells[t->n++] = xvasprintf(fmt, ap);
    va_end(ap);
}

/* Columns on a terminal: bytes that begin a UTF-8 character. Good enough for names and paths. */
static int width(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_row(const struct table *t, size_t row, const int *widths)
{
    for (size_t c = 0; c < t->columns; c++) {
        const char *cell = t->cells[row * t->columns + c];
        int pad = c + 1 < t->columns ? widths[c] - width(cell) + 2 : 0;
        printf("%s%*s", cell, pad, "");
    }
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

void table_print(struct table *t)
{
    int *widths = xcalloc(t->columns, sizeof(*widths));
    for (size_t i = 0; i < t->n; i++) {
        int w = width(t->cells[i]);
        if (w > widths[i % t->columns])
            widths[i % t->columns] = w;
    }
    for (size_t row = 0; row < t->n / t->columns; row++) {
        if (row == 0)
            fputs(print_style(stdout, STYLE_BOLD), stdout);
        print_row(t, row, widths);
        if (row == 0)
            fputs(print_style(stdout, STYLE_PLAIN), stdout);
        putchar('\n');
    }
    free(widths);
    table_free(t);
}

int print_finish(int exit_code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0 || failed) {
        if (errno == EPIPE) /* the reader had enough (`| head`) */
            return exit_code;
        fprintf(stderr, "%s: standard output could not be written: %s\n", program,
                errno ? strerror(errno) : "write error");
        return exit_code ? exit_code : EXIT_FAILED;
    }
    return exit_code;
}
