"""What goes through the mount: an installation by pip, rm -rf, and what commit makes of it."""
import os
import shutil

from harness import du, run, site_packages
from report import Spread


def empty_pair(bench, env, where):
    """Empty environments of both sides: (plain folder, venvfs folder)."""
    plain = os.path.join(bench.work, "write", where)
    run([bench.python, "-m", "venv", plain])
    run([bench.o.venvfs, "create", where, "-p", bench.python], env=env)
    return plain, os.path.join(env["VENVFS_HUB"], where)


def removed(root):
    return run(["sh", "-c", 'rm -rf "$1"/*', "sh", site_packages(root)])[0]


def measure_write(bench):
    """An installation by pip, and rm -rf of what is written and of what lies below."""
    name, below = bench.one_set("web"), bench.one_set("data")
    env = bench.offline(bench.env, name)
    bench.ready(below)
    times = {(what, side): [] for what in ("pip", "rm", "rm below") for side in ("venvfs", "plain")}
    sent = {}

    def each(what, order, sides, function):
        for side in order:
            if side == "plain":
                times[what, side].append(function(sides[side]))
                continue
            with bench.counting() as sent[what]:
                times[what, side].append(function(sides[side]))

    for i in range(bench.o.write_rounds):
        order = ("plain", "venvfs") if i % 2 else ("venvfs", "plain")
        sides = dict(zip(("plain", "venvfs"), empty_pair(bench, env, "write%d" % i)))
        each("pip", order, sides, lambda root: run(
            [root + "/bin/python", "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "-r",
             bench.lock(name)], env=env)[0])
        each("rm", order, sides, removed)
        bench.create(bench.env, "below%d" % i, bench.lock(below))
        sides = {"plain": bench.plain(below, where="below")[1], "venvfs": bench.hub("below%d" % i)}
        each("rm below", order, sides, removed)
        bench.remove("write%d" % i)
        bench.remove("below%d" % i)
        shutil.rmtree(os.path.join(bench.work, "write"))
    for what, row, title, label in (
            ("pip", name + ", pip install", "`pip install` inside", name),
            ("rm", name + ", rm -rf of it", "`rm -rf` of what pip wrote", name),
            ("rm below", below + ", rm -rf of packages", "`rm -rf` of stored packages", below)):
        bench.compare("write", row, Spread(times[what, "venvfs"]), Spread(times[what, "plain"]), 1.25, title=title,
                      label=label, messages=sent[what])


def pip_install(bench, env, name, lock):
    return run([os.path.join(env["VENVFS_HUB"], name, "bin", "python"), "-m", "pip", "install", "-q", "--no-deps",
                "--disable-pip-version-check", "-r", bench.lock(lock)], env=bench.offline(env, lock))


def measure_commit(bench):
    """What follows an installation by pip: `commit` of packages that the store had never seen, and a second
    environment of the same packages."""
    lock = bench.one_set("web")
    commits, clones, shares = [], [], []
    for i in range(bench.o.ingest_rounds):
        home = "commit-home%d" % i
        env = bench.home(home)
        upper = os.path.join(bench.work, home, "venvfs", "envs", "one", "upper")
        run([bench.o.venvfs, "create", "one", "-p", bench.python], env=env)
        pip_install(bench, env, "one", lock)
        before = du(upper)
        commits.append(run([bench.o.venvfs, "commit", "one"], env=env)[0])
        shares.append(100 * (1 - du(upper) / before))
        clones.append(run([bench.o.venvfs, "clone", "one", "two"], env=env)[0])
        run([bench.o.venvfs, "umount", "--all"], env=env)
        shutil.rmtree(os.path.join(bench.work, home))
    commit, clone, share = Spread(commits), Spread(clones), Spread(shares, "%")
    bench.row("commit", lock + ", after pip install", commit, bar="1 s", ok=commit.median <= 1,
              title="`venvfs commit` behind it: shared packages, the copy gone", label=lock)
    bench.row("commit", lock + ", the upper's bytes freed", share, bar="95 %", ok=min(shares) >= 95)
    bench.row("commit", lock + ", a clone", clone, bar="0.1 s", ok=clone.median <= 0.1)
