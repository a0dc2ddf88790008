#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "cli/print.h"

enum { FIRST_LONG = 256, OPTION_LIMIT = 48 };

static bool wants_help, wants_quiet;
static const struct option_spec common[] = {
    {'q', "quiet", OPTION_FLAG, &wants_quiet, NULL, "print errors and warnings only"},
    {'h', "help", OPTION_FLAG, &wants_help, NULL, "show this text"},
    OPTIONS_END,
};

void words_add(struct words *w, const char *s)
{
    w->v = xgrow(w->v, &w->alloc, w->n + 2, sizeof(*w->v));
    w->v[w->n++] = s;
    w->v[w->n] = NULL;
}

void words_release(struct words *w)
{
    free(w->v);
    *w = (struct words){0};
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap neighbours) between two short words. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t n = strlen(a), m = strlen(b), rows[3][LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

const char *options_near(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) < 4 ? 2 : strlen(word) / 3 + 2;
    for (; *candidates; candidates++) {
        size_t d = distance(word, *candidates);
        if (strlen(word) >= 3 && strncmp(word, *candidates, strlen(word)) == 0)
            d = 1;
        if (d < best_distance) {
            best_distance = d;
            best = *candidates;
        }
    }
    return best;
}

static void print_option(const struct option_spec *spec)
{
    char left[80];
    if (!spec->help)
        return;
    snprintf(left, sizeof(left), "%c%c%s --%s%s%s", spec->short_name ? '-' : ' ',
             spec->short_name ? spec->short_name : ' ', spec->short_name ? "," : " ", spec->name,
             spec->argument ? " " : "", spec->argument ? spec->argument : "");
    const char *line = spec->help;
    bool first = true;
    while (line) {
        const char *end = strchr(line, '\n');
        int len = end ? (int)(end - line) : (int)strlen(line);
        printf("  %-27s %.*s\n", first ? left : "", len, line);
        first = false;
        line = end ? end + 1 : NULL;
    }
}

static void print_help(const struct command_help *help, const struct option_spec *specs)
{
    const char *line = help->synopsis, *lead = "Usage:";
    while (line) {
        const char *end = strchr(line, '\n');
        int len = end ? (int)(end - line) : (int)strlen(line);
        printf("%s venvfs %s%s%.*s\n", lead, help->name, len ? " " : "", len, line);
        lead = "      ";
        line = end ? end + 1 : NULL;
    }
    printf("\n%s\n\nOptions:\n", help->about);
    for (const struct option_spec *s = specs; s->name; s++)
        print_option(s);
    for (const struct option_spec *s = common; s->name; s++)
        print_option(s);
}

/* For the shells' completion: every long option, one a line. */
static void print_names(const struct option_spec *specs)
{
    for (; specs->name; specs++)
        if (specs->help)
            printf("--%s\n", specs->name);
}

static int bad_number(const struct command_help *help, const struct option_spec *spec,
                      const char *text)
{
    return print_usage_error(help->name, "--%s takes a number, not \"%s\"", spec->name, text);
}

static int take(const struct command_help *help, const struct option_spec *spec, const char *text)
{
    if (spec->kind == OPTION_FLAG) {
        *(bool *)spec->value = true;
    } else if (spec->kind == OPTION_STRING) {
        *(const char **)spec->value = text;
    } else if (spec->kind == OPTION_WORDS) {
        words_add(spec->value, text);
    } else {
        char *end;
        errno = 0;
        unsigned long n = strtoul(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || *end || errno ||
            n > (spec->kind == OPTION_BITS ? 2 : 1024))
            return bad_number(help, spec, text);
        if (spec->kind == OPTION_BITS)
            *(unsigned *)spec->value |= 1u << n;
        else
            *(size_t *)spec->value = n;
    }
    return OPTIONS_GO;
}

/* What getopt_long() needs, made from both tables. */
struct tables {
    struct option longs[OPTION_LIMIT + 1];
    char shorts[2 * OPTION_LIMIT + 4];
    const struct option_spec *specs[OPTION_LIMIT];
    const char *names[OPTION_LIMIT + 1];
    size_t n;
};

static void tables_add(struct tables *t, const struct option_spec *specs)
{
    size_t used = strlen(t->shorts);
    for (; specs->name; specs++) {
        if (t->n == OPTION_LIMIT)
            abort(); /* a table in the source outgrew the limit */
        t->longs[t->n] =
            (struct option){specs->name, specs->argument ? required_argument : no_argument, NULL,
                            FIRST_LONG + (int)t->n};
        t->names[t->n] = specs->name;
        t->specs[t->n++] = specs;
        if (!specs->short_name)
            continue;
        t->shorts[used++] = specs->short_name;
        if (specs->argument)
            t->shorts[used++] = ':';
    }
    t->shorts[used] = 0;
}

static const struct option_spec *tables_find(const struct tables *t, int c)
{
    if (c >= FIRST_LONG && (size_t)(c - FIRST_LONG) < t->n)
        return t->specs[c - FIRST_LONG];
    for (size_t i = 0; i < t->n; i++)
        if (t->specs[i]->short_name == c)
            return t->specs[i];
    abort(); /* getopt_long() answers only what the tables hold */
}

static int refuse_option(const struct command_help *help, const struct tables *t, int c,
                         const char *word)
{
    if (c == ':')
        return print_usage_error(help->name, "%s needs a value", word);
    if (optopt >= FIRST_LONG)
        return print_usage_error(help->name, "--%s takes no value", tables_find(t, optopt)->name);
    if (optopt)
        return print_usage_error(help->name, "unknown option -%c", optopt);
    _cleanup_free_ char *name = xstrndup(word + 2, strcspn(word + 2, "="));
    const char *near = options_near(name, t->names);
    if (near)
        return print_usage_error(help->name, "unknown option --%s; did you mean --%s?", name, near);
    return print_usage_error(help->name, "unknown option --%s", name);
}

static int check_operands(const struct command_help *help, const struct words *operands)
{
    if (operands->n < help->min) {
        size_t len = strcspn(help->synopsis, "\n");
        return print_usage_error(help->name, "too few arguments: venvfs %s %.*s", help->name,
                                 (int)len, help->synopsis);
    }
    if (help->max != OPERANDS_ANY && operands->n > help->max)
        return print_usage_error(help->name, "unexpected argument \"%s\"", operands->v[help->max]);
    return OPTIONS_GO;
}

int options_parse(const struct command_help *help, const struct option_spec *specs, int argc,
                  char **argv, struct words *operands)
{
    struct tables t = {.shorts = ":"};
    if (help->stop_at_operand)
        t = (struct tables){.shorts = "+:"};
    tables_add(&t, specs);
    tables_add(&t, common);
    if (argc == 2 && strcmp(argv[1], "--list-options") == 0) {
        print_names(specs);
        print_names(common);
        return EXIT_DONE;
    }

    optind = 0; /* glibc: forget an earlier run */
    opterr = 0;
    for (;;) {
        int c = getopt_long(argc, argv, t.shorts, t.longs, NULL);
        if (c == -1)
            break;
        if (c == '?' || c == ':')
            return refuse_option(help, &t, c, argv[optind - 1]);
        int r = take(help, tables_find(&t, c), optarg);
        if (r != OPTIONS_GO)
            return r;
    }
    if (wants_help) {
        print_help(help, specs);
        return EXIT_DONE;
    }
    if (wants_quiet)
        print_set_quiet();
    for (int i = optind; i < argc; i++)
        words_add(operands, argv[i]);
    return check_operands(help, operands);
}
