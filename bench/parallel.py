"""Several processes that import at once, as a pool of workers or pytest -n does."""
from harness import interleaved, together
from imports import New, importing

PROCESSES = (1, 2, 4, 8, 16)
MOST_ROUNDS = 3  # each is 93 imports


class NewForMany(New):
    """The first imports of a new environment: `count` processes at once."""

    def __init__(self, bench, name, count):
        super().__init__(bench, name, 0)
        self.count = count

    def __enter__(self):
        super().__enter__()
        return lambda: many(self.bench, self.bench.hub("new"), self.name, self.count)


def many(bench, environment, name, count):
    return together([environment + "/bin/python", bench.script(name)], count)


def measure_parallel(bench):
    name = bench.one_set("web")
    plain, ours = bench.ready(name)
    for environment in (plain, ours):
        importing(environment, bench.script(name))()
    for count in PROCESSES:
        new = NewForMany(bench, name, count)
        with bench.counting() as warm_sent:
            many(bench, ours, name, count)
        sent = {"warm": warm_sent, "new": new.messages()}
        times = interleaved(min(bench.o.rounds, MOST_ROUNDS), {
            "plain": lambda: many(bench, plain, name, count),
            "warm": lambda: many(bench, ours, name, count),
            "new": new.seconds})
        for what, bar, title in (("warm", 1.05, "processes importing %s at once, warm" % name),
                                 ("new", 1.15, "processes importing %s at once, a new environment" % name)):
            bench.compare("parallel", "%s, %d at once, %s" % (name, count, what), times[what], times["plain"], bar,
                          title=title, label=str(count), messages=sent[what], note="warm" if what == "new" else None)
