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

/* Locates the user's folders, makes those that are missing, and unmounts what a killed daemon left,
 * so that every command heals it. */
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
/* The environment that a path leads to: HUB/NAME itself, something below it, a symlink to it or a
 * linked folder (cli/linked_folder.h).
 * The hub need not be mounted. malloc'ed, or NULL. */
char *env_name_of_path(const struct home *home, const char *path);

/* The same, or the one whose plain files (a fallback's) are at this path. */
char *env_name_at(const struct home *home, const char *path);

/* The environment of a project's folder: the one its .venv leads to, else the one bound to it by
 * name. malloc'ed, or NULL when it has none. */
char *env_name_of_project(const struct home *home, const char *dir);

/* What a word on the command line names. A bare one may be a folder or an environment. */
enum word { WORD_NEITHER, WORD_FOLDER, WORD_ENV };
/* -ENOTUNIQ, which is wrong usage (print_error()): it is both, and they are not bound together; the
 * hint has the way to write each. */
int session_word(const struct session *s, const char *word, enum word *ret, struct verror *err);

/* The environment that is meant: `given` with -n (a name, else a folder), else the active one
 * (VIRTUAL_ENV), else that of the project in or above the current folder. malloc'ed into *name.
 * -ENOENT. */
int session_select(const struct session *s, const char *given, char **name, struct verror *err);
/* The same for an operand, where a bare word that is both is refused. */
int session_select_word(const struct session *s, const char *word, char **name, struct verror *err);
/* env_open() by name for a change. Waits for who changes it, after a second saying so, or -EAGAIN
 * with no_wait. */
int session_env_named(const struct session *s, const char *name, struct env **ret,
                      struct verror *err);
/* session_select() and env_open(); lock: for a change, as session_env_named(). */
int session_env(const struct session *s, const char *given, bool lock, struct env **ret,
                struct verror *err);
/* env_create(), waiting in the same way for who makes it. */
int session_create_env(const struct session *s, const char *name, struct env **ret,
                       struct verror *err);

/* What an environment that is being removed has was used until now: `store gc` may keep what was
 * used lately. Best effort. */
void session_end_use(struct session *s, const struct manifest *m);

#endif
