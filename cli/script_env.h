/* The environment that a script's inline metadata (PEP 723) asks for. */
#ifndef VENVFS_CLI_SCRIPT_ENV_H
#define VENVFS_CLI_SCRIPT_ENV_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "base/verror.h"
#include "cli/options.h"
#include "cli/session.h"

struct script_source {
    const char *file; /* as it was written; "-": standard input; NULL: there is no script */
    struct strbuf text;
    char *block; /* its metadata, or NULL */
};
#define SCRIPT_SOURCE_INIT                                                                         \
    {                                                                                              \
        NULL, STRBUF_INIT, NULL                                                                    \
    }
/* Reads it. -EINVAL: two blocks. One without an end is a warning. */
int script_source_read(const char *file, struct script_source *ret, struct verror *err);
/* What was read from standard input becomes it again. */
int script_source_rewind(const struct script_source *source, struct verror *err);
void script_source_release(struct script_source *source);
#define _cleanup_script_source_ _cleanup_(script_source_release)

struct script_options {
    const char *python; /* -p, or NULL: what .python-version or requires-python say */
    struct words with;  /* requirements besides those of the script */
    bool refresh, offline;
};
/* Its throwaway environment, or without a script that of `with` alone (cli/throwaway.h). Keys that
 * are not honoured are warnings when it is made. -EINVAL: bad metadata, or -p's Python is not what
 * it requires. */
int script_env(struct session *s, const struct script_source *source,
               const struct script_options *o, struct env **ret, struct verror *err);

/* The Python that PYENV_VERSION or .python-version ask for in `start`, as words for a key; "" for
 * none. malloc'ed. */
char *script_python_words(const char *start);

#endif
