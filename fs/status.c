/* daemon: what it tells about itself. */
#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "fs/control.h"
#include "fs/daemon_internal.h"
#include "venvfs-config.h"

/* Bytes of a "Name:  N kB" field of /proc/self/status. */
static json_int_t memory_field(const char *name)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    json_int_t bytes = 0;
    size_t len = strlen(name);
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            bytes = strtoll(line + len + 1, NULL, 10) * 1024;
    if (f)
        fclose(f);
    return bytes;
}

static json_t *memory(void)
{
    return json_pack("{s:I, s:I}", "rss_anon", memory_field("RssAnon"), "rss_shmem",
                     memory_field("RssShmem"));
}

static json_t *caches(const struct daemon *d)
{
    struct images_stats s;
    images_stats(d->context.images, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "frame_bytes",
                     (json_int_t)s.reader.cache_bytes, "frame_limit",
                     (json_int_t)s.reader.cache_limit, "frame_hits", (json_int_t)s.reader.hits,
                     "frame_misses", (json_int_t)s.reader.misses, "images", (json_int_t)s.open,
                     "images_located", (json_int_t)s.located);
}

static json_t *mounts(const struct daemon *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_mounts; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "env", d->mounts[i].env, "dir",
                                              d->mounts[i].dir, "generation",
                                              (json_int_t)d->mounts[i].generation));
    return list;
}

static json_t *fuse_versions(const struct daemon *d)
{
    unsigned major = 0, minor = 0;
    const struct session *any = d->hub ? d->hub : d->n_mounts ? d->mounts[0].session : NULL;
    if (any)
        session_protocol(any, &major, &minor);
    _cleanup_free_ char *kernel = xasprintf("%u.%u", major, minor);
    return json_pack("{s:s, s:s}", "libfuse", fuse_pkgversion(), "kernel", kernel);
}

void daemon_status(const struct daemon *d, json_t *answer)
{
    json_object_set_new(answer, "pid", json_integer(getpid()));
    if (d->guardian)
        json_object_set_new(answer, "guardian", json_integer(d->guardian));
    json_object_set_new(answer, "version", json_string(VENVFS_VERSION));
    json_object_set_new(answer, "protocol", json_integer(CONTROL_PROTOCOL));
    json_object_set_new(answer, "started", json_integer((json_int_t)d->started));
    json_object_set_new(answer, "hub", json_string(d->home->hub));
    json_object_set_new(answer, "hub_mounted", json_boolean(d->hub != NULL));
    json_object_set_new(answer, "mounts", mounts(d));
    struct realm *hub = d->hub ? session_realm(d->hub) : NULL;
    json_object_set_new(answer, "environments",
                        json_integer(hub ? (json_int_t)realm_names(hub) : 0));
    json_object_set_new(answer, "in_view", hub ? realm_in_view(hub) : json_array());
    json_object_set_new(answer, "messages", counters_json(&d->counters));
    json_object_set_new(answer, "memory", memory());
    json_object_set_new(answer, "cache", caches(d));
    json_object_set_new(answer, "fuse", fuse_versions(d));
    json_object_set(answer, "notices", d->notices);
}
