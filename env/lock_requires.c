/* lock_requires: does an interpreter satisfy a project's requires-python? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "env/lock_internal.h"

enum { PYPROJECT_MAX = 16 << 20 };

static void answer_key(const struct strbuf *text, const struct interp *interp, struct sha256 *ret)
{
    static const char magic[] = "venvfs requires-python 1";
    struct sha256_state *st = sha256_begin();
    sha256_update(st, magic, sizeof(magic));
    sha256_update(st, interp->version, strlen(interp->version) + 1);
    sha256_update(st, text->buf, text->len);
    sha256_end(st, ret);
}

/* packaging knows versions; *ret is the specifier that is not satisfied, "" when all is well. */
static int ask(const struct home *home, const struct interp *interp, const char *pyproject,
               struct strbuf *ret, struct verror *err)
{
    struct lock_job job = {.home = home, .interp = interp, .cwd = xstrdup("/"), .tmp_lock = -1};
    json_t *answer = NULL, *request = json_pack("{s:s, s:s, s:s}", "command", "requires-python",
                                                "file", pyproject, "python", interp->version);
    int r = request ? lock_helper(&job, request, &answer, err)
                    : verror_set(err, EILSEQ, "%s: its path is not UTF-8", pyproject);
    const char *unfit = json_string_value(json_object_get(answer, "unfit"));
    if (r == 0)
        strbuf_addstr(ret, unfit ? unfit : "");
    json_decref(answer);
    json_decref(request);
    lock_job_release(&job);
    return r;
}

int lock_requires_python(const struct home *home, struct store *store, const struct interp *interp,
                         const char *pyproject, char **unfit, struct verror *err)
{
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT, answer = STRBUF_INIT;
    struct sha256 key;
    int r = io_read_file(pyproject, &text, PYPROJECT_MAX);
    if (r == -ENOENT || r == -ENOTDIR)
        text.len = 0;
    else if (r < 0)
        return verror_errno(err, r, "%s", pyproject);
    if (!text.len || !strstr(text.buf, "requires-python")) {
        *unfit = NULL;
        return 0;
    }
    answer_key(&text, interp, &key);
    if (store_cache_get(store, &key, &answer, NULL) < 0) {
        strbuf_reset(&answer);
        r = ask(home, interp, pyproject, &answer, err);
        if (r < 0)
            return r;
        (void)store_cache_put(store, &key, answer.buf, answer.len, NULL); /* else asked again */
    }
    *unfit = answer.len ? strbuf_detach(&answer, NULL) : NULL;
    return 0;
}
