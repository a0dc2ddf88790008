/* lock_stage: copies of local folders, so that resolving and building write nothing in them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "env/lock_internal.h"

char *lock_path_of_url(const char *url)
{
    if (strncmp(url, "file://", 7) != 0)
        return NULL;
    const char *p = url + 7;
    if (strncmp(p, "localhost/", 10) == 0)
        p += 9;
    if (*p != '/')
        return NULL;
    struct strbuf sb = STRBUF_INIT;
    for (; *p && *p != '#' && *p != '?'; p++) {
        char digits[3] = {0};
        if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]))
            memcpy(digits, p + 1, 2);
        unsigned long byte = strtoul(digits, NULL, 16);
        if (byte != 0) {
            strbuf_addch(&sb, (char)byte);
            p += 2;
        } else {
            strbuf_addch(&sb, *p);
        }
    }
    return strbuf_detach(&sb, NULL);
}

void lock_copies_release(struct lock_job *job)
{
    for (size_t i = 0; i < job->n_copies; i++) {
        free(job->copies[i].path);
        free(job->copies[i].url);
        free(job->copies[i].copy);
        free(job->copies[i].copy_url);
    }
    free(job->copies);
    job->copies = NULL;
    job->n_copies = 0;
}

const struct lock_copy *lock_copy_of(const struct lock_job *job, const char *path)
{
    for (size_t i = 0; i < job->n_copies; i++)
        if (strcmp(job->copies[i].path, path) == 0)
            return &job->copies[i];
    return NULL;
}

const struct lock_copy *lock_original_of(const struct lock_job *job, const char *path)
{
    for (size_t i = 0; i < job->n_copies; i++)
        if (strcmp(job->copies[i].copy, path) == 0)
            return &job->copies[i];
    return NULL;
}

void lock_unstage_text(const struct lock_job *job, struct strbuf *sb)
{
    for (size_t i = 0; i < job->n_copies; i++) {
        const char *copy = job->copies[i].copy, *from = sb->buf;
        struct strbuf out = STRBUF_INIT;
        for (const char *p; (p = strstr(from, copy)); from = p + strlen(copy)) {
            strbuf_add(&out, from, (size_t)(p - from));
            strbuf_addstr(&out, job->copies[i].path);
        }
        strbuf_addstr(&out, from);
        strbuf_release(sb);
        *sb = out;
    }
}

static int add_copy(struct lock_job *job, const json_t *o, struct verror *err)
{
    const char *path = json_string_value(json_object_get(o, "path"));
    const char *url = json_string_value(json_object_get(o, "url"));
    const char *copy = json_string_value(json_object_get(o, "copy"));
    const char *copy_url = json_string_value(json_object_get(o, "copy_url"));
    if (!path || !url || !copy || !copy_url)
        return verror_set(err, EIO, "lock.py named no copy of a folder");
    job->copies = xrealloc(job->copies, (job->n_copies + 1) * sizeof(*job->copies));
    job->copies[job->n_copies++] = (struct lock_copy){.path = xstrdup(path),
                                                      .url = xstrdup(url),
                                                      .copy = xstrdup(copy),
                                                      .copy_url = xstrdup(copy_url)};
    return 0;
}

int lock_stage(struct lock_job *job, const char *const *folders, size_t n, json_t *lines,
               char **file, struct verror *err)
{
    const char *tmp = lock_tmp(job, err);
    if (!tmp)
        return err ? -err->errnum : -EIO;
    json_t *request = json_object(), *list = json_array(), *answer = NULL;
    for (size_t i = 0; i < n; i++)
        if (!lock_copy_of(job, folders[i]))
            json_array_append_new(list, json_string(folders[i]));
    json_object_set_new(request, "command", json_string("stage"));
    json_object_set_new(request, "to", json_string(tmp));
    json_object_set_new(request, "folders", list);
    json_object_set_new(request, "lines", lines ? json_incref(lines) : json_null());
    int r = json_array_size(list) || lines ? lock_helper(job, request, &answer, err) : 0;
    json_decref(request);
    const json_t *copies = json_object_get(answer, "folders");
    for (size_t i = 0; i < json_array_size(copies) && r == 0; i++)
        r = add_copy(job, json_array_get(copies, i), err);
    const char *path = json_string_value(json_object_get(answer, "file"));
    if (r == 0 && lines && !path)
        r = verror_set(err, EIO, "lock.py wrote no requirements");
    if (r == 0 && path && file)
        *file = xstrdup(path);
    json_decref(answer);
    return r;
}

/* The folder that a pin is built from, or NULL. malloc'ed. */
static char *folder_of(const struct lock_pin *pin)
{
    const char *url = pin->by_url ? strstr(pin->by_url, " @ file://") : NULL;
    if (!url)
        return NULL;
    _cleanup_free_ char *plain = xstrndup(url + 3, strcspn(url + 3, " "));
    char *path = lock_path_of_url(plain);
    struct stat st;
    if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return path;
    free(path);
    return NULL;
}

int lock_stage_pins(struct lock_job *job, const struct lock_plan *plan, const size_t *pins,
                    size_t n, struct verror *err)
{
    char **folders = xcalloc(n + 1, sizeof(*folders));
    size_t n_folders = 0;
    for (size_t i = 0; i < n; i++) {
        char *folder = folder_of(&plan->pins[pins[i]]);
        if (folder)
            folders[n_folders++] = folder;
    }
    int r = lock_stage(job, (const char *const *)folders, n_folders, NULL, NULL, err);
    for (size_t i = 0; i < n_folders; i++)
        free(folders[i]);
    free(folders);
    return r;
}

void lock_stage_line(const struct lock_job *job, const struct lock_pin *pin, const char *line,
                     struct strbuf *sb)
{
    _cleanup_free_ char *folder = line == pin->by_url ? folder_of(pin) : NULL;
    const struct lock_copy *copy = folder ? lock_copy_of(job, folder) : NULL;
    const char *url = copy ? strstr(line, " @ file://") : NULL;
    if (!url) {
        strbuf_addstr(sb, line);
        return;
    }
    strbuf_add(sb, line, (size_t)(url + 3 - line));
    strbuf_addstr(sb, copy->copy_url);
    strbuf_addstr(sb, url + 3 + strcspn(url + 3, " #"));
}
