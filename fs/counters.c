#include "fs/counters.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

static const struct {
    const char *name;
    uint8_t opcode;
    bool always;
} kinds[] = {
    {"LOOKUP", FUSE_LOOKUP, true},
    {"FORGET", FUSE_FORGET, true},
    {"BATCH_FORGET", FUSE_BATCH_FORGET, true},
    {"GETATTR", FUSE_GETATTR, true},
    {"READLINK", FUSE_READLINK, true},
    {"OPEN", FUSE_OPEN, true},
    {"READ", FUSE_READ, true},
    {"RELEASE", FUSE_RELEASE, true},
    {"OPENDIR", FUSE_OPENDIR, true},
    {"READDIR", FUSE_READDIR, true},
    {"READDIRPLUS", FUSE_READDIRPLUS, true},
    {"RELEASEDIR", FUSE_RELEASEDIR, true},
    {"STATFS", FUSE_STATFS, true},
    {"IOCTL", FUSE_IOCTL, true},
    {"INIT", FUSE_INIT, false},
    {"SETATTR", FUSE_SETATTR, false},
    {"SYMLINK", FUSE_SYMLINK, false},
    {"MKNOD", FUSE_MKNOD, false},
    {"MKDIR", FUSE_MKDIR, false},
    {"UNLINK", FUSE_UNLINK, false},
    {"RMDIR", FUSE_RMDIR, false},
    {"RENAME", FUSE_RENAME, false},
    {"RENAME2", FUSE_RENAME2, false},
    {"LINK", FUSE_LINK, false},
    {"WRITE", FUSE_WRITE, false},
    {"FSYNC", FUSE_FSYNC, false},
    {"FSYNCDIR", FUSE_FSYNCDIR, false},
    {"SETXATTR", FUSE_SETXATTR, false},
    {"GETXATTR", FUSE_GETXATTR, false},
    {"LISTXATTR", FUSE_LISTXATTR, false},
    {"REMOVEXATTR", FUSE_REMOVEXATTR, false},
    {"FLUSH", FUSE_FLUSH, false},
    {"ACCESS", FUSE_ACCESS, false},
    {"CREATE", FUSE_CREATE, false},
    {"INTERRUPT", FUSE_INTERRUPT, false},
    {"BMAP", FUSE_BMAP, false},
    {"DESTROY", FUSE_DESTROY, false},
    {"POLL", FUSE_POLL, false},
    {"FALLOCATE", FUSE_FALLOCATE, false},
    {"LSEEK", FUSE_LSEEK, false},
    {"COPY_FILE_RANGE", FUSE_COPY_FILE_RANGE, false},
    {"SYNCFS", FUSE_SYNCFS, false},
    {"TMPFILE", FUSE_TMPFILE, false},
    {"STATX", 52, false}, /* newer than some <linux/fuse.h> */
    {"OTHER", 0, false},
};

json_t *counters_json(const struct counters *c)
{
    json_t *object = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        uint64_t n = atomic_load_explicit(&c->messages[kinds[i].opcode], memory_order_relaxed);
        if (n || kinds[i].always)
            json_object_set_new(object, kinds[i].name, json_integer((json_int_t)n));
    }
    return object;
}
