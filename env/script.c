#include "env/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "env/lock_internal.h"

/* ---- the block ---- */

struct line {
    const char *text;
    size_t len; /* without its end, "\n" or "\r\n" */
};

/* False at the end. */
static bool next_line(const char **at, const char *end, struct line *ret)
{
    if (*at == end)
        return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    ret->text = *at;
    ret->len = (size_t)((stop ? stop : end) - *at);
    *at = stop ? stop + 1 : end;
    if (ret->len && ret->text[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

static bool is(const struct line *line, const char *text)
{
    return line->len == strlen(text) && memcmp(line->text, text, line->len) == 0;
}

static bool is_content(const struct line *line)
{
    return line->len && line->text[0] == '#' && (line->len == 1 || line->text[1] == ' ');
}

/* The lines of comment from *at on, up to the last that ends a block: an earlier one belongs to the
 * text, as the standard's regular expression has it. */
static bool take_block(const char **at, const char *end, struct strbuf *ret)
{
    size_t whole = 0;
    bool ends = false;
    const char *behind = *at, *p = *at;
    for (struct line line; next_line(&p, end, &line) && is_content(&line);) {
        if (is(&line, "# ///")) {
            whole = ret->len;
            behind = p;
            ends = true;
        }
        size_t sign = line.len < 2 ? line.len : 2;
        strbuf_add(ret, line.text + sign, line.len - sign);
        strbuf_addch(ret, '\n');
    }
    strbuf_truncate(ret, whole);
    *at = behind;
    return ends;
}

int script_block(const char *text, size_t len, char **block, bool *open, struct verror *err)
{
    const char *at = text, *end = text + len;
    char *found = NULL;
    *open = false;
    for (struct line line; next_line(&at, end, &line);) {
        _cleanup_strbuf_ struct strbuf content = STRBUF_INIT;
        if (!is(&line, "# /// script"))
            continue;
        if (!take_block(&at, end, &content)) {
            *open = true;
            continue;
        }
        if (found) {
            free(found);
            return verror_set(err, EINVAL, "there are two blocks \"# /// script\"");
        }
        found = strbuf_detach(&content, NULL);
    }
    *block = found;
    return 0;
}

/* ---- what it says ---- */

static void free_list(char **list)
{
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

void script_release(struct script *script)
{
    free_list(script->requirements);
    free_list(script->options);
    free_list(script->constraints);
    free_list(script->ignored);
    free(script->requires_python);
    free(script->fits);
    *script = (struct script){0};
}

static char **list_of(const json_t *answer, const char *key)
{
    json_t *array = json_object_get(answer, key), *value;
    char **list = xcalloc(json_array_size(array) + 1, sizeof(*list));
    size_t i, n = 0;
    json_array_foreach(array, i, value)
    {
        const char *s = json_string_value(value);
        if (s)
            list[n++] = xstrdup(s);
    }
    return list;
}

int script_read(const struct home *home, const char *block, const char *where,
                struct interp *const *interps, size_t n, struct script *ret, struct verror *err)
{
    json_t *pythons = json_array(), *answer = NULL;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(pythons, json_string(interps[i]->version));
    json_t *request = json_pack("{s:s, s:s, s:s, s:o}", "command", "script", "text", block, "where",
                                where, "pythons", pythons);
    if (!request)
        return verror_set(err, EINVAL, "%s: its name or its inline metadata is not UTF-8", where);
    struct lock_job job = {.home = home, .cwd = xstrdup("/"), .tmp_lock = -1};
    int r = lock_helper(&job, request, &answer, err);
    json_decref(request);
    lock_job_release(&job);
    if (r < 0)
        return r;
    const char *requires = json_string_value(json_object_get(answer, "requires_python"));
    *ret = (struct script){
        .requirements = list_of(answer, "requirements"),
        .options = list_of(answer, "options"),
        .constraints = list_of(answer, "constraints"),
        .ignored = list_of(answer, "ignored"),
        .requires_python = requires ? xstrdup(requires) : NULL,
        .fits = xcalloc(n + 1, sizeof(bool)),
    };
    for (size_t i = 0; i < n; i++)
        ret->fits[i] = json_is_true(json_array_get(json_object_get(answer, "fits"), i));
    json_decref(answer);
    return 0;
}
