/* The image format's numbers, shared by reader and builder (see image.h for the description). */
#ifndef VENVFS_STORE_IMAGE_FORMAT_H
#define VENVFS_STORE_IMAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "store/image.h"

#define IMAGE_MAGIC "VFSIMAGE"

enum {
    IMAGE_VERSION = 1,
    IMAGE_HEADER_SIZE = 16,
    IMAGE_SECTION_SIZE = 24, /* an entry of the header's table */
    IMAGE_NODE_SIZE = 32,
    IMAGE_BLOB_SIZE = 48,
    IMAGE_SLICE_ENTRY_SIZE = 8,
    IMAGE_SCRIPT_SIZE = 32,
    IMAGE_INFO_SIZE = 16, /* the fixed part of INFO */
    IMAGE_TRAILER_SIZE = SHA256_SIZE + 8,
};

enum image_section {
    SECTION_NODE,
    SECTION_NAME,
    SECTION_BLOB,
    SECTION_SLICE,
    SECTION_SCRIPT,
    SECTION_INFO,
    SECTIONS
};

/* Offsets within a node. */
enum {
    NODE_NAME = 0,
    NODE_NAME_LEN = 4,
    NODE_TYPE = 5,
    NODE_FLAGS = 6,
    NODE_PARENT = 8,
    NODE_LINK = 12, /* blob, first child or offset of the target */
    NODE_BYTES = 16,
    NODE_COUNT = 24,
    NODE_TIME = 28,
};

enum {
    IMAGE_VARIANTS = IMAGE_IF_REQUESTED | IMAGE_IF_NOT_REQUESTED,
    IMAGE_FILE_FLAGS = IMAGE_EXEC | IMAGE_TIME_DERIVED | IMAGE_VARIANTS | IMAGE_BYTECODE,
    IMAGE_MAX_TARGET = 4095, /* PATH_MAX without its NUL */
};

static inline size_t image_align(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Orders names as siblings are: memcmp, then shorter first. */
int image_name_cmp(const char *a, size_t a_len, const char *b, size_t b_len);

/* Rules for names and strings that reader and builder share. */
bool image_flags_ok(unsigned flags);
bool image_text_ok(const char *s);        /* not empty, no control characters */
bool image_dotted_name_ok(const char *s); /* a Python module or attribute path */
bool image_script_ok(const struct image_script *script);

#endif
