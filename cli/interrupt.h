/* Ctrl-C while an environment is being made. What the store has of it is garbage that the next put
 * sweeps (its order of a put sees to that); only the environment's unfinished folder is removed
 * here, so that nothing of the name remains. */
#ifndef VENVFS_CLI_INTERRUPT_H
#define VENVFS_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on SIGINT, SIGTERM and SIGHUP remove this folder of an environment without a generation,
 * and end the process as they would have. */
void interrupt_removes(const char *env_dir);
/* No longer; call before the folder gets a generation. */
void interrupt_removes_nothing(void);

/* For what must be undone by ordinary code: from now on the first of these signals is only noted, a
 * second one ends the process. */
void interrupt_defer(void);
/* Was one noted? */
bool interrupt_noted(void);
/* Ends the process as the signal would have, if one was noted; else signals do again what they did
 * before. */
void interrupt_deliver(void);

#endif
