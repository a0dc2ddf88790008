#include "base/mem.h"
#include "cli/print.h"
#include "cli/store_command.h"
#include "store/pins.h"

struct pinning {
    struct store_command *c;
    bool pinned;
    int result;
    struct verror *err;
};

static void set(const struct store_listing *image, void *arg)
{
    struct pinning *p = arg;
    bool changed;
    if (p->result < 0)
        return;
    p->result = pins_set(p->c->s.store, image, p->pinned, &changed, p->err);
    if (p->result == 0)
        print_note("%s %s for %s %s%s", image->name, image->version, image->target,
                   changed ? "is " : "was ", p->pinned ? "pinned" : "not pinned");
}

static int set_all(struct store_command *c, bool pinned, struct verror *err)
{
    struct pinning p = {.c = c, .pinned = pinned, .err = err};
    /* What is listed is not collected until it is pinned: a pin of nothing would end every gc. */
    int r = store_lock_shared(c->s.store, err);
    for (size_t i = 0; r == 0 && i < c->operands.n; i++) {
        r = store_command_images(c, c->operands.v[i], set, &p, err);
        if (r == 0)
            r = p.result;
    }
    return r < 0 ? r : EXIT_DONE;
}

static int pin(struct store_command *c, struct verror *err)
{
    return set_all(c, true, err);
}

static int unpin(struct store_command *c, struct verror *err)
{
    return set_all(c, false, err);
}

static const struct option_spec no_options[] = {OPTIONS_END};

int store_pin_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store pin",
        .synopsis = "IMAGE|PKG==VERSION|PKG...",
        .about = "Keeps images whether or not an environment has them: store gc leaves them. IMAGE "
                 "is the\n"
                 "start of its digest, as store ls --json prints it.",
        .min = 1,
        .max = OPERANDS_ANY,
    };
    struct store_command c = {.python = NULL};
    return store_command_run(&help, no_options, &c, pin, argc, argv);
}

int store_unpin_main(int argc, char **argv)
{
    static const struct command_help help = {
        .name = "store unpin",
        .synopsis = "IMAGE|PKG==VERSION|PKG...",
        .about = "Ends what store pin began.",
        .min = 1,
        .max = OPERANDS_ANY,
    };
    struct store_command c = {.python = NULL};
    return store_command_run(&help, no_options, &c, unpin, argc, argv);
}
