/* The daemon, its mounts as seen from here, and its log. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/doctor.h"
#include "cli/print.h"
#include "fs/control.h"
#include "fs/mount.h"
#include "venvfs-config.h"

enum { MAX_JSON = 4 << 20, MAX_LOG = 16 << 20, LINES_SHOWN = 2 };

static json_t *read_json(const char *folder, const char *name)
{
    _cleanup_free_ char *path = path_join(folder, name);
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    return io_read_file(path, &text, MAX_JSON) < 0 ? NULL : json_loadb(text.buf, text.len, 0, NULL);
}

static const char *member(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* ---- mounts ---- */

enum { NONE = '0', LIVE, STALE, FORBIDDEN };

static void look_at_mount(const void *arg, int out)
{
    const char *path = arg;
    _cleanup_free_ char *inside = xasprintf("%s/.", path); /* statfs() is nobody's secret */
    enum mount_health health = mount_health(path);
    char answer = (char)(health == MOUNT_NONE ? NONE : health == MOUNT_STALE ? STALE : LIVE);
    if (answer == LIVE && access(inside, F_OK) < 0 && errno == EACCES)
        answer = FORBIDDEN;
    (void)io_write_all(out, &answer, 1);
}

/* One of the above, or -ETIMEDOUT. */
static int mount_state(const char *path)
{
    _cleanup_strbuf_ struct strbuf answer = STRBUF_INIT;
    int r = doctor_probe(look_at_mount, path, &answer);
    return r < 0 ? r : answer.len ? answer.buf[0] : NONE;
}

static struct doctor_finding *mount_problem(struct doctor *d, const char *path, const char *code,
                                            const char *what)
{
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_DAEMON, DOCTOR_PROBLEM, code, "the mount at %s %s", path, what);
    doctor_about(f, NULL, path);
    return f;
}

/* Returns whether it answers. expected: a daemon that lives says that it is there. */
static bool check_mount(struct doctor *d, const char *path, bool expected)
{
    struct doctor_finding *f;
    int state = mount_state(path);
    if (state == STALE) {
        _cleanup_free_ char *command = doctor_umount_command(path);
        f = mount_problem(d, path, "mount-stale", "is dead: its daemon is gone");
        doctor_remedy(f, "%s", command);
    } else if (state == FORBIDDEN) {
        f = mount_problem(d, path, "mount-forbidden",
                          "cannot be entered by this user: another one made it, and only that one "
                          "may");
        doctor_remedy(f, "call venvfs as that user, or venvfs materialize -n ENV DIR there");
    } else if (state == -ETIMEDOUT) {
        f = mount_problem(d, path, "mount-hangs", "does not answer");
        d->hangs = true;
        if (d->daemon)
            doctor_remedy(f, "kill -CONT %ld", d->daemon);
    } else if (state == NONE && expected) {
        f = mount_problem(d, path, "mount-invisible",
                          "cannot be seen from here, and the daemon serves it: this is another "
                          "mount namespace (a container, a sandbox), or it was unmounted by hand");
        doctor_remedy(f, "venvfs umount --all, where the daemon was started");
    }
    return state == LIVE;
}

/* ---- healing ---- */

static void add_path(json_t *paths, const char *path)
{
    size_t i;
    json_t *known;
    json_array_foreach(paths, i, known) if (strcmp(json_string_value(known), path) == 0) return;
    if (path[0])
        json_array_append_new(paths, json_string(path));
}

/* With no daemon there should be nothing at any of these places. */
static void check_left(struct doctor *d, const char *path, bool was_stale)
{
    struct doctor_finding *f;
    if (check_mount(d, path, false)) {
        f = mount_problem(d, path, "mount-foreign",
                          "is served by a daemon of another VENVFS_HOME; this one cannot mount "
                          "there");
        doctor_remedy(f, "set VENVFS_HUB to another folder, or venvfs umount --all with that "
                         "VENVFS_HOME");
    } else if (was_stale && mount_state(path) == NONE) {
        f = doctor_add(d, DOCTOR_DAEMON, DOCTOR_NOTE, "mount-healed",
                       "the dead mount at %s is unmounted now", path);
        doctor_about(f, NULL, path);
    }
}

/* What session_open() does for every other command. */
static void heal(struct doctor *d, const json_t *facts, const json_t *mounts)
{
    json_t *paths = json_array(), *stale = json_array(), *entry;
    size_t i;
    bool any = false;
    add_path(paths, d->home.hub);
    add_path(paths, member(facts, "hub"));
    json_array_foreach(mounts, i, entry) add_path(paths, member(entry, "dir"));
    json_array_foreach(paths, i, entry)
    {
        bool is_stale = mount_state(json_string_value(entry)) == STALE;
        json_array_append_new(stale, json_boolean(is_stale));
        any |= is_stale;
    }
    if (any)
        (void)heal_after_death(&d->home, NULL);
    if (facts)
        doctor_add(d, DOCTOR_DAEMON, DOCTOR_NOTE, "daemon-killed",
                   "the last daemon, process %" JSON_INTEGER_FORMAT
                   ", was killed; what was written is kept, and the next start goes on",
                   json_integer_value(json_object_get(facts, "pid")));
    json_array_foreach(paths, i, entry)
        check_left(d, json_string_value(entry), json_is_true(json_array_get(stale, i)));
    json_decref(stale);
    json_decref(paths);
}

/* ---- the log ---- */

/* "2026-01-31T12:00:00.000Z [123] text" */
static const char *log_text(const char *line)
{
    const char *text = strstr(line, "] ");
    return text ? text + 2 : line;
}

static bool is_routine(const char *line)
{
    const char *text = log_text(line);
    return strcmp(text, "stopping") == 0 ||
           (strncmp(text, "venvfs ", 7) == 0 && strstr(text, " serves "));
}

