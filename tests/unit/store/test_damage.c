/* Files of the store that are cut off while they are mapped. Each test runs in a child, because
 * cmocka takes the handler of SIGBUS for itself. */
#include "fixture.h"

#include <sys/wait.h>

#include "store/pack.h"

/* Enough names for an image of several pages, and a blob that alone fills frames. */
enum { SMALL = 300 };
static struct sample_file files[SMALL + 1];

static struct world {
    char *folder, *root;
    struct store_image which;
    struct store *store;
    struct image *image;
    struct blob_reader *reader;
    struct image_where *where;
} w;

/* In a child, which cmocka does not know of. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SMALL; i++)
        files[i] =
            (struct sample_file){.path = xasprintf("lib/file%03u.py", i), .seed = i, .size = 50};
    files[SMALL] = (struct sample_file){"lib/big.so", 7, 2 * IMAGE_SLICE_SIZE};
    w.folder = temp_folder();
    w.root = path_join(w.folder, "store");
    struct store *store = open_store(w.root);
    w.which = put_files(store, "x", files, SMALL + 1);
    store_close(store);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SMALL; i++)
        free((char *)(uintptr_t)files[i].path);
    drop_folder(w.folder);
    free(w.root);
    return 0;
}

static void open_all(void)
{
    must(store_open(w.root, 0, &w.store, NULL) == 0);
    must(store_image_open(w.store, &w.which, &w.image, NULL) == 0);
    must(blob_reader_new(w.store, 1 << 20, &w.reader, NULL) == 0);
    must(image_where_open(w.reader, &w.which, w.image, &w.where, NULL) == 0);
}

static void close_all(void)
{
    image_where_free(w.where);
    blob_reader_free(w.reader);
    image_unref(w.image);
    store_close(w.store);
}

static void in_a_child(void (*scenario)(uint64_t size), uint64_t size)
{
    pid_t pid = fork();
    if (pid == 0) {
        scenario(size);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("cut to %llu bytes: status %x", (unsigned long long)size, (unsigned)status);
}

static char *pack_path(void)
{
    return path_join(w.root, "packs/1.pack");
}

static char *image_path(const char *suffix)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&w.which.id, hex);
    return xasprintf("%s/images/%u-%s.%s", w.root, w.which.number, hex, suffix);
}

/* Runs a scenario with the file at each of some sizes, and puts the file back. */
static void with_cuts(const char *path, void (*scenario)(uint64_t size))
{
    _cleanup_strbuf_ struct strbuf whole = STRBUF_INIT;
    assert_int_equal(io_read_file(path, &whole, 1 << 30), 0);
    const uint64_t sizes[] = {whole.len - 1,
                              whole.len - 30,
                              whole.len * 3 / 4,
                              whole.len / 2 + 3,
                              whole.len / 3,
                              4096,
                              100,
                              0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        if (sizes[i] < whole.len)
            in_a_child(scenario, sizes[i]);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(io_write_file_atomic(path, whole.buf, whole.len, 0600, false), 0);
    }
}

static void cut(const char *path, uint64_t size)
{
    must(chmod(path, 0600) == 0);
    must(truncate(path, (off_t)size) == 0);
}

static bool read_whole(uint32_t i, bool expect_bytes)
{
    uint32_t node = IMAGE_ROOT;
    must(image_lookup(w.image, node, "lib", 3, false, &node));
    const char *name = files[i].path + strlen("lib/");
    must(image_lookup(w.image, node, name, strlen(name), false, &node));
    _cleanup_free_ uint8_t *got = xmalloc(files[i].size);
    _cleanup_free_ uint8_t *want = sample_bytes(files[i].seed, files[i].size);
    ssize_t n = blob_reader_read(w.reader, w.where, w.image, image_node(w.image, node).blob, 0, got,
                                 files[i].size, false, NULL);
    if (!expect_bytes)
        return n == -EIO;
    return n == (ssize_t)files[i].size && memcmp(got, want, files[i].size) == 0;
}

/* ---- images ---- */

