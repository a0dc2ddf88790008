#include "env/helper.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "venvfs-config.h"

static char *directory;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* One file tells a folder of helpers from any other that has the name. */
static bool has_helpers(const char *dir)
{
    _cleanup_free_ char *facts = path_join(dir, "facts.py");
    return access(facts, R_OK) == 0;
}

/* PREFIX of a program in PREFIX/bin or PREFIX/sbin; NULL when it is elsewhere. */
static char *prefix_of_program(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n <= 0)
        return NULL;
    exe[n] = '\0';
    _cleanup_free_ char *bin = path_dirname(exe);
    const char *name = path_basename(bin);
    return strcmp(name, "bin") == 0 || strcmp(name, "sbin") == 0 ? path_dirname(bin) : NULL;
}

static void decide(void)
{
    _cleanup_free_ char *prefix = prefix_of_program();
    _cleanup_free_ char *beside = prefix ? path_join(prefix, "share/venvfs") : NULL;
    if (beside && has_helpers(beside))
        directory = steal_ptr(beside);
    else if (!prefix && has_helpers(VENVFS_SOURCE_PYTHON))
        directory = xstrdup(VENVFS_SOURCE_PYTHON);
    else
        directory = xstrdup(VENVFS_DATADIR);
}

const char *helper_dir(void)
{
    pthread_once(&once, decide);
    return directory;
}
