#include "cli/facts.h"

#include <time.h>

#include "base/hash.h"
#include "cli/session.h"

json_t *facts_of_time(int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

json_t *facts_of_env(const struct home *home, const struct env *env, size_t n_packages)
{
    const struct manifest *m = env->manifest;
    _cleanup_free_ char *path = hub_path(home, env->name);
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:s?, s:s?, s:s?, s:I, s:s?, s:b, s:b, s:b}",
                     "name", env->name, "address", m->address, "path", path, "generation",
                     (int)m->generation, "time", facts_of_time(m->time_ns), "reason", m->reason,
                     "python", m->version, "executable", m->executable, "packages",
                     (json_int_t)n_packages + (json_int_t)m->n_editables, "project", m->project,
                     "system_site_packages", (int)m->system_site_packages, "bare", (int)m->bare,
                     "emptied", (int)env->emptied);
}

json_t *facts_of_packages(const struct manifest *m)
{
    json_t *array = json_array();
    for (size_t i = 0; i < m->n_packages; i++) {
        const struct manifest_package *p = &m->packages[i];
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&p->wheel, hex);
        json_t *entry =
            json_pack("{s:s, s:s, s:b, s:b, s:s}", "name", p->name, "version", p->version,
                      "requested", p->requested, "seed", p->seed, "wheel", hex);
        if (p->direct_url)
            json_object_set(entry, "direct_url", p->direct_url);
        json_array_append_new(array, entry);
    }
    for (size_t i = 0; i < m->n_editables; i++) {
        const struct manifest_editable *e = &m->editables[i];
        json_array_append_new(array, json_pack("{s:s, s:s, s:b, s:b, s:s}", "name", e->name,
                                               "version", e->version, "requested", 1, "seed", 0,
                                               "editable", e->path));
    }
    return array;
}

json_t *facts_of_interp(const struct interp *interp)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:i}", "version", interp->version, "executable",
                     interp->executable, "base_executable", interp->base_executable,
                     "implementation", interp->implementation, "bits", interp->is_64bit ? 64 : 32);
}
