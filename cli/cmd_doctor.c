#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/options.h"
#include "cli/print.h"

static const struct command_help help = {
    .name = "doctor",
    .synopsis = "[--json]",
    .about =
        "Says what is wrong with FUSE, folders, the daemon and its mounts, the store, "
        "environments\n"
        "and their interpreters, and for each the command that mends it. Changes nothing, but\n"
        "unmounts what a killed daemon left, as every command does. The exit code is 1 when there\n"
        "is a problem; warnings and notes alone: 0.",
};

int cmd_doctor(int argc, char **argv)
{
    bool json = false;
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &json, NULL, "print JSON"},
        OPTIONS_END,
    };
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    _cleanup_doctor_ struct doctor d = {.n = 0};
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    if (home_locate(&d.home, &err) < 0)
        return print_error(&err);
    doctor_folders(&d);
    doctor_daemon(&d);
    doctor_store(&d);
    doctor_envs(&d);
    doctor_fuse(&d);
    return json ? doctor_print_json(&d) : doctor_print(&d);
}
