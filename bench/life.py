"""Latencies of an environment's life, what a thousand of them cost, and what one message does.

Each function takes the Bench of bench/run and adds rows to it: measure_life(), measure_scale(),
measure_message(). Times are medians; fsyncs, bytes and the processor's time are counted, so they say
the same on a busy machine.
"""
import collections
import glob
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

SYNCS = ("fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "msync")
ENVIRONMENTS = 1250
MESSAGES = 200000


def call(bench, *words, env=None):
    """Seconds from the start of a command to its end."""
    started = time.perf_counter()
    done = subprocess.run([bench.o.venvfs, *words], env=env or bench.env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit("bench: venvfs %s: exit %d\n%s" % (" ".join(words), done.returncode, done.stderr))
    return seconds


def status(bench, env=None):
    out = subprocess.run([bench.o.venvfs, "status", "--json"], env=env or bench.env, stdout=subprocess.PIPE,
                         check=True).stdout
    return json.loads(out)


def processor(pid):
    """Seconds that the commands run so far have computed, and the daemon: on a busy machine they say more
    than the clock."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = 0
    for stat in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(stat) as file:
            threads += int(file.read().split()[0])
    return children.ru_utime + children.ru_stime + threads / 1e9


def milliseconds(seconds):
    return "%.1f ms (%.1f-%.1f)" % (1e3 * statistics.median(seconds), 1e3 * min(seconds), 1e3 * max(seconds))


def timed(bench, what, before, words, bar, after=(), env=None):
    """The median of a command with `before` and `after` around each, which do not count."""
    seconds, computed, daemon = [], [], status(bench, env)["pid"]
    for i in range(bench.o.rounds):
        for other in before:
            call(bench, *[w.format(i) for w in other], env=env)
        time.sleep(0.2)  # those who watch have been told of what came before
        begin = processor(daemon)
        seconds.append(call(bench, *[w.format(i) for w in words], env=env))
        computed.append(processor(daemon) - begin)
        for other in after:
            call(bench, *[w.format(i) for w in other], env=env)
    bench.row("life", what, milliseconds(seconds), bar="%g ms" % bar, ok=1e3 * statistics.median(seconds) <= bar)
    bench.row("life", what + ", processor", milliseconds(computed))


def synced(bench, what, words, most):
    """System calls of the command and of the daemon meanwhile that wait for the disk."""
    if not shutil.which("strace"):
        return
    logs = [os.path.join(bench.work, "strace-" + side) for side in ("command", "daemon")]
    strace = ["strace", "-f", "-y", "-e", "trace=%s,rename,renameat,renameat2" % ",".join(SYNCS), "-o"]
    daemon = subprocess.Popen([*strace, logs[1], "-p", str(status(bench)["pid"])], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)
    daemon.stderr.readline()  # attached
    subprocess.run([*strace, logs[0], bench.o.venvfs, *words], env=bench.env, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    daemon.terminate()
    daemon.wait()
    hub = "<" + bench.env["VENVFS_HUB"]  # a sync there reaches the daemon and no disk
    calls = collections.Counter()
    for log in logs:
        with open(log) as lines:
            calls.update(m.group(1) for line in lines if hub not in line
                         for m in [re.match(r"\d+ +([a-z0-9_]+)\(", line)] if m)
    total = sum(calls[name] for name in SYNCS)
    bench.row("life", what + ", waits for the disk", json.dumps(calls, sort_keys=True), bar="%d syncs" % most,
              ok=total <= most)


def variant(bench, lock, name):
    """A lock of the same pins that no venvfs has seen."""
    path = os.path.join(bench.work, name)
    with open(lock) as source, open(path, "w") as copy:
        copy.write("# %s\n" % name + source.read())
    return path


def measure_life(bench):
    lock, other = bench.lock("data"), bench.lock("web")
    for name in ("data", "web"):
        bench.ready(name)
    create = ["create", "life{}", "-p", bench.python, "-r", lock]
    timed(bench, "create, lock seen", (), create, 15, after=[["remove", "life{}"]])
    for i in range(bench.o.rounds):
        variant(bench, lock, "unseen-life%d.txt" % i)
    unseen = os.path.join(bench.work, "unseen-life{}.txt")
    timed(bench, "create, lock never seen", (), [*create[:-1], unseen], 250, after=[["remove", "life{}"]])
    timed(bench, "clone", (), ["clone", "data", "life{}"], 10, after=[["remove", "life{}"]])
    call(bench, "create", "switch", "-p", bench.python, "-r", lock)
    to = lambda file: ["sync", "-n", "switch", "-r", file]
    call(bench, *to(other))
    timed(bench, "sync to another lock", [to(other)], to(lock), 10)
    timed(bench, "rollback", (), ["rollback", "-n", "switch"], 10)
    synced(bench, "create", ["create", "synced", "-p", bench.python, "-r", lock], 2)
    synced(bench, "clone", ["clone", "data", "cloned"], 2)
    call(bench, *to(lock))
    synced(bench, "sync to another lock", to(other), 2)
    synced(bench, "rollback", ["rollback", "-n", "switch"], 2)
    for name in ("switch", "synced", "cloned"):
        call(bench, "remove", name)


# ---- a thousand environments ----


def pins(path):
    """{normalised name: the pin's lines} of a lock."""
    found, current = {}, None
    with open(path) as lines:
        for line in lines:
            if line[0].isalnum():
                current = found.setdefault(re.sub(r"[-_.]+", "-", line.split("==")[0]).lower(), [line])
            elif current is not None and line.lstrip().startswith("--hash"):
                current.append(line)
    return {name: "".join(lines).rstrip(" \\\n") + "\n" for name, lines in found.items()}


def subsets(bench, names, count):
    """Locks of 60 to 120 packages of those locks, the same ones in each run."""
    choices = collections.defaultdict(list)
    for name in names:
        for package, text in pins(bench.lock(name)).items():
            choices[package].append(text)
    rng, folder = random.Random(count), os.path.join(bench.work, "subsets")
    os.makedirs(folder)
    for i in range(count):
        chosen = sorted(rng.sample(sorted(choices), min(len(choices), rng.randint(60, 120))))
        with open(os.path.join(folder, "%d.txt" % i), "w") as lock:
            lock.write("".join(rng.choice(choices[package]) for package in chosen))
    return folder


def on_disk(path):
    out = subprocess.run(["du", "-sk", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return int(out.split()[0]) * 1024


def measure_scale(bench, count=ENVIRONMENTS):
    env = bench.home("scale-home")
    names = [name for name in ("web", "tools", "data") if name in bench.o.sets]
    for name in names:
        bench.create(bench.offline(env, name), name, bench.lock(name))
    folder = subsets(bench, names, count)
    store, envs = (os.path.join(env["VENVFS_HOME"], part) for part in ("store", "envs"))
    before, daemon = on_disk(store) + on_disk(envs), status(bench, env)["pid"]
    started, begin = time.perf_counter(), processor(daemon)
    for i in range(count):
        call(bench, "create", "-q", "scale%d" % i, "-p", bench.python, "-r", os.path.join(folder, "%d.txt" % i),
             env=env)
    seconds = time.perf_counter() - started
    bench.row("scale", "%d environments made" % count, "%.1f s" % seconds, bar="24 ms each",
              ok=seconds <= 0.024 * count)
    bench.row("scale", "processor of each", milliseconds([(processor(daemon) - begin) / count]))
    each = (on_disk(store) + on_disk(envs) - before) / count
    bench.row("scale", "disk of each", "%.1f KiB" % (each / 1024), bar="40 KiB", ok=each <= 40960)
    for i in range(count):
        where = os.path.join(env["VENVFS_HUB"], "scale%d" % i, "lib")
        os.listdir(os.path.join(where, os.listdir(where)[0], "site-packages"))
    memory = status(bench, env)["memory"]
    used = (memory["rss_anon"] + memory["rss_shmem"]) / (1 << 20)
    bench.row("scale", "the daemon, all listed", "%.1f MiB" % used, bar="80 MiB", ok=used <= 80)
    for words, bar in ((["list"], 50), (["list", "--json"], None), (["status"], 50), (["store", "stats"], None),
                       (["doctor"], None)):
        times = [call(bench, *words, env=env) for _ in range(5)]
        bench.row("scale", " ".join(words), milliseconds(times), bar="%d ms" % bar if bar else None,
                  ok=1e3 * statistics.median(times) <= bar if bar else None)
        begin = processor(daemon)
        call(bench, *words, env=env)
        bench.row("scale", " ".join(words) + ", processor", milliseconds([processor(daemon) - begin]))
    started = time.perf_counter()
    os.listdir(env["VENVFS_HUB"])
    bench.row("scale", "ls of the hub", milliseconds([time.perf_counter() - started]))
    removed = [call(bench, "remove", "scale%d" % i, env=env) for i in range(min(count, 50))]
    bench.row("scale", "remove", milliseconds(removed), bar="20 ms", ok=statistics.median(removed) <= 0.02)
    call(bench, "umount", "--all", env=env)
    started = call(bench, "mount", "-n", "scale%d" % (count - 1), env=env)
    bench.row("scale", "the daemon's start", milliseconds([started]), bar="1 s", ok=started <= 1)
    call(bench, "umount", "--all", env=env)


# ---- one message ----


class Spent:
    """The daemon's time and messages since it was made."""

    def __init__(self, bench):
        self.bench = bench
        self.before = status(bench)
        self.ticks = os.sysconf("SC_CLK_TCK")
        self.begin = self.processor()

    def processor(self):
        with open("/proc/%d/stat" % self.before["pid"]) as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) / self.ticks, int(fields[12]) / self.ticks

    def row(self, kind, what, bar):
        user, system = (now - then for now, then in zip(self.processor(), self.begin))
        n = status(self.bench)["messages"][kind] - self.before["messages"].get(kind, 0)
        self.bench.row("message", what, "%.2f us user, %.2f us system, %d messages" %
                       (1e6 * user / n, 1e6 * system / n, n), bar="%g us user" % bar, ok=1e6 * user / n < bar)


def missing_names(site, n):
    for i in range(n):
        try:
            os.stat(os.path.join(site, "missing-%d" % i))
        except FileNotFoundError:
            pass


def names_below(site):
    return [os.path.join(folder, name)[len(site):] for folder, _, files in os.walk(site) for name in files]


def read_again(path, n):
    """READs of a page each of the same 200 KB, which the kernel has been made to forget."""
    size, page = min(os.path.getsize(path), 200 << 10), 4096
    with open(path, "rb", buffering=0) as file:
        fd = file.fileno()
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        done = 0
        while done < n:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            for offset in range(0, size, page):
                os.pread(fd, page, offset)
                done += 1


def measure_message(bench):
    name = "data" if "data" in bench.o.sets else bench.o.sets[0]
    hub = bench.ready(name)[1]
    site = bench.site_packages(hub)
    os.listdir(site)
    spent = Spent(bench)
    missing_names(site, MESSAGES)
    spent.row("LOOKUP", "LOOKUP, no such name", 2)
    below = names_below(site)
    copies = -(-MESSAGES // len(below))
    for i in range(copies):
        bench.create(bench.env, "message%d" % i, bench.lock(name))
    spent = Spent(bench)
    for i in range(copies):
        other = bench.site_packages(os.path.join(bench.env["VENVFS_HUB"], "message%d" % i))
        for path in below:
            os.stat(other + path)
    spent.row("LOOKUP", "LOOKUP of a file", 2)
    for i in range(copies):
        call(bench, "remove", "message%d" % i)
    big = max((site + path for path in below), key=os.path.getsize)
    read_again(big, 100)
    spent = Spent(bench)
    read_again(big, MESSAGES)
    spent.row("READ", "READ of a page", 3)
