/* The pack format's numbers, shared by reader and writer (see pack.h for the description). */
#ifndef VENVFS_STORE_PACK_FORMAT_H
#define VENVFS_STORE_PACK_FORMAT_H

#define PACK_MAGIC "VFSPACK1"
#define PACK_END_MAGIC "VFSPACKE"

enum {
    PACK_VERSION = 1,
    PACK_HEADER_SIZE = 16,
    PACK_FRAME_SIZE = 32,
    PACK_BLOB_SIZE = 56,
    PACK_TRAILER_SIZE = 48,
};

#endif