/* Follows "the daemon before was killed", which tells it all. */
static bool is_takeover(const char *line)
{
    const char *text = log_text(line);
    return strncmp(text, "venvfs ", 7) == 0 && strstr(text, " goes on with ");
}

/* What of the log is worth telling: of a daemon that runs, the last lines since its start; else why
 * the last one did not start, which a command's own message follows. */
struct tail {
    const char *lines[LINES_SHOWN]; /* the last is the newest; NULL: none */
    size_t n;                       /* lines of the file since the first of them */
    bool failed;
};

static void see_line(struct tail *t, const char *line)
{
    bool failed = strncmp(log_text(line), "not started: ", 13) == 0;
    if (failed || is_routine(line))
        *t = (struct tail){.failed = failed};
    t->n += failed || !is_routine(line);
    if (is_routine(line) || is_takeover(line) || (t->failed && !failed))
        return;
    memmove(t->lines, t->lines + 1, (LINES_SHOWN - 1) * sizeof(*t->lines));
    t->lines[LINES_SHOWN - 1] = line;
}

static void check_log(struct doctor *d)
{
    _cleanup_free_ char *path = path_join(d->home.root, "daemon.log");
    _cleanup_free_ char *word = print_word(path);
    _cleanup_strbuf_ struct strbuf log = STRBUF_INIT;
    struct tail tail = {.n = 0};
    char *save = NULL;
    if (io_read_file(path, &log, MAX_LOG) < 0)
        return;
    for (char *line = strtok_r(log.buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        see_line(&tail, line);
    if (!d->daemon && !tail.failed)
        return;
    for (size_t i = 0; i < LINES_SHOWN; i++) {
        if (!tail.lines[i])
            continue;
        struct doctor_finding *f =
            doctor_add(d, DOCTOR_DAEMON, DOCTOR_WARNING, "log", "%s", log_text(tail.lines[i]));
        doctor_about(f, NULL, path);
        if (i + 1 == LINES_SHOWN)
            doctor_remedy(f, "tail -n %zu %s", tail.n, word);
    }
}

/* ---- the daemon ---- */

/* {"errno": N, "error": TEXT, "hint": TEXT or null} or {"status": ...} */
static void ask(const void *arg, int out)
{
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct control *control = NULL;
    json_t *answer = NULL;
    int r = control_connect(arg, &control, &err);
    if (r == 0)
        r = control_call(control, json_pack("{s:s}", "do", "status"), &answer, &err);
    json_t *told = r < 0 ? json_pack("{s:i, s:s, s:s?}", "errno", -r, "error", verror_message(&err),
                                     "hint", err.hint)
                         : json_pack("{s:o}", "status", answer);
    char *text = told ? json_dumps(told, JSON_COMPACT) : NULL;
    if (text)
        (void)io_write_all(out, text, strlen(text));
}

static void check_version(struct doctor *d, const json_t *status)
{
    const char *version = member(status, "version");
    if (strcmp(version, VENVFS_VERSION) == 0)
        return;
    struct doctor_finding *f =
        doctor_add(d, DOCTOR_DAEMON, DOCTOR_WARNING, "daemon-version",
                   "the daemon is venvfs %s, this program %s; the next start takes this one",
                   version, VENVFS_VERSION);
    doctor_remedy(f, "venvfs umount --all");
}

static void check_running(struct doctor *d, const json_t *status)
{
    json_t *mounts = json_object_get(status, "mounts"), *mount;
    size_t i, n = json_array_size(json_object_get(status, "in_view"));
    d->daemon = (long)json_integer_value(json_object_get(status, "pid"));
    check_version(d, status);
    check_mount(d, member(status, "hub"), true);
    json_array_foreach(mounts, i, mount) check_mount(d, member(mount, "dir"), true);
    doctor_summary(d, DOCTOR_DAEMON, "version %s, process %ld, %zu environment%s in view at %s",
                   member(status, "version"), d->daemon, n, n == 1 ? "" : "s",
                   member(status, "hub"));
}

static void check_unreachable(struct doctor *d, const json_t *answer, const json_t *facts)
{
    struct doctor_finding *f;
    long pid = (long)json_integer_value(json_object_get(facts, "pid"));
    d->daemon = pid;
    d->hangs = !answer;
    if (!answer) {
        f = doctor_add(d, DOCTOR_DAEMON, DOCTOR_PROBLEM, "daemon-hangs",
                       "the daemon, process %ld, does not answer; if it still does not after the "
                       "command below, kill -9 %ld loses nothing that was synced",
                       pid, pid);
        doctor_remedy(f, "kill -CONT %ld", pid);
        return;
    }
    f = doctor_add(d, DOCTOR_DAEMON, DOCTOR_PROBLEM, "daemon-unreachable", "%s",
                   member(answer, "error"));
    if (member(answer, "hint")[0])
        doctor_remedy(f, "%s", member(answer, "hint"));
}

void doctor_daemon(struct doctor *d)
{
    json_t *facts = read_json(d->home.root, "daemon.json");
    json_t *mounts = read_json(d->home.root, "mounts.json");
    _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
    bool hangs = doctor_probe(ask, &d->home, &text) == -ETIMEDOUT;
    json_t *answer = json_loadb(text.buf, text.len, 0, NULL);
    json_t *status = json_object_get(answer, "status");
    doctor_summary(d, DOCTOR_DAEMON, "none runs; the next command that needs it starts it");
    if (status)
        check_running(d, status);
    else if (hangs || json_integer_value(json_object_get(answer, "errno")) != ENOENT)
        check_unreachable(d, answer, facts);
    else
        heal(d, facts, mounts);
    if (!hangs)
        check_log(d);
    json_decref(answer);
    json_decref(mounts);
    json_decref(facts);
}
