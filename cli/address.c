#include "cli/address.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/strbuf.h"
#include "cli/fallback.h"
#include "cli/print.h"
#include "cli/session.h"
#include "env/project.h"

/* The path with its control characters as escapes, so that the message keeps to its line. */
static void add_visible(struct strbuf *sb, const char *path)
{
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;
        if (c == '\n')
            strbuf_addstr(sb, "\\n");
        else if (c < 0x20 || c == 0x7f)
            strbuf_addf(sb, "\\x%02x", c);
        else
            strbuf_addch(sb, (char)c);
    }
}

static bool has_control(const char *path)
{
    for (; *path; path++)
        if ((unsigned char)*path < 0x20 || *path == 0x7f)
            return true;
    return false;
}

int address_usable(const char *path, struct verror *err)
{
    json_t *text = json_string(path);
    bool utf8 = text != NULL, control = has_control(path);
    json_decref(text);
    if (utf8 && !control)
        return 0;
    _cleanup_strbuf_ struct strbuf visible = STRBUF_INIT;
    add_visible(&visible, path);
    verror_set(err, EINVAL, "%s: a folder whose name %s cannot be used", visible.buf,
               control ? "has a newline or another control character" : "is not UTF-8");
    return verror_hint(err, "scripts and pyvenv.cfg would have to name it: rename the folder");
}

static bool leads_to(const struct home *home, const char *path, const char *name)
{
    _cleanup_free_ char *found = env_name_of_path(home, path);
    return found && strcmp(found, name) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The project in or above the current folder, when its .venv leads to the environment. */
static char *project_here(const struct home *home, const char *name)
{
    char *dir = project_find(".");
    _cleanup_free_ char *link = dir ? path_join(dir, ".venv") : NULL;
    if (link && leads_to(home, link, name))
        return dir;
    free(dir);
    return NULL;
}

static int moved(const struct env *env, const char *to, struct verror *err)
{
    verror_set(err, ESTALE, "environment %s is the one of %s, but its folder moved", env->name,
               env->manifest->project);
    if (!to)
        return verror_hint(err, "venvfs mount DIR, where DIR is the folder's new place");
    _cleanup_free_ char *word = print_word(to);
    return verror_hint(err, "venvfs mount %s", word);
}

int address_check(const struct home *home, const struct env *env, bool make, struct verror *err)
{
    const char *address = env->manifest->address, *project = env->manifest->project;
    bool missing = !path_exists(address), folder = !project || is_folder(project);
    if (leads_to(home, address, env->name) || fallback_owns(home, env->name, address))
        return 0;
    if (make && missing && folder)
        return 0;
    _cleanup_free_ char *here = project ? project_here(home, env->name) : NULL;
    if (!folder || here)
        return moved(env, here, err);
    _cleanup_free_ char *word = print_word(project ? project : env->name);
    verror_set(err, ESTALE,
               missing ? "%s, the way to environment %s, is missing"
                       : "%s does not lead to environment %s any more",
               address, env->name);
    return verror_hint(err, "%svenvfs mount %s%s makes it again",
                       missing ? "" : "move it away; then ", project ? "" : "-n ", word);
}
