#include "env/uv_python.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "env/pyversion.h"

char *uv_python_dir(void)
{
    const char *set = getenv("UV_PYTHON_INSTALL_DIR"), *data = getenv("XDG_DATA_HOME");
    const char *user = getenv("HOME");
    if (set && *set)
        return xstrdup(set);
    if (data && data[0] == '/')
        return path_join(data, "uv/python");
    return user && user[0] == '/' ? path_join(user, ".local/share/uv/python") : NULL;
}

char *uv_python_version(const char *folder)
{
    static const char prefix[] = "cpython-", threaded[] = "+freethreaded";
    struct pyversion v;
    if (strncmp(folder, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    folder += sizeof(prefix) - 1;
    if (!pyversion_parse(folder, &v) || v.n < PYVERSION_PARTS)
        return NULL;
    size_t n = strcspn(folder, "-+"), variant = strcspn(folder + n, "-");
    if (variant == 0)
        return xstrndup(folder, n);
    if (variant != sizeof(threaded) - 1 || strncmp(folder + n, threaded, variant) != 0)
        return NULL;
    return xasprintf("%.*st", (int)n, folder);
}
