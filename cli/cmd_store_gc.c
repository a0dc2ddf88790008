#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/path.h"
#include "base/progress.h"
#include "cli/print.h"
#include "cli/store_command.h"
#include "env/roots.h"
#include "store/profiles.h"

struct collecting {
    struct store_command *c;
    struct roots roots;
    json_t *lines; /* NULL: problems are printed */
};

static void problem(const char *line, void *arg)
{
    const struct collecting *g = arg;
    store_command_problem(line, g->lines);
}

/* ---- the store's questions ---- */

static int add(void *arg, const struct store_image *image, const char *what, struct verror *err)
{
    return store_roots_add(arg, image, what, err);
}

static int mark(struct store_roots *to, void *arg, struct verror *err)
{
    struct collecting *g = arg;
    const struct session *s = &g->c->s;
    return roots_read(&s->home, s->store, (unsigned)g->c->keep, add, to, &g->roots, err);
}

static int release(void *arg, struct verror *err)
{
    struct collecting *g = arg;
    return roots_drop_old(&g->roots, g->c->s.store, err);
}

/* ---- numbers with a unit ---- */

/* "30d" in units of `units`, whose letters are `letters`; false: it is none. */
static bool parse_amount(const char *text, const char *letters, const uint64_t *units,
                         uint64_t *ret)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long n = strtoull(text, &end, 10);
    const char *letter = *end ? strchr(letters, *end) : NULL;
    if (errno || (*end && (!letter || end[1])))
        return false;
    uint64_t unit = letter ? units[letter - letters] : 1;
    if (n > INT64_MAX / unit)
        return false;
    *ret = n * unit;
    return true;
}

static bool parse_limits(const struct store_command *c, struct store_gc_options *o)
{
    static const uint64_t times[] = {1, 60, 3600, 86400, 7 * 86400};
    static const uint64_t sizes[] = {1 << 10, 1 << 20, 1 << 30, UINT64_C(1) << 40};
    uint64_t age = 0;
    if (c->max_age && !parse_amount(c->max_age, "smhdw", times, &age)) {
        print_usage_error("store gc", "--max-age is a number with s, m, h, d or w");
        return false;
    }
    o->max_age = c->max_age ? (int64_t)age : -1;
    o->max_size = UINT64_MAX;
    if (c->max_size && !parse_amount(c->max_size, "KMGT", sizes, &o->max_size)) {
        print_usage_error("store gc", "--max-size is a number with K, M, G or T");
        return false;
    }
    if (c->keep == 0) {
        print_usage_error("store gc", "--keep-generations is 1 at least: the current one stays");
        return false;
    }
    return true;
}

/* ---- what belongs to images and lies elsewhere ---- */

static void prune_profiles(const struct session *s, const struct store_gc_result *res)
{
    _cleanup_free_ char *path = path_join(s->home.root, PROFILES_NAME);
    _cleanup_verror_ struct verror err = VERROR_INIT;
    struct profiles *profiles;
    if (!path_exists(path))
        return;
    int r = profiles_open(path, &profiles, &err);
    if (r == 0) {
        r = profiles_keep(profiles, res->kept, res->n_kept, &err);
        profiles_close(profiles);
    }
    if (r < 0)
        print_warning("profiles of removed images stay: %s", verror_message(&err));
}

/* ---- telling ---- */

static json_t *removed_json(const struct store_gc_result *res)
{
    json_t *array = json_array();
    for (size_t i = 0; i < res->n_removed; i++) {
        const struct store_gc_image *image = &res->removed[i];
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&image->which.id, hex);
        json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:I}", "name", image->name,
                                               "version", image->version, "image", hex, "used",
                                               (json_int_t)image->used));
    }
    return array;
}

static json_t *generations_json(const struct roots *roots)
{
    json_t *array = json_array();
    for (size_t i = 0; i < roots->n_old; i++)
        json_array_append_new(array, json_pack("{s:s, s:I}", "environment",
                                               roots->envs[roots->old[i].env]->name, "generation",
                                               (json_int_t)roots->old[i].number));
    return array;
}

static json_t *busy_json(const struct roots *roots)
{
    json_t *array = json_array();
    for (size_t i = 0; i < roots->n_busy; i++)
        json_array_append_new(array, json_string(roots->busy[i]));
    return array;
}

static json_t *sizes_json(uint64_t images, uint64_t packs, uint64_t image_bytes,
                          uint64_t pack_bytes)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "images", (json_int_t)images, "packs",
                     (json_int_t)packs, "image_bytes", (json_int_t)image_bytes, "pack_bytes",
                     (json_int_t)pack_bytes);
}

