"""Downloaded wheels into the store."""
import os
import shutil
import zipfile

from harness import run, spent
from report import Spread


def measure_ingest(bench):
    name = "data" if "data" in bench.o.sets else bench.o.sets[-1]
    wheels = [os.path.join(bench.wheels(name), f) for f in sorted(os.listdir(bench.wheels(name)))]
    cpus = len(os.sched_getaffinity(0))
    bench.plain(name, where="warmup")
    for what, ours_options, uv_options, bar, note in (
            ("with bytecode", [], ["--compile-bytecode"], 1.25, None),
            ("without bytecode", ["--no-compile"], ["--link-mode", "copy"], 3.0, "copied")):
        ours, theirs, shares = [], [], []
        for _ in range(bench.o.ingest_rounds):
            folder = os.path.join(bench.work, "ingest", name)
            shutil.rmtree(folder, ignore_errors=True)
            bench.uv_venv(folder)
            theirs.append(bench.uv_sync(folder, name, *uv_options))
            shutil.rmtree(folder)
            env = bench.home("ingest-home")
            run([bench.o.venvfs, "python", "find", bench.python], env=env)
            seconds, _, compilers = spent([bench.o.venvfs, "store", "add", "-q", "-p", bench.python, *ours_options,
                                           *wheels], env=env)
            ours.append(seconds)
            shares.append(100 * compilers / (seconds * cpus))
            shutil.rmtree(os.path.join(bench.work, "ingest-home"))
        bench.compare("ingest", "%s, %s" % (name, what), Spread(ours), Spread(theirs), bar,
                      title="downloaded wheels into the store, " + what, label=name, note=note)
        if ours_options:
            rate = Spread([installed(wheels) / 1e6 / seconds for seconds in ours], "MB/s")
            bench.row("ingest", "%s, installed bytes, %d CPUs" % (name, cpus), rate, bar="150 MB/s",
                      ok=rate.median >= 150)
        else:
            share = Spread(shares, "%")
            bench.row("ingest", "%s, compilers' share of %d CPUs" % (name, cpus), share, bar="80 %",
                      ok=share.median >= 80)


def installed(wheels):
    """Bytes of all files of some wheels."""
    total = 0
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            total += sum(member.file_size for member in wheel.infolist())
    return total
