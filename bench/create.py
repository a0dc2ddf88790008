"""How long a new environment takes: packages stored, lock seen or not."""
import base64
import hashlib
import os
import zipfile

from report import Spread


def measure_create(bench):
    for name in bench.o.sets:
        bench.ready(name)
        ours, theirs = [], []
        for i in range(bench.o.rounds):
            theirs.append(bench.plain(name, where="create")[0])
            ours.append(bench.create(bench.env, "again%d" % i, bench.lock(name))[0])
        bench.remove(*("again%d" % i for i in range(bench.o.rounds)))
        a, b = Spread(ours), Spread(theirs)
        bench.row("create", name + ", packages stored", a, b, a.median / b.median, "20 times faster",
                  b.median / a.median >= 20, title="a new environment of stored packages, with bytecode", label=name,
                  note="without bytecode")
    growth(bench)


def growth(bench):
    """Creating takes as long for a package of many files as for one of few."""
    folder = os.path.join(bench.work, "made")
    os.makedirs(folder)
    env, times = dict(bench.env, PIP_NO_INDEX="1", PIP_FIND_LINKS=folder), {}
    for count in (20, 20000):
        lock = os.path.join(folder, "lock%d.txt" % count)
        with open(lock, "w") as text:
            text.write(made_wheel(folder, "grow%d" % count, count))
        bench.create(env, "grow", lock, "--no-compile")
        bench.remove("grow")
        times[count] = []
    for _ in range(bench.o.rounds):
        for count in times:
            lock = os.path.join(folder, "lock%d.txt" % count)
            times[count].append(bench.create(env, "grow", lock, "--no-compile")[0])
            bench.remove("grow")
    bench.compare("create", "20,000 files, few: 20", Spread(times[20000]), Spread(times[20]), 1.5, against="few",
                  title="a new environment of 20,000 files beside one of 20")


def made_wheel(folder, name, count):
    """Writes a wheel of `count` data files, and returns its line in a lock."""
    members = {"%s/f%d.txt" % (name, i): b"text %d\n" % i for i in range(count)}
    info = name + "-1.0.dist-info/"
    members[info + "METADATA"] = b"Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % name.encode()
    members[info + "WHEEL"] = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = ["%s,sha256=%s,%d\n" % (path, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("="),
                                   len(data)) for path, data in members.items()]
    members[info + "RECORD"] = ("".join(rows) + info + "RECORD,,\n").encode()
    path = os.path.join(folder, name + "-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with open(path, "rb") as wheel:
        return "%s==1.0 --hash=sha256:%s\n" % (name, hashlib.sha256(wheel.read()).hexdigest())


def measure_unseen(bench):
    for name in bench.o.sets:
        bench.ready(name)
        for what, title, change in (
                ("lock never seen", "a lock never seen, its packages stored", lambda text, i: "# %d\n%s" % (i, text)),
                ("one pin changed", "a lock with one pin changed", without_pin)):
            ours = []
            for i in range(bench.o.rounds):
                lock = os.path.join(bench.work, "unseen.txt")
                with open(bench.lock(name)) as source, open(lock, "w") as copy:
                    copy.write(change(source.read(), i))
                ours.append(bench.create(bench.env, "unseen", lock)[0])
                bench.remove("unseen")
            a = Spread(ours)
            bench.row("unseen", "%s, %s" % (name, what), a, bar="250 ms", ok=a.median <= 0.25, title=title, label=name)


def without_pin(text, which):
    """A lock without its pin number `which`, counted from the end, and the lines that go on with it."""
    lines = text.splitlines(keepends=True)
    pins = [i for i, line in enumerate(lines) if line[0].isalnum()]
    start = pins[-1 - which % len(pins)]
    end = start + 1
    while end < len(lines) and lines[end][0] in " #":
        end += 1
    return "".join(lines[:start] + lines[end:])
