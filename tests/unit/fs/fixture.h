/* A home in a temporary folder, with a store and environments made by hand. */
#ifndef VENVFS_TEST_FS_FIXTURE_H
#define VENVFS_TEST_FS_FIXTURE_H

#include <stdbool.h>

#include "base/home.h"
#include "fs/control.h"
#include "store/store.h"

struct fixture {
    char *top; /* the temporary folder; home.root, hub and runtime are in it */
    struct home home;
};

/* Ends the test with 77 (skipped) where FUSE cannot be used. */
void fixture_need_fuse(void);
void fixture_init(struct fixture *f);
void fixture_release(struct fixture *f); /* stops the daemon, unmounts, removes the folder */

#define SITE "lib/python3.11/site-packages"

struct fixture_file {
    const char *path; /* below site-packages */
    const char *text;
};
/* Puts an image of a package; the version only makes it another one. Its dist-info has METADATA,
 * and REQUESTED where it is asked for by name. */
struct store_image fixture_package(struct fixture *f, const char *name, const char *version,
                                   const struct fixture_file *files, size_t n);
/* A file of `size` bytes that no two compress alike: byte i of file `seed`. */
struct store_image fixture_big_package(struct fixture *f, const char *name, unsigned seed,
                                       size_t size);
unsigned char fixture_byte(unsigned seed, size_t i);

struct fixture_use {
    const char *name;
    struct store_image image;
    bool requested; /* asked for by name */
};
/* Makes (or switches) an environment to exactly these packages. */
void fixture_env(struct fixture *f, const char *name, const struct fixture_use *uses, size_t n);

/* HUB/NAME/REST, malloc'ed. */
char *fixture_path(const struct fixture *f, const char *name, const char *rest);
/* A whole file; malloc'ed. NULL with errno. */
char *fixture_read(const char *path);

/* A connection to the daemon, started when none runs. */
struct control *fixture_start(struct fixture *f);
/* A request that must succeed. */
json_t *fixture_call(struct control *c, json_t *request);
/* Messages of a kind so far. */
long long fixture_messages(struct control *c, const char *kind);
/* All but INIT, FORGET, STATFS and the like: what a process had to wait for. */
long long fixture_waits(struct control *c);

/* main() of such tests calls this first: the program is run again as `daemon` and, by stubs, as
 * `up`. -1: it is the test. */
int fixture_daemon_main(int argc, char **argv);

#endif
