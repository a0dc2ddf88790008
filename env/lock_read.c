/* lock_read: lock.py's answer about the input. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "env/helper.h"
#include "env/lock_internal.h"

void lock_pin_release(struct lock_pin *pin)
{
    free(pin->name);
    free(pin->version);
    free(pin->where);
    for (size_t i = 0; i < pin->n_hashes; i++)
        free(pin->hashes[i]);
    free(pin->hashes);
    free(pin->path);
    free(pin->by_name);
    free(pin->by_url);
    free(pin->direct_url);
    *pin = (struct lock_pin){0};
}

static void free_strings(char **strings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(strings[i]);
    free(strings);
}

void lock_plan_release(struct lock_plan *plan)
{
    for (size_t i = 0; i < plan->n_pins; i++)
        lock_pin_release(&plan->pins[i]);
    free(plan->pins);
    for (size_t i = 0; i < plan->n_inputs; i++)
        free(plan->inputs[i].path);
    free(plan->inputs);
    for (size_t i = 0; i < plan->n_variables; i++)
        free(plan->variables[i].name);
    free(plan->variables);
    free_strings(plan->options, plan->n_options);
    free_strings(plan->words, plan->n_words);
    free_strings(plan->names, plan->n_names);
    for (size_t i = 0; i < plan->n_editables; i++) {
        free(plan->editables[i].name);
        free(plan->editables[i].path);
    }
    free(plan->editables);
    json_decref(plan->lines);
    free(plan->why);
    *plan = (struct lock_plan){0};
}

struct lock_pin *lock_plan_add(struct lock_plan *plan)
{
    plan->pins = xgrow(plan->pins, &plan->alloc_pins, plan->n_pins + 1, sizeof(*plan->pins));
    struct lock_pin *pin = &plan->pins[plan->n_pins++];
    *pin = (struct lock_pin){0};
    return pin;
}

void lock_plan_add_editable(struct lock_plan *plan, const char *name, const char *path)
{
    for (size_t i = 0; i < plan->n_editables; i++) {
        struct lock_editable *known = &plan->editables[i];
        if (strcmp(known->path, path) != 0)
            continue;
        if (!known->name && name)
            known->name = xstrdup(name);
        return;
    }
    plan->editables = xrealloc(plan->editables, (plan->n_editables + 1) * sizeof(*plan->editables));
    plan->editables[plan->n_editables++] =
        (struct lock_editable){.name = name ? xstrdup(name) : NULL, .path = xstrdup(path)};
}

/* ---- running lock.py ---- */

static const struct interp *newest_with_pip(const struct lock_job *job)
{
    for (size_t i = 0; i < job->n_interps; i++)
        if (job->interps[i]->pip_wheel)
            return job->interps[i];
    return NULL;
}

static int no_pip(struct verror *err)
{
    verror_set(err, ENOENT,
               "no Python with the pip that it bundles (ensurepip) was found, and "
               "locks are read with its packaging library");
    return verror_hint(err, "install python3-venv (Debian, Ubuntu) or a Python with ensurepip");
}

