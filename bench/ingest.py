"""Downloaded wheels into the store."""
import os
import shutil
import zipfile

from harness import run, site_packages, spent
from report import Spread


def measure_ingest(bench):
    name = "data" if "data" in bench.o.sets else bench.o.sets[-1]
    with_bytecode(bench, name)
    without_bytecode(bench, name)


def wheels_of(bench, name):
    return [os.path.join(bench.wheels(name), f) for f in sorted(os.listdir(bench.wheels(name)))]


def rounds(bench, name, uv_options, store_options, between=None):
    """Interleaved times of a whole set: (venvfs's seconds, uv's seconds, CPU seconds of venvfs, of its children).
    between: called with uv's folder."""
    ours, theirs, own, children = [], [], [], []
    bench.plain(name, where="warmup")
    for _ in range(bench.o.ingest_rounds):
        folder = os.path.join(bench.work, "ingest", name)
        shutil.rmtree(folder, ignore_errors=True)
        bench.uv_venv(folder)
        theirs.append(bench.uv_sync(folder, name, *uv_options))
        if between:
            between(folder)
        shutil.rmtree(folder)
        env = bench.home("ingest-home")
        run([bench.o.venvfs, "python", "find", bench.python], env=env)
        spent_all = spent([bench.o.venvfs, "store", "add", "-q", "-p", bench.python, *store_options,
                           *wheels_of(bench, name)], env=env)
        for values, value in zip((ours, own, children), spent_all):
            values.append(value)
        shutil.rmtree(os.path.join(bench.work, "ingest-home"))
    return Spread(ours), Spread(theirs), Spread(own), Spread(children)


def with_bytecode(bench, name):
    """Beside uv's, and beside what cannot be saved: the interpreters that compile."""
    alone = []

    def compiled(folder):  # 1: a file that is no Python of this version, which no installer minds either
        alone.append(run([bench.python, "-m", "compileall", "-q", "-f", "-j", "0", site_packages(folder)],
                         codes=(0, 1))[0])

    ours, theirs, own, children = rounds(bench, name, ["--compile-bytecode"], [], compiled)
    bench.compare("ingest", name + ", with bytecode", ours, theirs, 1.25,
                  title="downloaded wheels into the store, with bytecode", label=name)
    # Of CPU time, since that is the same beside other work; where CPUs idle, the next row shows it.
    share = Spread([100 * theirs_ / (own_ + theirs_) for own_, theirs_ in zip(own.values, children.values)], "%")
    bench.row("ingest", name + ", interpreters' CPU time", share, bar="80 %", ok=share.median >= 80)
    bench.compare("ingest", name + ", beside compiling alone", ours, Spread(alone), against="compileall",
                  label="beside compiling alone")


def without_bytecode(bench, name):
    ours, theirs, *_ = rounds(bench, name, ["--link-mode", "copy"], ["--no-compile"])
    bench.compare("ingest", name + ", without bytecode", ours, theirs, 3.0,
                  title="downloaded wheels into the store, without bytecode", label=name, note="copied")
    size = installed(wheels_of(bench, name))
    rate = Spread([size / 1e6 / seconds for seconds in ours.values], "MB/s")
    bench.row("ingest", "%s, installed bytes, %d CPUs" % (name, len(os.sched_getaffinity(0))), rate, bar="150 MB/s",
              ok=rate.median >= 150)


def installed(wheels):
    """Bytes of all files of some wheels."""
    total = 0
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            total += sum(member.file_size for member in wheel.infolist())
    return total
