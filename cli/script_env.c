#include "cli/script_env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/print.h"
#include "cli/throwaway.h"
#include "env/pyenv.h"
#include "env/script.h"

enum { SCRIPT_MAX = 64 << 20 };

static bool is_stdin(const struct script_source *source)
{
    return source->file && strcmp(source->file, "-") == 0;
}

int script_source_read(const char *file, struct script_source *ret, struct verror *err)
{
    bool open = false;
    ret->file = file;
    int r = is_stdin(ret) ? io_read_to_end(STDIN_FILENO, &ret->text, SCRIPT_MAX)
                          : io_read_file(file, &ret->text, SCRIPT_MAX);
    if (r < 0)
        return verror_errno(err, r, "reading %s", is_stdin(ret) ? "standard input" : file);
    r = script_block(ret->text.buf, ret->text.len, &ret->block, &open, err);
    if (r < 0)
        return verror_prefix(err, "%s", file);
    if (open)
        print_warning("%s: a block \"# /// script\" has no end (# ///) and is ignored", file);
    return 0;
}

int script_source_rewind(const struct script_source *source, struct verror *err)
{
    int fd = memfd_create("script", MFD_CLOEXEC);
    if (fd < 0)
        return verror_errno(err, errno, "handing the script on");
    int r = io_write_all(fd, source->text.buf, source->text.len);
    if (r == 0 && (lseek(fd, 0, SEEK_SET) < 0 || dup2(fd, STDIN_FILENO) < 0))
        r = -errno;
    close(fd);
    return r < 0 ? verror_errno(err, r, "handing the script on") : 0;
}

void script_source_release(struct script_source *source)
{
    strbuf_release(&source->text);
    free(source->block);
    source->block = NULL;
}

/* ---- what is asked for ---- */

char *script_python_words(const char *start)
{
    struct version_file words = {0};
    struct strbuf text = STRBUF_INIT;
    if (version_words_from_environment(&words) || version_file_find(start, &words, NULL) == 0) {
        for (size_t i = 0; words.words[i]; i++)
            strbuf_addf(&text, "%s\n", words.words[i]);
        version_file_release(&words);
    }
    return strbuf_detach(&text, NULL);
}

/* The folder of the script, wherever it is called; without one the current folder. */
static char *folder_of(const struct script_source *source)
{
    bool named = source->file && !is_stdin(source);
    _cleanup_free_ char *real = named ? realpath(source->file, NULL) : NULL;
    return real ? path_dirname(real) : xstrdup(".");
}

/* One request, its words as pip takes them. */
struct asked {
    const struct script_source *source;
    const struct script_options *o;
    char *start, *python;
    struct words with; /* malloc'ed */
    bool changes;
};

static void asked_release(struct asked *a)
{
    for (size_t i = 0; i < a->with.n; i++)
        free((char *)(uintptr_t)a->with.v[i]);
    words_release(&a->with);
    free(a->start);
    free(a->python);
}

static int ask(const struct script_source *source, const struct script_options *o,
               struct asked *ret, struct verror *err)
{
    *ret = (struct asked){.source = source, .o = o, .start = folder_of(source)};
    bool path = o->python && strchr(o->python, '/');
    ret->python = path ? path_absolute(o->python) : o->python ? xstrdup(o->python) : NULL;
    for (size_t i = 0; i < o->with.n; i++) {
        char *word;
        int r = throwaway_requirement(o->with.v[i], &word, &ret->changes, err);
        if (r < 0)
            return r;
        words_add(&ret->with, word);
    }
    return 0;
}

static void key_of(const struct asked *a, struct sha256 *ret)
{
    struct sha256_state *st = throwaway_key_begin("script");
    _cleanup_free_ char *words = a->python ? NULL : script_python_words(a->start);
    throwaway_key_add(st, a->source->block);
    throwaway_key_add(st, a->python);
    throwaway_key_add(st, words);
    for (size_t i = 0; i < a->with.n; i++)
        throwaway_key_add(st, a->with.v[i]);
    sha256_end(st, ret);
}

/* ---- its Python ---- */

