"""virtualenvwrapper's commands in bash beside its own with virtualenv, and the hook of auto-activation."""
import os

from harness import CACHE, run
from report import Spread

STEP = """
step() {
    local name=$1 began=${EPOCHREALTIME/./}
    shift
    "$@" >/dev/null 2>&1 || { echo "$*: exit $?" >&2; exit 1; }
    echo "$name $((${EPOCHREALTIME/./} - began))"
}
"""
COMMANDS = """
step make mkvirtualenv bench-{0}a
step again mkvirtualenv bench-{0}b
step switch workon bench-{0}a
step switch workon bench-{0}b
deactivate >/dev/null
step remove rmvirtualenv bench-{0}a bench-{0}b
"""
HOOK = """
for i in 1 2 3 4 5 6 7 8 9; do
    cd "$PROJECT"; step enter _venvfs_auto
    step same _venvfs_auto
    cd /; step leave _venvfs_auto
done
"""


def steps(script, env):
    """{name: [seconds]} of a bash."""
    found = {}
    for line in run(["bash", "--norc", "-c", STEP + script], env=env)[1].splitlines():
        name, microseconds = line.split()
        found.setdefault(name, []).append(int(microseconds) / 1e6)
    return found


def upstream(bench):
    """The folder with virtualenvwrapper's programs, installed from the index where it is missing."""
    folder = os.path.join(CACHE, "virtualenvwrapper")
    if not os.path.exists(os.path.join(folder, "bin", "virtualenvwrapper.sh")):
        bench.uv_venv(folder)
        run([bench.uv, "pip", "install", "-q", "-p", folder + "/bin/python", "virtualenvwrapper", "virtualenv"],
            env=bench.uv_env)
    return os.path.join(folder, "bin")


def measure_shell(bench):
    programs = os.path.join(bench.work, "programs")
    os.makedirs(programs)
    os.symlink(bench.o.venvfs, os.path.join(programs, "venvfs"))
    ours = dict(bench.env, PATH="%s:%s" % (programs, os.environ["PATH"]))
    bin = upstream(bench)
    theirs = dict(bench.env, PATH="%s:%s" % (bin, os.environ["PATH"]), VIRTUALENVWRAPPER_PYTHON=bin + "/python",
                  WORKON_HOME=os.path.join(bench.work, "virtualenvs"))
    for env in (ours, theirs):
        for name in [name for name in env if name.startswith("VIRTUALENVWRAPPER_") and env is ours]:
            del env[name]
        env["VIRTUALENV_PYTHON"] = bench.python
    ours.pop("WORKON_HOME", None)
    sides = {"ours": ('eval "$(venvfs shell-init bash)"', ours),
             "theirs": (". virtualenvwrapper.sh >/dev/null 2>&1", theirs)}
    times = {"ours": {}, "theirs": {}}
    for i in range(-1, bench.o.rounds):
        for side in sorted(sides, reverse=i % 2 == 0):
            start, env = sides[side]
            for name, values in steps(start + COMMANDS.format(i + 1), env).items():
                if i >= 0:  # the first fills caches: virtualenv's wheels, the store's pip
                    times[side].setdefault(name, []).extend(values)
    for name, what, limit in (("make", "mkvirtualenv, the first of a shell", 0.05),
                              ("again", "mkvirtualenv", 0.05), ("switch", "workon", 0.01),
                              ("remove", "rmvirtualenv of two", None)):
        a, b = Spread(times["ours"][name]), Spread(times["theirs"][name])
        ok = None if limit is None else a.median <= limit and b.median / a.median >= 10
        bench.row("shell", what, a, b, a.median / b.median,
                  None if limit is None else "%d ms, 10 times faster" % (1000 * limit), ok,
                  title=what + " (beside virtualenvwrapper)", label=name)
    hook(bench, ours)


def hook(bench, env):
    project = os.path.join(bench.work, "project", "inner")
    os.makedirs(project)
    with open(os.path.join(os.path.dirname(project), "requirements.txt"), "w"):
        pass
    run([bench.o.venvfs, "mount", "-q", os.path.dirname(project)], env=bench.env)
    times = steps('eval "$(venvfs shell-init --auto-activate bash)"' + HOOK, dict(env, PROJECT=project))
    for name, what in (("enter", "into a project"), ("leave", "out of it"), ("same", "in the same folder")):
        spread = Spread(times[name])
        bench.row("shell", "hook of a prompt, " + what, spread, bar="5 ms", ok=spread.median <= 0.005,
                  title="auto-activation's hook, " + what, label=name)
