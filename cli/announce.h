/* Letting those who watch an environment's files with inotify see a switch. */
#ifndef VENVFS_CLI_ANNOUNCE_H
#define VENVFS_CLI_ANNOUNCE_H

#include <jansson.h>

#include "base/home.h"
#include "base/verror.h"
#include "fs/control.h"

/* Has the daemon show the current generation (attach), and then makes the calls of the announcement
 * (fs/announce.h), when there is one. They change nothing.
 *
 * Another process of this program does so, and this returns when it is told what attach() said: a
 * command need not last until everybody has heard, which takes 8 ms where folders are new and 20 ms
 * for 100 packages. The process keeps the environment's lock of the caller until it is done, so
 * the next change of the environment comes after, as before; it is no child of the caller, which
 * may become another program that waits for its own; and of the caller's files it keeps none but
 * those that the program opened. Where none can be started, this one does all of it.
 *
 * attach: called once, with a connection of the announcer's; the daemon knows it by its pid. An
 * environment that cannot be seen from here is not announced. Returns what attach() did. */
typedef int (*announce_attach_fn)(struct control *control, const char *env_name, json_t **answer,
                                  struct verror *err);
int announce_switch(const struct home *home, const char *env_name, announce_attach_fn attach,
                    struct verror *err);

#endif
