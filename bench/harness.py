"""What the measures share: running commands, both sides of a comparison, and the rows of figures.

A measure is a function of a Bench. It makes what it needs on both sides (`plain`, `ready`, `create`,
`home`), times them in turns (`interleaved`) and hands each figure to `Bench.row`. What a machine cannot
do is said by `Bench.left_out`, and what fails raises Failed: both are rows, too. Everything lies below
`Bench.work`, and `Bench.finish` takes all of it away."""
import contextlib
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from report import Spread, line_of

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "venvfs-bench")
OF_A_CALLER = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "XDG_DATA_HOME",
               "XDG_CACHE_HOME")
USUAL_PYTHONS = ("3.11", "3.12", "3.13", "3.10")  # the locks fit all of these, 3.11 has a wheel of everything


class Failed(Exception):
    """A command did not do what the measure needs; the text says which, and all that it said."""


# ---- running ----

def run(argv, env=None, codes=(0,), **kw):
    """Runs a command that must end with one of the codes; returns (seconds, standard output)."""
    started = time.perf_counter()
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **kw)
    seconds = time.perf_counter() - started
    if done.returncode not in codes:
        raise Failed("%s: exit %d\n%s" % (" ".join(argv), done.returncode, done.stderr))
    return seconds, done.stdout


def together(argv, count, env=None):
    """Seconds until `count` processes of one command, started at once, have all ended well."""
    started, processes = time.perf_counter(), []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL))
        codes = [process.wait() for process in processes]
        seconds = time.perf_counter() - started
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    if any(codes):
        raise Failed("%d times %s: exits %s" % (count, " ".join(argv), codes))
    return seconds


