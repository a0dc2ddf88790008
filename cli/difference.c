#include "cli/difference.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/changes.h"
#include "cli/print.h"

static bool strings_differ(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

static bool json_differ(const json_t *a, const json_t *b)
{
    return a && b ? !json_equal(a, b) : a != b;
}

static bool packages_differ(const struct manifest_package *a, const struct manifest_package *b)
{
    return strcmp(a->normalised, b->normalised) != 0 || a->image.number != b->image.number ||
           strings_differ(a->installer, b->installer) || a->requested != b->requested ||
           a->seed != b->seed || json_differ(a->direct_url, b->direct_url);
}

bool manifest_packages_differ(const struct manifest *a, const struct manifest *b)
{
    if (a->n_packages != b->n_packages)
        return true;
    for (size_t i = 0; i < a->n_packages; i++)
        if (packages_differ(&a->packages[i], &b->packages[i]))
            return true;
    return false;
}

bool manifests_differ(const struct manifest *a, const struct manifest *b)
{
    return strings_differ(a->address, b->address) || strings_differ(a->prompt, b->prompt) ||
           strings_differ(a->executable, b->executable) || strings_differ(a->home, b->home) ||
           strings_differ(a->base_executable, b->base_executable) ||
           strings_differ(a->version, b->version) || strings_differ(a->python_dir, b->python_dir) ||
           strings_differ(a->target_key, b->target_key) || strings_differ(a->project, b->project) ||
           a->system_site_packages != b->system_site_packages || a->bare != b->bare ||
           a->upper != b->upper || json_differ(a->settings, b->settings) ||
           manifest_packages_differ(a, b) || !manifest_editables_equal(a, b);
}

bool manifest_editables_named(const struct manifest *a, const struct manifest *b)
{
    if (a->n_editables != b->n_editables)
        return false;
    for (size_t i = 0; i < a->n_editables; i++)
        if (strcmp(a->editables[i].normalised, b->editables[i].normalised) != 0)
            return false;
    return true;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void print_python(const struct manifest *before, const struct manifest *after)
{
    if (strings_differ(before->version, after->version))
        print_note("Python %s -> %s", manifest_python(before), manifest_python(after));
    else if (strings_differ(before->base_executable, after->base_executable))
        print_note("Python %s: %s -> %s", after->version, before->base_executable,
                   after->base_executable);
}

void print_difference(const struct manifest *before, const struct manifest *after)
{
    size_t all = after->n_packages + after->n_editables;
    if (!before) {
        print_note("%zu package%s, Python %s", all, plural(all), manifest_python(after));
        return;
    }
    print_python(before, after);
    if (strings_differ(before->address, after->address))
        print_note("moved: %s -> %s", before->address, after->address);
    _cleanup_changes_ struct changes n = {0};
    changes_find(before, after, &n);
    for (size_t i = 0; i < n.n && !print_quiet(); i++)
        changes_print_line(stderr, "", &n.v[i]);
    if (n.n)
        print_note("%zu package%s: %zu added, %zu changed, %zu removed", all, plural(all), n.added,
                   n.changed, n.removed);
}

const struct manifest_package *manifest_package_named(const struct manifest *m,
                                                      const char *normalised)
{
    for (size_t i = 0; i < m->n_packages; i++)
        if (strcmp(m->packages[i].normalised, normalised) == 0)
            return &m->packages[i];
    return NULL;
}

/* Copies before it changes: two manifests may share one object. */
void settings_set(struct manifest *m, const char *key, json_t *value)
{
    json_t *settings = m->settings ? json_copy(m->settings) : json_object();
    if (value)
        json_object_set_new(settings, key, value);
    else
        json_object_del(settings, key);
    json_decref(m->settings);
    m->settings = settings;
    if (!json_object_size(settings)) {
        json_decref(settings);
        m->settings = NULL;
    }
}

void settings_set_words(struct manifest *m, const char *key, const char *const *words)
{
    json_t *array = words ? json_array() : NULL;
    for (; words && *words; words++)
        json_array_append_new(array, json_string(*words));
    settings_set(m, key, array);
}

void settings_set_flag(struct manifest *m, const char *key, bool value)
{
    settings_set(m, key, value ? json_true() : NULL);
}

const char **settings_words(const struct manifest *m, const char *key)
{
    json_t *array = m->settings ? json_object_get(m->settings, key) : NULL, *word;
    if (!json_is_array(array))
        return NULL;
    const char **words = xcalloc(json_array_size(array) + 1, sizeof(*words));
    size_t i, n = 0;
    json_array_foreach(array, i, word)
    {
        if (json_is_string(word))
            words[n++] = json_string_value(word);
    }
    return words;
}

bool settings_flag(const struct manifest *m, const char *key)
{
    return m->settings && json_is_true(json_object_get(m->settings, key));
}

void settings_set_accelerator(struct manifest *m, bool shown)
{
    settings_set(m, "import_hook", shown ? NULL : json_false());
}

struct wheel_compile settings_compile(const struct manifest *m)
{
    struct wheel_compile compile = {.enabled = !settings_flag(m, "no-compile"), .levels = 1};
    const char **levels = settings_words(m, "optimize");
    for (size_t i = 0; levels && levels[i]; i++)
        if (levels[i][0] >= '0' && levels[i][0] <= '2')
            compile.levels |= 1u << (levels[i][0] - '0');
    free(levels);
    return compile;
}
