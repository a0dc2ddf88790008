"""Changes of an environment beside what a user of uv does for the same: a clone is another venv, a switch and
the way back are uv pip sync, a removal is rm -rf."""
import os

from harness import run
from report import Spread

STEPS = ("clone", "switch", "rollback", "remove")
TITLES = {"clone": "`venvfs clone`", "switch": "`venvfs sync` to another lock", "rollback": "`venvfs rollback`",
          "remove": "`venvfs remove`"}


def measure_changes(bench):
    for name in bench.o.sets:
        others = [lock for lock in bench.locks() if lock.startswith(name + "-")]
        if not others:
            bench.left_out("changes", name, "the corpus has no second lock %s-*.txt to switch to" % name)
            continue
        compare(bench, name, others[-1])


def compare(bench, name, other):
    bench.ready(name)
    # The lock must be seen under the settings that the measure has, since they are part of the answer's key.
    env = bench.offline(bench.env, other)
    bench.create(env, "seen", bench.lock(other))
    bench.remove("seen")
    bench.plain(other, where="changes")
    folder = os.path.join(bench.work, "changes", "twin")
    ours = {"clone": ["clone", name, "twin"], "switch": ["sync", "-n", "twin", "-r", bench.lock(other)],
            "rollback": ["rollback", "-n", "twin"], "remove": ["remove", "twin"]}
    theirs = {"clone": lambda: bench.plain(name, where="changes/twin")[0],
              "switch": lambda: bench.uv_sync(os.path.join(folder, name), other),
              "rollback": lambda: bench.uv_sync(os.path.join(folder, name), name),
              "remove": lambda: run(["rm", "-rf", folder])[0]}
    times = {(step, side): [] for step in STEPS for side in ("venvfs", "uv")}
    sent = {}
    for _ in range(bench.o.rounds):
        for step in STEPS:
            times[step, "uv"].append(theirs[step]())
            with bench.counting() as sent[step]:
                times[step, "venvfs"].append(run([bench.o.venvfs, *ours[step]], env=env)[0])
    for step in STEPS:
        what = "%s, %s%s" % (name, step, " to " + other if step == "switch" else "")
        bench.compare("changes", what, Spread(times[step, "venvfs"]), Spread(times[step, "uv"]), against="uv",
                      title=TITLES[step], label=name, messages=sent[step])
