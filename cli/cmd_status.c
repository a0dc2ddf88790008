#include <errno.h>
#include <string.h>

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

static void print_value(const char *key, const json_t *value, int indent)
{
    char bytes[PRINT_BYTES_SIZE];
    size_t len = strlen(key);
    bool is_size = len > 6 && strcmp(key + len - 6, "_bytes") == 0;
    if (json_is_integer(value) && is_size)
        printf("%*s%-*.*s %s\n", indent, "", 20 - indent, (int)len - 6, key,
               print_bytes((uint64_t)json_integer_value(value), bytes));
    else if (json_is_string(value))
        printf("%*s%-*s %s\n", indent, "", 20 - indent, key, json_string_value(value));
    else if (json_is_integer(value))
        printf("%*s%-*s %" JSON_INTEGER_FORMAT "\n", indent, "", 20 - indent, key,
               json_integer_value(value));
    else if (json_is_boolean(value))
        printf("%*s%-*s %s\n", indent, "", 20 - indent, key, json_is_true(value) ? "yes" : "no");
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
        if (json_is_object(value) || json_is_array(value))
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
