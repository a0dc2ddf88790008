#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/store_command.h"
#include "env/interp.h"
#include "wheel/wheel.h"

/* ---- add ---- */

static void print_added(const struct store_command *c, const struct store_image *images)
{
    json_t *array = json_array();
    for (size_t i = 0; i < c->operands.n; i++) {
        char hex[SHA256_HEX_SIZE];
        sha256_to_hex(&images[i].id, hex);
        if (c->json)
            json_array_append_new(array, json_pack("{s:s, s:s, s:i}", "file", c->operands.v[i],
                                                   "image", hex, "number", (int)images[i].number));
        else
            printf("%.12s  %s\n", hex, path_basename(c->operands.v[i]));
    }
    if (c->json)
        print_json(json_pack("{s:O}", "added", array));
    json_decref(array);
}

static int add(struct store_command *c, struct verror *err)
{
    struct interp *interp;
    int r = interp_find(&c->s.home, c->python, ".", &interp, err);
    if (r < 0)
        return r;
    size_t n = c->operands.n;
    struct wheel_source *sources = xcalloc(n, sizeof(*sources));
    struct store_image *images = xcalloc(n, sizeof(*images));
    for (size_t i = 0; i < n; i++)
        sources[i].path = c->operands.v[i];
    struct progress *progress = progress_new("adding", print_quiet());
    struct wheel_options options = {.compile = {.enabled = !c->no_compile, .levels = 1},
                                    .jobs = c->jobs,
                                    .progress = progress,
                                    .warn = print_wheel_warning};
    r = store_lock_shared(c->s.store, err);
    if (r == 0)
        r = wheel_ingest(c->s.store, &interp->target, sources, n, &options, images, err);
    progress_finish(progress);
    if (r == 0)
        print_added(c, images);
    free(sources);
    free(images);
    interp_free(interp);
    return r;
}

static int add_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store add",
        .synopsis = "WHEEL... [-p PY] [--json]",
        .about = "Adds wheel files to the store, as installed for an interpreter.",
        .min = 1,
        .max = OPERANDS_ANY,
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {'p', "python", OPTION_STRING, &c.python, "PY", "the interpreter (default: as create)"},
        {0, "no-compile", OPTION_FLAG, &c.no_compile, NULL, "make no bytecode"},
        {'j', "jobs", OPTION_NUMBER, &c.jobs, "N", "threads (default: one per CPU)"},
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, add, argc, argv);
}

/* ---- ls ---- */

struct listing {
    struct table *table;
    json_t *array;
};

static int list_entry(const struct store_listing *e, void *arg)
{
    struct listing *l = arg;
    char hex[SHA256_HEX_SIZE], bytes[PRINT_BYTES_SIZE];
    sha256_to_hex(&e->image.id, hex);
    table_cell(l->table, "%s", e->name);
    table_cell(l->table, "%s", e->version);
    table_cell(l->table, "%s", print_bytes(e->file_bytes, bytes));
    table_cell(l->table, "%s", e->target);
    table_cell(l->table, "%s", e->wheel_filename);
    json_array_append_new(l->array,
                          json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "name", e->name,
                                    "version", e->version, "target", e->target, "wheel",
                                    e->wheel_filename, "file_bytes", (json_int_t)e->file_bytes,
                                    "nodes", (json_int_t)e->nodes, "image", hex));
    return 0;
}

static int ls(struct store_command *c, struct verror *err)
{
    struct listing l = {table_new(5), json_array()};
    table_cell(l.table, "PACKAGE");
    table_cell(l.table, "VERSION");
    table_cell(l.table, "SIZE");
    table_cell(l.table, "TARGET");
    table_cell(l.table, "WHEEL");
    int r = store_list(c->s.store, list_entry, &l, err);
    if (r == 0 && c->json)
        print_json(json_pack("{s:O}", "images", l.array));
    if (r == 0 && !c->json && json_array_size(l.array))
        table_print(l.table);
    else
        table_free(l.table);
    json_decref(l.array);
    return r < 0 ? r : EXIT_DONE;
}

static int ls_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store ls",
        .synopsis = "[--json]",
        .about = "Lists the images of the store: each package, as installed for one target.",
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, ls, argc, argv);
}

/* ---- stats ---- */

