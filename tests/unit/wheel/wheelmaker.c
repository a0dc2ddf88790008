#include "wheelmaker.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/wire.h"
#include "wheel/record.h"

static uint32_t crc32_of(const void *data, size_t size)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
            table[i] = c;
        }
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++)
        crc = table[(crc ^ ((const uint8_t *)data)[i]) & 0xff] ^ crc >> 8;
    return crc ^ 0xffffffffu;
}

void made_set(struct made_file *f, const char *text)
{
    free(f->data);
    f->data = xstrdup(text);
    f->size = strlen(text);
}

struct made_file *made_add(struct made_wheel *w, const char *name, const char *text)
{
    w->files = xgrow(w->files, &w->alloc, w->n + 1, sizeof(*w->files));
    struct made_file *f = &w->files[w->n++];
    *f = (struct made_file){.name = xstrdup(name), .name_len = strlen(name), .mode = 0100644};
    made_set(f, text);
    return f;
}

struct made_file *made_find(struct made_wheel *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->files[i].name, name) == 0)
            return &w->files[i];
    return NULL;
}

static void file_release(struct made_file *f)
{
    free(f->name);
    free(f->data);
}

void made_remove(struct made_wheel *w, const char *name)
{
    struct made_file *f = made_find(w, name);
    if (!f)
        return;
    file_release(f);
    *f = w->files[--w->n];
}

void made_init(struct made_wheel *w, const char *name, const char *version)
{
    *w = (struct made_wheel){.dist_info = xasprintf("%s-%s.dist-info", name, version)};
    _cleanup_free_ char *metadata =
        xasprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version);
    _cleanup_free_ char *metadata_path = xasprintf("%s/METADATA", w->dist_info);
    _cleanup_free_ char *wheel_path = xasprintf("%s/WHEEL", w->dist_info);
    made_add(w, metadata_path, metadata);
    made_add(w, wheel_path,
             "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
}

static void add_record(struct made_wheel *w)
{
    _cleanup_strbuf_ struct strbuf sb = STRBUF_INIT;
    _cleanup_free_ char *path = xasprintf("%s/RECORD", w->dist_info);
    for (size_t i = 0; i < w->n; i++) {
        const struct made_file *f = &w->files[i];
        if (f->unlisted || (f->name_len && f->name[f->name_len - 1] == '/'))
            continue;
        struct sha256 h;
        char base64[SHA256_BASE64_SIZE];
        sha256_of(f->data, f->size, &h);
        sha256_to_base64(&h, base64);
        record_add_field(&sb, f->name);
        strbuf_addf(&sb, ",%s%s,%zu\n", f->hash ? "" : "sha256=", f->hash ? f->hash : base64,
                    f->size);
    }
    if (w->extra_row)
        strbuf_addf(&sb, "%s\n", w->extra_row);
    strbuf_addf(&sb, "%s,,\n", path);
    made_add(w, path, sb.buf);
}

static void add16(struct strbuf *sb, unsigned v)
{
    uint8_t b[2];
    wire_store16(b, (uint16_t)v);
    strbuf_add(sb, b, sizeof(b));
}

static void add32(struct strbuf *sb, uint64_t v)
{
    uint8_t b[4];
    wire_store32(b, (uint32_t)v);
    strbuf_add(sb, b, sizeof(b));
}

static void add64(struct strbuf *sb, uint64_t v)
{
    uint8_t b[8];
    wire_store64(b, v);
    strbuf_add(sb, b, sizeof(b));
}

/* What the local and the central header share. */
static void add_common(struct strbuf *sb, const struct made_file *f, uint64_t packed)
{
    uint32_t crc = crc32_of(f->data, f->size) ^ (f->wrong_crc ? 1 : 0);
    add16(sb, 20);
    add16(sb, 0x800); /* the name is UTF-8 */
    add16(sb, f->deflated ? 8 : 0);
    add16(sb, 0);
    add16(sb, 0x5821); /* 2024-01-01 */
    add32(sb, crc);
    add32(sb, f->declared_packed ? f->declared_packed : packed);
    add32(sb, f->declared_size ? f->declared_size : f->size);
    add16(sb, (unsigned)f->name_len);
    add16(sb, 0);
}

static void add_file(struct strbuf *sb, struct strbuf *directory, const struct made_file *f)
{
    uint64_t offset = sb->len, packed = f->size + (f->deflated ? 5 : 0);
    add32(sb, 0x04034b50);
    add_common(sb, f, packed);
    strbuf_add(sb, f->name, f->name_len);
    if (f->deflated) {
        strbuf_addch(sb, 1);
        add16(sb, (unsigned)f->size);
        add16(sb, ~(unsigned)f->size & 0xffff);
    }
    strbuf_add(sb, f->data, f->size);

    add32(directory, 0x02014b50);
    add16(directory, 3 << 8 | 20);
    add_common(directory, f, packed);
    add16(directory, 0);
    add16(directory, 0);
    add16(directory, 0);
    add32(directory, (uint64_t)f->mode << 16);
    add32(directory, offset);
    strbuf_add(directory, f->name, f->name_len);
}

static void add_end(struct strbuf *sb, uint64_t n, uint64_t size)
{
    uint64_t offset = sb->len - size;
    if (n >= 65535) {
        uint64_t end64 = sb->len;
        add32(sb, 0x06064b50);
        add64(sb, 44);
        add16(sb, 45);
        add16(sb, 45);
        add32(sb, 0);
        add32(sb, 0);
        add64(sb, n);
        add64(sb, n);
        add64(sb, size);
        add64(sb, offset);
        add32(sb, 0x07064b50);
        add32(sb, 0);
        add64(sb, end64);
        add32(sb, 1);
        n = 65535;
    }
    add32(sb, 0x06054b50);
    add16(sb, 0);
    add16(sb, 0);
    add16(sb, (unsigned)n);
    add16(sb, (unsigned)n);
    add32(sb, size);
    add32(sb, offset);
    add16(sb, 0);
}

void made_finish(struct made_wheel *w, struct strbuf *sb)
{
    _cleanup_strbuf_ struct strbuf directory = STRBUF_INIT;
    if (!w->no_record)
        add_record(w);
    for (size_t i = 0; i < w->n; i++) {
        add_file(sb, &directory, &w->files[i]);
        file_release(&w->files[i]);
    }
    strbuf_add(sb, directory.buf, directory.len);
    add_end(sb, w->n, directory.len);
    free(w->files);
    free(w->dist_info);
    *w = (struct made_wheel){0};
}
