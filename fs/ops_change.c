/* session: the answers to requests that change an environment.
 *
 * A node without an overlay (an explicit mount, an environment whose upper layer another daemon
 * holds) is read-only: EROFS. Of the hub's own nodes nothing can be changed, but that folders come
 * and go in its root (ops_root.c): EPERM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/announce_internal.h"
#include "fs/nodeid.h"
#include "fs/ops_internal.h"

/* A place that can be changed. */
static int resolve(struct session *s, fuse_ino_t ino, struct place *ret)
{
    int r = realm_resolve(s->realm, ino, ret);
    if (r == 0 && !ret->overlay)
        return ret->tree ? -EROFS : -EPERM;
    return r;
}

void reply_new(struct session *s, fuse_req_t req, int result, const struct place *made)
{
    struct fuse_entry_param entry;
    if (result == 0)
        result = fill_entry(s, made, &entry);
    if (result < 0)
        fuse_reply_err(req, -result);
    else
        reply_entry(s, req, made, &entry);
}

void make_name(fuse_req_t req, fuse_ino_t parent, const char *name, const struct overlay_new *what)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place folder = {0};
    _cleanup_place_ struct place made = {0};
    int r = resolve(s, parent, &folder);
    if (r == 0)
        r = overlay_make(&folder, name, what, &made);
    reply_new(s, req, r, &made);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev,
                 const char *target)
{
    const struct fuse_ctx *caller = fuse_req_ctx(req);
    const struct overlay_new what = {
        .mode = mode, .rdev = rdev, .uid = caller->uid, .gid = caller->gid, .target = target};
    if (announce_make(fuse_req_userdata(req), req, parent, name, mode))
        return;
    if (!root_make(req, parent, name, &what))
        make_name(req, parent, name, &what);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    make(req, parent, name, mode, rdev, NULL);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    make(req, parent, name, S_IFDIR | (mode & 07777), 0, NULL);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    make(req, parent, name, S_IFLNK | 0777, 0, target);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place folder = {0};
    _cleanup_place_ struct place file = {0};
    _cleanup_place_ struct place made = {0};
    if (announce_refuse(s, req))
        return;
    int r = resolve(s, newparent, &folder);
    if (r == 0)
        r = resolve(s, ino, &file);
    if (r == 0 && folder.overlay != file.overlay)
        r = -EXDEV;
    if (r == 0)
        r = overlay_link(&file, &folder, newname, &made);
    reply_new(s, req, r, &made);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_dir)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place folder = {0};
    if (announce_remove(s, req, parent, name) || root_remove(req, parent, name, is_dir))
        return;
    int r = resolve(s, parent, &folder);
    if (r == 0)
        r = overlay_remove(&folder, name, is_dir);
    fuse_reply_err(req, -r);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, parent, name, false);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, parent, name, true);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
               const char *newname, unsigned flags)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place from = {0};
    _cleanup_place_ struct place to = {0};
    if (announce_refuse(s, req))
        return;
    /* Between two environments, or one and the hub's root; mv copies then. Not for two names of the
     * root: copying and removing an environment is what nobody means, and venvfs rename does it. */
    int r = nodeid_slot(newparent) != nodeid_slot(parent) ? -EXDEV : 0;
    if (r == 0)
        r = resolve(s, parent, &from);
    if (r == -EPERM)
        log_line("%s: mv %s %s: venvfs rename gives an environment another name", s->mountpoint,
                 name, newname);
    if (r == 0)
        r = resolve(s, newparent, &to);
    if (r == 0)
        r = overlay_rename(&from, name, &to, newname, flags);
    fuse_reply_err(req, -r);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t offset,
              struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place place = {0};
    (void)fi;
    if (announce_refuse(s, req))
        return;
    ssize_t n = resolve(s, ino, &place);
    if (n == 0)
        n = overlay_write(&place, buf, size, offset);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place place = {0};
    (void)fi;
    if (announce_refuse(s, req))
        return;
    int r = resolve(s, ino, &place);
    if (r == 0)
        r = overlay_fallocate(&place, mode, offset, length);
    fuse_reply_err(req, -r);
}

static struct timespec time_to_set(int to_set, int now, struct timespec given)
{
    return to_set & now ? (struct timespec){.tv_nsec = UTIME_NOW} : given;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place place = {0};
    (void)fi;
    const struct overlay_attr set = {
        .set_mode = to_set & FUSE_SET_ATTR_MODE,
        .set_uid = to_set & FUSE_SET_ATTR_UID,
        .set_gid = to_set & FUSE_SET_ATTR_GID,
        .set_size = to_set & FUSE_SET_ATTR_SIZE,
        .set_atime = to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW),
        .set_mtime = to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW),
        .mode = attr->st_mode,
        .uid = attr->st_uid,
        .gid = attr->st_gid,
        .size = attr->st_size,
        .atime = time_to_set(to_set, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        .mtime = time_to_set(to_set, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
    };
    struct stat now;
    if (announce_touch(s, req, ino))
        return;
    int r = resolve(s, ino, &place);
    if (r == 0)
        r = overlay_setattr(&place, &set);
    place_release(&place); /* it may have got an onode */
    if (r == 0)
        r = realm_resolve(s->realm, ino, &place);
    if (r == 0)
        r = realm_stat(s->realm, &place, &now);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_attr(req, &now, FOREVER);
}

/* ---- durability: by a worker, since it takes as long as the disk does ---- */

struct sync {
    fuse_req_t req;
    struct overlay_sync what;
};

static void sync_in_worker(void *arg, size_t worker)
{
    struct sync *sync = arg;
    int r = 0;
    (void)worker;
    for (size_t i = 0; i < sync->what.n; i++) {
        if (fsync(sync->what.fds[i]) < 0 && r == 0)
            r = errno;
        close(sync->what.fds[i]);
    }
    free(sync->what.fds);
    fuse_reply_err(sync->req, r);
    free(sync);
}

static void sync_node(fuse_req_t req, fuse_ino_t ino)
{
    struct session *s = fuse_req_userdata(req);
    _cleanup_place_ struct place place = {0};
    struct sync *sync = xcalloc(1, sizeof(*sync));
    sync->req = req;
    int r = realm_resolve(s->realm, ino, &place);
    if (r == 0 && place.up)
        r = overlay_sync_prepare(&place, &sync->what);
    if (r == 0 && sync->what.n) {
        (void)session_defer(s); /* syncing again does no harm */
        pool_submit(s->context.workers, sync_in_worker, sync);
        return;
    }
    for (size_t i = 0; i < sync->what.n; i++)
        close(sync->what.fds[i]);
    free(sync->what.fds);
    free(sync);
    fuse_reply_err(req, -r);
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync, (void)fi;
    sync_node(req, ino);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync, (void)fi;
    sync_node(req, ino);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct session *s = fuse_req_userdata(req);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096};
    _cleanup_place_ struct place place = {0};
    if (realm_resolve(s->realm, ino, &place) == 0 && place.overlay)
        (void)overlay_statvfs(place.overlay, &st);
    st.f_namemax = NAME_LIMIT;
    fuse_reply_statfs(req, &st);
}