static int tell_json(const struct collecting *g, const struct store_gc_result *r)
{
    return print_json(json_pack(
        "{s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:b, s:O}", "dry_run", g->c->dry_run,
        "freed_bytes", (json_int_t)r->freed + (json_int_t)g->roots.bytes, "before",
        sizes_json(r->images_before, r->packs_before, r->image_bytes_before, r->pack_bytes_before),
        "after",
        sizes_json(r->images_after, r->packs_after, r->image_bytes_after, r->pack_bytes_after),
        "removed", removed_json(r), "generations", generations_json(&g->roots), "busy",
        busy_json(&g->roots), "packs_rewritten", (json_int_t)r->rewritten, "dead_bytes",
        (json_int_t)r->dead, "unused_kept", (json_int_t)r->unused_kept, "no_room", r->no_room,
        "lines", g->lines));
}

static void tell_generations(const struct collecting *g)
{
    const struct roots *roots = &g->roots;
    for (size_t i = 0; i < roots->n_old; i++)
        printf("%s  %s, generation %u\n", g->c->dry_run ? "would remove" : "removed",
               roots->envs[roots->old[i].env]->name, roots->old[i].number);
}

static void tell(const struct collecting *g, const struct store_gc_result *r)
{
    char a[PRINT_BYTES_SIZE], b[PRINT_BYTES_SIZE];
    const char *verb = g->c->dry_run ? "would remove" : "removed";
    int64_t freed = r->freed + (int64_t)g->roots.bytes;
    for (size_t i = 0; i < r->n_removed; i++)
        printf("%s  %s %s\n", verb, r->removed[i].name, r->removed[i].version);
    tell_generations(g);
    printf("images    %" PRIu64 " -> %" PRIu64 ", %s -> %s\n", r->images_before, r->images_after,
           print_bytes(r->image_bytes_before, a), print_bytes(r->image_bytes_after, b));
    printf("packs     %" PRIu64 " -> %" PRIu64 ", %s -> %s\n", r->packs_before, r->packs_after,
           print_bytes(r->pack_bytes_before, a), print_bytes(r->pack_bytes_after, b));
    printf("%s %s (%" PRId64 " bytes)\n", g->c->dry_run ? "would free" : "freed     ",
           print_bytes(freed > 0 ? (uint64_t)freed : 0, a), freed);
    if (r->unused_kept)
        print_note("%zu unused images stay within the limits", r->unused_kept);
}

static void warn(const struct collecting *g, const struct store_gc_result *r)
{
    for (size_t i = 0; i < g->roots.n_busy; i++)
        print_note("environment %s is being changed: its old generations stay", g->roots.busy[i]);
    if (r->no_room) {
        print_warning("the disk is too full to copy what is left of packs that are mostly dead");
        print_hint("venvfs store gc again, now that some space is free");
    }
}

static int gc(struct store_command *c, struct verror *err)
{
    struct collecting g = {.c = c, .lines = c->json ? json_array() : NULL};
    struct store_gc_result res;
    struct store_gc_options options = {
        .dry_run = c->dry_run,
        .jobs = c->jobs,
        .mark = mark,
        .release = release,
        .problem = problem,
        .waiting = store_command_waiting,
        .arg = &g,
    };
    if (!parse_limits(c, &options)) {
        json_decref(g.lines);
        return EXIT_USAGE;
    }
    if (c->keep == SIZE_MAX)
        c->keep = 0;
    options.progress = progress_new("collecting", print_quiet());
    int r = store_gc(c->s.store, &options, &res, err);
    progress_finish(options.progress);
    if (r == 0 && !c->dry_run) {
        store_command_tell_daemon(&c->s);
        prune_profiles(&c->s, &res);
    }
    if (r == 0 && c->json)
        tell_json(&g, &res);
    else if (r == 0)
        tell(&g, &res);
    if (r == 0)
        warn(&g, &res);
    store_gc_result_release(&res);
    roots_release(&g.roots);
    json_decref(g.lines);
    return r < 0 ? r : EXIT_DONE;
}

int store_gc_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store gc",
        .synopsis =
            "[--dry-run] [--keep-generations N] [--max-age TIME] [--max-size SIZE] [--json]",
        .about =
            "Removes what no environment has: packages that no generation names, nothing pins and\n"
            "no mounted view shows, and the content that only they need. Environments go on\n"
            "meanwhile; commands that add packages wait. What --dry-run says would be freed is\n"
            "what is freed. With --max-age or --max-size, packages that no environment has stay\n"
            "for when they are wanted again, except those that one of both limits lets go.",
    };
    struct store_command c = {.keep = SIZE_MAX};
    const struct option_spec specs[] = {
        {0, "dry-run", OPTION_FLAG, &c.dry_run, NULL, "change nothing; say what would go"},
        {0, "keep-generations", OPTION_NUMBER, &c.keep, "N",
         "of each environment only the newest N stay (default: all);\n"
         "one that a mounted view shows stays, too"},
        {0, "max-age", OPTION_STRING, &c.max_age, "TIME",
         "unused packages stay for so long: 12h, 30d, 8w"},
        {0, "max-size", OPTION_STRING, &c.max_size, "SIZE",
         "unused packages stay, the latest used first, until the\n"
         "store's files take so much: 500M, 20G"},
        {'j', "jobs", OPTION_NUMBER, &c.jobs, "N", "threads (default: one per CPU)"},
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, gc, argc, argv);
}
