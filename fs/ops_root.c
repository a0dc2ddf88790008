/* session: folders that are made and removed in the hub's root, and names made in an environment
 * that was emptied. Both make generations, which are synced to disk: a worker does it and answers,
 * while the kernel keeps others out of that folder.
 *
 * In the hub's root only folders come and go: EPERM for all else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/intent.h"
#include "fs/ops_internal.h"

struct root_op {
    fuse_req_t req;
    struct deferred *deferred;
    fuse_ino_t parent;
    char *name, *target;
    struct overlay_new what;
};

static struct session *session_of(const struct root_op *op)
{
    return fuse_req_userdata(op->req);
}

static void tell(const struct root_op *op, int result, const struct verror *err)
{
    if (result < 0 && err->message)
        log_line("%s/%s: %s", session_mountpoint(session_of(op)), op->name, verror_message(err));
}

static void submit(fuse_req_t req, fuse_ino_t parent, const char *name,
                   const struct overlay_new *what, pool_fn fn)
{
    struct root_op *op = xcalloc(1, sizeof(*op));
    *op = (struct root_op){.req = req, .parent = parent, .name = xstrdup(name)};
    if (what)
        op->what = *what;
    if (what && what->target)
        op->what.target = op->target = xstrdup(what->target);
    op->deferred = session_defer(session_of(op));
    pool_submit(session_of(op)->context.workers, fn, op);
}

static void finish(struct root_op *op)
{
    free(op->name);
    free(op->target);
    free(op);
    intent_end();
}

static void make_env(void *arg, size_t worker)
{
    struct root_op *op = arg;
    struct session *s = session_of(op);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_place_ struct place made = {0};
    (void)worker;
    session_go_on(op->deferred);
    int r = realm_make(s->realm, op->name, op->what.mode, &made, &err);
    /* Without a stub it works, until the next login finds nothing that starts the daemon. */
    if (r == 0 && s->context.stubs && stubs_add(s->context.stubs, op->name, NULL, &err) < 0)
        tell(op, -EIO, &err);
    else
        tell(op, r, &err);
    reply_new(s, op->req, r, &made);
    finish(op);
}

static void remove_env(void *arg, size_t worker)
{
    struct root_op *op = arg;
    struct session *s = session_of(op);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    (void)worker;
    session_go_on(op->deferred);
    int r = realm_remove(s->realm, op->name, &err);
    if (r == 0 && s->context.stubs && stubs_remove(s->context.stubs, op->name, &err) < 0)
        tell(op, -EIO, &err);
    else
        tell(op, r, &err);
    fuse_reply_err(op->req, -r);
    finish(op);
}

static void make_in_emptied(void *arg, size_t worker)
{
    struct root_op *op = arg;
    struct session *s = session_of(op);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    (void)worker;
    session_go_on(op->deferred);
    /* Else the name is made over what is hidden, and the record says what it said. */
    tell(op, realm_begin_anew(s->realm, op->parent, &err), &err);
    make_name(op->req, op->parent, op->name, &op->what);
    finish(op);
}

bool root_make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct overlay_new *what)
{
    struct session *s = fuse_req_userdata(req);
    bool in_root = parent == REALM_ROOT && realm_is_writable(s->realm);
    if (in_root && !S_ISDIR(what->mode))
        fuse_reply_err(req, EPERM);
    else if (in_root)
        submit(req, parent, name, what, make_env);
    else if (realm_was_emptied(s->realm, parent))
        submit(req, parent, name, what, make_in_emptied);
    else
        return false;
    return true;
}

bool root_remove(fuse_req_t req, fuse_ino_t parent, const char *name, bool is_dir)
{
    const struct session *s = fuse_req_userdata(req);
    if (parent != REALM_ROOT || !realm_is_writable(s->realm))
        return false;
    if (is_dir)
        submit(req, parent, name, NULL, remove_env);
    else
        fuse_reply_err(req, EPERM);
    return true;
}
