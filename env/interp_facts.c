#include "env/interp_facts.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/strbuf.h"
#include "env/helper.h"

enum {
    INTERP_FACTS = 1, /* FACTS of python/facts.py */
    MAX_FACTS = 4 * 1024 * 1024,
};

/* HOME/interpreters/<SHA-256 of the path>.json */
static char *cache_path(const struct home *home, const char *path)
{
    struct sha256 key;
    char hex[SHA256_HEX_SIZE];
    sha256_of(path, strlen(path), &key);
    sha256_to_hex(&key, hex);
    return xasprintf("%s/%s.json", home->interpreters, hex);
}

/* What must be unchanged for a cached answer to count. The C library decides the manylinux tags,
 * and it is replaced without touching the interpreter. */
static json_t *make_stamp(const char *path, const struct stat *st)
{
    int64_t mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    return json_pack("{s:i, s:s, s:I, s:I, s:I, s:s}", "facts", (int)INTERP_FACTS, "path", path,
                     "size", (json_int_t)st->st_size, "mtime_ns", (json_int_t)mtime_ns, "inode",
                     (json_int_t)st->st_ino, "libc", gnu_get_libc_version());
}

/* A cached pip wheel may have gone, or come (apt install python3-venv), with the interpreter as it
 * was. */
static bool wheels_still_there(const json_t *answer)
{
    const char *const keys[] = {"pip_wheel", "setuptools_wheel"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *wheel = json_string_value(json_object_get(answer, keys[i]));
        if (wheel && access(wheel, R_OK) < 0)
            return false;
    }
    const char *ensurepip = json_string_value(json_object_get(answer, "ensurepip"));
    return json_is_string(json_object_get(answer, "pip_wheel")) || !ensurepip ||
           access(ensurepip, F_OK) < 0;
}

/* The valid cached answer, a new reference, or NULL. The file is a line of JSON and a line of tags:
 * 30 KB of them as a JSON string would take most of the time of a warm start. */
static json_t *read_cache(const char *cache, const json_t *stamp)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    if (io_read_file(cache, &text, MAX_FACTS) < 0)
        return NULL;
    size_t head = strcspn(text.buf, "\n");
    json_t *o = json_loadb(text.buf, head, JSON_REJECT_DUPLICATES, NULL);
    json_t *answer = NULL;
    if (o && json_equal(json_object_get(o, "stamp"), stamp))
        answer = json_object_get(o, "answer");
    if (!json_is_object(answer) ||
        (!json_object_get(answer, "refused") && !wheels_still_there(answer)))
        answer = NULL;
    const char *tags = text.buf + head + (head < text.len);
    if (answer && !json_object_get(answer, "refused"))
        json_object_set_new(answer, "tags", json_stringn(tags, strcspn(tags, "\n")));
    json_incref(answer);
    json_decref(o);
    return answer;
}

/* A cache that cannot be written only costs time. */
static void write_cache(const char *cache, json_t *stamp, json_t *answer)
{
    json_t *head = json_copy(answer);
    json_object_del(head, "tags");
    json_t *o = json_pack("{s:O, s:o}", "stamp", stamp, "answer", head);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    const char *tags = json_string_value(json_object_get(answer, "tags"));
    _cleanup_free_ char *lines = text ? xasprintf("%s\n%s\n", text, tags ? tags : "") : NULL;
    if (lines)
        (void)io_write_file_atomic(cache, lines, strlen(lines), 0600, false);
    free(text);
    json_decref(o);
}

/* The first line of what a program said, for a message. */
static void first_line(struct strbuf *sb)
{
    size_t start = strspn(sb->buf, "\r\n \t");
    size_t n = strcspn(sb->buf + start, "\r\n");
    char *line = xstrndup(sb->buf + start, n > 300 ? 300 : n);
    strbuf_reset(sb);
    strbuf_addstr(sb, line);
    free(line);
}

