#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "env/envs.h"
#include "fs/daemon.h"
#include "fs/mount.h"

static void check(int r, const struct verror *err)
{
    if (r < 0)
        fail_msg("%d: %s", r, verror_message(err));
}

int fixture_daemon_main(int argc, char **argv)
{
    bool up = argc == 2 && strcmp(argv[1], "up") == 0;
    if (!up && (argc != 4 || strcmp(argv[1], "daemon") != 0))
        return -1;
    struct home home;
    struct control *c = NULL;
    struct verror err = VERROR_INIT;
    int r = home_locate(&home, &err);
    if (r == 0)
        r = up ? control_start(&home, &c, &err) : daemon_run(&home, atoi(argv[3]), &err);
    control_close(c);
    verror_release(&err);
    home_release(&home);
    return r < 0 ? 1 : 0;
}

void fixture_need_fuse(void)
{
    struct verror err = VERROR_INIT;
    if (fuse_usable(&err) < 0) {
        fprintf(stderr, "skipped: %s\n", verror_message(&err));
        exit(77);
    }
}

void fixture_init(struct fixture *f)
{
    const char *tmp = getenv("TMPDIR");
    struct verror err = VERROR_INIT;
    f->top = xasprintf("%s/venvfs-fs-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->top));
    _cleanup_free_ char *root = path_join(f->top, "home"), *hub = path_join(f->top, "hub"),
                        *run = path_join(f->top, "run");
    setenv("VENVFS_HOME", root, 1);
    setenv("VENVFS_HUB", hub, 1);
    setenv("VENVFS_RUNTIME_DIR", run, 1);
    /* Its errands are processes of this program, which is not the one they are for. */
    setenv("VENVFS_SETTLE", "off", 1);
    setenv("VENVFS_WARM", "off", 1);
    check(home_locate(&f->home, &err), &err);
    check(home_create(&f->home, &err), &err);
    struct store *store;
    check(store_open(f->home.store, STORE_CREATE, &store, &err), &err);
    store_close(store);
}

void fixture_release(struct fixture *f)
{
    struct control *c;
    struct verror err = VERROR_INIT;
    if (control_connect(&f->home, &c, &err) == 0) {
        json_decref(fixture_call(c, json_pack("{s:s}", "do", "stop")));
        control_close(c);
        for (int i = 0; i < 500 && mounted_at(f->home.hub); i++)
            usleep(10000);
    }
    verror_release(&err);
    check(heal_stale_mounts(&f->home, &err), &err);
    assert_false(mounted_at(f->home.hub));
    path_remove_tree(f->top);
    home_release(&f->home);
    free(f->top);
}

/* ---- packages ---- */

struct put {
    struct store *store;
    struct store_put *put;
    struct put_stream *stream;
    struct image_builder *builder;
    char *dist_info;
};

static void put_begin(struct put *p, struct fixture *f, const char *name, const char *version)
{
    struct verror err = VERROR_INIT;
    check(store_open(f->home.store, STORE_CREATE, &p->store, &err), &err);
    check(store_put_begin(p->store, &p->put, &err), &err);
    p->stream = put_stream_new(p->put);
    p->dist_info = xasprintf("%s-%s.dist-info", name, version);
    p->builder = image_builder_new(name, version, p->dist_info);
}

static void put_file(struct put *p, const char *path, unsigned flags, const void *data, size_t size)
{
    struct verror err = VERROR_INIT;
    struct blob_ref ref = {0};
    _cleanup_free_ char *full = path_join(SITE, path);
    if (size)
        check(put_stream_blob(p->stream, BLOB_TEXT, data, size, NULL, &ref, &err), &err);
    check(image_builder_file(p->builder, full, flags, &ref.id, size, ref.checksums, &err), &err);
    blob_ref_release(&ref);
}

static struct store_image put_end(struct put *p, const char *name, const char *version)
{
    struct verror err = VERROR_INIT;
    _cleanup_free_ char *metadata = path_join(p->dist_info, "METADATA");
    _cleanup_free_ char *requested = path_join(p->dist_info, "REQUESTED");
    _cleanup_free_ char *text = xasprintf("Name: %s\nVersion: %s\n", name, version);
    _cleanup_free_ char *file = xasprintf("%s-%s-py3-none-any.whl", name, version);
    struct store_wheel wheel = {.filename = file};
    size_t index;
    put_file(p, requested, IMAGE_IF_REQUESTED, NULL, 0);
    put_file(p, metadata, 0, text, strlen(text));
    sha256_of(text, strlen(text), &wheel.id);
    put_stream_free(p->stream);
    check(store_put_image(p->put, p->builder, &wheel, "test", &index, &err), &err);
    check(store_put_commit(p->put, &err), &err);
    struct store_image image = store_put_result(p->put, index);
    store_put_free(p->put);
    image_builder_free(p->builder);
    store_close(p->store);
    free(p->dist_info);
    return image;
}

struct store_image fixture_package(struct fixture *f, const char *name, const char *version,
                                   const struct fixture_file *files, size_t n)
{
    struct put p;
    put_begin(&p, f, name, version);
    for (size_t i = 0; i < n; i++)
        put_file(&p, files[i].path, 0, files[i].text, strlen(files[i].text));
    return put_end(&p, name, version);
}

unsigned char fixture_byte(unsigned seed, size_t i)
{
    uint64_t x = (i / 8 + 1) * UINT64_C(0x9E3779B97F4A7C15) + seed;
    x ^= x >> 29;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    return (unsigned char)(x >> (8 * (i % 8)));
}

struct store_image fixture_big_package(struct fixture *f, const char *name, unsigned seed,
                                       size_t size)
{
    struct put p;
    _cleanup_free_ char *path = xasprintf("%s/big.bin", name);
    _cleanup_free_ char *version = xasprintf("1.%u", seed);
    unsigned char *data = xmalloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = fixture_byte(seed, i);
    put_begin(&p, f, name, version);
    put_file(&p, path, 0, data, size);
    free(data);
    return put_end(&p, name, version);
}

/* ---- environments ---- */

static struct manifest *manifest_for(struct fixture *f, const char *name)
{
    struct manifest *m = manifest_new();
    m->reason = xstrdup("test");
    m->address = path_join(f->home.hub, name);
    m->executable = xstrdup("/usr/bin/python3.11");
    m->base_executable = xstrdup("/usr/bin/python3.11");
    m->home = xstrdup("/usr/bin");
    m->version = xstrdup("3.11.2");
    m->python_dir = xstrdup("python3.11");
    m->platlibdir = xstrdup("lib");
    m->is_64bit = true;
    m->target_key = xstrdup("test");
    return m;
}

void fixture_env(struct fixture *f, const char *name, const struct fixture_use *uses, size_t n)
{
    struct verror err = VERROR_INIT;
    struct env *env;
    struct store *store;
    int r = env_open(&f->home, name, true, true, &env, &err);
    if (r == -ENOENT)
        r = env_create(&f->home, name, &env, &err);
    check(r, &err);
    check(store_open(f->home.store, 0, &store, &err), &err);
    check(store_lock_shared(store, &err), &err);
    struct manifest *m = env->manifest ? manifest_copy(env->manifest) : manifest_for(f, name);
    while (m->n_packages)
        manifest_drop(m, m->packages[0].normalised);
    for (size_t i = 0; i < n; i++) {
        struct manifest_package *p = manifest_add(m, uses[i].name);
        p->version = xstrdup("1");
        p->image = uses[i].image;
        p->requested = uses[i].requested;
    }
    check(env_commit(env, m, &err), &err);
    env_free(env);
    store_close(store);
    verror_release(&err);
}

char *fixture_path(const struct fixture *f, const char *name, const char *rest)
{
    return xasprintf("%s/%s/%s", f->home.hub, name, rest);
}

char *fixture_read(const char *path)
{
    struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, 64u << 20);
    if (r < 0) {
        strbuf_release(&text);
        errno = -r;
        return NULL;
    }
    return strbuf_detach(&text, NULL);
}

/* ---- the daemon ---- */

struct control *fixture_start(struct fixture *f)
{
    struct verror err = VERROR_INIT;
    struct control *c;
    check(control_start(&f->home, &c, &err), &err);
    return c;
}

json_t *fixture_call(struct control *c, json_t *request)
{
    struct verror err = VERROR_INIT;
    json_t *answer = NULL;
    check(control_call(c, request, &answer, &err), &err);
    return answer;
}

static long long sum(struct control *c, const char *const *kinds, size_t n)
{
    json_t *status = fixture_call(c, json_pack("{s:s}", "do", "status"));
    json_t *messages = json_object_get(status, "messages");
    long long total = 0;
    for (size_t i = 0; i < n; i++)
        total += json_integer_value(json_object_get(messages, kinds[i]));
    json_decref(status);
    return total;
}

long long fixture_messages(struct control *c, const char *kind)
{
    return sum(c, &kind, 1);
}

long long fixture_waits(struct control *c)
{
    static const char *const kinds[] = {"LOOKUP",  "GETATTR",     "READLINK", "OPEN",    "READ",
                                        "OPENDIR", "READDIRPLUS", "READDIR",  "GETXATTR"};
    return sum(c, kinds, ARRAY_SIZE(kinds));
}