/* What lock.py says went wrong. */
static int helper_error(const json_t *error, struct verror *err)
{
    static const struct {
        const char *kind;
        int errnum;
    } kinds[] = {{"missing", ENOENT},
                 {"tags", ENOEXEC},
                 {"mismatch", EBADMSG},
                 {"copy", EIO},
                 {"build", EIO}};
    const char *kind = json_string_value(json_object_get(error, "kind"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *hint = json_string_value(json_object_get(error, "hint"));
    int errnum = EINVAL;
    for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            errnum = kinds[i].errnum;
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    strbuf_addstr(&text, message ? message : "the lock cannot be read");
    lock_redact(&text);
    verror_set(err, errnum, "%s", text.buf);
    if (hint)
        verror_hint(err, "%s", hint);
    return -errnum;
}

static const char *last_line(struct strbuf *sb)
{
    while (sb->len && strchr("\n\r ", sb->buf[sb->len - 1]))
        strbuf_truncate(sb, sb->len - 1);
    const char *nl = strrchr(sb->buf, '\n');
    return nl ? nl + 1 : sb->buf;
}

int lock_helper(struct lock_job *job, json_t *request, json_t **ret, struct verror *err)
{
    if (!job->interps) {
        int r = interp_list(job->home, &job->interps, &job->n_interps, err);
        if (r < 0)
            return r;
    }
    const struct interp *python = newest_with_pip(job);
    if (!python)
        return no_pip(err);
    _cleanup_free_ char *script = xasprintf("%s/lock.py", helper_dir());
    _cleanup_free_ char *input = json_dumps(request, JSON_COMPACT);
    if (!input)
        return verror_set(err, EINVAL, "a file name or requirement is not UTF-8");
    _cleanup_strbuf_ struct strbuf output = STRBUF_INIT, diagnostics = STRBUF_INIT;
    const char *argv[] = {python->base_executable, "-I", "-S", script, job->home->tools,
                          python->pip_wheel,       NULL};
    struct proc_options options = {
        .input = input,
        .input_size = strlen(input),
        .output = &output,
        .diagnostics = &diagnostics,
        .unset = (const char *const[]){"PYTHON*", "__PYVENV_LAUNCHER__", NULL},
    };
    int status;
    int r = proc_run(argv, &options, &status, err);
    if (r < 0)
        return verror_prefix(err, "reading the lock");
    json_error_t parse;
    json_t *answer = json_loadb(output.buf, output.len, 0, &parse);
    if (status != 0 || !json_is_object(answer)) {
        json_decref(answer);
        return verror_set(err, EIO, "%s: lock.py failed: %s", python->base_executable,
                          last_line(&diagnostics));
    }
    json_t *error = json_object_get(answer, "error");
    if (error) {
        r = helper_error(error, err);
        json_decref(answer);
        return r;
    }
    *ret = answer;
    return 0;
}

/* ---- the request and its answer as JSON ---- */

static json_t *strings(const char *const *items, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(items[i]));
    return array;
}

static json_t *list_or_null(const char *const *items)
{
    size_t n = 0;
    if (!items)
        return json_null();
    while (items[n])
        n++;
    return strings(items, n);
}

static json_t *request_json(const struct lock_job *job)
{
    const struct lock_request *q = job->request;
    const struct wheel_target *t = &job->interp->target;
    json_t *o = json_object();
    json_object_set_new(o, "command", json_string("read"));
    json_object_set_new(o, "files", strings(q->files, q->n_files));
    json_object_set_new(o, "requirements", strings(q->requirements, q->n_requirements));
    json_object_set_new(o, "constraints", strings(q->constraints, q->n_constraints));
    json_object_set_new(o, "groups", list_or_null(q->groups));
    json_object_set_new(o, "extras", list_or_null(q->extras));
    json_object_set_new(o, "no_deps", json_boolean(q->no_deps));
    json_object_set_new(o, "cwd", json_string(job->cwd));
    json_object_set(o, "markers", job->interp->markers);
    json_object_set_new(o, "tags", strings(t->tags, t->n_tags));
    return o;
}

static char *string_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? xstrdup(s) : NULL;
}

static char **strings_of(const json_t *array, size_t *n)
{
    size_t count = json_array_size(array);
    char **out = xcalloc(count + 1, sizeof(*out));
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        const char *s = json_string_value(json_array_get(array, i));
        if (s)
            out[(*n)++] = xstrdup(s);
    }
    return out;
}

static void read_pin(const json_t *o, struct lock_pin *pin)
{
    pin->name = string_of(o, "name");
    pin->version = string_of(o, "version");
    pin->where = string_of(o, "where");
    pin->requested = json_is_true(json_object_get(o, "requested"));
    pin->no_binary = json_is_true(json_object_get(o, "no_binary"));
    pin->hashes = strings_of(json_object_get(o, "hashes"), &pin->n_hashes);
    pin->path = string_of(o, "path");
    pin->by_name = string_of(o, "by_name");
    pin->by_url = string_of(o, "by_url");
    const json_t *direct = json_object_get(o, "direct_url");
    if (json_is_object(direct))
        pin->direct_url = json_dumps(direct, JSON_COMPACT | JSON_SORT_KEYS);
}

