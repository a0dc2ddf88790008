/* May this user mount, and who may enter what is mounted? */
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/proc.h"
#include "cli/doctor.h"
#include "fs/control.h"
#include "fs/mount.h"

enum { MAX_CONF = 1 << 20, CAP_SYS_ADMIN_BIT = 21 };

static bool others_allowed(void)
{
    _cleanup_strbuf_ struct strbuf conf = STRBUF_INIT;
    static const char option[] = "user_allow_other";
    if (io_read_file("/etc/fuse.conf", &conf, MAX_CONF) < 0)
        return false;
    for (const char *line = conf.buf; *line; line += strspn(line, "\n")) {
        size_t blank = strspn(line, " \t");
        size_t len = strcspn(line + blank, " \t\n#");
        if (len == sizeof(option) - 1 && memcmp(line + blank, option, len) == 0)
            return true;
        line += strcspn(line, "\n");
    }
    return false;
}

void doctor_fuse(struct doctor *d)
{
    _cleanup_verror_ struct verror why = VERROR_INIT;
    if (fuse_usable(&why) < 0) {
        /* Plain files do without. */
        bool needed = !d->envs || d->plain < d->envs;
        struct doctor_finding *f =
            doctor_add(d, DOCTOR_FUSE, needed ? DOCTOR_PROBLEM : DOCTOR_WARNING, "fuse-unusable",
                       "%s", verror_message(&why));
        doctor_about(f, NULL, "/dev/fuse");
        if (why.hint)
            doctor_remedy(f, "%s", why.hint);
        doctor_summary(d, DOCTOR_FUSE, "you cannot mount");
        return;
    }
    _cleanup_free_ char *helper = proc_which("fusermount3");
    _cleanup_free_ char *by = helper ? xasprintf("by %s", helper) : NULL;
    bool direct = (mount_privileges() >> CAP_SYS_ADMIN_BIT) & 1;
    doctor_summary(d, DOCTOR_FUSE, "you can mount %s; %s cannot enter what you mount%s",
                   direct ? "directly"
                   : by   ? by
                          : "by fusermount3",
                   direct ? "other users" : "others, root included,",
                   others_allowed() ? " (user_allow_other is set, and not used)" : "");
}
