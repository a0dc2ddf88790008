/* What ops.c and ops_change.c share. */
#ifndef VENVFS_FS_OPS_INTERNAL_H
#define VENVFS_FS_OPS_INTERNAL_H

#include "fs/session_internal.h"

#define NAME_LIMIT 251 /* path_component_ok() */

/* Everything the kernel is told of a node. */
int fill_entry(struct session *session, const struct place *place, struct fuse_entry_param *ret);
/* Replies with an entry, and counts that the kernel holds it. */
void reply_entry(struct session *session, fuse_req_t req, const struct place *place,
                 const struct fuse_entry_param *entry);

/* Replies with a name that was made, or with the error. */
void reply_new(struct session *session, fuse_req_t req, int result, const struct place *made);
/* Makes a name in a folder of an environment, and replies. */
void make_name(fuse_req_t req, fuse_ino_t parent, const char *name, const struct overlay_new *what);

/* ---- ops_root.c: true when the request was theirs, and has its answer or will have it ---- */

bool root_make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct overlay_new *what);
bool root_remove(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_dir);

/* ---- ops_change.c ---- */

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                struct fuse_file_info *fi);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
               const char *newname, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t offset,
              struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                  struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

#endif
