/* Letting those who watch an environment's files with inotify see a switch. */
#ifndef VENVFS_CLI_ANNOUNCE_H
#define VENVFS_CLI_ANNOUNCE_H

#include <jansson.h>

#include "base/home.h"
#include "fs/control.h"

/* Makes the calls of an announcement (fs/announce.h), when the answer to the request for a switch
 * says that there is one. They change nothing. Only the main thread may ask: the daemon knows the
 * announcer by its pid. An environment that cannot be seen from here is not announced. */
void announce_switch(const struct home *home, struct control *control, const char *env_name,
                     const json_t *answer);

#endif
