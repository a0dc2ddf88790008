#include "treemaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "wheel/record.h"

void tree_init(struct made_tree *t, const char *root, const char *python_dir, const char *name,
               const char *version)
{
    *t = (struct made_tree){.root = xstrdup(root),
                            .site = xasprintf("lib/%s/site-packages", python_dir),
                            .dist_info = xasprintf("%s-%s.dist-info", name, version),
                            .record = STRBUF_INIT};
    _cleanup_free_ char *metadata = xasprintf("%s/METADATA", t->dist_info);
    _cleanup_free_ char *text =
        xasprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version);
    tree_add(t, metadata, text, 0644);
    _cleanup_free_ char *wheel = xasprintf("%s/WHEEL", t->dist_info);
    tree_add(t, wheel, "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n", 0644);
}

char *tree_path(const struct made_tree *t, const char *path)
{
    return *path == '/' ? xasprintf("%s%s", t->root, path)
                        : xasprintf("%s/%s/%s", t->root, t->site, path);
}

void tree_write(struct made_tree *t, const char *path, const char *text, mode_t mode)
{
    _cleanup_free_ char *full = tree_path(t, path);
    _cleanup_free_ char *dir = path_dirname(full);
    assert_int_equal(path_mkdirs(dir, 0755), 0);
    assert_int_equal(io_write_file_atomic(full, text, strlen(text), mode, 0), 0);
    assert_int_equal(chmod(full, mode), 0);
}

void tree_add(struct made_tree *t, const char *path, const char *text, mode_t mode)
{
    struct sha256 id;
    char base64[SHA256_BASE64_SIZE];
    tree_write(t, path, text, mode);
    sha256_of(text, strlen(text), &id);
    sha256_to_base64(&id, base64);
    _cleanup_free_ char *listed = *path == '/' ? xasprintf("../../..%s", path) : xstrdup(path);
    record_add_field(&t->record, listed);
    strbuf_addf(&t->record, ",sha256=%s,%zu\n", base64, strlen(text));
}

void tree_row(struct made_tree *t, const char *row)
{
    strbuf_addf(&t->record, "%s\n", row);
}

void tree_finish(struct made_tree *t)
{
    _cleanup_free_ char *record = xasprintf("%s/RECORD", t->dist_info);
    _cleanup_free_ char *installer = xasprintf("%s/INSTALLER", t->dist_info);
    tree_add(t, installer, "pip\n", 0644);
    strbuf_addf(&t->record, "%s,,\n", record);
    tree_write(t, record, t->record.buf, 0644);
    strbuf_release(&t->record);
    free(t->root);
    free(t->site);
    free(t->dist_info);
}
