/* Opening, locking and looking things up. */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/wire.h"
#include "store/put_dir.h"
#include "store/store_private.h"

/* The versions of the whole store that this program reads and writes. */
enum { FORMAT_READER = 1, FORMAT_WRITER = 1 };

/* ---- paths ---- */

char *store_path(const struct store *store, const char *name)
{
    return path_join(store->root, name);
}

char *store_pack_path(const struct store *store, uint32_t number)
{
    return xasprintf("%s/packs/%u.pack", store->root, number);
}

static char *image_file(const struct store *store, const struct store_image *image,
                        const char *suffix)
{
    char hex[SHA256_HEX_SIZE];
    sha256_to_hex(&image->id, hex);
    return xasprintf("%s/images/%u-%s.%s", store->root, image->number, hex, suffix);
}

char *store_image_path(const struct store *store, const struct store_image *image)
{
    return image_file(store, image, "image");
}

char *store_where_path(const struct store *store, const struct store_image *image)
{
    return image_file(store, image, "where");
}

char *store_gathered_path(const struct store *store)
{
    return store_path(store, "images/gathered.where");
}

const char *store_root(const struct store *store)
{
    return store->root;
}

int store_highest_number(const struct store *store, const char *folder, uint32_t *ret,
                         struct verror *err)
{
    _cleanup_free_ char *path = store_path(store, folder);
    DIR *dir = opendir(path);
    if (!dir)
        return verror_errno(err, errno, "cannot list %s", path);
    unsigned long highest = 0;
    struct dirent *de;
    errno = 0;
    while ((de = readdir(dir))) {
        unsigned long n = strtoul(de->d_name, NULL, 10);
        if (de->d_name[0] >= '0' && de->d_name[0] <= '9' && n < UINT32_MAX && n > highest)
            highest = n;
        errno = 0;
    }
    int e = errno;
    closedir(dir);
    if (e)
        return verror_errno(err, e, "cannot list %s", path);
    *ret = (uint32_t)highest;
    return 0;
}

/* ---- opening ---- */

bool store_is_network_fs(unsigned long f_type)
{
    static const uint32_t types[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2 */
        0x0bd00bd0, /* Lustre */
        0x5346414f, /* AFS */
        0x6b414653, /* kAFS */
        0x00c36400, /* Ceph */
        0x47504653, /* GPFS */
        0x19830326, /* BeeGFS */
        0x013111a8, /* IBRIX */
        0x73757245, /* Coda */
        0x564c,     /* NCP */
        0x01021997, /* 9P */
        0xaad7aaea, /* PanFS */
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if ((uint32_t)f_type == types[i])
            return true;
    return false;
}

/* Looks at the nearest ancestor that exists, so that nothing is made where it cannot stay. */
static int check_file_system(const char *root, struct verror *err)
{
    _cleanup_free_ char *path = xstrdup(root);
    struct statfs fs;
    while (statfs(path, &fs) < 0) {
        if (errno != ENOENT)
            return verror_errno(err, errno, "cannot look at %s", path);
        char *parent = path_dirname(path);
        bool top = strcmp(parent, path) == 0;
        free(path);
        path = parent;
        if (top)
            return 0;
    }
    if (!store_is_network_fs((unsigned long)fs.f_type))
        return 0;
    (void)verror_set(err, EOPNOTSUPP,
                     "%s is on a network file system, where the store's catalog "
                     "is not safe",
                     root);
    (void)verror_hint(err, "set VENVFS_HOME to a folder on a local disk");
    return -EOPNOTSUPP;
}

static int check_owner(struct store *store, struct verror *err)
{
    struct stat st;
    if (stat(store->root, &st) < 0)
        return verror_errno(err, errno, "cannot open the store %s", store->root);
    if (!S_ISDIR(st.st_mode))
        return verror_set(err, ENOTDIR, "the store %s is not a folder", store->root);
    store->foreign = st.st_uid != geteuid();
    bool trusted = !store->foreign || ((store->flags & STORE_READ_ONLY) && st.st_uid == 0);
    if (trusted && !(st.st_mode & 022))
        return 0;
    (void)verror_set(err, EPERM, "the store %s %s", store->root,
                     trusted ? "can be written by others" : "belongs to another user");
    if (trusted)
        (void)verror_hint(err, "chmod go-w '%s'", store->root);
    else
        (void)verror_hint(err, "set VENVFS_HOME to a folder of your own");
    return -EPERM;
}

/* Makes whatever is missing, `format` last: its presence says that the rest is there. */
static int create(struct store *store, struct verror *err)
{
    static const char *const folders[] = {"packs", "images", "tmp"};
    _cleanup_free_ char *lock = store_path(store, "lock"), *format = store_path(store, "format");
    _cleanup_free_ char *catalog = store_path(store, "catalog.sqlite");
    _cleanup_free_ char *claims = store_path(store, "claims");
    _cleanup_free_ char *leases = store_path(store, "leases");
    _cleanup_close_ int held = lock_file(lock, LOCK_EXCLUSIVE, true);
    if (held < 0)
        return verror_errno(err, held, "cannot lock %s", lock);
    if (path_exists(format))
        return 0; /* another process was faster */
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = store_path(store, folders[i]);
        int r = io_mkdirat(AT_FDCWD, path, 0755);
        if (r < 0 && r != -EEXIST)
            return verror_errno(err, r, "cannot create %s", path);
    }
    _cleanup_close_ int fd = io_open(claims, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return verror_errno(err, fd, "cannot create %s", claims);
    _cleanup_close_ int leases_fd = io_open(leases, O_RDWR | O_CREAT, 0600);
    if (leases_fd < 0)
        return verror_errno(err, leases_fd, "cannot create %s", leases);
    int r = catalog_create(catalog, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *text =
        xasprintf("venvfs store\nreader %d\nwriter %d\n", FORMAT_READER, FORMAT_WRITER);
    r = io_write_file_atomic(format, text, strlen(text), 0644, true);
    return r < 0 ? verror_errno(err, r, "cannot write %s", format) : 0;
}

static bool skip_text(const char **p, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*p, text, n) != 0)
        return false;
    *p += n;
    return true;
}

