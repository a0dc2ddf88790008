#include "wheel/zip.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "wheel/layout.h"
#include "wheel/zip_names.h"

struct wheel_zip {
    zip_t *z;
    struct zip_member *members;
    size_t *by_name; /* indexes of members, sorted by name without a folder's slash */
    size_t n;
};

static int refuse(struct verror *err, const char *name, const char *why)
{
    _cleanup_strbuf_ struct strbuf shown = STRBUF_INIT;
    layout_printable(name, strlen(name), &shown);
    return verror_set(err, EBADMSG, "member %s: %s", shown.buf, why);
}

/* What pip would install: the type from the upper half of the attributes, whatever system is said
 * to have made them. */
static int judge_mode(struct zip_member *m, uint32_t mode, struct verror *err)
{
    uint32_t type = mode & S_IFMT;
    if (S_ISLNK(mode))
        return refuse(err, m->name, "is a symbolic link, which wheels may not hold");
    if (type && type != S_IFREG && type != S_IFDIR)
        return refuse(err, m->name, "is neither a file nor a folder");
    if (type == S_IFDIR && !m->folder)
        return refuse(err, m->name, "is a folder whose name does not end in '/'");
    m->executable = S_ISREG(mode) && (mode & 0111);
    return 0;
}

static int judge_sizes(const struct zip_member *m, struct verror *err)
{
    if (m->folder && m->size)
        return refuse(err, m->name, "is a folder with content");
    if (m->size > ZIP_MAX_MEMBER)
        return refuse(err, m->name, "is larger than 4 GiB");
    if (m->size > ZIP_FREE_SIZE && m->size / ZIP_MAX_RATIO > m->packed)
        return refuse(err, m->name, "unpacks to more than 200 times its size (a zip bomb?)");
    return 0;
}

static int load_member(struct wheel_zip *zip, size_t i, struct verror *err)
{
    struct zip_member *m = &zip->members[i];
    struct zip_stat st;
    if (zip_stat_index(zip->z, i, 0, &st) < 0)
        return verror_set(err, EBADMSG, "member %zu cannot be read: %s", i, zip_strerror(zip->z));
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    if ((st.valid & needed) != needed)
        return verror_set(err, EBADMSG, "member %zu has no name or size", i);
    size_t len = strlen(st.name);
    *m = (struct zip_member){.name = st.name,
                             .size = st.size,
                             .packed = st.comp_size,
                             .folder = len && st.name[len - 1] == '/'};
    return 0;
}

static int judge_member(struct wheel_zip *zip, size_t i, struct verror *err)
{
    struct zip_member *m = &zip->members[i];
    const char *problem = layout_member_problem(m->name, strlen(m->name));
    if (problem)
        return refuse(err, m->name, problem);
    zip_uint8_t system;
    zip_uint32_t attributes;
    if (zip_file_get_external_attributes(zip->z, i, 0, &system, &attributes) < 0)
        return refuse(err, m->name, "has unreadable attributes");
    int r = judge_mode(m, attributes >> 16, err);
    return r < 0 ? r : judge_sizes(m, err);
}

/* Members may not add up to more than the file: overlapping ones are the other kind of bomb. */
static int judge_totals(const struct wheel_zip *zip, uint64_t file, struct verror *err)
{
    uint64_t size = 0, packed = 0;
    for (size_t i = 0; i < zip->n; i++) {
        size += zip->members[i].size;
        if (size > ZIP_MAX_TOTAL)
            return verror_set(err, EBADMSG, "unpacks to more than 16 GiB (a zip bomb?)");
        if (__builtin_add_overflow(packed, zip->members[i].packed, &packed) || packed > file)
            return verror_set(err, EBADMSG, "its members overlap (a zip bomb?)");
    }
    return 0;
}

/* Order by name; a folder sorts as its name without the slash. */
static int compare_names(const struct zip_member *a, const struct zip_member *b)
{
    size_t na = strlen(a->name) - a->folder, nb = strlen(b->name) - b->folder;
    int c = memcmp(a->name, b->name, na < nb ? na : nb);
    return c ? c : (na > nb) - (na < nb);
}

static int by_name(const void *a, const void *b, void *members)
{
    const struct zip_member *m = members;
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    int c = compare_names(&m[i], &m[k]);
    return c ? c : (i > k) - (i < k);
}

static int judge_duplicates(const struct wheel_zip *zip, struct verror *err)
{
    for (size_t i = 1; i < zip->n; i++) {
        const struct zip_member *a = &zip->members[zip->by_name[i - 1]];
        const struct zip_member *b = &zip->members[zip->by_name[i]];
        if (compare_names(a, b) == 0 && !(a->folder && b->folder))
            return refuse(err, b->name, "is there twice");
    }
    return 0;
}