def spent(argv, env=None):
    """Runs a command to success; returns (seconds, CPU seconds of its own, those of its children)."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in /proc
            seconds = time.perf_counter() - started
            with open("/proc/%d/stat" % process.pid) as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            said.seek(0)
            raise Failed("%s: exit %d\n%s" % (" ".join(argv), process.returncode, said.read()))
    own, children = (sum(map(int, fields[at:at + 2])) / os.sysconf("SC_CLK_TCK") for at in (11, 13))
    return seconds, own, children


def interleaved(rounds, sides):
    """{side: Spread} of functions that return seconds, called in turns; who begins changes each round."""
    times = {side: [] for side in sides}
    for i in range(rounds):
        order = list(sides)
        for side in order[i % len(order):] + order[:i % len(order)]:
            times[side].append(sides[side]())
    return {side: Spread(values) for side, values in times.items()}


# ---- files ----

def usage(path, without=None):
    """(bytes on disk, inodes) below path, hard links counted once."""
    seen, total = set(), 0
    for base, dirs, files in os.walk(path):
        dirs[:] = [name for name in dirs if os.path.join(base, name) != without]
        for name in dirs + files + [""]:
            st = os.lstat(os.path.join(base, name) if name else base)
            if (st.st_dev, st.st_ino) not in seen:
                seen.add((st.st_dev, st.st_ino))
                total += st.st_blocks * 512
    return total, len(seen)


def du(path, without=None):
    return usage(path, without)[0]


def site_packages(env):
    return glob.glob(os.path.join(env, "lib", "python3*", "site-packages"))[0]


def make_removable(folder):
    """Gives us write permission to all folders below: those beneath a hub are read-only."""
    for base, dirs, _ in os.walk(folder):
        for path in (os.path.join(base, name) for name in dirs):
            if not os.path.islink(path) and not os.access(path, os.W_OK):
                os.chmod(path, 0o700)


def mounts_below(folder):
    with open("/proc/self/mounts") as mounts:
        points = [line.split(" ")[1].replace("\\040", " ") for line in mounts]
    return [point for point in points if point.startswith(folder + "/")]


class Bench:
    """options: those of the command line. `o` are they, `python` the interpreter of all environments, `env`
    the environment variables of a venvfs that the measures share."""

    def __init__(self, options, show=print):
        self.o = options
        self.show = show
        self.rows = []
        os.makedirs(CACHE, exist_ok=True)
        self.sweep()
        self.work = tempfile.mkdtemp(prefix="run-", dir=CACHE)
        try:
            self.hold = self.held(self.work)
            self.env = self.home("home")
            self.python = self.interpreter()
            self.uv = self.tool("uv")
        except BaseException:
            self.finish()
            raise
        self.uv_env = dict(os.environ, UV_CACHE_DIR=os.path.join(CACHE, "uv-cache"), UV_NO_CONFIG="1",
                           UV_PYTHON_DOWNLOADS="never")
        for name in OF_A_CALLER:
            self.uv_env.pop(name, None)

    # ---- both sides ----

    site_packages = staticmethod(site_packages)

    def interpreter(self):
        """The path of --python, else of the first of the usual ones that is here."""
        wanted = [self.o.python] if self.o.python else USUAL_PYTHONS
        for spec in wanted:
            with contextlib.suppress(Failed):
                return run([self.o.venvfs, "python", "find", spec], env=self.env)[1].strip()
        raise Failed("no Python %s here; --python names one that `%s python list` shows"
                     % (" or ".join(wanted), self.o.venvfs))

    def tool(self, name):
        """A program of the tools' own venv in the cache, which is made from the index where it is missing."""
        bin = os.path.join(CACHE, "tools", "bin")
        if not os.path.exists(os.path.join(bin, name)):
            run([sys.executable, "-m", "venv", os.path.join(CACHE, "tools")])
            run([os.path.join(bin, "pip"), "install", "-q", "uv", "virtualenv"])
        return os.path.join(bin, name)

    def home(self, name):
        """The environment variables of a venvfs of its own."""
        base = os.path.join(self.work, name)
        os.makedirs(base, exist_ok=True)
        env = dict(os.environ, HOME=base, VENVFS_HOME=os.path.join(base, "venvfs"),
                   VENVFS_HUB=os.path.join(base, "hub"), VENVFS_RUNTIME_DIR=os.path.join(base, "run"))
        for variable in OF_A_CALLER:
            env.pop(variable, None)
        return env

    def taken(self, name):
        """(bytes, inodes) of all that a venvfs wrote below its HOME, which was empty; the hub is a mount."""
        return usage(os.path.join(self.work, name), without=os.path.join(self.work, name, "hub"))

    def written(self, name):
        return self.taken(name)[0]

    def lock(self, name):
        return os.path.join(self.o.corpus, name + ".txt")

    def locks(self):
        """Names of all locks of the corpus."""
        return sorted(f[:-4] for f in os.listdir(self.o.corpus) if f.endswith(".txt"))

    def script(self, name):
        """The program that imports everything of a set."""
        return os.path.join(self.o.corpus, "imports", name + ".py")

    def wheels(self, name):
        """A folder with the wheels of a lock, downloaded once."""
        if self.o.wheels:
            return os.path.join(self.o.wheels, name)
        folder = os.path.join(CACHE, "wheels", name)
        if not os.path.exists(folder):
            shutil.rmtree(folder + ".part", ignore_errors=True)
            run([os.path.join(CACHE, "tools", "bin", "pip"), "--python", self.python, "wheel", "-q", "--no-deps",
                 "-r", self.lock(name), "-w", folder + ".part"])
            os.rename(folder + ".part", folder)
        return folder

    def offline(self, env, name):
        return dict(env, PIP_NO_INDEX="1", PIP_FIND_LINKS=self.wheels(name))

    def uv_venv(self, folder):
        run([self.uv, "venv", "-q", "-p", self.python, folder], env=self.uv_env)

    def uv_sync(self, folder, name, *options):
        return run([self.uv, "pip", "sync", "-q", *options, "-p", folder + "/bin/python", self.lock(name)],
                   env=self.uv_env)[0]

    def plain(self, name, *options, where="plain"):
        """uv venv + uv pip sync; returns (seconds, folder)."""
        folder = os.path.join(self.work, where, name)
        shutil.rmtree(folder, ignore_errors=True)
        started = time.perf_counter()
        self.uv_venv(folder)
        self.uv_sync(folder, name, *options)
        return time.perf_counter() - started, folder

    def create(self, env, name, lock, *options):
        return run([self.o.venvfs, "create", name, "-p", self.python, "-r", lock, *options], env=env)

    def remove(self, *names):
        return run([self.o.venvfs, "remove", *names], env=self.env)[0]

    def hub(self, name):
        return os.path.join(self.env["VENVFS_HUB"], name)

    def names(self):
        """Names of the environments of the shared venvfs."""
        listed = run([self.o.venvfs, "list", "--json"], env=self.env)[1]
        return [e["name"] for e in json.loads(listed)["environments"]]

    def ready(self, name):
        """Both sides with the set installed and bytecode: (plain folder, venvfs folder)."""
        plain = os.path.join(self.work, "plain", name)
        if not os.path.exists(plain):
            self.plain(name, "--compile-bytecode")
        if name not in self.names():
            self.create(self.offline(self.env, name), name, self.lock(name))
        return plain, self.hub(name)

    def one_set(self, wanted):
        """The set of a measure that takes only one: `wanted` where --sets has it, else the first."""
        return wanted if wanted in self.o.sets else self.o.sets[0]

    def cache_store(self):
        """Has the pages of the shared store in memory."""
        for base, _, files in os.walk(os.path.join(self.env["VENVFS_HOME"], "store")):
            for name in files:
                with open(os.path.join(base, name), "rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass

    # ---- messages ----

    def messages(self):
        status = json.loads(run([self.o.venvfs, "status", "--json"], env=self.env)[1])
        return status["messages"]

    @contextlib.contextmanager
    def counting(self):
        """Yields a dictionary that has the messages by kind, once the block has ended."""
        sent = {}
        before = self.messages()
        yield sent
        after = self.messages()
        sent.update({kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] != before.get(kind, 0)})

    # ---- rows ----

    def row(self, measure, what, ours, theirs=None, ratio=None, bar=None, ok=None, *, title=None, label=None,
            against="plain", note=None, messages=None):
        """Adds a figure and shows it. ours, theirs: Spread, Size or text; ratio: ours to theirs, less is
        better; bar: what is promised, ok: whether it is kept. title and label name it in README's table and
        picture (rows without a title are not in the table); against: what the other side is, note: what is
        to be known of it. messages: {kind: count} of one operation."""
        self.add({"measure": measure, "what": what, "venvfs": str(ours),
                  "plain": str(theirs) if theirs is not None else None,
                  "ratio": ratio, "bar": bar, "within": ok,
                  "venvfs_values": getattr(ours, "values", None), "plain_values": getattr(theirs, "values", None),
                  "unit": getattr(ours, "unit", None), "title": title, "label": label, "against": against,
                  "note": note, "messages": messages, "left_out": None})

    def compare(self, measure, what, ours, theirs, bar=None, **names):
        """A row of two Spreads or Sizes, kept when their ratio is at most the bar."""
        ratio = ours.median / theirs.median
        self.row(measure, what, ours, theirs, ratio, bar, None if bar is None else ratio <= bar, **names)

    def left_out(self, measure, what, why, failed=False):
        """Says that a figure could not be taken here. failed: because something is broken."""
        self.add({"measure": measure, "what": what, "venvfs": None, "plain": None, "ratio": None, "bar": None,
                  "within": False if failed else None, "left_out": why})

    def add(self, row):
        self.rows.append(row)
        self.show(line_of(row))

    # ---- its own folder ----

    @staticmethod
    def held(folder):
        """A lock in a run's folder, held as long as the run lives. It gets its name when it is held, so that no
        other run ever takes it for one that was left."""
        lock = open(os.path.join(folder, "new"), "w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(lock.name, os.path.join(folder, "lock"))
        return lock

    def sweep(self):
        """Removes what runs left that were killed."""
        for folder in glob.glob(os.path.join(CACHE, "run-*")):
            with contextlib.suppress(OSError), open(os.path.join(folder, "lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.clear(folder)

    def finish(self):
        """Ends the daemons and removes the folder, undisturbed by another Ctrl-C."""
        kept = [(number, signal.signal(number, signal.SIG_IGN)) for number in
                (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        try:
            self.clear(self.work)
        finally:
            for number, handler in kept:
                signal.signal(number, handler)

    def clear(self, folder):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for name in os.listdir(folder):
            base = os.path.join(folder, name)
            if os.path.isdir(os.path.join(base, "venvfs")):
                env = dict(os.environ, HOME=base, VENVFS_HOME=base + "/venvfs", VENVFS_HUB=base + "/hub",
                           VENVFS_RUNTIME_DIR=base + "/run")
                subprocess.run([self.o.venvfs, "umount", "--all"], env=env, **quiet)
        for point in reversed(mounts_below(folder)):
            tool = ["umount", "-l"] if os.getuid() == 0 else ["fusermount3", "-u", "-z"]
            subprocess.run([*tool, point], **quiet)
        if not mounts_below(folder):
            make_removable(folder)
        subprocess.run(["rm", "-rf", "--one-file-system", folder], **quiet)
        if os.path.exists(folder):
            print("bench: could not remove %s; mounts there: %s" % (folder, mounts_below(folder)), file=sys.stderr)