static bool read_number(const char **p, unsigned long *ret)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    *ret = strtoul(*p, &end, 10);
    *p = end;
    return true;
}

/* Reads the versions that a program must know to read and to write this store. */
static int check_format(const struct store *store, struct verror *err)
{
    _cleanup_free_ char *path = store_path(store, "format");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = io_read_file(path, &text, 4096);
    if (r == -ENOENT)
        return verror_set(err, ENOENT, "there is no store at %s", store->root);
    if (r < 0)
        return verror_errno(err, r, "cannot read %s", path);
    const char *p = text.buf;
    unsigned long reader, writer;
    if (!skip_text(&p, "venvfs store\nreader ") || !read_number(&p, &reader) ||
        !skip_text(&p, "\nwriter ") || !read_number(&p, &writer) || *p != '\n')
        return verror_set(err, EBADMSG, "%s is damaged", path);
    if (reader <= FORMAT_READER && (writer <= FORMAT_WRITER || (store->flags & STORE_READ_ONLY)))
        return 0;
    (void)verror_set(err, EPROTO, "the store %s was written by a newer venvfs", store->root);
    (void)verror_hint(err, "upgrade venvfs, or set VENVFS_HOME to another folder");
    return -EPROTO;
}

/* Makes the root, whose name is durable then: a manifest will name what is in it. */
static int make_root(const struct store *store, struct verror *err)
{
    _cleanup_free_ char *parent = path_dirname(store->root);
    int r = path_mkdirs(store->root, 0700);
    if (r < 0)
        return verror_errno(err, r, "cannot create %s", store->root);
    r = io_fsync_dir(parent);
    return r < 0 ? verror_errno(err, r, "cannot write %s", parent) : 0;
}

static int open_checked(struct store *store, struct verror *err)
{
    bool make = (store->flags & STORE_CREATE) && !(store->flags & STORE_READ_ONLY);
    int r = check_file_system(store->root, err);
    if (r < 0)
        return r;
    if (!path_exists(store->root)) {
        if (!make)
            return verror_set(err, ENOENT, "there is no store at %s", store->root);
        r = make_root(store, err);
        if (r < 0)
            return r;
    }
    r = check_owner(store, err);
    if (r < 0)
        return r;
    if (make && check_format(store, NULL) == -ENOENT) {
        r = create(store, err);
        if (r < 0)
            return r;
    }
    return check_format(store, err);
}

