/* A store in a temporary folder, and small packages to put into it. */
#ifndef VENVFS_TESTS_STORE_FIXTURE_H
#define VENVFS_TESTS_STORE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/store.h"

#define TARGET "cp311 test"

static inline char *temp_folder(void)
{
    /* Memory where possible: thousands of fsync()s of a real disk take a minute. */
    const char *base = getenv("TMPDIR");
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char *path = xasprintf("%s/venvfs-test-XXXXXX", base);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void drop_folder(char *path)
{
    assert_int_equal(path_remove_tree(path), 0);
    free(path);
}

/* Fails the test with the error's own words. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        long r_ = (long)(call);                                                                    \
        if (r_ < 0)                                                                                \
            fail_msg("%s: %ld: %s", #call, r_, verror_message(err));                               \
    } while (0)

static inline struct store *open_store(const char *root)
{
    struct verror err = VERROR_INIT;
    struct store *store = NULL;
    assert_ok(store_open(root, STORE_CREATE, &store, &err), &err);
    return store;
}

/* The seed of another version of a file: it has most bytes in common with the first. */
#define SAMPLE_VERSION(seed, version) ((seed) | (uint32_t)(version) << 20)

/* Bytes that depend on the seed alone, half of them compressible. */
static inline uint8_t *sample_bytes(uint32_t versioned, size_t size)
{
    uint8_t *data = xmalloc(size);
    uint32_t seed = versioned & 0xfffff, version = versioned >> 20;
    uint32_t x = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = i & 64 ? (uint8_t)(x >> 24) : (uint8_t)('a' + seed % 26);
        if (i % 997 == 0)
            data[i] ^= (uint8_t)version;
    }
    return data;
}

struct sample_file {
    const char *path;
    uint32_t seed;
    size_t size;
};

static inline void add_files(struct put_stream *stream, struct image_builder *b,
                             const struct sample_file *files, size_t count)
{
    struct verror err = VERROR_INIT;
    for (size_t i = 0; i < count; i++) {
        _cleanup_free_ uint8_t *data = sample_bytes(files[i].seed, files[i].size);
        struct blob_ref ref;
        assert_ok(put_stream_blob(stream, (enum blob_kind)(i % BLOB_KINDS), data, files[i].size,
                                  NULL, &ref, &err),
                  &err);
        assert_ok(image_builder_file(b, files[i].path, 0, &ref.id, ref.size, ref.checksums, &err),
                  &err);
        blob_ref_release(&ref);
    }
}

static inline struct store_wheel wheel_named(const char *name)
{
    struct store_wheel wheel = {.filename = (char *)(uintptr_t)name};
    sha256_of(name, strlen(name), &wheel.id);
    return wheel;
}

/* Everything a put does before its commit. */
static inline struct store_put *fill_put(struct store *store, const char *wheel_name,
                                         const struct sample_file *files, size_t count)
{
    struct verror err = VERROR_INIT;
    struct store_put *put = NULL;
    assert_ok(store_put_begin(store, &put, &err), &err);
    struct put_stream *stream = put_stream_new(put);
    struct image_builder *b = image_builder_new(wheel_name, "1.0", "x-1.0.dist-info");
    add_files(stream, b, files, count);
    put_stream_free(stream);
    struct store_wheel wheel = wheel_named(wheel_name);
    size_t index;
    assert_ok(store_put_image(put, b, &wheel, TARGET, &index, &err), &err);
    assert_int_equal(index, 0);
    image_builder_free(b);
    return put;
}

static inline struct store_image put_files(struct store *store, const char *wheel_name,
                                           const struct sample_file *files, size_t count)
{
    struct verror err = VERROR_INIT;
    struct store_put *put = fill_put(store, wheel_name, files, count);
    assert_ok(store_put_commit(put, &err), &err);
    struct store_image image = store_put_result(put, 0);
    store_put_free(put);
    return image;
}

/* Reads every file of the image back in pieces of `piece` bytes and compares. */
static inline void check_files(struct store *store, const struct store_image *which,
                               const struct sample_file *files, size_t count, size_t piece)
{
    struct verror err = VERROR_INIT;
    struct image *image;
    struct blob_reader *reader;
    struct image_where *where;
    assert_ok(store_image_open(store, which, &image, &err), &err);
    assert_ok(blob_reader_new(store, 1 << 20, &reader, &err), &err);
    assert_ok(image_where_open(reader, which, image, &where, &err), &err);
    for (size_t i = 0; i < count; i++) {
        uint32_t node = IMAGE_ROOT;
        for (const char *p = files[i].path; *p;) {
            size_t n = strcspn(p, "/");
            assert_true(image_lookup(image, node, p, n, false, &node));
            p += n + (p[n] == '/');
        }
        struct image_node n = image_node(image, node);
        assert_int_equal(n.size, files[i].size);
        if (!n.size)
            continue;
        _cleanup_free_ uint8_t *want = sample_bytes(files[i].seed, files[i].size);
        _cleanup_free_ uint8_t *got = xmalloc(piece);
        for (uint64_t at = 0; at < n.size; at += piece) {
            ssize_t k = blob_reader_read(reader, where, image, n.blob, at, got, piece, false, &err);
            assert_ok(k, &err);
            assert_int_equal(k, n.size - at < piece ? n.size - at : piece);
            assert_memory_equal(got, want + at, (size_t)k);
        }
        assert_int_equal(
            blob_reader_read(reader, where, image, n.blob, n.size, got, piece, false, &err), 0);
    }
    image_where_free(where);
    blob_reader_free(reader);
    image_unref(image);
}

#endif
