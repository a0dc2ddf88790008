#include "cli/env_place.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/address.h"
#include "cli/link.h"
#include "cli/print.h"
#include "env/project.h"

void env_place_release(struct env_place *p)
{
    free(p->name);
    free(p->address);
    free(p->prompt);
    *p = (struct env_place){.name = NULL};
}

/* DIR/.venv is named as `venvfs mount DIR` would, so that both mean one environment. */
static int place_folder(const struct session *s, const char *word, struct env_place *p,
                        struct verror *err)
{
    _cleanup_free_ char *address = path_absolute(word);
    if (!address)
        return verror_errno(err, errno, "%s", word);
    int r = address_usable(address, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *parent = path_dirname(address);
    _cleanup_free_ char *real = realpath(parent, NULL);
    const char *folder = real ? real : parent;
    bool hidden = path_basename(address)[0] == '.';
    p->name = project_env_name(hidden ? folder : address);
    p->prompt = hidden ? xstrdup(path_basename(folder)) : NULL;
    p->address = steal_ptr(address);
    p->link = true;
    return link_free(&s->home, p->address, err);
}

int env_place_check_name(const char *name, struct verror *err)
{
    if (env_name_ok(name))
        return 0;
    verror_set(err, EINVAL, "\"%s\" cannot be the name of an environment", name);
    return verror_hint(err, "names have 1 to 100 bytes and do not start with . or -; a folder is "
                            "written with a /");
}

int env_place_find(const struct session *s, const char *word, struct env_place *p,
                   struct verror *err)
{
    if (is_folder_word(word))
        return place_folder(s, word, p, err);
    int r = env_place_check_name(word, err);
    if (r < 0)
        return r;
    p->name = xstrdup(word);
    p->address = hub_path(&s->home, word);
    return 0;
}

void env_place_hint_existing(const struct env_place *p, bool fallback, struct verror *err)
{
    _cleanup_free_ char *word = print_word(p->name);
    verror_hint(err, "venvfs mount -n %s%s shows it; venvfs remove %s makes the name free", word,
                fallback ? " --fallback" : "", word);
}
