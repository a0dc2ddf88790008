/* warm, hidden: the daemon has it run (fs/warmer.h). */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/proc.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/warm.h"
#include "fs/control.h"
#include "fs/warmer.h"

static const struct command_help help = {
    .name = "warm",
    .synopsis = "ENV",
    .about = "What the daemon runs: reads what imports of an environment will read.",
    .min = 1,
    .max = 1,
};

static int files_of(const struct session *s, const char *name, json_t **ret, struct verror *err)
{
    struct control *control;
    json_t *answer;
    int r = control_connect(&s->home, &control, err);
    if (r < 0)
        return r;
    r = control_call(control, json_pack("{s:s, s:s}", "do", "warm", "env", name), &answer, err);
    control_close(control);
    if (r == 0) {
        *ret = json_incref(json_object_get(answer, "files"));
        json_decref(answer);
    }
    return r;
}

static int warm(const struct session *s, const char *name, struct verror *err)
{
    struct env *env;
    struct interp *interp = NULL;
    struct stat st;
    json_t *files = NULL;
    _cleanup_free_ char *root = hub_path(&s->home, name);
    int r = env_open(&s->home, name, false, false, &env, err);
    if (r < 0)
        return r;
    if (env->manifest->executable)
        r = interp_load(&s->home, env->manifest->executable, &interp, err);
    if (r == 0 && stat(root, &st) == 0) /* which brings it into view */
        r = files_of(s, name, &files, err);
    if (r == 0 && files)
        r = warm_walk(root, files, interp ? interp->soabi : NULL, WARMER_BYTES, err);
    json_decref(files);
    interp_free(interp);
    env_free(env);
    return r;
}

int cmd_warm(int argc, char **argv)
{
    _cleanup_session_ struct session s = SESSION_INIT;
    const struct option_spec specs[] = {OPTIONS_END};
    _cleanup_words_ struct words operands = {0};
    _cleanup_verror_ struct verror err = VERROR_INIT;
    int r = options_parse(&help, specs, argc, argv, &operands);
    if (r != OPTIONS_GO)
        return r;
    proc_stand_back(true);
    r = session_open(&s, &err);
    if (r == 0)
        r = warm(&s, operands.v[0], &err);
    return r < 0 ? print_error(&err) : EXIT_DONE;
}