/* Everything an image can say; what it says does not matter. */
static uint64_t walk_image(const struct image *image)
{
    uint64_t sum = 0;
    size_t len;
    for (uint32_t i = 0; i < image_nodes(image); i++) {
        struct image_node n = image_node(image, i);
        const char *name = image_name(image, i, &len);
        for (size_t k = 0; k < len; k++)
            sum += (unsigned char)name[k];
        must(n.first + n.count <= image_nodes(image) || n.count == 0);
        uint32_t found;
        sum += image_lookup(image, i, name, len, false, &found);
        if (n.blob < image_blobs(image))
            sum += image_blob_id(image, n.blob)->bytes[0] + image_blob_size(image, n.blob) +
                   image_slice_checksum(image, n.blob, 0);
        for (uint32_t at = i, steps = 0; at != IMAGE_ROOT; at = image_node(image, at).parent)
            must(steps++ <= IMAGE_MAX_DEPTH);
    }
    return sum + strlen(image_dist_name(image)) + strlen(image_dist_version(image));
}

static void cut_the_image(uint64_t size)
{
    open_all();
    must(!image_damaged(w.image));
    _cleanup_free_ char *path = image_path("image");
    cut(path, size);
    (void)walk_image(w.image);
    must(image_damaged(w.image));
    struct image *again;
    must(store_image_open(w.store, &w.which, &again, NULL) == -EBADMSG);
    must(image_damaged(w.image));
    close_all();
}

static void test_a_cut_image_can_be_walked_and_is_known_as_damaged(void **state)
{
    (void)state;
    _cleanup_free_ char *path = image_path("image");
    with_cuts(path, cut_the_image);
}

/* ---- where files ---- */

static void cut_the_where_file(uint64_t size)
{
    open_all();
    must(read_whole(0, true));
    _cleanup_free_ char *path = image_path("where");
    cut(path, size);
    for (uint32_t i = 0; i <= SMALL; i++)
        must(read_whole(i, true));
    close_all();
}

static void test_a_cut_where_file_is_replaced_by_the_catalog(void **state)
{
    (void)state;
    in_a_child(cut_the_where_file, 1 << 20); /* the first open makes the file */
    _cleanup_free_ char *path = image_path("where");
    with_cuts(path, cut_the_where_file);
}

/* ---- packs ---- */

static void cut_the_pack(uint64_t size)
{
    open_all();
    must(read_whole(0, true));
    _cleanup_free_ char *path = pack_path();
    _cleanup_strbuf_ struct strbuf whole = STRBUF_INIT;
    must(io_read_file(path, &whole, 1 << 30) == 0);
    cut(path, size);
    must(read_whole(SMALL, false));
    must(read_whole(0, true)); /* its frame is decoded */
    must(io_write_file_atomic(path, whole.buf, whole.len, 0600, false) == 0);
    must(read_whole(SMALL, true)); /* repaired */
    close_all();
}

static void cut_the_open_pack(uint64_t size)
{
    _cleanup_free_ char *path = pack_path();
    struct pack *pack;
    must(pack_open(path, 1, &pack, NULL) == 0);
    must(!pack_damaged(pack));
    cut(path, size);
    struct pack_decoder *decoder = pack_decoder_new();
    _cleanup_free_ uint8_t *buf = xmalloc(IMAGE_SLICE_SIZE);
    for (uint32_t i = 0; i < pack_frames(pack); i++)
        must(pack_read_frame(pack, decoder, i, false, buf, NULL) == -EBADMSG);
    for (uint32_t i = 0; i < pack_blobs(pack); i++) {
        struct pack_blob blob = pack_blob(pack, i), found;
        (void)pack_find(pack, &blob.id, &found);
    }
    must(pack_damaged(pack));
    pack_decoder_free(decoder);
    pack_unref(pack);
}

static void test_a_cut_pack_is_an_io_error_until_it_is_repaired(void **state)
{
    (void)state;
    _cleanup_free_ char *path = pack_path();
    with_cuts(path, cut_the_pack);
    with_cuts(path, cut_the_open_pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_image_can_be_walked_and_is_known_as_damaged),
        cmocka_unit_test(test_a_cut_where_file_is_replaced_by_the_catalog),
        cmocka_unit_test(test_a_cut_pack_is_an_io_error_until_it_is_repaired),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
