#include "store/pins.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "store/store_private.h"

enum { PINS_MAX_BYTES = 64 << 20 };

/* Whoever changes the file holds this byte of STORE/claims; those of wheels are hashes. */
#define PINS_CLAIM ((UINT64_MAX >> 2) - 1)

static int read_text(struct store *store, struct strbuf *ret, struct verror *err)
{
    _cleanup_free_ char *path = store_path(store, "pins");
    int r = io_read_file(path, ret, PINS_MAX_BYTES);
    if (r == -ENOENT) {
        strbuf_reset(ret);
        return 0;
    }
    return r < 0 ? verror_errno(err, r, "cannot read %s", path) : 0;
}

/* Reads a line; *end: where the next one begins. */
static bool parse_line(const char *line, struct store_image *ret, const char **end)
{
    char *after;
    unsigned long number = strtoul(line, &after, 10);
    const char *newline = strchr(line, '\n');
    if (!newline || line[0] < '1' || line[0] > '9' || number >= UINT32_MAX || *after != ' ' ||
        newline - ++after < SHA256_HEX_SIZE - 1 ||
        !sha256_from_hex(after, SHA256_HEX_SIZE - 1, &ret->id))
        return false;
    ret->number = (uint32_t)number;
    *end = newline + 1;
    return true;
}

static int parse(const struct store *store, const char *text, struct store_image **ret, size_t *n,
                 struct verror *err)
{
    struct store_image *list = NULL;
    size_t count = 0, alloc = 0;
    for (const char *line = text; *line;) {
        struct store_image image;
        if (!parse_line(line, &image, &line)) {
            free(list);
            return verror_set(err, EBADMSG, "%s/pins: line %zu is damaged", store->root, count + 1);
        }
        list = xgrow(list, &alloc, count + 1, sizeof(*list));
        list[count++] = image;
    }
    *ret = list;
    *n = count;
    return 0;
}

int pins_read(struct store *store, struct store_image **ret, size_t *n, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    int r = read_text(store, &text, err);
    return r < 0 ? r : parse(store, text.buf, ret, n, err);
}

/* All lines but those of the image. */
static void copy_others(const char *text, const struct store_image *but, struct strbuf *ret,
                        bool *found)
{
    *found = false;
    for (const char *line = text, *end; *line; line = end) {
        struct store_image image;
        if (!parse_line(line, &image, &end))
            return; /* parse() has told */
        if (image.number == but->number && sha256_equal(&image.id, &but->id))
            *found = true;
        else
            strbuf_add(ret, line, (size_t)(end - line));
    }
}

static int change(struct store *store, const struct store_listing *l, bool pinned, bool *changed,
                  struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, next = STRBUF_INIT;
    _cleanup_free_ struct store_image *checked = NULL;
    size_t n;
    bool was;
    int r = read_text(store, &text, err);
    if (r == 0)
        r = parse(store, text.buf, &checked, &n, err);
    if (r < 0)
        return r;
    copy_others(text.buf, &l->image, &next, &was);
    *changed = was != pinned;
    if (!*changed)
        return 0;
    if (pinned) {
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&l->image.id, hex);
        strbuf_addf(&next, "%" PRIu32 " %s %s %s\n", l->image.number, hex, l->name, l->version);
    }
    _cleanup_free_ char *path = store_path(store, "pins");
    r = io_write_file_atomic(path, next.buf, next.len, 0644, true);
    return r < 0 ? verror_errno(err, r, "cannot write %s", path) : 0;
}

int pins_set(struct store *store, const struct store_listing *image, bool pinned, bool *changed,
             struct verror *err)
{
    _cleanup_free_ char *claims = store_path(store, "claims");
    _cleanup_close_ int claim = lock_byte(claims, PINS_CLAIM, true);
    if (claim < 0)
        return verror_errno(err, claim, "cannot lock %s", claims);
    return change(store, image, pinned, changed, err);
}