int store_open(const char *root, unsigned flags, struct store **ret, struct verror *err)
{
    struct store *store = xcalloc(1, sizeof(*store));
    store->root = path_absolute(root);
    store->flags = flags;
    store->lock_fd = store->lease_fd = -1;
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->catalog_lock, NULL);
    int r = store->root ? open_checked(store, err)
                        : verror_errno(err, errno, "cannot find the folder %s", root);
    if (r < 0) {
        store_close(store);
        return r;
    }
    if ((flags & STORE_CREATE) && !(flags & STORE_READ_ONLY)) {
        _cleanup_free_ char *tmp = store_path(store, "tmp");
        put_dir_sweep(tmp);
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    /* A connection does not survive fork(): in the child even closing it would do harm. */
    if (store->catalog && store->catalog_pid == getpid())
        catalog_close(store->catalog);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    if (store->lease_fd >= 0)
        (void)close(store->lease_fd);
    pthread_mutex_destroy(&store->catalog_lock);
    pthread_mutex_destroy(&store->lock);
    free(store->root);
    free(store);
}

/* The byte of STORE/claims that whoever waits for the lock exclusively holds; those of wheels are
 * hashes. */
#define GATE_CLAIM ((UINT64_MAX >> 2) - 2)

/* Lets who waits for the lock exclusively go first: commands that overlap would keep him out for
 * ever. Not without an end, because he may wait for a command that waits for an environment that is
 * this one's. */