/* It did not answer: an older Python, which knows no -I, still names its version. */
static int explain_failure(const char *path, int status, struct strbuf *said, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf version = STRBUF_INIT;
    const char *const argv[] = {path, "-V", NULL};
    const struct proc_options options = {.output = &version, .diagnostics = &version};
    int ignored = 0;
    (void)proc_run(argv, &options, &ignored, NULL);
    first_line(&version);
    if (strncmp(version.buf, "Python 2.", 9) == 0 ||
        (strncmp(version.buf, "Python 3.", 9) == 0 && version.buf[9] >= '0' &&
         version.buf[9] <= '5' && version.buf[10] == '.'))
        return verror_set(err, ENOEXEC, "CPython 3.6 or newer is needed, %s is %s", path,
                          version.buf + strlen("Python "));
    first_line(said);
    if (said->len)
        return verror_set(err, ENOEXEC, "%s did not tell about itself (exit code %d): %s", path,
                          status, said->buf);
    return verror_set(err, ENOEXEC, "%s did not tell about itself (exit code %d)", path, status);
}

static int ask(const char *path, json_t **ret, struct verror *err)
{
    _cleanup_free_ char *helper = path_join(helper_dir(), "facts.py");
    _cleanup_strbuf_ struct strbuf out = STRBUF_INIT, said = STRBUF_INIT;
    if (access(helper, R_OK) < 0)
        return verror_errno(err, errno, "venvfs is not installed completely: %s", helper);
    const char *const argv[] = {path, "-I", "-B", helper, NULL};
    const struct proc_options options = {.output = &out, .diagnostics = &said};
    int status = 0;
    int r = proc_run(argv, &options, &status, err);
    if (r < 0)
        return verror_set(err, ENOEXEC, "%s does not run: %s", path, strerror(-r));
    while (out.len && out.buf[out.len - 1] == '\n')
        strbuf_truncate(&out, out.len - 1);
    const char *line = strrchr(out.buf, '\n');
    line = line ? line + 1 : out.buf;
    json_t *answer = status == 0 ? json_loads(line, 0, NULL) : NULL;
    if (json_integer_value(json_object_get(answer, "facts")) != INTERP_FACTS) {
        json_decref(answer);
        return explain_failure(path, status, &said, err);
    }
    *ret = answer;
    return 0;
}

/* Wrappers (a script that starts one interpreter or another) answer for what they started, this
 * time; and an answer without tags waits for a package to be installed. Neither is kept. */
static bool worth_keeping(const json_t *answer, const char *path)
{
    if (json_object_get(answer, "refused"))
        return true;
    const char *base = json_string_value(json_object_get(answer, "base_executable"));
    const char *tags = json_string_value(json_object_get(answer, "tags"));
    return base && strcmp(base, path) == 0 && tags && *tags;
}

int interp_facts(const struct home *home, const char *path, json_t **ret, struct verror *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return verror_errno(err, errno, "%s", path);
    json_t *stamp = make_stamp(path, &st);
    if (!stamp)
        return verror_set(err, EILSEQ, "%s: its name is not UTF-8", path);
    _cleanup_free_ char *cache = cache_path(home, path);
    json_t *answer = read_cache(cache, stamp);
    int r = 0;
    if (!answer) {
        r = ask(path, &answer, err);
        if (r == 0 && worth_keeping(answer, path))
            write_cache(cache, stamp, answer);
    }
    json_decref(stamp);
    if (r < 0)
        return r;
    const char *refused = json_string_value(json_object_get(answer, "refused"));
    if (refused) {
        r = verror_set(err, ENOEXEC, "%s %s", path, refused);
        json_decref(answer);
        return r;
    }
    *ret = answer;
    return 0;
}

char *interp_facts_version(const struct home *home, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return NULL;
    _cleanup_free_ char *cache = cache_path(home, path);
    json_t *stamp = make_stamp(path, &st);
    json_t *answer = stamp ? read_cache(cache, stamp) : NULL;
    const char *version = json_string_value(json_object_get(answer, "version"));
    char *copy = version ? xstrdup(version) : NULL;
    json_decref(answer);
    json_decref(stamp);
    return copy;
}