static int load(struct wheel_zip *zip, struct verror *err)
{
    zip_int64_t n = zip_get_num_entries(zip->z, 0);
    if (n < 0 || n > ZIP_MAX_MEMBERS)
        return verror_set(err, EBADMSG, "has more than %d members", ZIP_MAX_MEMBERS);
    zip->n = (size_t)n;
    zip->members = xcalloc(zip->n + 1, sizeof(*zip->members));
    for (size_t i = 0; i < zip->n; i++) {
        int r = load_member(zip, i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int judge(struct wheel_zip *zip, uint64_t file, uint64_t members, struct verror *err)
{
    if (zip->n != members)
        return verror_set(err, EBADMSG, "has two central directories that differ");
    for (size_t i = 0; i < zip->n; i++) {
        int r = judge_member(zip, i, err);
        if (r < 0)
            return r;
    }
    zip->by_name = xcalloc(zip->n + 1, sizeof(*zip->by_name));
    for (size_t i = 0; i < zip->n; i++)
        zip->by_name[i] = i;
    qsort_r(zip->by_name, zip->n, sizeof(*zip->by_name), by_name, zip->members);
    int r = judge_duplicates(zip, err);
    return r < 0 ? r : judge_totals(zip, file, err);
}

int wheel_zip_reopen(int fd, struct wheel_zip **ret, struct verror *err)
{
    int code = 0;
    zip_t *z = zip_fdopen(fd, 0, &code);
    if (!z) {
        (void)close(fd); /* libzip takes it over only when it succeeds */
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        int r = verror_set(err, EBADMSG, "not a valid zip archive: %s", zip_error_strerror(&error));
        zip_error_fini(&error);
        return r;
    }
    struct wheel_zip *zip = xcalloc(1, sizeof(*zip));
    zip->z = z;
    int r = load(zip, err);
    if (r < 0) {
        wheel_zip_close(zip);
        return r;
    }
    *ret = zip;
    return 0;
}

int wheel_zip_open(int fd, struct wheel_zip **ret, struct verror *err)
{
    struct stat st;
    uint64_t members = 0;
    int r = fstat(fd, &st) < 0 ? verror_errno(err, errno, "reading")
                               : zip_names_check(fd, &members, err);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    struct wheel_zip *zip = NULL;
    r = wheel_zip_reopen(fd, &zip, err);
    if (r < 0)
        return r;
    r = judge(zip, (uint64_t)st.st_size, members, err);
    if (r < 0) {
        wheel_zip_close(zip);
        return r;
    }
    *ret = zip;
    return 0;
}

void wheel_zip_close(struct wheel_zip *zip)
{
    if (!zip)
        return;
    zip_discard(zip->z);
    free(zip->members);
    free(zip->by_name);
    free(zip);
}

size_t wheel_zip_members(const struct wheel_zip *zip)
{
    return zip->n;
}

const struct zip_member *wheel_zip_member(const struct wheel_zip *zip, size_t i)
{
    return &zip->members[i];
}

size_t wheel_zip_find(const struct wheel_zip *zip, const char *name)
{
    zip_int64_t i = zip_name_locate(zip->z, name, 0);
    return i < 0 ? SIZE_MAX : (size_t)i;
}

/* Reads exactly `size` bytes and then the end, where libzip compares the CRC. */
static int read_all(zip_file_t *f, const struct zip_member *m, char *buf, struct verror *err)
{
    uint64_t done = 0;
    char extra;
    for (;;) {
        uint64_t left = m->size - done;
        zip_int64_t n = left ? zip_fread(f, buf + done, left) : zip_fread(f, &extra, 1);
        if (n < 0)
            return refuse(err, m->name, zip_file_strerror(f));
        if (left ? n == 0 : n > 0)
            return refuse(err, m->name, "has another size than the archive says");
        if (!left)
            return 0;
        done += (uint64_t)n;
    }
}

int wheel_zip_read(struct wheel_zip *zip, size_t i, uint64_t size, void *buf, struct verror *err)
{
    if (i >= zip->n || zip->members[i].size != size)
        return verror_set(err, ESTALE, "was changed while it was read");
    const struct zip_member *m = &zip->members[i];
    zip_file_t *f = zip_fopen_index(zip->z, i, 0);
    if (!f)
        return refuse(err, m->name, zip_strerror(zip->z));
    int r = read_all(f, m, buf, err);
    zip_fclose(f);
    return r;
}

int wheel_zip_read_alloc(struct wheel_zip *zip, size_t i, uint64_t limit, char **ret,
                         struct verror *err)
{
    const struct zip_member *m = &zip->members[i];
    if (m->size > limit)
        return verror_set(err, EFBIG, "member %s: is larger than %llu MiB", m->name,
                          (unsigned long long)(limit >> 20));
    _cleanup_free_ char *buf = malloc(m->size + 1);
    if (!buf)
        return verror_errno(err, ENOMEM, "member %s", m->name);
    int r = wheel_zip_read(zip, i, m->size, buf, err);
    if (r < 0)
        return r;
    buf[m->size] = '\0';
    *ret = steal_ptr(buf);
    return 0;
}