static void print_stats(const struct store_stats *st)
{
    char a[PRINT_BYTES_SIZE], b[PRINT_BYTES_SIZE];
    uint64_t disk = st->pack_bytes + st->image_bytes + st->catalog_bytes;
    printf("images    %" PRIu64 " of %" PRIu64 " wheels\n", st->images, st->wheels);
    printf("files     %s, %s without duplicates (%" PRIu64 " blobs)\n",
           print_bytes(st->apparent_bytes, a), print_bytes(st->unique_bytes, b), st->blobs);
    printf("on disk   %s", print_bytes(disk, a));
    if (st->apparent_bytes)
        printf(", %.0f %% of the files", 100.0 * (double)disk / (double)st->apparent_bytes);
    printf("\npacks     %" PRIu64 ", %s, %s dead\n", st->packs, print_bytes(st->pack_bytes, a),
           print_bytes(st->dead_bytes, b));
    printf("catalog   %s, images %s\n", print_bytes(st->catalog_bytes, a),
           print_bytes(st->image_bytes, b));
}

static int stats(struct store_command *c, struct verror *err)
{
    struct store_stats st;
    int r = store_stats(c->s.store, &st, err);
    if (r < 0)
        return r;
    if (c->json)
        return print_json(json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "images", (json_int_t)st.images,
            "wheels", (json_int_t)st.wheels, "packs", (json_int_t)st.packs, "blobs",
            (json_int_t)st.blobs, "apparent_bytes", (json_int_t)st.apparent_bytes, "unique_bytes",
            (json_int_t)st.unique_bytes, "pack_bytes", (json_int_t)st.pack_bytes, "dead_bytes",
            (json_int_t)st.dead_bytes, "image_bytes", (json_int_t)st.image_bytes, "catalog_bytes",
            (json_int_t)st.catalog_bytes));
    print_stats(&st);
    return EXIT_DONE;
}

static int stats_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store stats",
        .synopsis = "[--json]",
        .about = "Counts what the store holds and what it takes on disk.",
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, stats, argc, argv);
}

/* ---- verify ---- */

static int verify(struct store_command *c, struct verror *err)
{
    json_t *array = c->json ? json_array() : NULL;
    uint64_t n = 0;
    int r = store_verify(c->s.store, !c->fast, store_command_problem, array, &n, err);
    if (r < 0) {
        json_decref(array);
        return r;
    }
    if (c->json)
        print_json(json_pack("{s:I, s:o}", "problems", (json_int_t)n, "lines", array));
    else if (!n)
        print_note("the store is sound");
    return n ? EXIT_FAILED : EXIT_DONE;
}

static int verify_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store verify",
        .synopsis = "[--fast] [--json]",
        .about =
            "Checks every pack, frame, blob, image and catalog entry, and prints a line for each\n"
            "damage. The exit code is 1 when there is any.",
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {0, "fast", OPTION_FLAG, &c.fast, NULL,
         "check checksums of frames, not each file's SHA-256"},
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, verify, argc, argv);
}

/* ---- optimize ---- */

static json_t *sizes_json(const struct store_optimize_sizes *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "packs", (json_int_t)s->packs, "pack_bytes",
                     (json_int_t)s->pack_bytes, "image_bytes", (json_int_t)s->image_bytes,
                     "catalog_bytes", (json_int_t)s->catalog_bytes, "files", (json_int_t)s->files);
}

static uint64_t sizes_sum(const struct store_optimize_sizes *s)
{
    return s->pack_bytes + s->image_bytes + s->catalog_bytes;
}

static void print_optimized(const struct store_command *c, const struct store_optimize_result *r)
{
    char a[PRINT_BYTES_SIZE], b[PRINT_BYTES_SIZE];
    uint64_t before = sizes_sum(&r->before), after = sizes_sum(&r->after);
    if (r->nothing) {
        print_note("nothing to do: the store takes %s", print_bytes(before, a));
        return;
    }
    printf("%s %s -> %s%s", c->dry_run ? "would take" : "on disk  ", print_bytes(before, a),
           c->dry_run ? "about " : "", print_bytes(after, b));
    if (after < before) /* else others added more meanwhile */
        printf(", %.0f %% less", 100.0 * (1.0 - (double)after / (double)before));
    printf("\npacks     %" PRIu64 " -> %" PRIu64 ", %s -> %s\n", r->before.packs, r->after.packs,
           print_bytes(r->before.pack_bytes, a), print_bytes(r->after.pack_bytes, b));
    if (c->dry_run)
        printf("needs     %s of free disk while it runs\n", print_bytes(r->space_needed, a));
    else
        printf("files     %" PRIu64 " -> %" PRIu64 "\n", r->before.files, r->after.files);
}

