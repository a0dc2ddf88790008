/* Child processes. */
#ifndef VENVFS_BASE_PROC_H
#define VENVFS_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "base/verror.h"

struct proc_options {
    const char *cwd;          /* NULL: inherited */
    const char *const *unset; /* NULL-terminated names removed from the environment, or NULL;
                               * "PREFIX*" removes all names that start so */
    const char *const *set;   /* NULL-terminated "NAME=VALUE" strings, or NULL */
    const void *input;        /* given on standard input, which is /dev/null when input is NULL */
    size_t input_size;
    struct strbuf *output;      /* standard output is appended here; NULL: inherited */
    struct strbuf *diagnostics; /* standard error is appended here; NULL: inherited */
};

/* Runs argv (looked up in PATH unless it holds a slash) to its end, reading and writing
 * concurrently. *status: the exit code, or 128 + signal. Returns 0 when the program ran at all,
 * else a negative errno with a message (-ENOENT: no such program). */
int proc_run(const char *const *argv, const struct proc_options *options, int *status,
             struct verror *err);

/* A long-lived child with both ends of its standard input and output. */
struct proc {
    pid_t pid;
    int to;   /* its standard input; the caller closes it */
    int from; /* its standard output; the caller closes it */
};
/* Starts argv as above; options->input and output are ignored. */
int proc_spawn(const char *const *argv, const struct proc_options *options, struct proc *ret,
               struct verror *err);
/* waitpid; returns the exit code or 128 + signal. */
int proc_wait(pid_t pid);

/* Lowers the priority of this process and its children; idle: to what nobody else wants of the
 * processors and the disk. Best effort. */
void proc_stand_back(bool idle);

/* The full path of a program: argv0 itself when it holds a slash and is executable, else looked up
 * in PATH. malloc'ed, or NULL. */
char *proc_which(const char *name);

#endif
