#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "fs/control.h"

static const struct command_help help = {
    .name = "status",
    .synopsis = "[--json]",
    .about = "Shows the daemon: its mounts, the environments in view, messages and memory.",
};

static int not_running(const struct session *s, bool json, struct verror *err)
{
    int r = heal_stale_mounts(&s->home, err); /* what session_open() could not heal is to be said */
    if (r < 0)
        return r;
    if (json)
        return print_json(json_pack("{s:b, s:s}", "running", 0, "hub", s->home.hub));
    printf("no daemon runs; the hub %s is not mounted\n", s->home.hub);
    return EXIT_DONE;
}

/* The daemon tells numbers; people read units. */
enum unit { PLAIN, BYTES, TIME };

static enum unit unit_of(const char *key)
{
    static const struct {
        const char *key;
        enum unit unit;
    } units[] = {
        {"started", TIME},      {"rss_anon", BYTES},    {"rss_shmem", BYTES},
        {"frame_bytes", BYTES}, {"frame_limit", BYTES},
    };
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (strcmp(units[i].key, key) == 0)
            return units[i].unit;
    return PLAIN;
}

/* "2026-11-24 19:36:17, 5 min ago", in the reader's time zone. malloc'ed. */
static char *time_text(json_int_t epoch)
{
    time_t at = (time_t)epoch;
    long ago = (long)difftime(time(NULL), at);
    struct tm tm;
    char text[32] = "";
    if (localtime_r(&at, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    if (ago < 120)
        return xasprintf("%s, %ld s ago", text, ago);
    if (ago < 2 * 3600)
        return xasprintf("%s, %ld min ago", text, ago / 60);
    if (ago < 2 * 86400)
        return xasprintf("%s, %ld h ago", text, ago / 3600);
    return xasprintf("%s, %ld days ago", text, ago / 86400);
}

/* malloc'ed; NULL: not of one value. */
static char *value_text(const char *key, const json_t *value)
{
    char bytes[PRINT_BYTES_SIZE];
    json_int_t n = json_integer_value(value);
    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_boolean(value))
        return xstrdup(json_is_true(value) ? "yes" : "no");
    if (!json_is_integer(value))
        return NULL;
    enum unit unit = unit_of(key);
    if (unit == BYTES)
        return xstrdup(print_bytes((uint64_t)n, bytes));
    return unit == TIME ? time_text(n) : xasprintf("%" JSON_INTEGER_FORMAT, n);
}

static void print_value(const char *key, const json_t *value, int indent)
{
    _cleanup_free_ char *text = value_text(key, value);
    if (text)
        printf("%*s%-*s %s\n", indent, "", 20 - indent, key, text);
}

/* The daemon's answer is made of objects, arrays and plain values; three levels are enough to say
 * all of it. */
static void print_object(json_t *object, int indent);

static void print_array(json_t *array, int indent)
{
    size_t i;
    json_t *entry;
    json_array_foreach(array, i, entry)
    {
        if (json_is_string(entry))
            printf("%*s%s\n", indent, "", json_string_value(entry));
        else if (json_is_object(entry) && indent < 8)
            print_object(entry, indent);
    }
}

static void print_object(json_t *object, int indent)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (json_object_size(value) || json_array_size(value))
            printf("%*s%s\n", indent, "", key);
        if (json_is_object(value) && indent < 8)
            print_object(value, indent + 2);
        else if (json_is_array(value))
            print_array(value, indent + 2);
        else
            print_value(key, value, indent);
    }
}

static int status(struct session *s, bool json, struct verror *err)
{
    struct control *control;
    int r = control_connect(&s->home, &control, err);
    if (r == -ENOENT)
        return not_running(s, json, err);
    if (r < 0)
        return r;
    json_t *answer = NULL;
    r = control_call(control, json_pack("{s:s}", "do", "status"), &answer, err);
    control_close(control);
    if (r < 0)
        return r;
    json_object_del(answer, "ok");
    json_t *all = json_pack("{s:b}", "running", 1);
    json_object_update(all, answer);
    json_decref(answer);
    if (json)
        return print_json(all);
    print_object(all, 0);
    json_decref(all);
    return EXIT_DONE;
}

int cmd_status(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    r = session_open(&s, &err);
    if (r == 0)
        r = status(&s, json, &err);
    return r < 0 ? print_error(&err) : r;
}
