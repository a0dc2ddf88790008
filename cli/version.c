#define FUSE_USE_VERSION 314
#include "cli/version.h"

#include <fuse_lowlevel.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <xxhash.h>
#include <zip.h>
#include <zstd.h>

#include "venvfs-config.h"

void version_print(void)
{
    unsigned xxh = XXH_versionNumber();
    printf("venvfs %s\n", VENVFS_VERSION);
    printf("  libfuse  %s\n", fuse_pkgversion());
    printf("  zstd     %s\n", ZSTD_versionString());
    printf("  xxHash   %u.%u.%u\n", xxh / 10000, xxh / 100 % 100, xxh % 100);
    printf("  SQLite   %s\n", sqlite3_libversion());
    printf("  OpenSSL  %s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
    printf("  libzip   %s\n", zip_libzip_version());
    printf("  jansson  %s\n", jansson_version_str());
}