static void let_pass(const struct store *store)
{
    enum { TRIES = 500, PAUSE_NS = 20 * 1000 * 1000 };
    _cleanup_free_ char *claims = store_path(store, "claims");
    _cleanup_close_ int fd = io_open(claims, O_RDONLY, 0);
    for (int i = 0; fd >= 0 && i < TRIES && lock_byte_is_held(fd, GATE_CLAIM) > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

int store_lock_shared(struct store *store, struct verror *err)
{
    if (store->flags & STORE_READ_ONLY)
        return 0;
    pthread_mutex_lock(&store->lock);
    int r = 0;
    if (store->lock_fd < 0) {
        _cleanup_free_ char *path = store_path(store, "lock");
        let_pass(store);
        r = lock_file(path, LOCK_SHARED, true);
        if (r < 0)
            (void)verror_errno(err, r, "cannot lock %s", path);
        else
            store->lock_fd = r;
    }
    pthread_mutex_unlock(&store->lock);
    return r < 0 ? r : 0;
}

int store_lock_exclusive(struct store *store, void (*waiting)(void *arg), void *arg,
                         struct verror *err)
{
    enum { TRIES = 50, PAUSE_NS = 20 * 1000 * 1000 };
    int r = lock_convert(store->lock_fd, LOCK_EXCLUSIVE, false);
    for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        r = lock_convert(store->lock_fd, LOCK_EXCLUSIVE, false);
    }
    if (r == -EAGAIN) {
        _cleanup_free_ char *claims = store_path(store, "claims");
        int gate = lock_byte(claims, GATE_CLAIM, false);
        if (waiting)
            waiting(arg);
        r = lock_convert(store->lock_fd, LOCK_EXCLUSIVE, true);
        if (gate >= 0)
            (void)close(gate);
    }
    return r < 0 ? verror_errno(err, r, "cannot lock the store %s", store->root) : 0;
}

void store_unlock_exclusive(struct store *store)
{
    (void)lock_convert(store->lock_fd, LOCK_SHARED, true);
}

/* The byte of STORE/claims that stands for it; those of wheels are hashes. */
#define REWRITE_CLAIM (UINT64_MAX >> 2)

int store_claim_rewriting(struct store *store, struct verror *err)
{
    _cleanup_free_ char *claims = store_path(store, "claims");
    if (store->flags & STORE_READ_ONLY)
        return verror_set(err, EROFS, "the store %s was opened for reading only", store->root);
    int fd = lock_byte(claims, REWRITE_CLAIM, false);
    if (fd == -EAGAIN)
        return verror_set(err, EBUSY, "another process is rewriting or cleaning the store %s",
                          store->root);
    return fd < 0 ? verror_errno(err, fd, "cannot lock %s", claims) : fd;
}

int store_catalog(struct store *store, struct catalog **ret, struct verror *err)
{
    pthread_mutex_lock(&store->catalog_lock);
    if (store->catalog && store->catalog_pid != getpid())
        store->catalog = NULL; /* the parent's; see store_close() */
    if (!store->catalog) {
        _cleanup_free_ char *path = store_path(store, "catalog.sqlite");
        int r = catalog_open(path, store->flags & STORE_READ_ONLY, &store->catalog, err);
        if (r < 0) {
            pthread_mutex_unlock(&store->catalog_lock);
            return r;
        }
        store->catalog_pid = getpid();
    }
    *ret = store->catalog;
    return 0;
}

void store_catalog_done(struct store *store)
{
    pthread_mutex_unlock(&store->catalog_lock);
}

/* ---- looking up ---- */

int store_image_open(struct store *store, const struct store_image *image, struct image **ret,
                     struct verror *err)
{
    _cleanup_free_ char *path = store_image_path(store, image);
    return image_open(path, &image->id, store->foreign, ret, err);
}

int store_find_image(struct store *store, const struct sha256 *wheel, const char *target,
                     struct store_image *ret, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_find_image(catalog, wheel, target, ret, err);
    store_catalog_done(store);
    return r;
}

int store_find_made(struct store *store, const struct sha256 *wheel, const char *target,
                    struct store_made *ret, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_find_made(catalog, wheel, target, ret, err);
    store_catalog_done(store);
    return r;
}

int store_wheel_ids(struct store *store, size_t most, struct sha256 **ret, size_t *n,
                    struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_wheel_ids(catalog, most, ret, n, err);
    store_catalog_done(store);
    return r;
}

void store_made_release(struct store_made *made)
{
    free(made->name);
    free(made->version);
    free(made->wheel_filename);
    *made = (struct store_made){.name = NULL};
}

int store_reading_begin(struct store *store, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_begin_reading(catalog, err);
    store_catalog_done(store);
    return r;
}

void store_reading_end(struct store *store)
{
    struct catalog *catalog;
    if (store_catalog(store, &catalog, NULL) < 0)
        return;
    catalog_rollback(catalog);
    store_catalog_done(store);
}

int store_find_wheel(struct store *store, const struct sha256 *wheel, struct store_wheel *ret,
                     struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    char *filename = NULL;
    r = catalog_find_wheel(catalog, wheel, &filename, err);
    store_catalog_done(store);
    if (r == 0)
        *ret = (struct store_wheel){.id = *wheel, .filename = filename};
    return r;
}

void store_wheel_release(struct store_wheel *wheel)
{
    free(wheel->filename);
    wheel->filename = NULL;
}

int store_cache_get(struct store *store, const struct sha256 *key, struct strbuf *ret,
                    struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_cache_get(catalog, key, ret, err);
    store_catalog_done(store);
    return r;
}

int store_cache_put(struct store *store, const struct sha256 *key, const void *value, size_t size,
                    struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_cache_put(catalog, key, value, size, err);
    store_catalog_done(store);
    return r;
}

int store_list(struct store *store, int (*fn)(const struct store_listing *entry, void *arg),
               void *arg, struct verror *err)
{
    struct catalog *catalog;
    int r = store_catalog(store, &catalog, err);
    if (r < 0)
        return r;
    r = catalog_each_made(catalog, fn, arg, err);
    store_catalog_done(store);
    return r;
}

int store_claim(struct store *store, const struct sha256 *wheel, const char *target, bool wait,
                struct verror *err)
{
    struct sha256_state *st = sha256_begin();
    sha256_update(st, wheel->bytes, SHA256_SIZE);
    sha256_update(st, target, strlen(target));
    struct sha256 key;
    sha256_end(st, &key);
    _cleanup_free_ char *path = store_path(store, "claims");
    int fd = lock_byte(path, wire_load64(key.bytes), wait);
    if (fd < 0 && fd != -EAGAIN)
        return verror_errno(err, fd, "cannot lock %s", path);
    return fd;
}
