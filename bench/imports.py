"""Imports: warm, of a new environment, and with edits."""
import json
import os
import time

from harness import interleaved, run, site_packages

# What an import after the first must not send: names, folders and pages are the kernel's by then.
FIRST_TIME = ("LOOKUP", "OPEN", "OPENDIR", "READ", "READDIR", "READDIRPLUS")


def importing(environment, script):
    """A function that imports once and returns the seconds."""
    return lambda: run([environment + "/bin/python", script])[0]


def second_import(bench, environment, script):
    """Messages of an import after the first: ({kind: count}, kinds that should not be there). Some
    machines take pages from the cache all the time, from ext4 as well: the best of eight counts."""
    for _ in range(8):
        with bench.counting() as sent:
            run([environment + "/bin/python", script])
        bad = [kind for kind in sent if kind in FIRST_TIME]
        if not bad:
            break
    return sent, bad


def compare_warm(bench, measure, name, label, plain, ours, script, title):
    """Rows of the times and of the messages of a warm import on both sides."""
    for environment in (plain, ours):
        run([environment + "/bin/python", script])
    sent, bad = second_import(bench, ours, script)
    times = interleaved(bench.o.rounds, {"venvfs": importing(ours, script), "plain": importing(plain, script)})
    bench.compare(measure, label, times["venvfs"], times["plain"], 1.08, title=title, label=name, messages=sent)
    bench.row(measure, name + ", messages of one", json.dumps(sent), bar="no LOOKUP OPEN READ READDIR", ok=not bad)


def measure_import(bench):
    for name in bench.o.sets:
        plain, ours = bench.ready(name)
        compare_warm(bench, "import", name, name + ", warm", plain, ours, bench.script(name),
                     "warm import of everything")


class New:
    """The first import of a new environment, `wait` seconds after its creation; the store's pages are in
    memory. Each call makes another environment and removes it behind the clock."""

    def __init__(self, bench, name, wait):
        self.bench, self.name, self.wait = bench, name, wait

    def __enter__(self):
        self.bench.cache_store()
        self.bench.create(self.bench.env, "new", self.bench.lock(self.name))
        time.sleep(self.wait)
        return importing(self.bench.hub("new"), self.bench.script(self.name))

    def __exit__(self, *_):
        self.bench.remove("new")

    def seconds(self):
        with self as imported:
            return imported()

    def messages(self):
        with self as imported, self.bench.counting() as sent:
            imported()
        return sent


def measure_fresh(bench):
    for name in bench.o.sets:
        plain = bench.ready(name)[0]
        new = {"at once": New(bench, name, 0), "2 s later": New(bench, name, 2)}
        warm = importing(plain, bench.script(name))
        warm()
        sent = {when: side.messages() for when, side in new.items()}
        times = interleaved(bench.o.rounds, dict({when: side.seconds for when, side in new.items()}, plain=warm))
        for when, bar in (("at once", 1.25), ("2 s later", 1.08)):
            bench.compare("fresh", "%s, %s" % (name, when), times[when], times["plain"], bar, messages=sent[when],
                          title="first import of a new environment", label="%s, %s" % (name, when), note="warm")


def measure_edited(bench):
    """Warm import of a set with 1,000 files written into site-packages: half of them modules of the
    set that the import reads, edited; half new ones, imported besides."""
    for name in bench.o.sets:
        plain = bench.plain(name, "--compile-bytecode", where="edited")[1]
        bench.create(bench.offline(bench.env, name), "edited-" + name, bench.lock(name))
        ours = bench.hub("edited-" + name)
        script = os.path.join(bench.work, "edited-%s.py" % name)
        with open(bench.script(name)) as source, open(script, "w") as copy:
            copy.write(source.read() + "\nimport importlib\nfor i in range(500):\n"
                       "    importlib.import_module('extra_modules.m%d' % i)\n")
        modules = imported(plain, bench.script(name))
        edits = modules[::max(1, len(modules) // 500)][:500]
        for side in (plain, ours):
            site = site_packages(side)
            for path in edits:
                with open(os.path.join(site, path), "a") as file:
                    file.write("\n# edited\n")
            os.mkdir(os.path.join(site, "extra_modules"))
            for i in range(1000 - len(edits)):
                with open(os.path.join(site, "extra_modules", "m%d.py" % i), "w") as file:
                    file.write("def value():\n    return %d\n" % i)
        compare_warm(bench, "edited", name, "%s, %d edits, %d new" % (name, len(edits), 1000 - len(edits)), plain, ours,
                     script, "warm import with 1,000 files written")


def imported(env, script):
    """Paths in site-packages of the modules that a script imports."""
    lister = ("import runpy, sys; runpy.run_path(sys.argv[1]); print('\\n'.join(sorted({m.__file__ for m in "
              "list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py')})))")
    site = site_packages(env) + os.sep
    files = run([env + "/bin/python", "-c", lister, script])[1].splitlines()
    return [path[len(site):] for path in files if path.startswith(site)]