static bool digest_of(const json_t *value, struct sha256 *ret)
{
    const char *hex = json_string_value(value);
    return hex && sha256_from_hex(hex, strlen(hex), ret);
}

static void read_inputs(const json_t *inputs, const json_t *variables, struct lock_plan *plan)
{
    const char *key;
    json_t *value;
    plan->inputs = xcalloc(json_object_size(inputs) + 1, sizeof(*plan->inputs));
    json_object_foreach((json_t *)(uintptr_t)inputs, key, value)
    {
        struct lock_input *in = &plan->inputs[plan->n_inputs];
        in->missing = json_is_null(value);
        if (in->missing || digest_of(value, &in->digest)) {
            in->path = xstrdup(key);
            plan->n_inputs++;
        }
    }
    plan->variables = xcalloc(json_object_size(variables) + 1, sizeof(*plan->variables));
    json_object_foreach((json_t *)(uintptr_t)variables, key, value)
    {
        struct lock_variable *v = &plan->variables[plan->n_variables++];
        v->name = xstrdup(key);
        v->set = digest_of(value, &v->digest);
    }
}

static void read_answer(const json_t *o, struct lock_plan *plan)
{
    plan->complete = json_is_true(json_object_get(o, "complete"));
    plan->mixed = json_is_true(json_object_get(o, "mixed"));
    plan->is_volatile = json_is_true(json_object_get(o, "volatile"));
    plan->relative = json_is_true(json_object_get(o, "relative"));
    const char *why = json_string_value(json_array_get(json_object_get(o, "incomplete"), 0));
    if (why) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        strbuf_addstr(&text, why);
        lock_redact(&text);
        plan->why = strbuf_detach(&text, NULL);
    }
    const json_t *packages = json_object_get(o, "packages");
    for (size_t i = 0; i < json_array_size(packages); i++) {
        const json_t *one = json_array_get(packages, i);
        if (json_is_string(json_object_get(one, "name")))
            read_pin(one, lock_plan_add(plan));
    }
    read_inputs(json_object_get(o, "inputs"), json_object_get(o, "variables"), plan);
    plan->options = strings_of(json_object_get(o, "options"), &plan->n_options);
    plan->words = strings_of(json_object_get(o, "words"), &plan->n_words);
    json_t *lines = json_object_get(o, "lines");
    plan->lines = json_array_size(lines) ? json_incref(lines) : NULL;
    plan->names = strings_of(json_object_get(o, "names"), &plan->n_names);
    const json_t *editables = json_object_get(o, "editables");
    for (size_t i = 0; i < json_array_size(editables); i++) {
        const json_t *one = json_array_get(editables, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *path = json_string_value(json_object_get(one, "path"));
        if (path)
            lock_plan_add_editable(plan, name, path);
    }
}

int lock_read(struct lock_job *job, struct lock_plan *ret, struct verror *err)
{
    json_t *answer = NULL, *request = request_json(job);
    int r = lock_helper(job, request, &answer, err);
    json_decref(request);
    if (r < 0)
        return r;
    struct lock_plan plan = {0};
    read_answer(answer, &plan);
    const json_t *warnings = json_object_get(answer, "warnings");
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const char *line = json_string_value(json_array_get(warnings, i));
        if (line && job->wheel->warn) {
            _cleanup_free_ char *text = xasprintf("warning: %s", line);
            job->wheel->warn(text, job->wheel->warn_arg);
        }
    }
    json_decref(answer);
    if (plan.mixed) {
        r = verror_set(err, EINVAL, "%s: cannot be resolved together with a pylock.toml or uv.lock",
                       plan.why);
        verror_hint(err, "add it to the project and lock again");
        lock_plan_release(&plan);
        return r;
    }
    *ret = plan;
    return 0;
}
