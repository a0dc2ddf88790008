/* An environment as a text that makes it again: here, or with other tools. */
#ifndef VENVFS_CLI_EXPORT_H
#define VENVFS_CLI_EXPORT_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "base/verror.h"
#include "cli/session.h"
#include "env/envs.h"

enum export_format { EXPORT_REQUIREMENTS, EXPORT_PYLOCK, EXPORT_JSON };

/* One of "requirements", "pylock" and "json"; false: none of them. */
bool export_format_named(const char *name, enum export_format *ret);
/* What the name of a file says: pylock.toml, pylock.NAME.toml, *.json; else requirements. */
enum export_format export_format_of_file(const char *path);
/* Is this a name that readers of pylock files accept (PEP 751)? */
bool export_is_pylock_name(const char *path);

/* Appends the packages of the current generation, seeds left out unless `all`, editable installs
 * included. pylock: of PEP 751, lock-version 1.0, with the name and SHA-256 of each wheel (where it
 * was found is not kept), and [packages.tool.venvfs] requested = false for what was installed only
 * because another needs it. requirements: pinned, with hashes, unless pip could not check one of
 * them: then without, and *unhashed (malloc'ed) is the package and why; else it is NULL. Opens the
 * session's store. -ENOENT: the store does not know a wheel; -ENODATA: pylock, and a package was
 * adopted without its wheel. */
int export_text(struct session *s, const struct env *env, enum export_format format, bool all,
                struct strbuf *ret, char **unhashed, struct verror *err);

#endif