static int optimize(struct store_command *c, struct verror *err)
{
    json_t *lines = c->json ? json_array() : NULL;
    struct store_optimize_result res;
    if (c->level > STORE_OPTIMIZE_LEVEL_MAX) {
        json_decref(lines);
        return print_usage_error("store optimize", "--level is 1 to %d", STORE_OPTIMIZE_LEVEL_MAX);
    }
    struct store_optimize_options options = {
        .level = (int)c->level,
        .jobs = c->jobs,
        .dry_run = c->dry_run,
        .progress = progress_new(c->dry_run ? "estimating" : "optimizing", print_quiet()),
        .problem = store_command_problem,
        .waiting = store_command_waiting,
        .arg = lines,
    };
    int r = store_optimize(c->s.store, &options, &res, err);
    progress_finish(options.progress);
    if (r < 0) {
        json_decref(lines);
        return r;
    }
    if (!c->dry_run && !res.nothing)
        store_command_tell_daemon(&c->s);
    if (c->json)
        print_json(json_pack(
            "{s:b, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "nothing", res.nothing,
            "dry_run", c->dry_run, "before", sizes_json(&res.before), "after",
            sizes_json(&res.after), "blobs_moved", (json_int_t)res.blobs_moved, "blobs_damaged",
            (json_int_t)res.blobs_damaged, "frames_made", (json_int_t)res.frames_made,
            "frames_kept", (json_int_t)res.frames_kept, "swept_bytes", (json_int_t)res.swept_bytes,
            "space_needed", (json_int_t)res.space_needed, "lines", lines));
    else
        print_optimized(c, &res);
    return res.blobs_damaged ? EXIT_FAILED : EXIT_DONE;
}

static int optimize_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store optimize",
        .synopsis = "[--dry-run] [--level N] [-j N] [--json]",
        .about =
            "Rewrites the packs so that they take less disk: what is alike lies together, and is\n"
            "compressed better. Mounted environments go on meanwhile; commands that add packages\n"
            "wait at its end for some seconds. It needs the packs' size of free disk once more.\n"
            "What is damaged stays as it is; then the exit code is 1.",
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {0, "dry-run", OPTION_FLAG, &c.dry_run, NULL, "change nothing; estimate from a sample"},
        {0, "level", OPTION_NUMBER, &c.level, "N", "of zstd, 1 to 19 (default: 14)"},
        {'j', "jobs", OPTION_NUMBER, &c.jobs, "N", "threads (default: one per CPU)"},
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, optimize, argc, argv);
}

/* ---- path ---- */

static int path(struct store_command *c, struct verror *err)
{
    (void)err;
    if (c->json)
        return print_json(json_pack("{s:s}", "path", store_root(c->s.store)));
    puts(store_root(c->s.store));
    return EXIT_DONE;
}

static int path_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store path",
        .synopsis = "[--json]",
        .about = "Prints the store's folder.",
    };
    struct store_command c = {.python = NULL};
    const struct option_spec specs[] = {
        {0, "json", OPTION_FLAG, &c.json, NULL, "print JSON"},
        OPTIONS_END,
    };
    return store_command_run(&help, specs, &c, path, argc, argv);
}

int cmd_store(int argc, char **argv)
{
    static const struct command commands[] = {
        {"add", "add wheel files", add_main, false},
        {"ls", "list images", ls_main, false},
        {"stats", "count packages, files and bytes", stats_main, false},
        {"verify", "check everything for damage", verify_main, false},
        {"optimize", "rewrite the packs to take less disk", optimize_main, false},
        {"gc", "remove what no environment has", store_gc_main, false},
        {"pin", "keep a package that no environment has", store_pin_main, false},
        {"unpin", "keep it no longer", store_unpin_main, false},
        {"path", "print the store's folder", path_main, false},
    };
    return commands_group("store", "Adds to, lists and verifies the store.", commands,
                          ARRAY_SIZE(commands), argc, argv);
}
