/* session: the answers to the kernel's requests.
 *
 * Every operation computes and then replies exactly once. Nothing here blocks: what needs the disk
 * is handed to the workers by read_file().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "env/view.h"
#include "fs/announce_internal.h"
#include "fs/ops_internal.h"
#include "store/image.h"

/* What a computation works on; each operation uses its own part. */
struct call {
    struct session *session;
    fuse_req_t req;
    fuse_ino_t ino;
    const char *name;
    struct place place, folder; /* released by call_end() */
    struct fuse_entry_param entry;
    struct strbuf text;
};

static struct call call_begin(fuse_req_t req, fuse_ino_t ino)
{
    return (struct call){
        .session = fuse_req_userdata(req), .req = req, .ino = ino, .text = {strbuf_empty, 0, 0}};
}

static void call_end(struct call *c)
{
    place_release(&c->place);
    place_release(&c->folder);
    strbuf_release(&c->text);
}
#define _cleanup_call_ _cleanup_(call_end)

int fill_entry(struct session *s, const struct place *place, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = place->nodeid, .attr_timeout = FOREVER, .entry_timeout = FOREVER};
    return realm_stat(s->realm, place, &e->attr);
}

void reply_entry(struct session *s, fuse_req_t req, const struct place *place,
                 const struct fuse_entry_param *e)
{
    realm_hold(s->realm, place);
    if (fuse_reply_entry(req, e) == -ENOENT) /* interrupted: nobody got it */
        realm_forget(s->realm, place->nodeid, 1);
}

/* ---- INIT ---- */

/* With its header it fits the memory that a successor finds it in (fs/succession.h). */
#define MAX_WRITE (1u << 20)

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    /* All of them, by name: libfuse's defaults differ between versions, and some of them
     * (ATOMIC_O_TRUNC, AUTO_INVAL_DATA, READDIRPLUS_AUTO) are wrong or slow here. */
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS |
                            FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT |
                            FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_PARALLEL_DIROPS;
    conn->want = wanted & conn->capable;
    conn->max_write = conn->max_write < MAX_WRITE ? conn->max_write : MAX_WRITE;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
}

/* ---- names ---- */

static void note_folder(struct session *s, fuse_req_t req, const struct place *folder)
{
    if (s->context.recorder && realm_is_writable(s->realm))
        recorder_note_folder(s->context.recorder, fuse_req_ctx(req)->pid, folder);
}

static int compute_lookup(struct call *c)
{
    struct realm *realm = c->session->realm;
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = realm_resolve(realm, c->ino, &c->folder);
    if (r == 0)
        note_folder(c->session, c->req, &c->folder);
    if (r == 0)
        r = realm_lookup(realm, &c->folder, c->name, strlen(c->name), &c->place, &err);
    if (r == 0)
        r = fill_entry(c->session, &c->place, &c->entry);
    else if (r == -EIO)
        log_line("%s: %s: %s", c->session->mountpoint, c->name, verror_message(&err));
    return r;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    _cleanup_call_ struct call c = call_begin(req, parent);
    c.name = name;
    if (announce_lookup(c.session, req, parent, name))
        return;
    int r = compute_lookup(&c);
    double memory = announce_memory(c.session, parent, name);
    c.entry.entry_timeout = memory;
    if (r == -ENOENT) {
        /* No nodeid, but a timeout: the kernel remembers that there is nothing. */
        c.entry = (struct fuse_entry_param){.entry_timeout = memory};
        fuse_reply_entry(req, &c.entry);
    } else if (r < 0) {
        fuse_reply_err(req, -r);
    } else {
        reply_entry(c.session, req, &c.place, &c.entry);
    }
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    struct session *s = fuse_req_userdata(req);
    realm_forget(s->realm, ino, nlookup);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct session *s = fuse_req_userdata(req);
    for (size_t i = 0; i < count; i++)
        realm_forget(s->realm, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- attributes ---- */

static int compute_getattr(struct call *c)
{
    int r = realm_resolve(c->session->realm, c->ino, &c->place);
    return r < 0 ? r : realm_stat(c->session->realm, &c->place, &c->entry.attr);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    _cleanup_call_ struct call c = call_begin(req, ino);
    int r = compute_getattr(&c);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &c.entry.attr, FOREVER);
}

static int compute_readlink(struct call *c)
{
    int r = compute_getattr(c);
    if (r < 0)
        return r;
    if (!S_ISLNK(c->entry.attr.st_mode))
        return -EINVAL;
    return realm_readlink(&c->place, &c->text);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    _cleanup_call_ struct call c = call_begin(req, ino);
    int r = compute_readlink(&c);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_readlink(req, c.text.buf);
}

/* ---- files ---- */

/* ENOSYS makes the kernel open without asking from now on, and keep what it has cached. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, ENOSYS);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    (void)fi;
    _cleanup_call_ struct call c = call_begin(req, ino);
    int r = compute_getattr(&c);
    if (r == 0 && S_ISDIR(c.entry.attr.st_mode))
        r = -EISDIR;
    if (r == 0 && (!S_ISREG(c.entry.attr.st_mode) || offset < 0))
        r = -EINVAL;
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    uint64_t end = (uint64_t)c.entry.attr.st_size, from = (uint64_t)offset;
    if (from >= end)
        fuse_reply_buf(req, NULL, 0);
    else
        read_file(c.session, req, &c.place, from, end - from < size ? (size_t)(end - from) : size);
}

/* isatty() of CPython's open_code(): one message for each module imported before 3.14. */
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_bufsz,
                     size_t out_bufsz)
{
    (void)ino, (void)cmd, (void)arg, (void)fi, (void)flags;
    (void)in_buf, (void)in_bufsz, (void)out_bufsz;
    fuse_reply_err(req, ENOTTY);
}

