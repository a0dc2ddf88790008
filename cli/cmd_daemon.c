/* daemon and up: hidden, called by control_start() and by the stubs beneath the mount point. */
#include <fcntl.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "fs/control.h"
#include "fs/daemon.h"
#include "fs/private.h"

static const struct command_help daemon_help = {
    .name = "daemon",
    .synopsis = "[--ready-fd N]",
    .about = "Serves the hub and the mounts in the foreground until SIGTERM. Started on demand.",
};

static const struct command_help up_help = {
    .name = "up",
    .synopsis = "",
    .about = "Starts the daemon unless it runs, and prints nothing.",
};

int cmd_daemon(int argc, char **argv)
{
    enum { NOT_GIVEN = 5000 };
    size_t number = NOT_GIVEN, fuse = NOT_GIVEN, succession = NOT_GIVEN;
    const char *env = NULL, *address = NULL;
    const struct option_spec specs[] = {
        {0, "ready-fd", OPTION_NUMBER, &number, "N", "write one line there when it serves"},
        {0, "fuse-fd", OPTION_NUMBER, &fuse, "N", NULL}, /* these three: fs/private.h */
        {0, "environment", OPTION_STRING, &env, "ENV", NULL},
        {0, "address", OPTION_STRING, &address, "DIR", NULL},
        {0, "succeed", OPTION_NUMBER, &succession, "N", NULL}, /* fs/guardian.h */
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&daemon_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    int ready = succession != NOT_GIVEN ? -1
                : number == NOT_GIVEN   ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                                        : (int)number;
    r = session_open(&s, &err);
    if (r == 0 && fuse != NOT_GIVEN && env && address)
        r = private_serve(&s.home, env, address, (int)fuse, ready, &err);
    else if (r == 0 && succession != NOT_GIVEN)
        r = daemon_succeed(&s.home, (int)succession, &err);
    else if (r == 0)
        r = daemon_run(&s.home, ready, &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}

int cmd_up(int argc, char **argv)
{
    const struct option_spec specs[] = {OPTIONS_END};
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_session_ struct session s = SESSION_INIT;
    int r = options_parse(&up_help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    struct control *control = NULL;
    r = session_open(&s, &err);
    if (r == 0)
        r = control_start(&s.home, &control, &err);
    control_close(control);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
