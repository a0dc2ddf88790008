/* What every command begins with, and how it finds the environment it is about. */
#ifndef VENVFS_CLI_SESSION_H
#define VENVFS_CLI_SESSION_H

#include "base/home.h"
#include "base/verror.h"
#include "env/envs.h"
#include "store/store.h"

struct session {
    struct home home;
    struct store *store; /* NULL until session_store() */
    bool no_wait;        /* --no-wait: an environment that another process changes is an error */
};
#define SESSION_INIT                                                                               \
    {                                                                                              \
        .store = NULL                                                                              \
    }

/* Locates the user's folders and makes those that are missing. */
int session_open(struct session *s, struct verror *err);
/* Opens the store, making it when missing. Idempotent. */
int session_store(struct session *s, struct verror *err);
void session_release(struct session *s);
#define _cleanup_session_ _cleanup_(session_release)

/* Does a word on the command line name a folder rather than an environment? With '/', "." or ".."
 * it does (design 8). */
bool is_folder_word(const char *word);

/* HOME's hub joined with an environment's name. malloc'ed. */
char *hub_path(const struct home *home, const char *name);
/* The environment that a path leads to: HUB/NAME itself, something below it, or a symlink to it.
 * The hub need not be mounted. malloc'ed, or NULL. */
char *env_name_of_path(const struct home *home, const char *path);

/* The environment of a project's folder: the one its .venv leads to, else the one bound to it by
 * name. malloc'ed, or NULL when it has none. */
char *env_name_of_project(const struct home *home, const char *dir);

/* The environment that is meant: `given` (a name or a folder), else the active one (VIRTUAL_ENV),
 * else that of the project in or above the current folder. malloc'ed into *name. -ENOENT. */
int session_select(const struct session *s, const char *given, char **name, struct verror *err);
/* session_select() and env_open(); lock: for a change. Waits for who changes it, after a second
 * saying so, or -EAGAIN with no_wait. */
int session_env(const struct session *s, const char *given, bool lock, struct env **ret,
                struct verror *err);
/* env_create(), waiting in the same way for who makes it. */
int session_create_env(const struct session *s, const char *name, struct env **ret,
                       struct verror *err);

#endif
