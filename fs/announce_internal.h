/* What announce.c, announce_news.c, the operations and the session share. */
#ifndef VENVFS_FS_ANNOUNCE_INTERNAL_H
#define VENVFS_FS_ANNOUNCE_INTERNAL_H

#include "fs/announce.h"
#include "fs/session_internal.h"

enum announce_call {
    CALL_LOOK, /* only walked through */
    CALL_TOUCH,
    CALL_REMOVE,
    CALL_MAKE,
};

/* What the announcer's requests for a name are answered with in a step. */
struct news {
    uint64_t folder;
    char *name;
    enum announce_call call;
    mode_t type;    /* of what is removed or made: S_IFREG, S_IFDIR or S_IFLNK */
    uint64_t as;    /* the node it leads to, 0: none of an older generation */
    bool real;      /* CALL_MAKE: gives what is there, not a phantom */
    bool past_file; /* CALL_REMOVE: the kernel may know it, and it is a file of a replaced folder */
};

struct news_list {
    struct news *list; /* sorted by folder and name once it is in use */
    size_t n, alloc;
};
void news_add(struct news_list *list, const struct news *news); /* copies the name */
void news_sort(struct news_list *list);
struct news *news_find(const struct news_list *list, uint64_t folder, const char *name);
void news_release(struct news_list *list);

/* A name whose entry changed, in a folder that stays. */
struct item {
    uint64_t folder;
    char *path;
    const char *name;  /* in path */
    mode_t was, is;    /* types; 0: nothing */
    bool watched_here; /* what is there now was held before the switch, as after a rollback */
    uint64_t fresh;    /* the nodeid_group() of a folder where nothing was; 0: it is none */
    uint64_t *past;    /* what is held of older generations, newest first */
    struct tree **past_trees;
    size_t n_past;
};

enum step { STEP_PAST, STEP_GONE, STEP_CAME, STEP_NOW, STEP_LISTED, STEP_END };

struct announcement {
    struct announcement *next;
    struct session *session;
    uint64_t client;
    pid_t pid;
    char *env_name;
    struct tree *before, *after;
    struct item *items; /* sorted by folder and name */
    size_t n, alloc;
    size_t calls;
    enum step step;
    size_t pass;     /* of STEP_PAST */
    unsigned waited; /* in STEP_LISTED: times since something was listed */

    /* The announcer's lock: */
    struct news_list news; /* of the step */
    uint64_t *listed;      /* folders of new packages */
    size_t n_listed, alloc_listed, n_told;
    uint64_t shown_folder;  /* the announcer's last request was answered with a phantom for ... */
    const char *shown_name; /* ... this name (a news's); NULL: it was not */
};

void announce_release(struct session *s); /* at the session's end */

/* ---- announce_news.c ---- */

/* Fills items. */
void announce_compare(struct announcement *a);
/* Finds what is held of older generations, once the kernel has forgotten the rest. */
void announce_find_past(struct announcement *a);
/* Did packages come that had no folder before? */
bool announce_has_fresh(const struct announcement *a);
/* Is this a folder of one of them? The loop's, under the lock. */
bool announce_is_fresh(const struct announcement *a, uint64_t folder);
/* Adds the files of such a folder. */
void announce_list_files(struct announcement *a, uint64_t folder, struct news_list *news,
                         json_t *calls);
/* The names and calls of the current step. */
void announce_list(struct announcement *a, struct news_list *news, json_t *calls);

/* ---- the loop: true when the request is the announcer's, and is answered ---- */

bool announce_lookup(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name);
bool announce_make(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name,
                   mode_t mode);
bool announce_remove(struct session *s, fuse_req_t req, fuse_ino_t parent, const char *name);
bool announce_touch(struct session *s, fuse_req_t req, fuse_ino_t ino);
/* Any other change: refused. */
bool announce_refuse(struct session *s, fuse_req_t req);
/* Somebody lists a folder. */
void announce_listed(struct session *s, fuse_ino_t folder);
/* For how many seconds the kernel may remember a name. */
double announce_memory(struct session *s, fuse_ino_t parent, const char *name);

#endif
