/* lock_report: pip's installation report (version 1 of its format) as pins. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/lock_internal.h"

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static void read_hashes(const json_t *archive, struct lock_pin *pin)
{
    static const char *const algorithms[] = {"sha256", "sha384", "sha512"};
    const json_t *hashes = json_object_get(archive, "hashes");
    const char *old = text_of(archive, "hash");
    pin->hashes = xcalloc(ARRAY_SIZE(algorithms) + 1, sizeof(*pin->hashes));
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        const char *value = text_of(hashes, algorithms[i]);
        if (value)
            pin->hashes[pin->n_hashes++] = xasprintf("%s:%s", algorithms[i], value);
    }
    const char *equals = old ? strchr(old, '=') : NULL;
    if (!pin->n_hashes && equals)
        pin->hashes[pin->n_hashes++] = xasprintf("%.*s:%s", (int)(equals - old), old, equals + 1);
}

/* The line that asks pip for exactly this file again. */
static char *line_of(const struct lock_pin *pin, const char *what, const char *joint,
                     const char *value)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_addf(&sb, "%s%s%s", pin->name, joint, value);
    if (what)
        strbuf_addf(&sb, "#subdirectory=%s", what);
    for (size_t i = 0; i < pin->n_hashes; i++)
        strbuf_addf(&sb, " --hash=%s", pin->hashes[i]);
    return strbuf_detach(&sb, NULL);
}

static void read_source(const json_t *info, const char *url, bool direct, struct lock_pin *pin)
{
    const json_t *vcs = json_object_get(info, "vcs_info");
    const char *subdirectory = text_of(info, "subdirectory");
    if (vcs) {
        const char *kind = text_of(vcs, "vcs"), *commit = text_of(vcs, "commit_id");
        _cleanup_free_ char *full =
            xasprintf("%s+%s@%s", kind ? kind : "git", url, commit ? commit : "HEAD");
        pin->by_url = line_of(pin, subdirectory, " @ ", full);
        return;
    }
    read_hashes(json_object_get(info, "archive_info"), pin);
    if (ends_with(url, ".whl"))
        pin->path = lock_path_of_url(url);
    if (direct || pin->path)
        pin->by_url = line_of(pin, subdirectory, " @ ", url);
    if (!direct)
        pin->by_name = line_of(pin, NULL, "==", pin->version);
}

/* pip was given a copy of a folder: the report shall name the folder. The URL, borrowed. */
static const char *original_url(const struct lock_job *job, json_t *info)
{
    const char *url = text_of(info, "url");
    _cleanup_free_ char *path = url ? lock_path_of_url(url) : NULL;
    const struct lock_copy *copy = path ? lock_original_of(job, path) : NULL;
    if (copy)
        json_object_set_new(info, "url", json_string(copy->url));
    return text_of(info, "url");
}

static int read_one(const struct lock_job *job, json_t *item, struct lock_plan *plan,
                    struct verror *err)
{
    const json_t *metadata = json_object_get(item, "metadata");
    json_t *info = json_object_get(item, "download_info");
    const char *name = text_of(metadata, "name"), *version = text_of(metadata, "version");
    const char *url = original_url(job, info);
    if (!name || !version || !url)
        return verror_set(err, EPROTO, "pip's report lacks a name, version or URL");
    _cleanup_strbuf_ struct strbuf clean = STRBUF_INIT;
    strbuf_addstr(&clean, url);
    _cleanup_free_ char *normalised = dist_name_normalise(name);
    const json_t *dir = json_object_get(info, "dir_info");
    if (json_is_true(json_object_get(dir, "editable"))) {
        _cleanup_free_ char *path = lock_path_of_url(url);
        if (path)
            lock_plan_add_editable(plan, normalised, path);
        return 0;
    }
    struct lock_pin *pin = lock_plan_add(plan);
    pin->name = steal_ptr(normalised);
    pin->version = xstrdup(version);
    pin->where = xasprintf("pip's choice of %s", name);
    pin->requested = json_is_true(json_object_get(item, "requested"));
    bool direct = json_is_true(json_object_get(item, "is_direct"));
    read_source(info, url, direct, pin);
    if (dir || json_object_get(info, "vcs_info"))
        plan->is_volatile = true;
    if (direct)
        pin->direct_url = json_dumps(info, JSON_COMPACT | JSON_SORT_KEYS);
    return 0;
}

int lock_report_read(const struct lock_job *job, const char *text, size_t len,
                     struct lock_plan *plan, struct verror *err)
{
    json_error_t parse;
    json_t *report = json_loadb(text, len, 0, &parse);
    const json_t *install = json_object_get(report, "install");
    int r = 0;
    if (!json_is_array(install))
        r = verror_set(err, EPROTO, "pip's report cannot be read: %s", parse.text);
    for (size_t i = 0; r == 0 && i < json_array_size(install); i++)
        r = read_one(job, json_array_get(install, i), plan, err);
    json_decref(report);
    return r;
}

char *lock_plan_text(const struct lock_plan *plan)
{
    struct strbuf sb = STRBUF_INIT;
    for (size_t i = 0; i < plan->n_pins; i++) {
        const struct lock_pin *pin = &plan->pins[i];
        const char *line = pin->by_name ? pin->by_name : pin->by_url;
        if (!line) {
            strbuf_addf(&sb, "%s==%s", pin->name, pin->version ? pin->version : "");
            for (size_t k = 0; k < pin->n_hashes; k++)
                strbuf_addf(&sb, " \\\n    --hash=%s", pin->hashes[k]);
        }
        for (; line && *line; line++) {
            if (strncmp(line, " --hash=", 8) == 0)
                strbuf_addstr(&sb, " \\\n   ");
            strbuf_addch(&sb, *line);
        }
        strbuf_addch(&sb, '\n');
    }
    lock_redact(&sb);
    return strbuf_detach(&sb, NULL);
}
