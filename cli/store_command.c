#include "cli/store_command.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cli/print.h"
#include "fs/control.h"
#include "wheel/wheel.h"

int store_command_run(const struct command_help *help, const struct option_spec *specs,
                      struct store_command *c, int (*act)(struct store_command *, struct verror *),
                      int argc, char **argv)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(help, specs, argc, argv, &c->operands);
    if (r == OPTIONS_GO) {
        r = session_open(&c->s, &err);
        if (r == 0)
            r = session_store(&c->s, &err);
        if (r == 0)
            r = act(c, &err);
        if (r < 0)
            r = print_error(&err);
    }
    session_release(&c->s);
    words_release(&c->operands);
    return r;
}

void store_command_problem(const char *line, void *array)
{
    if (array)
        json_array_append_new(array, json_string(line));
    else
        printf("%s\n", line);
}

void store_command_waiting(void *arg)
{
    (void)arg;
    print_note("waiting for commands that use the store");
}

void store_command_tell_daemon(const struct session *s)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct control *control;
    json_t *answer = NULL;
    if (control_connect(&s->home, &control, &err) < 0)
        return;
    if (control_call(control, json_pack("{s:s}", "do", "repacked"), &answer, &err) < 0)
        print_note("the daemon keeps the old packs open until it ends: %s", verror_message(&err));
    json_decref(answer);
    control_close(control);
}

/* ---- images by name ---- */

struct wanted {
    const char *word;
    char *name;          /* normalised */
    const char *version; /* NULL: any */
    size_t digits;       /* of a digest; 0: it is none */
    struct store_listing *found;
    size_t count, alloc;
};

static bool matches(const struct wanted *w, const struct store_listing *e)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&e->image.id, hex);
    if (w->digits && strncmp(hex, w->word, w->digits) == 0)
        return true;
    if (w->version && strcmp(w->version, e->version) != 0)
        return false;
    _cleanup_free_ char *name = dist_name_normalise(e->name);
    return strcmp(name, w->name) == 0;
}

/* One image may be made of several wheels. */
static int note(const struct store_listing *e, void *arg)
{
    struct wanted *w = arg;
    for (size_t i = 0; i < w->count; i++)
        if (w->found[i].image.number == e->image.number)
            return 0;
    if (!matches(w, e))
        return 0;
    w->found = xgrow(w->found, &w->alloc, w->count + 1, sizeof(*w->found));
    w->found[w->count] = *e;
    w->found[w->count].name = xstrdup(e->name);
    w->found[w->count].version = xstrdup(e->version);
    w->found[w->count].target = xstrdup(e->target);
    w->found[w->count++].wheel_filename = xstrdup(e->wheel_filename);
    return 0;
}

int store_command_images(struct store_command *c, const char *word,
                         void (*fn)(const struct store_listing *image, void *arg), void *arg,
                         struct verror *err)
{
    enum { DIGITS_MIN = 8 };
    const char *equals = strstr(word, "==");
    _cleanup_free_ char *name = equals ? xstrndup(word, (size_t)(equals - word)) : xstrdup(word);
    size_t digits = strspn(word, "0123456789abcdef");
    struct wanted w = {.word = word,
                       .name = dist_name_normalise(name),
                       .version = equals ? equals + 2 : NULL,
                       .digits = word[digits] || digits < DIGITS_MIN ? 0 : digits};
    int r = store_list(c->s.store, note, &w, err);
    if (r == 0 && !w.count)
        r = verror_set(err, ENOENT, "the store has no image %s", word);
    for (size_t i = 0; i < w.count; i++) {
        struct store_listing *e = &w.found[i];
        if (r == 0)
            fn(e, arg);
        free((char *)(uintptr_t)e->name);
        free((char *)(uintptr_t)e->version);
        free((char *)(uintptr_t)e->target);
        free((char *)(uintptr_t)e->wheel_filename);
    }
    free(w.found);
    free(w.name);
    return r;
}