static int no_python_fits(const struct asked *a, const struct script *script,
                          const struct interp *found, struct verror *err)
{
    const char *file = a->source->file, *requires = script->requires_python;
    if (a->python) {
        verror_set(err, EINVAL, "%s requires Python %s, and -p %s is %s", file, requires, a->python,
                   found->version);
        return verror_hint(err, "leave -p out, or change requires-python"), -EINVAL;
    }
    verror_set(err, EINVAL, "%s requires Python %s, and none that fits was found", file, requires);
    return verror_hint(err, "venvfs python list shows what there is; pyenv, uv or your system's "
                            "packages install more"),
           -EINVAL;
}

/* The first that fits of: the one that any command takes in the script's folder, then all others,
 * newest first. list[0] is that first one. */
static int choose(const struct asked *a, const struct script *script, struct interp **list,
                  size_t n, struct interp **ret, struct verror *err)
{
    size_t chosen = 0;
    if (a->python)
        n = 1;
    while (chosen < n && !script->fits[chosen])
        chosen++;
    if (chosen == n)
        return no_python_fits(a, script, list[0], err);
    if (chosen)
        print_note("%s requires Python %s: %s instead of %s", a->source->file,
                   script->requires_python, list[chosen]->version, list[0]->version);
    *ret = steal_ptr(list[chosen]);
    return 0;
}

/* What the metadata asks for; *ret is its Python. */
static int read_needs(struct session *s, const struct asked *a, struct script *script,
                      struct interp **ret, struct verror *err)
{
    struct interp *first, **others = NULL;
    size_t n = 0;
    int r = interp_find(&s->home, a->python, a->start, &first, err);
    if (r < 0)
        return r;
    if (!a->source->block) {
        *ret = first;
        return 0;
    }
    r = interp_list(&s->home, &others, &n, err);
    struct interp **list = xcalloc(n + 1, sizeof(struct interp *));
    list[0] = first;
    for (size_t i = 0; i < n; i++)
        list[i + 1] = others[i];
    free(others);
    if (r == 0)
        r = script_read(&s->home, a->source->block, a->source->file, list, n + 1, script, err);
    if (r == 0)
        r = choose(a, script, list, n + 1, ret, err);
    interp_list_free(list, n + 1);
    return r;
}

static void tell_ignored(const struct asked *a, const struct script *script)
{
    for (size_t i = 0; script->ignored && script->ignored[i]; i++)
        print_warning("%s: %s is not honoured", a->source->file, script->ignored[i]);
}

static int make(struct session *s, const struct asked *a, const struct sha256 *key,
                struct env **ret, struct verror *err)
{
    _cleanup_script_ struct script script = {0};
    _cleanup_words_ struct words all = {0};
    struct throwaway_needs needs = {.offline = a->o->offline, .refresh = a->o->refresh};
    int r = read_needs(s, a, &script, &needs.interp, err);
    if (r < 0)
        return r;
    tell_ignored(a, &script);
    for (size_t i = 0; script.requirements && script.requirements[i]; i++)
        words_add(&all, script.requirements[i]);
    for (size_t i = 0; i < a->with.n; i++)
        words_add(&all, a->with.v[i]);
    const char *file = a->source->file;
    _cleanup_free_ char *reason =
        xasprintf("run%s%s", file ? " " : "", file ? path_basename(file) : "");
    needs.reason = reason;
    needs.requirements = all.v;
    needs.n_requirements = all.n;
    needs.options = script.options;
    needs.constraints = script.constraints;
    return throwaway_make(s, key, &needs, !a->changes, ret, err);
}

int script_env(struct session *s, const struct script_source *source,
               const struct script_options *o, struct env **ret, struct verror *err)
{
    struct asked a;
    struct sha256 key;
    int r = ask(source, o, &a, err);
    if (r == 0) {
        key_of(&a, &key);
        r = o->refresh || a.changes ? -ENOENT : throwaway_recall(s, &key, ret, err);
        if (r == -ENOENT)
            r = make(s, &a, &key, ret, err);
    }
    asked_release(&a);
    return r;
}