/* ---- folders ---- */

/* Offsets: 1 behind ".", 2 behind "..", else the realm's cookie (at least 1) + 2. */
#define OFFSET_DOT 1
#define OFFSET_DOTDOT 2

struct fill {
    struct call *call;
    fuse_req_t req;
    bool plus;
    uint64_t offset;
    char *buf;
    size_t used, size;
};

static bool add_entry(struct fill *f, const char *name, const struct fuse_entry_param *e,
                      off_t offset)
{
    size_t room = f->size - f->used;
    size_t need = f->plus
                      ? fuse_add_direntry_plus(f->req, f->buf + f->used, room, name, e, offset)
                      : fuse_add_direntry(f->req, f->buf + f->used, room, name, &e->attr, offset);
    if (need > room)
        return false;
    f->used += need;
    return true;
}

static bool add_child(void *arg, const char *name, size_t len, const struct place *place,
                      uint64_t cookie)
{
    struct fill *f = arg;
    char copy[NAME_LIMIT + 1];
    if (len > NAME_LIMIT)
        return true; /* no reader of ours lets one through */
    memcpy(copy, name, len);
    copy[len] = '\0';
    struct fuse_entry_param e = {.attr = {.st_mode = S_IFDIR, .st_ino = UINT32_MAX}};
    bool known =
        place->nodeid != 0; /* else an environment not in view: the kernel will look it up */
    if (known && fill_entry(f->call->session, place, &e) < 0) {
        e = (struct fuse_entry_param){.attr = {.st_mode = S_IFDIR, .st_ino = place->nodeid}};
        known = false;
    }
    e.entry_timeout = announce_memory(f->call->session, f->call->ino, copy);
    if (!add_entry(f, copy, &e, (off_t)cookie + OFFSET_DOTDOT))
        return false;
    if (f->plus && known)
        realm_hold(f->call->session->realm, place);
    return true;
}

static bool add_dot(struct fill *f, const char *name, uint64_t ino, off_t offset)
{
    /* Without a nodeid: the kernel takes no lookup count for "." and "..". */
    struct fuse_entry_param e = {.attr = {.st_mode = S_IFDIR, .st_ino = ino}};
    return add_entry(f, name, &e, offset);
}

static int compute_readdir(struct fill *f)
{
    struct call *c = f->call;
    struct realm *realm = c->session->realm;
    int r = compute_getattr(c);
    if (r < 0)
        return r;
    if (!S_ISDIR(c->entry.attr.st_mode))
        return -ENOTDIR;
    note_folder(c->session, f->req, &c->place);
    if (f->offset < OFFSET_DOT && !add_dot(f, ".", c->place.nodeid, OFFSET_DOT))
        return 0;
    if (f->offset < OFFSET_DOTDOT &&
        !add_dot(f, "..", realm_parent_ino(realm, &c->place), OFFSET_DOTDOT))
        return 0;
    uint64_t cookie = f->offset > OFFSET_DOTDOT ? f->offset - OFFSET_DOTDOT : 0;
    return realm_readdir(realm, &c->place, cookie, add_child, f);
}

static void list_folder(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    _cleanup_call_ struct call c = call_begin(req, ino);
    _cleanup_free_ char *buf = malloc(size);
    struct fill f = {.call = &c,
                     .req = req,
                     .plus = plus,
                     .offset = offset < 0 ? 0 : (uint64_t)offset,
                     .buf = buf,
                     .size = size};
    if (f.offset == 0)
        announce_listed(c.session, ino);
    int r = buf ? compute_readdir(&f) : -ENOMEM;
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_buf(req, buf, f.used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    (void)fi;
    list_folder(req, ino, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    (void)fi;
    list_folder(req, ino, size, offset, true);
}

/* Asked by access() and chdir() where the kernel does not check modes itself: of root. */
static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place place = {0};
    struct stat st;
    int r = realm_resolve(s->realm, ino, &place);
    if (r == 0)
        r = realm_stat(s->realm, &place, &st);
    if (r == 0 && mask & X_OK && !S_ISDIR(st.st_mode) && !(st.st_mode & 0111))
        r = -EACCES;
    fuse_reply_err(req, -r);
}

/* Left out on purpose: libfuse answers ENOSYS for xattrs, flush, release, statx, lseek and locks,
 * after which the kernel does without asking. CREATE too: under no-open it falls back to MKNOD. */
const struct fuse_lowlevel_ops session_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .statfs = op_statfs,
    .fsync = op_fsync,
    .fsyncdir = op_fsyncdir,
    .fallocate = op_fallocate,
    .open = op_open,
    .read = op_read,
    .ioctl = op_ioctl,
    .opendir = op_open,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .write = op_write,
    .access = op_access,
};
